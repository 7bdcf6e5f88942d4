"""Every setting of a run: frozen dataclasses, which are also the command line's flags."""

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from gac.errors import UserError

SCHEMA_VERSION = 4
MOST_HELDOUT = 64
"""Trajectories that training holds out at most."""
FARTHEST = 2.0**23
"""Standard deviations from which on float32 resolves none of them: what aims further is a mistake."""
LONGEST = 10_000
"""Steps after which an episode counts as endless, where the environment has no time limit."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and variances of p(tau, y, z | s0), Eq. (4)."""

    embed_dim: int = 64
    """Width d of every token."""
    latent_tokens: int = 4
    """Number n_z of tokens of base noise epsilon."""
    heads: int = 4
    """Attention heads; divides embed_dim."""
    encoder_layers: int = 2
    """Layers of the prior f_alpha."""
    decoder_layers: int = 2
    """Layers of the generator p_beta."""
    context: int = 2
    """Steps M of history that the generator sees."""
    sigma_a: float = 0.3
    """Standard deviation of actions: its fixed value, or its start when learned."""
    sigma_s: float = 0.3
    """Standard deviation of next states, in standardised units: fixed value or start."""
    sigma_y: float = 0.6
    """Standard deviation of the return, in standardised units: fixed value or start."""
    learn_sigma_a: bool = True
    """Learn sigma_a per action dimension."""
    learn_sigma_s: bool = False
    """Learn sigma_s per state dimension."""
    learn_sigma_y: bool = False
    """Learn sigma_y."""


@dataclass(frozen=True)
class PosteriorConfig:
    """Local inference: phi of each trajectory, theta fixed."""

    inner_steps: int = 10
    """Most gradient steps in phi per visit."""
    inner_lr: float = 0.1
    """Learning rate of Adam in phi."""
    inner_tol: float = 1e-4
    """A trajectory stops once 30 steps raise its ELBO by less than this, relative."""
    inner_windows: int = 4
    """Windows per trajectory in an inner step."""
    free_bits: float = 1.0
    """Nats per latent token that the KL does not charge: against posterior collapse."""


@dataclass(frozen=True)
class TrainingConfig:
    """Global updates of theta."""

    batch_size: int = 100
    """Trajectories per update."""
    outer_steps: int = 10
    """Gradient steps k in theta per update."""
    outer_lr: float = 1e-3
    """Learning rate of AdamW in theta."""
    outer_windows: int = 4
    """Windows per trajectory in an outer step."""
    warmup_steps: int = 200
    """Gradient steps over which outer_lr rises from zero."""
    weight_decay: float = 1e-3
    """Decoupled weight decay of AdamW."""
    adam_b2: float = 0.99
    """Decay of AdamW's second moment."""
    grad_clip: float = 1.0
    """Largest global norm of the gradient of theta."""
    heldout_fraction: float = 0.05
    """Share of the trajectories kept from training, for the held-out ELBO; 64 trajectories at most."""
    heldout_every: int = 500
    """Updates between computations of the held-out ELBO."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints of what training goes on from; the agent is written with every third."""


@dataclass(frozen=True)
class QueryConfig:
    """Inference queries: gradient ascent in phi of a plan, theta fixed."""

    query_steps: int = 500
    """Most gradient steps of a query."""
    query_lr: float = 0.1
    """Learning rate of Adam in a query."""
    query_tol: float = 1e-5
    """A plan stops once 30 steps raise its objective by less than this, relative."""


@dataclass(frozen=True)
class CriticsConfig:
    """The fit of the critics that judge plans, once training ends (`added.members`)."""

    critic_episodes: int = 10_000
    """Training episodes that they learn from, at most; evenly spaced. Never fewer than `added.searched`."""
    critic_hidden: int = 16
    """Width of each critic's hidden layer."""
    critic_steps: int = 1500
    """Most steps of AdamW."""
    critic_every: int = 25
    """Steps between two looks at the episodes that a critic left out; it stops where its error on them is
    least."""
    critic_batch: int = 128
    """Episodes a step."""
    critic_lr: float = 1e-3
    """Learning rate of AdamW."""
    critic_decay: float = 1e-2
    """Decoupled weight decay."""


@dataclass(frozen=True)
class CreditConfig:
    """The reward of each step: the data's own, or learned from returns alone (docs/credit.md)."""

    rewards: str = "given"
    """Reward of each step: given (the data's own), learned (credit from returns alone) or none."""
    credit_least_r2: float = 0.5
    """R² of held-out returns that learned credit must exceed: it explains more of them than it leaves. At 0
    chance would do: of 60 draws of noise the best reached 0.50 with 20 episodes, 0.03 with 100."""
    credit_folds: int = 5
    """Parts of the episodes, each predicted from the others, that this R² is of."""
    credit_penalty_min: float = 1e-8
    """Least penalty of the ridge, in units of the features' variance; leave-one-out errors choose it."""
    credit_penalty_max: float = 1e4
    """Largest penalty; a decade lies between two."""
    credit_fewest: int = 20
    """Episodes below which no credit is learned."""
    credit_most: int = 10_000
    """Episodes that are fitted at most, evenly chosen."""

    def __post_init__(self) -> None:
        if self.rewards not in REWARDS:
            raise UserError(f"rewards is {self.rewards!r}, expected one of {', '.join(REWARDS)}")
        if not 0.0 <= self.credit_least_r2 <= 1.0:
            raise UserError(f"credit_least_r2 is {self.credit_least_r2}, expected 0 to 1")
        low, high = self.credit_penalty_min, self.credit_penalty_max
        if not 0.0 < low <= high < math.inf:
            raise UserError(
                f"credit_penalty_min is {low:g} and credit_penalty_max {high:g}, expected finite numbers "
                "above 0 in this order"
            )
        if not 2 <= self.credit_folds <= self.credit_fewest <= self.credit_most:
            raise UserError(
                f"credit_folds is {self.credit_folds}, credit_fewest {self.credit_fewest} and credit_most "
                f"{self.credit_most}, expected 2 or more folds, and each number no less than the one before"
            )


@dataclass(frozen=True)
class AddedConfig:
    """What gac adds to the paper's method. Each field has a value that turns its addition off."""

    actor_width: int = 256
    """Width of two hidden layers from a state and its token to an action; 0 is off."""
    transition_width: int = 256
    """Width of two hidden layers that predict next states from state and action alone, so that plans are
    inferred from actions; 0 is off: next states and the return tell of plans too, as in Eq. (5)."""
    members: int = 16
    """Critics that judge plans, each fitted to its own draw of the episodes once training ends; 0 is off: the
    one critic that learns with the plans."""
    searched: int = 1000
    """exploit takes the best of at most so many logged plans; 0 is off: an ascent from the prior, Eq. (2)."""
    errors: float = 2.0
    """Standard errors of the expected return that exploit subtracts: the members' disagreement; 0 is off."""
    averaging: float = 0.999
    """Decay per gradient step of the average of theta that acts; 0 is off: theta itself acts."""
    longest_token: float = 1e3
    """Root mean square beyond which a token of base noise is scaled down; 0 is off."""
    refit_every: int = 20
    """Updates between closed-form steps of the prior's first layer; 0 is off."""
    visit_by_length: bool = True
    """Visit episodes in proportion to their length, with weights that undo it."""
    decay_steps: int = 2000
    """outer_lr falls by 1 / sqrt(1 + gradient steps / this); 0 is off: it stays constant."""
    inner_decay: bool = True
    """Learning rates in phi fall to zero within a visit and within a query."""
    set_aims: bool = True
    """Fine-tuning sets delta_y by how often its aims are reached."""


@dataclass(frozen=True)
class Config:
    """A whole run of Generative Actor Critic."""

    method: ClassVar[str] = "gac"

    preset: str = "fast"
    """Where the values began from: fast (minutes on a CPU), plain (the same sizes, the paper's algorithm
    alone) or paper (plain at the sizes of the paper)."""
    seed: int = 0
    """Seed of everything random in training."""
    model: ModelConfig = field(default_factory=ModelConfig)
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    query: QueryConfig = field(default_factory=QueryConfig)
    critics: CriticsConfig = field(default_factory=CriticsConfig)
    added: AddedConfig = field(default_factory=AddedConfig)

    def to_json(self) -> str:
        """The configuration as JSON text, with its schema version."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}, indent=2)

    @classmethod
    def from_json(cls, text: str, where: str = "config.json") -> "Config":
        """Read `to_json`'s text strictly.

        Raises:
            UserError: not JSON, a newer schema, an unknown or missing key, a wrong type.
        """
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{where} is not JSON ({error}); restore the file or train again") from None
        if not isinstance(raw, dict):
            raise UserError(f"{where} holds {type(raw).__name__}, expected an object; restore the file")
        check_method(raw, cls.method, where)
        version = raw.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{where} has schema_version {version!r}, this gac reads {SCHEMA_VERSION}; "
                "use the gac release that wrote the run"
            )
        config: Config = strict(cls, raw, where)
        return config


@runtime_checkable
class Settings(Protocol):
    """The configuration of a run of any method: a frozen dataclass that is JSON text and back."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    method: ClassVar[str]

    @property
    def preset(self) -> str:
        """Where the values began from."""

    @property
    def seed(self) -> int:
        """Seed of everything random in training."""

    def to_json(self) -> str:
        """As JSON text, with its schema version."""

    @classmethod
    def from_json(cls, text: str, where: str = ...) -> Any:
        """Read `to_json`'s text strictly."""


@dataclass(frozen=True)
class OnlineConfig:
    """Fine-tuning in stages: what a stage collects, what it aims at, how it learns from its buffer."""

    stages: int = 3
    """Number of stages; a run that is resumed may get more."""
    episodes: int = 100
    """Episodes that a stage collects."""
    seed: int = 0
    """Seed of collecting and of evaluating; training goes on from the random state of the run."""
    minutes: float | None = None
    """Minutes of updates per stage, instead of a number of them."""
    updates: int | None = None
    """Updates per stage; 120 unless this or minutes is given."""
    lr_scale: float = 0.3
    """Learning rate of the stages, as a share of the run's, whose schedule goes on."""
    targets: str | None = None
    """Rule of the returns to aim at: auto, fixed (quantile and delta_y stay as given) or y-star. By the run's
    set_aims unless given."""
    quantile: float = 0.8
    """Aims are drawn from the returns of the buffer above this quantile."""
    delta_y: float = 0.25
    """Added to a drawn return, in standard deviations of the data's returns; auto begins here."""
    y_star: float | None = None
    """The one return to aim at under y-star, raw and undiscounted."""
    return_power: float = 2.0
    """Share of an episode in what is learned: its rank by return, 0 to 1, to this power; 0 for all alike."""
    new_share: float = 0.25
    """Share of what is learned that is kept for the episodes of the newest stage."""
    eval_episodes: int = 100
    """Episodes of exploit that judge each stage."""
    step_seconds: float = 60.0
    """A process that takes longer than this for one step of its environments counts as hung."""
    longest: int = LONGEST
    """An episode that takes more steps counts as endless, where the environment has no time limit."""

    def __post_init__(self) -> None:
        least = {"stages": 1, "episodes": 2, "eval_episodes": 1, "longest": 2, "seed": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UserError(f"{name} is {getattr(self, name)}, expected {value} or more")
        if self.targets not in (None, *TARGET_RULES):
            raise UserError(f"targets is {self.targets!r}, expected one of {', '.join(TARGET_RULES)}")
        if self.y_star is not None and not math.isfinite(self.y_star):
            raise UserError(f"y_star is {self.y_star}, expected a finite return")
        if self.targets != "y-star" and self.y_star is not None:
            raise UserError(
                f"y_star is {self.y_star:g}, and goes with targets y-star, not {self.targets or 'auto'}"
            )
        if self.minutes is not None and self.updates is not None:
            raise UserError(f"minutes is {self.minutes:g} and updates {self.updates}; give one of them")
        if self.updates is not None and self.updates < 1:
            raise UserError(f"updates is {self.updates}, expected 1 or more")
        positive = {"minutes": self.minutes, "step_seconds": self.step_seconds, "lr_scale": self.lr_scale}
        for name, number in positive.items():
            if number is not None and not 0.0 < number < math.inf:
                raise UserError(f"{name} is {number}, expected a finite number above 0")
        if not (0.0 <= self.quantile < 1.0 and 0.0 <= self.new_share < 1.0):
            raise UserError(
                f"quantile is {self.quantile} and new_share {self.new_share}, expected at least 0 and below 1"
            )
        if not (0.0 <= self.return_power < math.inf and 0.0 <= self.delta_y <= FARTHEST):
            raise UserError(
                f"return_power is {self.return_power:g} and delta_y {self.delta_y:g}, expected 0 or more, "
                f"and at most {FARTHEST:g} standard deviations for delta_y"
            )

    @classmethod
    def from_dict(cls, raw: Any, where: str) -> "OnlineConfig":
        """Read `dataclasses.asdict` of one strictly, as `Config.from_json` does."""
        config: OnlineConfig = strict(cls, raw, where)
        return config


def resolved(online: OnlineConfig, added: AddedConfig) -> OnlineConfig:
    """Settings of the stages with what a run adds in place of what they leave open."""
    return dataclasses.replace(
        online,
        targets=online.targets or ("auto" if added.set_aims else "fixed"),
    )


REWARDS = ("given", "learned", "none")
TARGET_RULES = ("auto", "fixed", "y-star")


def check_method(raw: dict[str, Any], method: str, where: str) -> None:
    """Take the method out of what config.json holds, and refuse another one; gac's own files name none.

    Raises:
        UserError: a run of another method.
    """
    found = raw.pop("method", "gac")
    if found != method:
        raise UserError(f"{where} is of a run of method {found}, expected {method}; give a run of {method}")


def strict(cls: type, raw: Any, where: str) -> Any:
    """Build a frozen dataclass from a dict; an unknown, missing or mistyped key is an error."""
    if not isinstance(raw, dict):
        raise UserError(f"{where}: expected an object, got {raw!r}")
    known = typing.get_type_hints(cls)
    hints = {each.name: known[each.name] for each in dataclasses.fields(cls)}
    unknown, missing = sorted(raw.keys() - hints.keys()), sorted(hints.keys() - raw.keys())
    if unknown or missing:
        raise UserError(
            f"{where}: unknown keys {unknown}, missing keys {missing}; restore the file or train again"
        )
    values = {}
    for key, kind in hints.items():
        value = raw[key]
        if dataclasses.is_dataclass(kind):
            values[key] = strict(typing.cast(type, kind), value, f"{where}: {key}")
            continue
        accepted: Any = (
            (int, float)
            if kind is float
            else (*typing.get_args(kind), int)
            if isinstance(kind, types.UnionType) and float in typing.get_args(kind)
            else typing.get_args(kind)
            if isinstance(kind, types.UnionType)
            else kind
        )
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{where}: {key} is {value!r}, expected {getattr(kind, '__name__', kind)}")
        values[key] = float(value) if kind is float else value
    return cls(**values)
