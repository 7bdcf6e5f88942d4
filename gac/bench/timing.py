"""Wall-clock times of repeated calls, and what is told of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

LEAST_REPEATS = 2
"""Calls that are timed in any case: fewer have no spread."""


class Spread(NamedTuple):
    """Least, middle and greatest of repeated measurements."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values))

    def times(self, factor: float) -> "Spread":
        """The same in another unit."""
        return Spread(*(factor * value for value in self))


@dataclass(frozen=True)
class Effort:
    """How much is spent on a measure.

    Args:
        repeats: timed calls of each measure.
        seconds: wall clock after which a measure stops repeating, having been timed twice.
        call_seconds: what a call that may be of any length is aimed at.
    """

    repeats: int = 5
    seconds: float = 30.0
    call_seconds: float = 1.0


Row = dict[str, Spread | float | int | str | None]
"""Figures of one measure by name; the name says the unit. None is what could not be measured here."""


def call_times(function: Callable[[], Any], effort: Effort) -> list[float]:
    """Wall-clock seconds of each call until its result is there, after one call that is not counted."""
    jax.block_until_ready(function())  # type: ignore[no-untyped-call]
    taken: list[float] = []
    while len(taken) < LEAST_REPEATS or (len(taken) < effort.repeats and sum(taken) < effort.seconds):
        began = time.perf_counter()
        jax.block_until_ready(function())  # type: ignore[no-untyped-call]
        taken.append(time.perf_counter() - began)
    return taken


def rates(amount: float, taken: Sequence[float]) -> Spread:
    """`amount` per second, for each of the times that it took."""
    return Spread.of([amount / seconds for seconds in taken])
