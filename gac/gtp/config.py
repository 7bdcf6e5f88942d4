"""Settings of Generative Trajectory Policies, arXiv 2510.11499: a frozen dataclass, its fields are flags."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import ClassVar

from gac.config import CreditConfig, check_method, strict
from gac.errors import UserError
from gac.json_fields import Fields

SCHEMA_VERSION = 2
CHOICES = {
    "intermediate": ("composition", "score", "solver"),
    "weighting": ("positive", "exponential"),
    "value": ("samples", "expectile"),
    "sampler": ("map", "euler"),
}
"""Fields with a few values, the default first."""
MAY_BE_ZERO = (
    "seed",
    "eta",
    "consistency",
    "lambda_flow",
    "decay_updates",
    "reward_shift",
    "times_mean",
    "grad_clip",
    "checkpoint_seconds",
)
MAY_BE_NEGATIVE = ("times_mean", "reward_shift")


@dataclass(frozen=True)
class GTPConfig:
    """A whole run of Generative Trajectory Policies."""

    method: ClassVar[str] = "gtp"

    preset: str = "fast"
    """Where the values began from: fast (minutes on a CPU) or paper (2 million updates)."""
    seed: int = 0
    """Seed of everything random in training."""

    width: int = 256
    """Width of the actor's hidden layers."""
    layers: int = 3
    """Hidden layers of the actor."""
    time_features: int = 16
    """Features of a time t; even. Two layers make them from sines and cosines, the one between is twice as
    wide."""
    sigma_data: float = 0.5
    """Standard deviation of actions, scaled to [-1, 1], that the scaling of phi reckons with."""
    sigma_min: float = 0.002
    """Least noise level above 0 of the grid of times."""
    sigma_max: float = 80.0
    """Largest noise level T, where sampling begins."""
    rho: float = 7.0
    """Exponent of Karras' grid: 1 is evenly spaced, more puts more times near 0."""
    levels_first: int = 10
    """Times N of the training grid at the start."""
    levels_last: int = 1280
    """Times N up to which the grid doubles."""
    refine_every: int = 2000
    """Updates after which N doubles."""
    times_mean: float = -1.1
    """Mean of log t, whose distribution is lognormal and cut off at the ends of the grid."""
    times_std: float = 2.0
    """Standard deviation of log t; 20 is nearly log-uniform."""

    consistency: float = 1.0
    """Weight of L_Consistency, Eq. (17); 0 is off."""
    lambda_flow: float = 1.0
    """Weight lambda_Flow of L_Flow, Eq. (18); 0 is off."""
    intermediate: str = "composition"
    """How the point at u is made: composition, by the EMA network from a_t, Eq. (6); score, a + u z with u
    next to t, Eq. (11), as in the paper; or solver, by Euler steps of the ODE from a_t."""
    solver_steps: int = 3
    """Euler steps from t to u under solver."""

    eta: float = 1.0
    """Strength of the value-driven weights, Eq. (14); 0 is off: GTP-BC, which needs no rewards."""
    weighting: str = "positive"
    """exp(eta max(0, A) / std), Eq. (14), under positive; exp(eta A / std) under exponential."""
    weight_clip: float = 100.0
    """Largest weight of a sample."""
    value: str = "samples"
    """V(s) of the advantage: samples, the mean of min Q over actions of the policy; or expectile, a network
    as in IQL."""
    value_samples: int = 4
    """Actions of the policy that V(s) averages over under samples."""
    expectile: float = 0.7
    """The expectile of min Q that V(s) is under expectile."""

    critic_width: int = 256
    """Width of the critics' hidden layers."""
    critic_layers: int = 3
    """Hidden layers of the critics."""
    discount: float = 0.99
    """Discount gamma of a step."""
    reward_scale: float = 1.0
    """What rewards are multiplied by, after reward_shift is subtracted."""
    reward_shift: float = 0.0
    """What is subtracted from rewards: 0.5 with reward_scale 4, or 1 with 1, for AntMaze."""
    backup_samples: int = 1
    """Next actions of which the best counts in Eq. (16), max-Q backup; 1 is off."""
    target_steps: int = 2
    """Sampling steps K of the actions that Q and V are computed with in training."""

    batch_size: int = 256
    """Transitions per update."""
    learning_rate: float = 3e-4
    """Rate of Adam, for actor and critics."""
    decay_updates: int = 2_000_000
    """Updates over which the rate falls to 0 along a cosine; 0 is off."""
    grad_clip: float = 5.0
    """Largest global norm of a gradient, the actor's and the critics' each; 0 is off."""
    ema: float = 0.005
    """Rate of the moving averages of the actor, which acts, and of the critics."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints."""

    sampler: str = "map"
    """Sampling by the map, Eq. (15); or euler, by Euler steps with phi_inst, as diffusion policies do."""
    steps: int = 5
    """Sampling steps K of acting, unless another number is asked for."""

    credit: CreditConfig = field(default_factory=CreditConfig)

    def to_json(self) -> str:
        """The configuration as JSON text, with its method and schema version."""
        head = {"schema_version": SCHEMA_VERSION, "method": self.method}
        return json.dumps(head | dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str, where: str = "config.json") -> "GTPConfig":
        """Read `to_json`'s text strictly.

        Raises:
            UserError: not JSON, another method, another schema, an unknown or missing key, a wrong type.
        """
        raw = dict(Fields.parse(text, where).raw)
        check_method(raw, cls.method, where)
        version = raw.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{where} has schema_version {version!r}, this gac reads {SCHEMA_VERSION} of method gtp; "
                "use the gac release that wrote the run"
            )
        config: GTPConfig = strict(cls, raw, where)
        return config


def check_config(config: GTPConfig) -> None:
    """Refuse settings that cannot work, in one line each.

    Raises:
        UserError: a number out of range, an unknown word, times in the wrong order, no loss at all.
    """
    for name, value in dataclasses.asdict(config).items():
        if name in CHOICES and value not in CHOICES[name]:
            raise UserError(f"{name} is {value!r}, expected one of {', '.join(CHOICES[name])}")
        if isinstance(value, str | dict):
            continue
        good = value > 0 or (value == 0 and name in MAY_BE_ZERO) or name in MAY_BE_NEGATIVE
        if not (math.isfinite(value) and good):
            least = "0 or more" if name in MAY_BE_ZERO else "above 0"
            raise UserError(
                f"{name} is {value}, expected a finite number {least}; see gac train --method gtp --help"
            )
    if not config.sigma_min < config.sigma_max:
        raise UserError(
            f"sigma_min is {config.sigma_min:g}, expected less than sigma_max, {config.sigma_max:g}"
        )
    if not 2 <= config.levels_first <= config.levels_last:
        raise UserError(
            f"levels_first is {config.levels_first} and levels_last {config.levels_last}, expected 2 or "
            "more, and levels_last no less than levels_first"
        )
    if not (config.discount < 1.0 and config.expectile < 1.0 and config.ema <= 1.0):
        raise UserError("discount and expectile are below 1, and ema at most 1; see gac train --help")
    if config.time_features % 2:
        raise UserError(f"time_features is {config.time_features}, expected an even number")
    if config.consistency == config.lambda_flow == 0.0:
        raise UserError("consistency and lambda_flow are both 0, and nothing is left to learn; turn one on")
