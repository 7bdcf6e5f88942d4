"""Values that stand for 'not measured', such as -999, found by how often one exact number repeats.

Any spread that is taken of all values hides them: what repeats makes it. So a value is judged by the others,
each distinct number counted once: among hundreds of measured numbers a few that repeat, however often, move
no quartile.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.data.blocks import blocks, evenly_spaced, taken
from gac.data.episode_facts import SAMPLE, all_alike
from gac.data.episodes import Episodes
from gac.errors import told_apart

Kind = Literal["state", "action", "reward", "return"]

FAR: dict[Kind, float] = {"state": 10.0, "return": 10.0, "action": 50.0, "reward": 50.0}
"""Quartile distances from the nearer quartile of the others, for values that could be measured at all.

An action at a bound and the reward of a rare event repeat, too, and lie apart from what is usual: only what
is far beyond is told there.
"""
FEW = 8
"""Distinct numbers below which quartiles mean nothing."""
FAR_OF_FEW = 100.0
"""Ranges of so few others from the nearest of them: a flag or a number of states has no such gap."""
TAIL = 0.1
"""Others beyond half of the way, as a share of the repeats, that make the value a tail's clipped end."""
MOST = 0.9
"""Share of all values from which on a value is the rule and the others are the exception."""
ALONE = 20.0
"""Standard deviations of the others from their mean; the best of the benchmarks' data are within seven."""
_PEELED = 20
_NAMED = 6


@dataclass(frozen=True)
class Sentinel:
    """An exact value that repeats far outside all others of its column."""

    kind: Kind
    index: int | None
    """Dimension of states or actions; None for rewards and returns."""
    value: float
    """Raw."""
    count: int
    """How often it is there."""
    share: float
    """Of all values of the column."""

    @property
    def words(self) -> str:
        """The value, where it is and how often."""
        where = f"{self.kind} dimension {self.index}" if self.index is not None else f"the {self.kind}s"
        return f"{self.value:.7g} in {where} ({self.count:,} times, {self.share:.1%})"


def sentinels_of(episodes: Episodes) -> tuple[Sentinel, ...]:
    """Values of states, actions, rewards and returns that look like 'not measured'.

    0 is never one: sparse rewards, padding and what is absent are told by it. Nor is a reward that is given
    at the last steps of episodes alone, as for success or for a fall.
    """
    found = []
    offset = episodes.observation_offset
    columns: dict[Kind, ndarray | None] = {
        "state": episodes.observations,
        "action": episodes.actions,
        "reward": episodes.rewards,
        "return": episodes.returns,
    }
    for kind, values in columns.items():
        for index, value, count in [] if values is None else _in_columns(values, kind):
            if kind == "reward" and _at_ends_alone(episodes, value):
                continue
            raw = value + (0.0 if kind != "state" or offset is None else float(offset[index]))
            place = index if kind in ("state", "action") else None
            assert values is not None  # for the type checker
            if raw != 0.0:
                found.append(Sentinel(kind, place, raw, count, count / len(values)))
    return tuple(found)


def warn_of_far_values(episodes: Episodes) -> None:
    """Warn of values beside which all that was measured looks alike: repeated ones, and one return alone."""
    found = sentinels_of(episodes)
    if found:
        more = len(found) - _NAMED
        warnings.warn(
            f"the data holds {'; '.join(each.words for each in found[:_NAMED])}"
            f"{f' and {more} more' if more > 0 else ''}, far from all else there: beside "
            f"{'it' if len(found) == 1 else 'them'} the rest looks alike; if that stands for 'not measured', "
            "fill in what is likely or leave the episodes out (gac data inspect)",
            stacklevel=3,
        )
    returns = episodes.returns
    repeated = [each.value for each in found if each.kind == "return"]
    rows = np.flatnonzero(~np.isin(returns, repeated))
    if len(rows) < 3:
        return
    worst = rows[np.abs(returns[rows] - np.median(returns[rows])).argmax()]
    others = returns[rows[rows != worst]].astype(np.float64)
    if all_alike(others.astype(returns.dtype)):
        return
    away = abs(returns[worst] - others.mean()) / others.std()
    if away > ALONE:
        mean, own = told_apart(others.mean(), returns[worst])
        warnings.warn(
            f"episode {worst} has the return {own}, {away:.0f} standard deviations from the others (mean "
            f"{mean}): they look alike beside it; leave it out if it is not real (gac data inspect)",
            stacklevel=3,
        )


def _in_columns(values: Float[ndarray, "..."], kind: Kind) -> Iterator[tuple[int, float, int]]:
    """Column, value and number of times; of a mapped array few pages stay in memory."""
    rows = evenly_spaced(len(values), SAMPLE)
    sample = taken(values, rows).reshape(len(rows), -1)
    for index in range(sample.shape[1]):
        for value in far_repeats(sample[:, index], kind):
            whole = len(rows) == len(values)
            parts = [sample] if whole else (block.reshape(len(block), -1) for block in blocks(values))
            yield index, value, int(sum((part[:, index] == value).sum() for part in parts))


def far_repeats(values: Float[ndarray, "rows"], kind: Kind) -> list[float]:
    """Exact values that repeat and lie far outside the others, from outside inwards."""
    distinct, counts = np.unique(values, return_counts=True)
    distinct, found = distinct.astype(np.float64), []
    for _ in range(_PEELED):
        outer = next((end for end in (0, len(distinct) - 1) if _is_far(distinct, end, kind)), None)
        if outer is None:
            break
        value, count = float(distinct[outer]), int(counts[outer])
        distinct, counts = np.delete(distinct, outer), np.delete(counts, outer)
        # What lies far out without repeating hides nothing, but is no sentinel.
        if 1 < count <= MOST * len(values) and not _ends_a_tail(value, count, distinct, counts):
            found.append(value)
    return found


def _is_far(distinct: Float[ndarray, "distinct"], end: int, kind: Kind) -> bool:
    """Whether the least or greatest of the distinct numbers, ascending, is far outside the others."""
    others = np.delete(distinct, end)
    if len(others) >= FEW:
        low, high = np.quantile(others, [0.25, 0.75])
        return bool(_away(distinct[end], low, high) > FAR[kind] * (high - low))
    if kind not in ("state", "action"):
        return False
    # Of four or more, the one at the other end may be such a value itself.
    inner = (others, others[1:] if end else others[:-1])[: 2 if len(others) > 2 else 1]
    return any(
        len(some) > 1 and _away(distinct[end], some[0], some[-1]) > FAR_OF_FEW * (some[-1] - some[0])
        for some in inner
    )


def _away(value: float, low: float, high: float) -> float:
    return float(max(low - value, value - high))


def _ends_a_tail(value: float, count: int, others: Float[ndarray, "distinct"], counts: ndarray) -> bool:
    """Whether others fill the way to it, as where values are clipped."""
    if len(others) < FEW:
        return False
    low, high = np.quantile(others, [0.25, 0.75])
    half = (value + (low if value < low else high)) / 2
    beyond = others < half if value < low else others > half
    return bool(counts[beyond].sum() > TAIL * count)


def _at_ends_alone(episodes: Episodes, value: float) -> bool:
    """Whether a reward is given at no step but the last ones of episodes."""
    assert episodes.rewards is not None  # for the type checker
    ends = episodes.rewards[episodes.starts + episodes.lengths - 1]
    everywhere = sum(int((block == value).sum()) for block in blocks(episodes.rewards))
    return everywhere == int((ends == value).sum())
