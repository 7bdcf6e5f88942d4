"""Facts about episodes as wholes: lengths, returns, ends, and episodes that are there twice."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from gac.data.blocks import evenly_spaced
from gac.data.episodes import Episodes
from gac.data.reset_rows import Steps, distance, last_states
from gac.data.scale import never_varies

SAMPLE = 250_000
"""Rows that quantiles come from: 2,500 of them are beyond the 99th percentile."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 40
"""Most bins of a histogram: what a line of a terminal holds."""

SHORT = 10
"""Steps below which a trajectory hardly tells which plan made it."""

_SAME = 1e-6
"""Of the spread or the size, whichever is larger: states that differ by less are one."""


@dataclass(frozen=True)
class Spread:
    """Where values lie, in their own units."""

    mean: float
    std: float
    min: float
    max: float
    quantiles: dict[str, float]
    """By the quantile in [0, 1], as text, such as `"0.05"`; those of `QUANTILES`."""
    constant: bool
    """Whether all values are the same, but for rounding."""

    @classmethod
    def of(cls, values: ndarray) -> "Spread":
        """The spread of `(N,)` finite values."""
        exact = np.asarray(values, np.float64)
        found = np.quantile(exact, QUANTILES)
        return cls(
            mean=float(exact.mean()),
            std=float(exact.std()),
            min=float(exact.min()),
            max=float(exact.max()),
            quantiles={f"{q:g}": float(value) for q, value in zip(QUANTILES, found, strict=True)},
            constant=all_alike(values),
        )


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each of B bins of equal width."""

    counts: tuple[int, ...]
    """B counts."""
    edges: tuple[float, ...]
    """B + 1 ascending edges; the last bin holds its upper edge."""

    @classmethod
    def of(cls, values: ndarray, *, whole: bool = False) -> "Histogram":
        """The histogram of `(N,)` finite values; `whole` numbers get bins of whole width."""
        exact = np.asarray(values, np.float64)
        low, high = float(exact.min()), float(exact.max())
        if whole:
            width = max(1, int(np.ceil((high - low + 1) / BINS)))
            edges = np.arange(low - 0.5, high + width, width)
        else:
            # Values that only rounding sets apart are one, around which the bins get a width.
            around = abs(low) / 2 or 0.5
            alike = (low - around, high + around) if all_alike(values) else None
            edges = np.histogram_bin_edges(exact, bins=BINS, range=alike)
        counts, edges = np.histogram(exact, bins=edges)
        return cls(counts=tuple(counts.tolist()), edges=tuple(edges.tolist()))


@dataclass(frozen=True)
class Lengths:
    """Steps per episode."""

    spread: Spread
    histogram: Histogram
    short_share: float
    """Share of episodes with fewer than `SHORT` steps."""


@dataclass(frozen=True)
class Returns:
    """`y` of each episode, raw and undiscounted."""

    spread: Spread
    histogram: Histogram
    normalized_mean: float | None
    """Mean normalised score, 0 random to 100 expert; None where the environment has no reference."""
    zero_share: float
    """Share of episodes whose return is exactly 0."""
    most_common: float
    most_common_share: float
    """The return that most episodes share exactly, and their share."""
    near_best: int
    """Episodes at least as near to the best return as to the median: above the middle between the two."""
    length_correlation: float | None
    """Pearson correlation of return and length; None where either never varies."""


@dataclass(frozen=True)
class Ends:
    """How episodes end, and how one leads into the next; shares of episodes in [0, 1]."""

    terminated: float
    truncated: float
    """Both may be set at once."""
    cut_short: float
    """Truncated, not terminated, and shorter than the longest such episode by more than a hundredth."""
    one_length: bool
    """There are two episodes or more, and all have the same number of steps."""
    continued: float | None
    """Share of the episodes but the last that end where the next one begins; None where nothing moves.

    The state after the last action is compared where it is known. Elsewhere an episode counts whose
    next one begins within a usual step of its last state.
    """
    final_jumps: bool
    """The states after the last actions are known, and further off than a step: recorded after a reset."""


def lengths_of(episodes: Episodes) -> Lengths:
    """Facts about the lengths."""
    lengths = episodes.lengths
    return Lengths(
        spread=Spread.of(lengths),
        histogram=Histogram.of(lengths, whole=True),
        short_share=float((lengths < SHORT).mean()),
    )


def returns_of(episodes: Episodes) -> Returns:
    """Facts about the returns."""
    # Here, not above: acting builds on data, and this is the one thing needed from there.
    from gac.data.scores import normalized_score

    y = episodes.returns
    scores = None if episodes.env_spec is not None else normalized_score(episodes.env_id, y)
    values, counts = np.unique(y, return_counts=True)
    middle = (np.median(y) + y.max()) / 2
    return Returns(
        spread=Spread.of(y),
        histogram=Histogram.of(y),
        normalized_mean=None if scores is None else float(scores.mean()),
        zero_share=float((y == 0).mean()),
        most_common=float(values[counts.argmax()]),
        most_common_share=float(counts.max() / len(y)),
        near_best=int((y >= middle).sum()),
        length_correlation=_correlation(y, episodes.lengths),
    )


def ends_of(episodes: Episodes) -> Ends:
    """Facts about the ends."""
    timed = episodes.truncated & ~episodes.terminated
    longest = int(episodes.lengths[timed].max()) if timed.any() else 0
    return Ends(
        terminated=float(episodes.terminated.mean()),
        truncated=float(episodes.truncated.mean()),
        cut_short=float((timed & (episodes.lengths < 0.99 * longest)).mean()),
        one_length=len(episodes) > 1 and bool((episodes.lengths == episodes.lengths[0]).all()),
        continued=_continued(episodes),
        final_jumps=_final_jumps(episodes),
    )


def duplicates_of(episodes: Episodes) -> int:
    """Number of episodes whose states and actions are those of an earlier one, bit for bit."""
    seen = set()
    for start, length in zip(episodes.starts.tolist(), episodes.lengths.tolist(), strict=True):
        rows = slice(start, start + length)
        digest = hashlib.blake2b(episodes.observations[rows].tobytes(), digest_size=16)
        digest.update(episodes.actions[rows].tobytes())
        seen.add(digest.digest())
    return len(episodes) - len(seen)


def all_alike(values: ndarray) -> bool:
    """Whether finite values are all the same, but for the rounding of their type."""
    dtype = values.dtype if values.dtype.kind == "f" else np.float64
    return bool(never_varies(values.min(), values.max(), dtype))


def _correlation(a: ndarray, b: ndarray) -> float | None:
    if Spread.of(a).constant or Spread.of(b).constant:
        return None
    return float(np.corrcoef(a.astype(np.float64), b.astype(np.float64))[0, 1])


def _continued(episodes: Episodes) -> float | None:
    """`Ends.continued`."""
    observations, starts = episodes.observations, episodes.starts
    first, last_rows = observations[starts[1:]].astype(np.float64), starts + episodes.lengths - 1
    rows = evenly_spaced(len(observations), SAMPLE)
    sample = observations[rows].astype(np.float64)
    moving = ~never_varies(sample.min(axis=0), sample.max(axis=0))
    if len(first) == 0 or not moving.any():
        return None
    scale = sample.std(axis=0)[moving]
    if episodes.final_observations is not None:
        gap = np.abs(episodes.final_observations[:-1] - first)[:, moving]
        return float((gap <= _SAME * np.maximum(scale, np.abs(first[:, moving]))).all(axis=1).mean())
    inner = rows[~np.isin(rows, last_rows)]
    step = _distance(observations[inner + 1] - observations[inner], moving, scale)
    usual = float(np.quantile(step, 0.95))
    # Where a step is no shorter than the way between any two states, being near tells nothing.
    anywhere = float(np.median(_distance(sample - np.roll(sample, len(sample) // 2, axis=0), moving, scale)))
    if not 0 < usual < anywhere / 2:
        return None
    return float((_distance(first - observations[last_rows[:-1]], moving, scale) <= usual).mean())


def _final_jumps(episodes: Episodes) -> bool:
    """`Ends.final_jumps`."""
    if episodes.final_observations is None:
        return False
    steps = Steps.of(episodes)
    lengths = distance(episodes.final_observations, last_states(episodes), steps.scale)
    return steps.tell and steps.jump(lengths)


def _distance(difference: ndarray, moving: ndarray, scale: ndarray) -> ndarray:
    distance: ndarray = np.linalg.norm(difference[:, moving] / scale, axis=1)
    return distance
