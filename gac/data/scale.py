"""Numbers judged by their own size: the unit that data is in decides nothing."""

from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

ROUNDINGS = {np.dtype(np.float32): 8, np.dtype(np.float64): 256}
"""Values that differ by so many roundings of their type count as one: in float64 programs have computed."""
_MOST_DIGITS = 17


def never_varies(low: Any, high: Any, dtype: Any = np.float32) -> Bool[ndarray, "..."]:
    """Whether values between two limits are all the same but for the rounding of their type.

    Args:
        low: Least value of each column.
        high: Greatest.
        dtype: The floating-point type that the values were rounded to.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    rounding = ROUNDINGS[np.dtype(dtype)] * float(np.finfo(dtype).eps) * np.maximum(np.abs(low), np.abs(high))
    # The model computes in float32, which has no normal numbers between that and 0.
    with np.errstate(invalid="ignore", over="ignore"):  # Infinities are named by another check.
        between = high - low
    same: ndarray = np.asarray(between <= np.maximum(rounding, float(np.finfo(np.float32).tiny)))
    return same


def number_format(low: float, high: float) -> str:
    """How to write numbers between two limits so that a tenth of what lies between shows.

    One digit behind the point where that is enough, as for most returns; else as many as it takes.
    """
    size, between = max(abs(low), abs(high)), high - low
    if size == 0.0 or (size < 1e7 and (between >= 1.0 or (between == 0.0 and size >= 0.1))):
        return ".1f"
    ratio = size / between if between > 0.0 else 1.0
    return f".{min(_MOST_DIGITS, 3 + int(np.ceil(np.log10(ratio))))}g"
