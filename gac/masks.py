"""Masked arrays of NumPy, whose masks `numpy.asarray` drops without a word."""

from typing import Any

import numpy as np

from gac.errors import UserError


def unmasked(values: Any, what: str) -> Any:
    """The values as they are, unless some are masked, in an array or in lists of arrays.

    An array whose mask hides nothing is as good as any other.

    Args:
        values: Whatever is about to become an array.
        what: What to call them.

    Raises:
        UserError: something is masked.
    """
    if hidden := _hidden(values):
        raise UserError(
            f"{what} has {hidden:,} masked values, expected none missing; fill them in or leave them out"
        )
    return values


def _hidden(values: Any) -> int:
    if isinstance(values, np.ma.MaskedArray):
        return int(np.sum(values.mask))
    if isinstance(values, list | tuple):
        return sum(_hidden(each) for each in values if isinstance(each, np.ma.MaskedArray | list | tuple))
    return 0
