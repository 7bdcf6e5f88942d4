"""Settings of Online Decision Transformer, arXiv 2202.05607: a frozen dataclass, its fields are flags."""

from dataclasses import dataclass
from typing import ClassVar

from gac.errors import UserError
from gac.rivals.settings import Flat, check_heads, check_numbers

MAY_BE_ZERO = ("seed", "return_scale", "weight_decay", "decay_updates", "checkpoint_seconds")
OPTIMISERS = ("adamw", "lamb")


@dataclass(frozen=True)
class ODTConfig(Flat):
    """A whole run of Online Decision Transformer: its offline part."""

    method: ClassVar[str] = "odt"

    preset: str = "fast"
    """Where the values began from: fast (minutes on a CPU) or paper."""
    seed: int = 0
    """Seed of everything random in training."""

    embed_dim: int = 64
    """Width of a token."""
    heads: int = 1
    """Attention heads; divides embed_dim."""
    layers: int = 3
    """Layers of the Transformer."""
    context: int = 5
    """Steps K of history that the policy sees, three tokens each: return-to-go, state, action."""
    log_std_min: float = -5.0
    """Least logarithm of the policy's standard deviation, before tanh."""
    log_std_max: float = 2.0
    """Largest logarithm of it."""
    action_edge: float = 1e-3
    """Logged actions are at most 1 minus this in size: the bounds themselves have no density under tanh."""
    return_scale: float = 0.0
    """What returns are divided by; 0 takes the largest power of ten that the data's returns reach."""

    entropy_per_dim: float = -1.0
    """Least entropy beta of the policy, in nats per action dimension."""
    temperature: float = 0.1
    """Weight lambda of the entropy at the start."""
    temperature_rate: float = 1e-3
    """Rate of Adam in log lambda."""

    batch_size: int = 64
    """Trajectories per update, drawn in proportion to their length."""
    windows: int = 4
    """Windows of `context` steps drawn from each."""
    optimiser: str = "adamw"
    """Optimiser of theta: adamw or lamb."""
    learning_rate: float = 1e-3
    """Its rate."""
    warmup_updates: int = 200
    """Updates over which the rate rises from zero."""
    decay_updates: int = 2000
    """The rate falls by 1 / sqrt(1 + updates / this); 0 is off."""
    weight_decay: float = 5e-4
    """Decoupled weight decay."""
    grad_clip: float = 0.25
    """Largest global norm of the gradient of theta."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints."""


def check_config(config: ODTConfig) -> None:
    """Refuse settings that cannot work, in one line each.

    Raises:
        UserError: a number out of range, an unknown optimiser, limits in the wrong order.
    """
    check_numbers(config, MAY_BE_ZERO, ("log_std_min", "log_std_max", "entropy_per_dim"))
    check_heads(config)
    if config.optimiser not in OPTIMISERS:
        raise UserError(f"optimiser is {config.optimiser!r}, expected one of {', '.join(OPTIMISERS)}")
    if not config.log_std_min < config.log_std_max:
        raise UserError(
            f"log_std_min is {config.log_std_min:g}, expected less than log_std_max, {config.log_std_max:g}"
        )
    if config.action_edge >= 1.0:
        raise UserError(f"action_edge is {config.action_edge:g}, expected less than 1")
