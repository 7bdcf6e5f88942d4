"""Ridge regression in closed form, and the features of steps that it is used with."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from gac.data.blocks import moments

CONSTANT = 1e-6
"""Standard deviation over mean: what varies less is rounding."""
LEAST_LEFT = 1e-12
"""Of a sample that only its own weight predicts, the share that leave-one-out divides by instead of 0."""


class Units(NamedTuple):
    """Mean and standard deviation of columns; the latter infinite where nothing varies, which scales to 0."""

    mean: Float64[ndarray, "width"]
    std: Float64[ndarray, "width"]

    @classmethod
    def of(cls, values: Float[ndarray, "rows width"]) -> "Units":
        """The units of some rows."""
        mean, std = moments(values)
        return cls(mean, np.where(std <= CONSTANT * np.abs(mean), np.inf, std))

    def with_squares(self, rows: Float[ndarray, "rows width"]) -> Float64[ndarray, "rows 2*width"]:
        """Rows in these units, and their squares beside them."""
        z = (rows - self.mean) / self.std
        squared: ndarray = np.concatenate([z, np.square(z)], axis=1)
        return squared


class Ridge(NamedTuple):
    """`y = x @ weights + base * of_base`."""

    weights: Float64[ndarray, "features"]
    of_base: float
    penalty: float
    """The one that was chosen, in units of the features' variance."""


def ridge(
    x: Float64[ndarray, "n features"],
    y: Float64[ndarray, "n"],
    base: Float64[ndarray, "n"],
    penalties: Sequence[float] | Float64[ndarray, "penalties"],
) -> Ridge:
    """The ridge regression whose penalty has the least leave-one-out error.

    Args:
        x: Features, of like scale.
        y: What is predicted.
        base: One more feature, whose weight costs nothing: ones for the usual constant.
        penalties: Those to choose from, in units of the features' variance.
    """
    unit = base / np.linalg.norm(base)
    left, size, right = np.linalg.svd(x - np.outer(unit, unit @ x), full_matrices=False)
    apart = y - unit * (unit @ y)
    inside = left.T @ apart
    best, chosen = np.inf, float(max(penalties)) * len(y)
    for penalty in np.asarray(penalties) * len(y):
        kept = size**2 / (size**2 + penalty)
        leverage = np.square(unit) + np.square(left) @ kept
        residual = (apart - left @ (kept * inside)) / np.maximum(1.0 - leverage, LEAST_LEFT)
        error = float(np.mean(np.square(residual)))
        if error < best:
            best, chosen = error, float(penalty)
    weights = right.T @ (size / (size**2 + chosen) * inside)
    of_base = float(unit @ (y - x @ weights)) / float(np.linalg.norm(base))
    return Ridge(weights, of_base, chosen / len(y))
