"""What a run tells of its learned credit: credit.json, which training writes and the report reads."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.credit.ridge import Credit
from gac.data.episodes import Episodes
from gac.json_fields import Fields, read_text
from gac.writing import write_text

FILE = "credit.json"
DIGITS = 6


@dataclass(frozen=True)
class CreditRecord:
    """Learned credit: what was chosen, how good it is, and what it says along one episode."""

    model: str
    """ridge: a ridge regression on sums of [1, s, s², a, a²]."""
    r2: float
    """Share of the variance of held-out returns that it explains."""
    penalty: float
    """Of the ridge, in units of the features' variance."""
    episodes: int
    """How many were fitted, and held out in turn."""
    constant: float
    """Credit of every step, raw."""
    state: tuple[float, ...]
    """Weight of each state dimension, raw return per step and standard deviation."""
    state_squared: tuple[float, ...]
    action: tuple[float, ...]
    action_squared: tuple[float, ...]
    correlation: float | None
    """With the true rewards within an episode, the mean over episodes; None where the data has no rewards,
    or none that vary."""
    example: int
    """The episode of the highest return, which the rest is of."""
    credit: tuple[float, ...]
    """Of each of its steps, raw; its sum is the episode's return."""
    rewards: tuple[float, ...]
    """True rewards of its steps; empty where the data has none."""

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    def words(self) -> str:
        """In a line for a person."""
        known = self.correlation
        held = "" if known is None else f"; correlation with the true rewards within episodes {known:.2f}"
        return (
            f"rewards: learned from the returns of {self.episodes:,} episodes ({self.model}, penalty "
            f"{self.penalty:.0e}); R² of held-out returns {self.r2:.3f}{held}"
        )


def record_of(credit: Credit, assigned: Float[ndarray, "steps"], episodes: Episodes) -> CreditRecord:
    """The record of learned credit.

    Args:
        credit: what was learned.
        assigned: the reward that each step got.
        episodes: the data, with its true rewards where there are any.
    """
    best = int(np.argmax(episodes.returns))
    rows = slice(int(episodes.starts[best]), int(episodes.starts[best] + episodes.lengths[best]))
    rewards = episodes.rewards
    return CreditRecord(
        model="ridge",
        r2=credit.r2,
        penalty=credit.penalty,
        episodes=credit.episodes,
        constant=credit.constant,
        state=_short(credit.of_state[0]),
        state_squared=_short(credit.of_state[1]),
        action=_short(credit.of_action[0]),
        action_squared=_short(credit.of_action[1]),
        correlation=None if rewards is None else correlation(assigned, rewards, episodes),
        example=best,
        credit=_short(assigned[rows]),
        rewards=() if rewards is None else _short(rewards[rows]),
    )


def correlation(
    credit: Float[ndarray, "steps"], rewards: Float[ndarray, "steps"], episodes: Episodes, span: int = 1
) -> float | None:
    """Correlation of credit and rewards within an episode, the mean over those in which both vary.

    Args:
        credit: of each step of the episodes.
        rewards: likewise.
        episodes: whose steps these are.
        span: steps that are summed before they are compared; what is left at an episode's end is left out.

    Returns:
        None where no episode has both.
    """
    found = []
    for start, length in zip(episodes.starts, episodes.lengths, strict=True):
        whole = int(length) // span * span
        pair = [each[start : start + whole].reshape(-1, span).sum(axis=1) for each in (credit, rewards)]
        if whole > span and min(map(np.ptp, pair)) > 0.0:
            found.append(np.corrcoef(*np.asarray(pair, np.float64))[0, 1])
    return float(np.mean(found)) if found else None


def read_credit(path: Path) -> CreditRecord:
    """Read credit.json.

    Raises:
        UserError: no such file, not JSON, a missing field or one of the wrong kind.
    """
    fields = Fields.parse(read_text(path), str(path))
    return CreditRecord(
        model=fields.words("model"),
        r2=fields.number("r2"),
        penalty=fields.number("penalty"),
        episodes=fields.whole("episodes"),
        constant=fields.number("constant"),
        state=fields.numbers("state"),
        state_squared=fields.numbers("state_squared"),
        action=fields.numbers("action"),
        action_squared=fields.numbers("action_squared"),
        correlation=fields.maybe_number("correlation"),
        example=fields.whole("example"),
        credit=fields.numbers("credit"),
        rewards=fields.numbers("rewards"),
    )


def write_credit(folder: Path, record: CreditRecord) -> None:
    """Write the record into a run's folder."""
    write_text(folder / FILE, record.to_json())


def _short(values: Float[ndarray, "..."]) -> tuple[float, ...]:
    """Numbers with as many digits as matter."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)
