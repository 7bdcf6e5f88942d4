"""Passes over arrays that may be larger than memory, a block of rows at a time."""

import mmap
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from numpy import ndarray

from gac.data.scale import never_varies

BLOCK_BYTES = 2**24
"""Size of a block: large enough that reading is sequential, small beside any memory."""
RUNS_AT_ONCE = 16
LARGEST = 1e19
"""Size up to which a number is data: of larger ones float32 cannot hold the square."""


def row_blocks(rows: int, row_bytes: int) -> Iterator[slice]:
    """Slices that cover so many rows in order, each of about BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def blocks(array: ndarray) -> Iterator[ndarray]:
    """The rows of an array, in order, as views; of a mapped array no more than one stays in memory."""
    for rows in row_blocks(len(array), array.nbytes // max(1, len(array))):
        yield array[rows]
        release(array)


def joined(array: ndarray, starts: ndarray, ends: ndarray) -> ndarray:
    """The rows from each start to its end, run after run; of a mapped array few pages stay in memory.

    A page that is touched brings in those around it, up to megabytes: runs from all over a file would bring
    in most of it.
    """
    places = np.concatenate([[0], np.cumsum(ends - starts)])
    rows = np.empty((places[-1], *array.shape[1:]), array.dtype)
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        rows[places[number] : places[number + 1]] = array[start:end]
        if number % RUNS_AT_ONCE == RUNS_AT_ONCE - 1:
            release(array)
    return rows


def evenly_spaced(rows: int, most: int) -> Int64[ndarray, "sample"]:
    """Numbers of at most so many rows, the first and the last among them; all rows where there are few."""
    return np.linspace(0, rows - 1, min(rows, most)).astype(np.int64)


def taken(array: ndarray, rows: Int64[ndarray, "sample"]) -> ndarray:
    """Some rows, in their order; of a mapped array only a block's pages are in memory at a time."""
    values, order = np.empty((len(rows), *array.shape[1:]), array.dtype), np.argsort(rows, kind="stable")
    ascending = rows[order]
    for block in row_blocks(len(array), array.nbytes // max(1, len(array))):
        here = slice(*np.searchsorted(ascending, (block.start, block.stop)))
        if here.start < here.stop:
            values[order[here]] = array[ascending[here]]
            release(array)
    return values


def release(array: ndarray) -> None:
    """Give back the memory that the pages of a mapped array take; the system's cache keeps what it can.

    Pages that were read would otherwise count as this process's own until memory runs short.
    """
    owner = array.base
    while isinstance(owner, ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap):
        owner.madvise(mmap.MADV_DONTNEED)


def usable(array: ndarray) -> Bool[ndarray, "..."]:
    """Which values are finite and at most `LARGEST` in size."""
    within: ndarray = np.abs(array) <= LARGEST  # Never true of NaN.
    return within


def first_unusable(array: ndarray) -> tuple[int, ...] | None:
    """Place of the first value that is not `usable`."""
    before = 0
    for block in blocks(array):
        good = usable(block)
        if not good.all():
            row, *rest = (int(i) for i in np.argwhere(~good)[0])
            return (before + row, *rest)
        before += len(block)
    return None


def sums_of_runs(
    values: Float[ndarray, "rows ..."],
    lengths: Int[ndarray, "runs"],
    of: Callable[[ndarray], ndarray],
) -> Float64[ndarray, "runs ..."]:
    """The sum of `of(values)` over each of the runs that follow each other, in float64 and by itself.

    `of` keeps the rows; their width it may change.

    No run feels the others: as the difference of two running totals, each would carry the rounding of all
    before it, and their NaN. A run without rows sums to 0, one past the last row ends there.
    """
    ends = np.minimum(np.cumsum(lengths, dtype=np.int64), len(values))
    starts = np.concatenate([[0], ends])[:-1]
    held = np.flatnonzero(starts < ends)  # `reduceat` would give an empty run the value at its start.
    starts, ends = starts[held], ends[held]
    sums = np.zeros((len(held), *of(values[:1]).shape[1:]))
    before = 0
    for block in blocks(values):
        first = np.searchsorted(ends, before, side="right")
        after = np.searchsorted(starts, before + len(block))
        if first < after:
            inside = of(block[: ends[after - 1] - before])
            places = np.maximum(starts[first:after] - before, 0)
            with np.errstate(invalid="ignore"):  # Infinities of both signs; whoever asked names them.
                sums[first:after] += np.add.reduceat(inside, places, axis=0, dtype=np.float64)
        before += len(block)
    every = np.zeros((len(lengths), *sums.shape[1:]))
    every[held] = sums
    return every


def moments(
    array: Float32[ndarray, "rows width"],
) -> tuple[Float64[ndarray, "width"], Float64[ndarray, "width"]]:
    r"""Mean and standard deviation of each column, in one pass and in float64; 0 for what never varies.

    The sums of squares about the mean of n and m rows join as
    $Q = Q_n + Q_m + \delta^2 \frac{nm}{n+m}$, with $\delta$ the difference of the two means: nothing
    large is ever subtracted.
    """
    count, mean, squares = 0, np.zeros(array.shape[1]), np.zeros(array.shape[1])
    low, high = np.full_like(mean, np.inf), np.full_like(mean, -np.inf)
    for block in blocks(array):
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        own_mean = block.mean(axis=0, dtype=np.float64)
        own_squares = np.square(block - own_mean).sum(axis=0)
        total, delta = count + len(block), own_mean - mean
        squares += own_squares + delta**2 * (count * len(block) / total)
        mean = mean + delta * (len(block) / total)
        count = total
    return mean, np.where(never_varies(low, high), 0.0, np.sqrt(squares / count))


def extremes(
    array: Float32[ndarray, "rows width"],
) -> tuple[Float32[ndarray, "width"], Float32[ndarray, "width"]]:
    """Least and greatest value of each column."""
    pairs = [(block.min(axis=0), block.max(axis=0)) for block in blocks(array)]
    return np.min([low for low, _ in pairs], axis=0), np.max([high for _, high in pairs], axis=0)
