"""Configurations with a reason and a source for each value that is not a plain default."""

from gac.config import AddedConfig, Config, ModelConfig, PosteriorConfig, QueryConfig, TrainingConfig
from gac.gtp.config import GTPConfig
from gac.rivals.lpt.config import LPTConfig
from gac.rivals.odt.config import ODTConfig

NOTHING_ADDED = AddedConfig(
    actor_width=0,
    longest_token=0.0,
    refit_every=0,
    transition_width=0,
    members=0,
    searched=0,
    errors=0.0,
    visit_by_length=False,
    averaging=0.0,
    decay_steps=0,
    inner_decay=False,
    set_aims=False,
)
"""Every addition off."""
PAPER_QUERY = QueryConfig(query_steps=1000)
"""Section 3 of the method: at most 1000 steps, threshold 1e-5."""


def fast() -> Config:
    """For two CPU cores: a result in minutes; the defaults of `gac.config`, see docs/method.md."""
    return Config(preset="fast")


def plain() -> Config:
    """The paper's algorithm alone, Eq. (2), (3) and (5), at the sizes of `fast`."""
    return Config(
        preset="plain", posterior=PosteriorConfig(free_bits=0.0), query=PAPER_QUERY, added=NOTHING_ADDED
    )


def paper() -> Config:
    """`plain` at the sizes of the paper's Tables 5 and 6, hopper-medium column; a GPU is the place for it.

    The paper tunes one column per data set with Optuna on the ELBO; every value is a flag.
    """
    return Config(
        preset="paper",
        model=ModelConfig(
            embed_dim=192,
            latent_tokens=4,
            heads=4,
            decoder_layers=3,
            encoder_layers=4,
            context=4,
        ),
        # Table 6: inner rate 0.2365, at most 100 steps, threshold 1e-4.
        posterior=PosteriorConfig(inner_steps=100, inner_lr=0.2365, inner_windows=16, free_bits=0.0),
        # Table 6: 700 trajectories, k = 10, AdamW at 1e-3 with weight decay 2e-4.
        training=TrainingConfig(
            batch_size=700, outer_steps=10, outer_lr=1e-3, weight_decay=2e-4, outer_windows=16
        ),
        query=PAPER_QUERY,
        added=NOTHING_ADDED,
    )


def gtp() -> GTPConfig:
    """Generative Trajectory Policies for two CPU cores; the defaults of `gac.gtp.config`, see docs/gtp.md."""
    return GTPConfig(preset="fast")


def gtp_paper() -> GTPConfig:
    """`gtp` for the paper's 2 million updates; a GPU is the place for it.

    Its points at u are the paper's, Eq. (11). The grid of times reaches its finest after seven eighths of the
    updates, as in improved consistency training.
    """
    return GTPConfig(preset="paper", intermediate="score", refine_every=250_000)


def lpt() -> LPTConfig:
    """Latent Plan Transformer for two CPU cores: its configuration's defaults, see docs/rivals.md."""
    return LPTConfig(preset="fast")


def lpt_paper() -> LPTConfig:
    """`lpt` at the sizes and rates of its paper's robots (hopper, walker2d); a GPU is the place for it.

    Its 2,000 epochs are some 9,000 updates: the first tenth warms up. 16 windows of 64 steps
    are about a whole episode.
    """
    return LPTConfig(
        preset="paper",
        embed_dim=128,
        heads=1,
        layers=3,
        context=64,
        act_steps=20,
        unet_patch=1,
        unet_width=16,
        unet_levels=4,
        batch_size=500,
        windows=16,
        learning_rate=1e-4,
        warmup_updates=900,
        decay_updates=0,
    )


def odt() -> ODTConfig:
    """Online Decision Transformer for two CPU cores: its configuration's defaults, see docs/rivals.md."""
    return ODTConfig(preset="fast")


def odt_paper() -> ODTConfig:
    """`odt` at the sizes and rates of its paper's robots; a GPU is the place for it."""
    return ODTConfig(
        preset="paper",
        embed_dim=512,
        heads=4,
        layers=4,
        context=20,
        batch_size=256,
        windows=1,
        optimiser="lamb",
        learning_rate=1e-4,
        temperature_rate=1e-4,
        warmup_updates=10_000,
        decay_updates=0,
    )
