"""Units of the model: standardised states and returns, actions scaled to [-1, 1]."""

import math
import warnings
from typing import NamedTuple, TypeVar, cast

import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from gac.config import FARTHEST
from gac.data.blocks import extremes, moments
from gac.data.episodes import Episodes
from gac.errors import UserError

_SMALLEST_STD = 1e-6
FAR = 20.0
"""Standard deviations of the others from their mean; the best of the benchmarks' data are within seven."""

Values = TypeVar("Values", ndarray, Array)
"""NumPy or JAX, whichever is given: what goes in comes out."""


class Standardiser(NamedTuple):
    """Statistics of the training data; travels in the model file.

    Works on NumPy and on JAX arrays alike. A state or return that never varies gets a scale of 1; an
    action that never varies keeps its one value, as any other could be beyond the environment's bounds.
    """

    observation_mean: Float[ndarray | Array, "obs"]
    observation_std: Float[ndarray | Array, "obs"]
    action_middle: Float[ndarray | Array, "act"]
    action_half_range: Float[ndarray | Array, "act"]
    return_mean: Float[ndarray | Array, ""]
    return_std: Float[ndarray | Array, ""]

    @classmethod
    def fit(cls, episodes: Episodes) -> "Standardiser":
        """Moments of the states and returns, range of the actions."""
        returns = episodes.returns
        mean, std = moments(episodes.observations)
        low, high = extremes(episodes.actions)
        middle = (low + high) / 2
        return cls(
            observation_mean=mean.astype(np.float32),
            observation_std=_scale(std),
            action_middle=middle,
            action_half_range=_half_range(low, middle, high),
            return_mean=np.asarray(returns.mean(dtype=np.float64), np.float32),
            return_std=_scale(np.asarray(returns.std(dtype=np.float64))),
        )

    def standardise_observation(self, observation: Values) -> Values:
        """`(..., obs)` raw to standardised."""
        mean, std = _like(self.observation_mean, observation), _like(self.observation_std, observation)
        state: Values = (observation - mean) / std
        return state

    def standardise_action(self, action: Values) -> Values:
        """`(..., act)` raw to [-1, 1]."""
        middle, half_range = _like(self.action_middle, action), _like(self.action_half_range, action)
        # An action that never varies has no range to divide by.
        scaled: Values = (action - middle) / half_range.clip(_SMALLEST_STD)
        return scaled

    def raw_action(self, action: Values) -> Values:
        """`(..., act)` scaled to raw, clipped to the range that the data showed."""
        middle, half_range = _like(self.action_middle, action), _like(self.action_half_range, action)
        raw: Values = middle + half_range * action.clip(-1.0, 1.0)
        return raw

    def standardise_return(self, y: Values) -> Values:
        """Raw return to standard deviations from the data's mean."""
        standardised: Values = (y - _like(self.return_mean, y)) / _like(self.return_std, y)
        return standardised

    def check_aim(self, y_star: float | tuple[float, ...]) -> None:
        """Refuse a raw return to aim at, or one of several, that is so far away that float32 is lost there.

        Raises:
            UserError: one that is not finite, or beyond `FARTHEST` standard deviations.
        """
        mean, std = float(self.return_mean), float(self.return_std)
        for each in y_star if isinstance(y_star, tuple) else (y_star,):
            if not math.isfinite(each):
                raise UserError(f"the return to aim at is {each}, expected a finite one")
            if abs(each - mean) > FARTHEST * std:
                away = abs(each - mean) / std
                raise UserError(
                    f"the return to aim at is {each:g}, and the data's are {mean:g} ± {std:g}: {away:.0e} "
                    "standard deviations away float32 tells no plan from another; give one nearer to them"
                )

    def raw_return(self, y: Values) -> Values:
        """Standardised return to the data's own units."""
        raw: Values = y * _like(self.return_std, y) + _like(self.return_mean, y)
        return raw


def warn_of_outlier(returns: Float[ndarray, "episodes"]) -> None:
    """Warn of one return so far from the others that these look alike beside it."""
    worst = int(np.abs(returns - np.median(returns)).argmax())
    others = np.delete(returns, worst).astype(np.float64)
    if not others.std() > 0.0:
        return
    away = abs(returns[worst] - others.mean()) / others.std()
    if away > FAR:
        warnings.warn(
            f"episode {worst} has the return {returns[worst]:g}, {away:.0f} standard deviations from the "
            "others: they look alike beside it; leave it out if it is not real (gac data inspect)",
            stacklevel=3,
        )


def _scale(std: ndarray) -> ndarray:
    return np.where(std < _SMALLEST_STD, 1.0, std).astype(np.float32)


def _half_range(low: ndarray, middle: ndarray, high: ndarray) -> ndarray:
    """The largest that leads beyond neither limit, not by rounding either; 0 where there is one value."""
    room = np.minimum(high.astype(np.float64) - middle, middle - low.astype(np.float64))
    nearest = np.minimum((high - low) / 2, room.astype(np.float32))
    half: ndarray = np.where(nearest > room, np.nextafter(nearest, np.float32(0.0)), nearest)
    return half


def _like(statistic: ndarray | Array, x: Values) -> Values:
    """Give a statistic the rank of x: rank promotion is never implicit here."""
    # The two kinds mix at will; the result is of JAX as soon as one of them is.
    return cast(Values, statistic.reshape((1,) * (x.ndim - statistic.ndim) + statistic.shape))
