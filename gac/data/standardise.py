"""Units of the model: standardised states and returns, actions scaled to [-1, 1]."""

import dataclasses
import math
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from jaxtyping import Array, Float, Float32, Float64
from numpy import ndarray

from gac.config import FARTHEST
from gac.data.blocks import extremes, moments
from gac.data.episode_facts import all_alike
from gac.data.episodes import Episodes
from gac.data.precision import less
from gac.data.scale import never_varies
from gac.errors import UserError

Values = TypeVar("Values", ndarray, Array)
"""NumPy or JAX, whichever is given: what goes in comes out."""


class Standardiser(NamedTuple):
    """Statistics of the training data; travels in the model file.

    Works on NumPy and on JAX arrays alike. A state or return that never varies gets a scale of 1; an
    action that never varies keeps its one value, as any other could be beyond the environment's bounds.

    States are given less `observation_offset`, which `less` subtracts in float64 and on the host.
    The moments of returns are of the type of these, float64 where float32 cannot hold how they differ.
    """

    observation_mean: Float[ndarray | Array, "obs"]
    observation_std: Float[ndarray | Array, "obs"]
    action_middle: Float[ndarray | Array, "act"]
    action_half_range: Float[ndarray | Array, "act"]
    return_mean: Float[ndarray | Array, ""]
    return_std: Float[ndarray | Array, ""]
    observation_offset: Float[ndarray | Array, "obs"] | None = None
    """Of the data that it was fitted to; None where nothing is subtracted (`gac.data.precision`)."""

    @classmethod
    def fit(cls, episodes: Episodes) -> "Standardiser":
        """Moments of the states and returns, range of the actions."""
        returns = episodes.returns
        return_std = 0.0 if all_alike(returns) else returns.std(dtype=np.float64)
        mean, std = moments(episodes.observations)
        low, high = extremes(episodes.actions)
        middle = (low + high) / 2
        return cls(
            observation_mean=mean.astype(np.float32),
            observation_std=_scale(std).astype(np.float32),
            action_middle=middle,
            action_half_range=_half_range(low, middle, high),
            return_mean=np.asarray(returns.mean(dtype=np.float64), returns.dtype),
            return_std=_scale(np.asarray(return_std)).astype(returns.dtype),
            observation_offset=episodes.observation_offset,
        )

    @classmethod
    def empty(cls, observation_dim: int, action_dim: int, offset: bool, returns: str) -> "Standardiser":
        """Zeros of these `sizes` to read a file into; NumPy's, which stay on the host and in their type."""
        state, action = np.zeros(observation_dim, np.float32), np.zeros(action_dim, np.float32)
        y = np.zeros((), returns)
        return cls(state, state, action, action, y, y, np.zeros(observation_dim) if offset else None)

    @property
    def sizes(self) -> dict[str, Any]:
        """What `empty` takes: widths, whether there is an offset, the type of the returns' moments."""
        return {
            "observation_dim": len(self.observation_mean),
            "action_dim": len(self.action_middle),
            "offset": self.observation_offset is not None,
            "returns": str(self.return_mean.dtype),
        }

    def less(self, observation: Any) -> Float32[ndarray, "..."]:
        """`(..., obs)` raw, of any type, to what the other functions take."""
        offset = self.observation_offset
        return less(observation, None if offset is None else np.asarray(offset, np.float64))

    def standardise_observation(self, observation: Values) -> Values:
        """`(..., obs)` raw, less the offset, to standardised."""
        mean, std = _like(self.observation_mean, observation), _like(self.observation_std, observation)
        state: Values = (observation - mean) / std
        return state

    def standardise_action(self, action: Values) -> Values:
        """`(..., act)` raw to [-1, 1]."""
        middle, half_range = _like(self.action_middle, action), _like(self.action_half_range, action)
        # An action that never varies has no range to divide by.
        scaled: Values = (action - middle) / (half_range + (half_range == 0).astype(half_range.dtype))
        return scaled

    def raw_action(self, action: Values) -> Values:
        """`(..., act)` scaled to raw, clipped to the range that the data showed."""
        middle, half_range = _like(self.action_middle, action), _like(self.action_half_range, action)
        raw: Values = middle + half_range * action.clip(-1.0, 1.0)
        return raw

    def standardise_return(self, y: Values) -> Values:
        """Raw return to standard deviations from the data's mean."""
        standardised: Values = (y - _like(self.return_mean, y)) / _like(self.return_std, y)
        return standardised.astype(np.float32)

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


def held_less(episodes: Episodes, offset: Float64[ndarray, "obs"] | None) -> Episodes:
    """The same episodes with their states held less this offset; None for nothing."""
    own, final = episodes.observation_offset, episodes.final_observations
    if np.array_equal(0.0 if offset is None else offset, 0.0 if own is None else own):
        return episodes
    return dataclasses.replace(
        episodes,
        observations=less(episodes.raw(episodes.observations), offset),
        final_observations=None if final is None else less(episodes.raw(final), offset),
        observation_offset=offset,
    )


def _scale(std: ndarray) -> ndarray:
    return np.where(std > 0.0, std, 1.0)


def _half_range(low: ndarray, middle: ndarray, high: ndarray) -> ndarray:
    """The largest that leads beyond neither limit, not by rounding either; 0 where there is one value."""
    room = np.minimum(high.astype(np.float64) - middle, middle - low.astype(np.float64))
    nearest = np.minimum((high - low) / 2, room.astype(np.float32))
    half: ndarray = np.where(nearest > room, np.nextafter(nearest, np.float32(0.0)), nearest)
    return np.where(never_varies(low, high), np.float32(0.0), half)


def _like(statistic: ndarray | Array, x: Values) -> Values:
    """Give a statistic the rank of x: rank promotion is never implicit here."""
    # The two kinds mix at will; the result is of JAX as soon as one of them is.
    return cast(Values, statistic.reshape((1,) * (x.ndim - statistic.ndim) + statistic.shape))
