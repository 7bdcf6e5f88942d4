"""Facts about steps: every dimension of states and actions, saturation, coverage, jumps.

Everything runs over blocks of rows, so that data larger than memory can be looked at; quantiles, which
would need all values at once, come from at most `episode_facts.SAMPLE` evenly spaced rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int
from numpy import ndarray

from gac.data import episode_facts
from gac.data.blocks import blocks, evenly_spaced, extremes, row_blocks
from gac.data.episode_facts import QUANTILES
from gac.data.episodes import Episodes
from gac.data.scale import never_varies

DUPLICATE_CORRELATION = 0.9999
"""Two dimensions correlated more than this, in absolute value, say the same thing."""
SATURATED_MARGIN = 1e-3
"""An action is at a bound within this share of half the range: networks with tanh never quite reach it."""
OUTLIER_Z = 12.0
"""Standard deviations from the mean: one Gaussian value in 10^32 is further off."""
COVERED = 0.95
"""Share of the variance that counts as all of it, in `Columns.components`."""
JUMP_FACTOR = 10.0
"""A jump moves half of the dimensions by so many times their 99th percentile of steps."""
JUMP_STD = 0.5
"""And one of them by so many standard deviations."""

_SAME = 1e-6
"""Of the spread or the size, whichever is larger: states that differ by less are one."""

Bounds = tuple[Float64[ndarray, "bounds"], Float64[ndarray, "bounds"]]
"""Lowest and highest action of an environment."""


@dataclass(frozen=True)
class Dimension:
    """One dimension of states or actions, raw."""

    index: int
    mean: float
    std: float
    min: float
    max: float
    quantiles: dict[str, float]
    """By the quantile in [0, 1], as text, such as `"0.05"`."""
    kurtosis: float
    """Excess kurtosis: 0 for a Gaussian, more for heavy tails; 0 where nothing varies."""
    outliers: int
    """Rows more than `OUTLIER_Z` standard deviations from the mean."""
    constant: bool
    """Does not vary, or by no more than rounding (`gac.data.scale.never_varies`)."""
    offset: float = 0.0
    """What the values are held less, where float32 alone could not hold how they vary."""

    @property
    def largest_z(self) -> float:
        """The value furthest from the mean, in standard deviations; 0 where nothing varies."""
        return 0.0 if self.constant else max(self.max - self.mean, self.mean - self.min) / self.std


@dataclass(frozen=True)
class Columns:
    """States or actions, dimension by dimension and together."""

    dimensions: tuple[Dimension, ...]
    duplicated: tuple[tuple[int, int], ...]
    """Pairs i < j of dimensions that are correlated more than `DUPLICATE_CORRELATION`."""
    components: int
    """Principal components, in standardised units, that hold `COVERED` of the variance."""
    variance_shares: tuple[float, ...]
    """Share of the variance of each component, descending."""

    @property
    def constant(self) -> tuple[int, ...]:
        """Indices of the dimensions that never vary."""
        return tuple(each.index for each in self.dimensions if each.constant)


@dataclass(frozen=True)
class Saturation:
    """Shares of actions at the ends of their range, in [0, 1]."""

    bounds: Literal["environment", "data"]
    """Whose bounds the actions are compared with: the environment's, or the data's own extremes."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Bounds of each dimension, raw."""
    at_low: tuple[float, ...]
    at_high: tuple[float, ...]
    """Share of the steps at each bound; 0 for a dimension that never varies."""
    beyond: int
    """Action entries outside the environment's bounds."""

    @property
    def share(self) -> float:
        """Share of all action entries that are at a bound."""
        return sum(self.at_low + self.at_high) / len(self.at_low)


@dataclass(frozen=True)
class Jumps:
    """Steps within episodes that look like a reset which no flag marks."""

    count: int
    """Steps that are one."""
    episodes: int
    """Episodes that hold one."""
    first: tuple[int, int] | None
    """Episode and step after which the first one comes."""


class Moments(NamedTuple):
    """Raw moments of columns over all rows."""

    mean: Float64[ndarray, "dim"]
    low: Float64[ndarray, "dim"]
    high: Float64[ndarray, "dim"]
    covariance: Float64[ndarray, "dim dim"]
    fourth: Float64[ndarray, "dim"]

    @property
    def std(self) -> Float64[ndarray, "dim"]:
        """Standard deviation of each column; 0 for one that never varies."""
        return np.where(never_varies(self.low, self.high), 0.0, np.sqrt(np.diag(self.covariance)))


def moments(values: Float[ndarray, "rows dim"]) -> Moments:
    """Mean, extremes, covariance and fourth central moment, in two passes and float64."""
    total, width = len(values), values.shape[1]
    mean, low, high = np.zeros(width), np.full(width, np.inf), np.full(width, -np.inf)
    for block in _blocks(values):
        mean += block.sum(axis=0) / total
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    covariance, fourth = np.zeros((width, width)), np.zeros(width)
    for block in _blocks(values):
        centred = block - mean
        covariance += centred.T @ centred / total
        # Not **4: a general power costs ten times two squares.
        fourth += np.square(np.square(centred)).sum(axis=0) / total
    return Moments(mean, low, high, covariance, fourth)


def principal_axes(found: Moments) -> tuple[Float64[ndarray, "dim"], Float64[ndarray, "dim dim"]]:
    """Variance along each principal axis of the standardised columns, descending, and the axes as columns.

    The sign of an axis is chosen so that its largest entry is positive: the same data gives the same
    picture everywhere.
    """
    scale = np.where(found.std > 0.0, found.std, np.inf)
    variance, axes = np.linalg.eigh(found.covariance / np.outer(scale, scale))
    variance, axes = np.maximum(variance[::-1], 0.0), axes[:, ::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return variance, axes * np.where(largest < 0, -1.0, 1.0)


def columns_of(values: Float[ndarray, "rows dim"], offset: Float64[ndarray, "dim"] | None = None) -> Columns:
    """Facts about the columns of states or actions.

    Args:
        values: The columns, as they are held.
        offset: What they are held less; nothing unless given.
    """
    found, less = moments(values), np.zeros(values.shape[1]) if offset is None else offset
    std = found.std
    constant, scale = std == 0.0, np.where(std > 0.0, std, np.inf)
    outliers = np.zeros(len(std), np.int64)
    for block in _blocks(values):
        outliers += (np.abs(block - found.mean) > OUTLIER_Z * scale).sum(axis=0)
    quantiles = np.quantile(values[_sample(len(values))].astype(np.float64), QUANTILES, axis=0)
    kurtosis = np.where(constant, 0.0, found.fourth / scale**4 - 3.0)
    variance, _ = principal_axes(found)
    shares = variance / variance.sum() if variance.sum() > 0 else variance
    correlation = np.abs(found.covariance / np.outer(scale, scale))
    alike = np.triu(correlation > DUPLICATE_CORRELATION, k=1)
    return Columns(
        dimensions=tuple(
            Dimension(
                index=i,
                mean=float(less[i] + found.mean[i]),
                std=float(std[i]),
                min=float(less[i] + found.low[i]),
                max=float(less[i] + found.high[i]),
                quantiles={
                    f"{q:g}": float(value)
                    for q, value in zip(QUANTILES, less[i] + quantiles[:, i], strict=True)
                },
                kurtosis=float(kurtosis[i]),
                outliers=int(outliers[i]),
                constant=bool(constant[i]),
                offset=float(less[i]),
            )
            for i in range(len(std))
        ),
        duplicated=tuple((int(i), int(j)) for i, j in np.argwhere(alike)),
        components=int(np.searchsorted(np.cumsum(shares), COVERED) + 1) if shares.any() else 0,
        variance_shares=tuple(shares.tolist()),
    )


def saturation_of(actions: Float[ndarray, "rows act"], bounds: Bounds | None) -> Saturation:
    """Shares of actions at the environment's bounds, or at the data's extremes where it has none.

    At the data's extremes a share is telling only where it is large: one row is always there.
    """
    least, most = (limit.astype(np.float64) for limit in extremes(actions))
    known = bounds is not None and all(
        limit.shape == least.shape and np.isfinite(limit).all() for limit in bounds
    )
    low, high = bounds if bounds is not None and known else (least, most)
    margin = SATURATED_MARGIN * (high - low) / 2
    at_low, at_high, beyond = np.zeros(len(low)), np.zeros(len(low)), 0
    for block in _blocks(actions):
        at_low += (block <= low + margin).sum(axis=0)
        at_high += (block >= high - margin).sum(axis=0)
        beyond += int(((block < low - margin) | (block > high + margin)).sum())
    varies = ~never_varies(least, most)
    return Saturation(
        bounds="environment" if known else "data",
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        at_low=tuple(np.where(varies, at_low / len(actions), 0.0).tolist()),
        at_high=tuple(np.where(varies, at_high / len(actions), 0.0).tolist()),
        beyond=beyond,
    )


def jumps_of(episodes: Episodes, std: Float64[ndarray, "obs"]) -> Jumps:
    """Steps within episodes that go far beyond the data's, or back to where episodes start.

    Two signs, either of which is enough: at least half of the dimensions move by `JUMP_FACTOR` times their
    99th percentile at once, as a reset moves them and a collision, which turns one velocity, does not; or
    the step is unusually long and leads from outside the box of the first states into it, in every
    dimension, where that box is small beside the data.

    Args:
        episodes: The data.
        std: Standard deviation of each dimension of the states; 0 for one that never varies.
    """
    inner = np.ones(episodes.num_steps, bool)
    inner[episodes.starts + episodes.lengths - 1] = False
    rows = _sample(episodes.num_steps)
    rows = rows[inner[rows]]  # Never empty: row 0 begins an episode of two steps or more.
    steps = np.abs(episodes.observations[rows + 1] - episodes.observations[rows])
    usual = np.quantile(steps.astype(np.float64), 0.99, axis=0)
    # A dimension that hardly ever moves, such as a flag, has no usual step.
    judged = usual > 0
    enough = max(1, -(-int(judged.sum()) // 2))
    scale = np.where(std > 0.0, std, np.inf)
    long = float(np.quantile(np.linalg.norm(steps / scale, axis=1), 0.9))
    low, high = _start_box(episodes, std)
    found = []
    row_bytes = episodes.observations.itemsize * episodes.observation_dim
    for part in row_blocks(episodes.num_steps - 1, row_bytes):
        start = part.start
        # One row more: the step from the last one of a block leads into the next block.
        block = episodes.observations[start : part.stop + 1].astype(np.float64)
        step = np.abs(np.diff(block, axis=0))
        at_start = np.asarray(((block >= low) & (block <= high)).all(axis=1))
        back = at_start[1:] & ~at_start[:-1] & (np.linalg.norm(step / scale, axis=1) > long)
        far = (step > JUMP_FACTOR * usual) & judged
        jump = (far.sum(axis=1) >= enough) & (far & (step > JUMP_STD * std)).any(axis=1)
        jumped = (jump | back) & inner[start : start + len(step)]
        found.append(start + np.flatnonzero(jumped))
    return _jumps(np.concatenate(found), episodes)


def _start_box(
    episodes: Episodes, std: Float64[ndarray, "obs"]
) -> tuple[Float64[ndarray, "obs"], Float64[ndarray, "obs"]]:
    """Limits of the first states, a little widened; an empty box where it is not small beside the data."""
    first = episodes.observations[episodes.starts].astype(np.float64)
    low, high = first.min(axis=0), first.max(axis=0)
    moving = np.asarray(std > 0.0)
    small = len(first) > 1 and bool((high[moving] - low[moving] < std[moving]).all())
    if not small:
        return np.full_like(low, np.inf), np.full_like(high, -np.inf)
    margin = 0.1 * (high - low) + _SAME * np.maximum(std, np.maximum(np.abs(low), np.abs(high)))
    return low - margin, high + margin


def _jumps(rows: Int[ndarray, "jumps"], episodes: Episodes) -> Jumps:
    if len(rows) == 0:
        return Jumps(count=0, episodes=0, first=None)
    holders = np.searchsorted(episodes.starts, rows, side="right") - 1
    first = int(holders[0]), int(rows[0] - episodes.starts[holders[0]])
    return Jumps(count=len(rows), episodes=len(np.unique(holders)), first=first)


def _sample(rows: int) -> Int[ndarray, "sample"]:
    return evenly_spaced(rows, episode_facts.SAMPLE)


def _blocks(values: Float[ndarray, "rows dim"]) -> Iterator[Float64[ndarray, "block dim"]]:
    return (block.astype(np.float64) for block in blocks(values))
