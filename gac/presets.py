"""Configurations with a reason and a source for each value that is not a plain default."""

from gac.config import Config, ModelConfig, PosteriorConfig, TrainingConfig


def fast() -> Config:
    """For two CPU cores: a result in minutes; the defaults of `gac.config`, see docs/method.md."""
    return Config(preset="fast")


def paper() -> Config:
    """Sizes of the paper's Tables 5 and 6, hopper-medium column; a GPU is the place for them.

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
            # The paper names no layers between the decoder and the action.
            actor_width=0,
            learn_sigma_a=False,
        ),
        # Table 6: inner rate 0.2365, at most 100 steps, threshold 1e-4.
        posterior=PosteriorConfig(inner_steps=100, inner_lr=0.2365, inner_windows=16),
        # Table 6: 700 trajectories, k = 10, AdamW at 1e-3 with weight decay 2e-4.
        training=TrainingConfig(
            batch_size=700,
            outer_steps=10,
            outer_lr=1e-3,
            weight_decay=2e-4,
            outer_windows=16,
            # The paper names none of these.
            decay_steps=0,
            return_tilt=0.0,
            visit_by_length=False,
        ),
    )
