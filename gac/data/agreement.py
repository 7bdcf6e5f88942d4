"""What a source says twice must agree: comparisons up to rounding, whatever the units of the data."""

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32
from numpy import ndarray

from gac.data.blocks import sums_of_runs
from gac.errors import UserError, told_apart

_ROUNDINGS = 4
"""How many roundings may part two copies of a number, such as a conversion of units and back."""
_NEGLIGIBLE = 1e-5
"""Share of how a column usually varies that two copies may differ by after conversions in float32."""
_OF_RETURN, _OF_SPREAD = 1e-3, 1e-2
"""Shares of a return, and of how returns usually differ, that few digits in a file may lose."""


def differing(one: ndarray, other: ndarray) -> Bool[ndarray, "rows width"]:
    """Which values of two `(rows, width)` arrays differ by more than rounding.

    Rounding is that of the coarser of the two, at the size of the value or at its column's usual size,
    whichever is larger; or a share of how the column usually varies. NaN says nothing that could differ:
    whether it may stand there is asked elsewhere.
    """
    wrong: ndarray = (one != other) & (one == one) & (other == other)
    rows = np.flatnonzero(wrong.any(axis=1))
    if not len(rows):
        return wrong
    with np.errstate(invalid="ignore", over="ignore"):
        left, right = one[rows].astype(np.float64), other[rows].astype(np.float64)
        apart, size = np.abs(left - right), np.maximum(np.abs(left), np.abs(right))
        known = np.nan_to_num(one.astype(np.float64))
        middle = np.median(known, axis=0)
        spread = np.median(np.abs(known - middle), axis=0)
        rounding = _ROUNDINGS * np.maximum(_precision(one), _precision(other))
        allowed = np.maximum(rounding * np.maximum(size, np.abs(middle)), _NEGLIGIBLE * spread)
        wrong[rows] &= ~((apart <= allowed) & np.isfinite(allowed))
    return wrong


def _precision(array: ndarray) -> Float64[ndarray, "width"]:
    """Relative precision of each column: its type's, or that of float32 if it went through float32."""
    single = float(np.finfo(np.float32).eps)
    if array.dtype.kind != "f" or array.dtype.itemsize <= 4:
        own = float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else single
        return np.full(array.shape[1], max(single, own))
    narrow = (array.astype(np.float32) == array) | np.isnan(array)
    precision: ndarray = np.where(narrow.all(axis=0), single, float(np.finfo(np.float64).eps))
    return precision


class Tally:
    """The first place where two copies part, and in how many rows they do."""

    class Place(NamedTuple):
        """Where it is, and the two values."""

        row: int
        column: int
        values: tuple[str, ...]

    def __init__(self) -> None:
        self.first: Tally.Place | None = None
        self.wrong = self.compared = 0

    def add(self, one: ndarray, other: ndarray, rows: ndarray) -> None:
        """Compare two `(rows, width)` arrays, whose rows have the numbers `rows` in the whole."""
        wrong = differing(one, other)
        in_row = wrong.any(axis=1)
        if self.first is None and in_row.any():
            i, column = (int(place) for place in np.argwhere(wrong)[0])
            values = told_apart(float(one[i, column]), float(other[i, column]))
            self.first = self.Place(int(rows[i]), column, values)
        self.wrong += int(in_row.sum())
        self.compared += len(rows)

    @property
    def share(self) -> str:
        """In how many rows they part, in words."""
        return share(self.wrong, self.compared, "rows")


def share(part: int, whole: int, what: str) -> str:
    """So many of so many, in words and in percent."""
    return f"{part:,} of {whole:,} {what} ({100 * part / whole:.3g}%)"


def warn_if_steps_go_on(where: str, going_on: int, ends: int, fix: str) -> None:
    """Warn of ends of episodes after which a step's number goes on, if it begins anew after most.

    A counter over a whole recording never begins anew, so it tells nothing of episodes.

    Args:
        where: The first such place, the column named.
        going_on: How many there are.
        ends: Ends that another episode follows.
        fix: What to do about it.
    """
    if 0 < going_on < ends / 2:
        warnings.warn(
            f"{where} goes on into the next episode, and begins anew after most others, as in "
            f"{share(going_on, ends, 'ends')}: if an episode goes on there, its return is that of a part; "
            f"{fix}",
            stacklevel=4,
        )


def check_returns(
    rewards: Float[ndarray, "steps"],
    returns: Float[ndarray, "episodes"],
    lengths: Int32[ndarray, "episodes"],
    name: str,
    *,
    whole: bool = False,
) -> None:
    """Refuse returns that are not the sums of the rewards.

    They may part by what adding T rewards can lose, T times the rounding of the sum of their sizes, and by a
    thousandth of the return. In a whole data set, that is also at most a hundredth of how the returns of the
    middle half differ: a thousandth of returns that are large and much alike would be all that tells them
    apart.

    Args:
        rewards: Of all steps.
        returns: Of each episode.
        lengths: Steps of each episode.
        name: What to call the data.
        whole: Whether these are all episodes of a source rather than some of them.

    Raises:
        UserError: the first episode whose return is another.
    """
    sums = sums_of_runs(rewards, lengths, np.asarray)
    epsilon = max(float(np.finfo(array.dtype).eps) for array in (rewards, returns))
    with np.errstate(invalid="ignore"):
        few_digits = _OF_RETURN * np.abs(sums)
        if whole:
            low, high = np.percentile(sums, [25, 75])
            few_digits = np.minimum(few_digits, _OF_SPREAD * (high - low))
        lost = lengths * epsilon * sums_of_runs(rewards, lengths, np.abs)
        wrong = np.abs(sums - returns) > np.maximum(lost, few_digits)
    if wrong.any():
        i = int(np.argmax(wrong))
        said, added = told_apart(float(returns[i]), float(sums[i]))
        raise UserError(
            f"episode {i} of {name} has return {said}, but its rewards add up to {added}, as in "
            f"{share(int(wrong.sum()), len(wrong), 'episodes')}; give one of the two, or correct them"
        )
