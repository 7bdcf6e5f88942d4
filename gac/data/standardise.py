"""Units of the model: standardised states and returns, actions scaled to [-1, 1]."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.data.episodes import Episodes

_SMALLEST_STD = 1e-6


class Standardiser(NamedTuple):
    """Statistics of the training data; travels in the model file.

    Works on NumPy and on JAX arrays alike. A dimension that never varies gets a scale of 1.
    """

    observation_mean: Float[ndarray, "obs"]
    observation_std: Float[ndarray, "obs"]
    action_middle: Float[ndarray, "act"]
    action_half_range: Float[ndarray, "act"]
    return_mean: Float[ndarray, ""]
    return_std: Float[ndarray, ""]

    @classmethod
    def fit(cls, episodes: Episodes) -> "Standardiser":
        """Moments of the states and returns, range of the actions."""
        observations, actions, returns = episodes.observations, episodes.actions, episodes.returns
        low, high = actions.min(axis=0), actions.max(axis=0)
        return cls(
            observation_mean=observations.mean(axis=0, dtype=np.float64).astype(np.float32),
            observation_std=_scale(observations.std(axis=0, dtype=np.float64)),
            action_middle=((low + high) / 2).astype(np.float32),
            action_half_range=_scale((high - low) / 2),
            return_mean=np.asarray(returns.mean(dtype=np.float64), np.float32),
            return_std=_scale(np.asarray(returns.std(dtype=np.float64))),
        )

    def standardise_observation(self, observation):  # type: ignore[no-untyped-def]
        """`(..., obs)` raw to standardised."""
        return (observation - _like(self.observation_mean, observation)) / _like(self.observation_std, observation)

    def standardise_action(self, action):  # type: ignore[no-untyped-def]
        """`(..., act)` raw to [-1, 1]."""
        return (action - _like(self.action_middle, action)) / _like(self.action_half_range, action)

    def raw_action(self, action):  # type: ignore[no-untyped-def]
        """`(..., act)` scaled to raw, clipped to the range that the data showed."""
        return _like(self.action_middle, action) + _like(self.action_half_range, action) * action.clip(-1.0, 1.0)

    def standardise_return(self, y):  # type: ignore[no-untyped-def]
        """Raw return to standard deviations from the data's mean."""
        return (y - self.return_mean) / self.return_std

    def raw_return(self, y):  # type: ignore[no-untyped-def]
        """Standardised return to the data's own units."""
        return y * self.return_std + self.return_mean


def _scale(std: ndarray) -> ndarray:
    return np.where(std < _SMALLEST_STD, 1.0, std).astype(np.float32)


def _like(statistic, x):  # type: ignore[no-untyped-def]
    """Give a statistic the rank of x: rank promotion is never implicit here."""
    return statistic.reshape((1,) * (x.ndim - statistic.ndim) + statistic.shape)
