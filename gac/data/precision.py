"""From the numbers of a source to those that are held: float32, and exact where float32 loses what varies.

Seconds since 1970, or metres of a map's grid, are large beside what they vary by, and float32 rounds them to
128 s and to half a metre. Such states are held less a constant of their column, subtracted in float64, and
such returns and rewards in float64. All other numbers are rounded to float32 as they are.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from numpy import ndarray

from gac.data.blocks import LARGEST, evenly_spaced
from gac.data.scale import never_varies
from gac.errors import UserError

LOST = 1e-3
"""Rounding errors beyond this share of a column's spread count as a loss: float32 leaves 1e-7 of most."""
SAMPLE = 250_000
"""Rows that the spread comes from, evenly spaced."""
NAMED = 6
"""Columns that a warning names."""
_GAUSSIAN_QUARTILES = 1.349
"""Standard deviations between the quartiles of a Gaussian."""


class Held(NamedTuple):
    """Columns as `Episodes` holds them: what was given is `values` plus `offset`."""

    values: Float32[ndarray, "rows width"]
    offset: Float64[ndarray, "width"] | None
    """Of each column, 0 for most; None where no column needs one."""


def hold_states(values: ndarray, name: str, labels: Sequence[str] | None = None) -> Held:
    """Columns of states in float32, those that it cannot hold less a constant each, with a warning.

    Args:
        values: `(rows, width)`, numbers of any type.
        name: What to call the data.
        labels: Names of the columns; their numbers unless given.
    """
    lost = _lost(values)
    if not lost.any():
        return Held(rounded(values), None)
    offset = np.zeros(values.shape[1])
    offset[lost] = _middle(values[:, lost])
    warnings.warn(
        f"{name}: {_columns('state', lost, labels)} var{_ies(lost)} by too little for {_their(lost)} size to "
        f"be held in float32 ({_figures(values, lost)}); "
        f"{'a constant is' if lost.sum() == 1 else 'constants are'} subtracted before rounding, here and "
        "from what the agent observes",
        stacklevel=3,
    )
    return Held(less(values, offset), offset)


def hold_actions(values: ndarray, name: str, labels: Sequence[str] | None = None) -> Float32[ndarray, "..."]:
    """Columns of actions in float32, with a warning about those that it cannot hold."""
    lost = _lost(values)
    if lost.any():
        warnings.warn(
            f"{name}: {_columns('action', lost, labels)} var{_ies(lost)} by too little for {_their(lost)} "
            f"size to be held in float32 ({_figures(values, lost)}) and {'is' if lost.sum() == 1 else 'are'} "
            "rounded; record actions less a constant, and add it where they are carried out",
            stacklevel=3,
        )
    return rounded(values)


def hold_numbers(values: ndarray) -> Float[ndarray, "rows"]:
    """Returns or rewards in float32, or in float64 where float32 cannot hold how they differ."""
    exact: ndarray = values.astype(np.float64, copy=False)
    return exact if _lost(values[:, None]).any() else rounded(values)


def refuse_lost(values: ndarray, what: str, name: str) -> None:
    """Refuse to write in float32 what it cannot hold.

    Args:
        values: `(rows, width)` or `(rows,)`, all of them or evenly spaced ones.
        what: `state`, `action` or `rewards`.
        name: What to call the data.

    Raises:
        UserError: columns that vary by too little for their size.
    """
    columns = values.reshape(len(values), -1)
    lost = _lost(columns)
    if lost.any():
        which = what if values.ndim == 1 else _columns(what, lost, None)
        raise UserError(
            f"{name}: {which} ({_figures(columns, lost)}) cannot be held in float32, as steps on disk are; "
            "subtract a constant where the data is recorded, or leave out --contiguous"
        )


def less(values: Any, offset: Float64[ndarray, "width"] | None) -> Float32[ndarray, "..."]:
    """Rows in float32, less a constant for each column where there is one, which is subtracted in float64."""
    return rounded(np.asarray(values) if offset is None else np.asarray(values, np.float64) - offset)


def rounded(values: ndarray) -> Float32[ndarray, "..."]:
    """Numbers as float32; what overflows becomes infinite, which `Episodes` refuses by name."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, np.float32)


def _lost(values: ndarray) -> Bool[ndarray, "width"]:
    """Columns that vary in float64 and lose that in float32, as a whole or in the middle half of their rows.

    The middle half alone tells where a few wild values stretch the spread.
    """
    width = values.shape[1]
    if len(values) == 0 or (values.dtype.kind == "f" and values.dtype.itemsize <= 4):
        return np.zeros(width, bool)
    low, high = values.min(axis=0), values.max(axis=0)
    varies = ~never_varies(low, high, np.float64) & (np.maximum(np.abs(low), np.abs(high)) <= LARGEST)
    sample = values[evenly_spaced(len(values), SAMPLE)].astype(np.float64)
    sample = np.where(varies, sample, 0.0)  # Whoever holds NaN or infinity is named by another check.
    error = np.abs(sample - rounded(sample))
    quarter, three = np.quantile(sample, [0.25, 0.75], axis=0)
    middle_half = (three - quarter) / _GAUSSIAN_QUARTILES
    whole = error.max(axis=0) > LOST * sample.std(axis=0)
    inner = (middle_half > 0.0) & (np.median(error, axis=0) > LOST * middle_half)
    lost: ndarray = varies & (whole | inner | never_varies(low, high))
    return lost


def _middle(values: ndarray) -> Float64[ndarray, "width"]:
    """A round number near the median of each column: no more than about the spread away.

    As a multiple of a power of two it leaves whole numbers whole.
    """
    sample = values[evenly_spaced(len(values), SAMPLE)].astype(np.float64)
    median = np.median(sample, axis=0)
    spread = np.median(np.abs(sample - median), axis=0)
    spread = np.where(spread > 0.0, spread, values.max(axis=0) - values.min(axis=0))
    step = 2.0 ** np.floor(np.log2(spread))
    middle: ndarray = np.round(median / step) * step
    return middle


def _columns(what: str, lost: Bool[ndarray, "width"], labels: Sequence[str] | None) -> str:
    names = [str(i) if labels is None else labels[int(i)] for i in np.flatnonzero(lost)]
    more = len(names) - NAMED
    kind = f"{what} dimension" if labels is None else "column"
    return (
        f"{kind}{'' if len(names) == 1 else 's'} {', '.join(names[:NAMED])}"
        f"{f' and {more} more' if more > 0 else ''}"
    )


def _figures(values: ndarray, lost: Bool[ndarray, "width"]) -> str:
    """Where the first columns lie, and what float32 holds them to."""
    words = []
    for i in np.flatnonzero(lost)[:NAMED]:
        column = values[evenly_spaced(len(values), SAMPLE), i].astype(np.float64)
        spacing = float(np.spacing(np.float32(np.abs(column).max())))
        words.append(f"{column.mean():.9g} ± {column.std():.3g}, to {spacing / 2:.2g} at best")
    return "; ".join(words)


def _ies(lost: Bool[ndarray, "width"]) -> str:
    return "ies" if lost.sum() == 1 else "y"


def _their(lost: Bool[ndarray, "width"]) -> str:
    return "its" if lost.sum() == 1 else "their"
