"""Settings of Latent Plan Transformer, arXiv 2402.04647: a frozen dataclass, its fields are flags."""

from dataclasses import dataclass
from typing import ClassVar

from gac.errors import UserError
from gac.rivals.settings import Flat, check_heads, check_numbers

MAY_BE_ZERO = ("seed", "return_scale", "dropout", "weight_decay", "decay_updates", "checkpoint_seconds")


@dataclass(frozen=True)
class LPTConfig(Flat):
    """A whole run of Latent Plan Transformer."""

    method: ClassVar[str] = "lpt"

    preset: str = "fast"
    """Where the values began from: fast (minutes on a CPU) or paper."""
    seed: int = 0
    """Seed of everything random in training."""

    latent_tokens: int = 4
    """Tokens of z0."""
    embed_dim: int = 64
    """Width of a token."""
    heads: int = 1
    """Attention heads of the generator; divides embed_dim."""
    layers: int = 2
    """Layers of the generator."""
    context: int = 4
    """Steps of history that the generator sees."""
    unet_patch: int = 16
    """Numbers of z0 that are one place of U; 1 in the paper."""
    unet_width: int = 32
    """Channels of U at its first level; they double from level to level."""
    unet_levels: int = 2
    """Levels of U, each half as long as the one before."""
    head_width: int = 100
    """Width of the two hidden layers of the return head."""
    dropout: float = 0.3
    """Share of the return head's hidden units that a step of theta leaves out."""

    sigma_a: float = 0.5**0.5
    """Standard deviation of an action, scaled to [-1, 1], in the posterior."""
    sigma_y: float = 0.5**0.5
    """Standard deviation of the return, in units of return_scale, in the posterior."""
    return_scale: float = 0.0
    """What returns are divided by; 0 takes the largest power of ten that the data's returns reach."""

    langevin_steps: int = 3
    """Steps of a trajectory's chain per visit."""
    langevin_step: float = 0.045
    """Step s of Langevin dynamics; the noise of a step is sqrt(2 s)."""
    act_steps: int = 200
    """Steps of the chain that makes a plan, which begins at the best training trajectory's z0; 20 in the
    paper, too few to leave that trajectory's luck (docs/rivals.md)."""
    exploit_weight: float = 4.0
    """w of p(z0) p(y* | z)^w under the query exploit (LPT-EI); target has 1."""

    batch_size: int = 100
    """Trajectories per update."""
    windows: int = 4
    """Windows of `context` steps drawn from each trajectory, anew for each gradient."""
    return_weight: float = 0.25
    """Weight of the return error in the loss of theta."""
    learning_rate: float = 1e-3
    """Rate of AdamW."""
    warmup_updates: int = 200
    """Updates over which the rate rises from zero."""
    decay_updates: int = 2000
    """The rate falls by 1 / sqrt(1 + updates / this); 0 is off."""
    weight_decay: float = 1e-4
    """Decoupled weight decay of AdamW."""
    grad_clip: float = 0.25
    """Largest global norm of the gradient of theta."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints."""


def check_config(config: LPTConfig) -> None:
    """Refuse settings that cannot work, in one line each.

    Raises:
        UserError: a number out of range, heads or levels that do not divide what they share out.
    """
    check_numbers(config, MAY_BE_ZERO)
    check_heads(config)
    if config.dropout >= 1.0:
        raise UserError(f"dropout is {config.dropout:g}, expected less than 1")
    size, factor = config.latent_tokens * config.embed_dim, config.unet_patch * 2 ** (config.unet_levels - 1)
    if size % factor:
        raise UserError(
            f"unet_levels is {config.unet_levels} and unet_patch {config.unet_patch}: z0 has {size} numbers, "
            f"expected a multiple of {factor}; use fewer levels, a smaller patch, or another embed_dim"
        )
