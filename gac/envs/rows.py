"""Environments side by side in this process, stepped in turn; imports no JAX, as worker processes use it."""

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Bool, Float
from numpy import ndarray

from gac.data.goals import join
from gac.envs.disturb import Disturbance
from gac.envs.specification import Environment
from gac.errors import UserError


class RowError(Exception):
    """An environment failed: its row, and what it said in one line."""

    def __init__(self, row: int, said: str) -> None:
        super().__init__(said)
        self.row = row


class Steps(NamedTuple):
    """What a step of some rows gave; the other rows keep their last observation."""

    observation: Float[ndarray, "batch obs"]
    """As the environments give it, in float64."""
    reward: Float[ndarray, "batch"]
    terminated: Bool[ndarray, "batch"]
    truncated: Bool[ndarray, "batch"]


class Rows:
    """Environments side by side, new ones at every reset.

    Args:
        environment: of every row.
        observation_dim: width of an observation.
        disturb: what disturbs them.
    """

    steps_here = True
    """Rows are stepped by whoever asks, not beside it."""

    def __init__(
        self, environment: Environment, observation_dim: int, disturb: Disturbance | None = None
    ) -> None:
        self._environment, self._disturb = environment, disturb
        self._shape = (observation_dim,)
        self._rows: list[gymnasium.Env[Any, Any]] = []

    def reset(self, seeds: list[int]) -> Float[ndarray, "batch obs"]:
        """Begin an episode for each seed; the first observations, raw.

        Raises:
            RowError: an environment that cannot be made or reset, or observes another shape.
        """
        self.close()
        self._observation = np.zeros((len(seeds), *self._shape))
        # What an environment keeps over a reset could make an episode depend on those before it.
        for row, seed in enumerate(seeds):
            try:
                env = join(self._environment.make())
                self._rows.append(env if self._disturb is None else self._disturb.wrap(env))
                self._observation[row] = self._seen(self._rows[-1].reset(seed=seed)[0])
            except Exception as error:
                raise RowError(row, _said(error)) from error
        return self._observation.copy()

    def step(self, action: Float[ndarray, "batch act"], active: Bool[ndarray, "batch"]) -> Steps:
        """Step the active rows. Each gets a copy of its action: an environment may write into it.

        Raises:
            RowError: an environment that fails, or observes another shape.
        """
        reward = np.zeros(len(active))
        terminated, truncated = np.zeros(len(active), bool), np.zeros(len(active), bool)
        for row in map(int, np.flatnonzero(active)):
            env = self._rows[row]
            try:
                seen, paid, ended, cut, _ = env.step(_taken(action[row], env.action_space))
                self._observation[row] = self._seen(seen)
                reward[row], terminated[row], truncated[row] = float(paid), bool(ended), bool(cut)
            except Exception as error:
                raise RowError(row, _said(error)) from error
        return Steps(self._observation.copy(), reward, terminated, truncated)

    def close(self) -> None:
        """Close all environments."""
        for env in self._rows:
            env.close()
        self._rows = []

    def _seen(self, observation: Any) -> ndarray:
        seen = np.asarray(observation, np.float64)
        if seen.shape != self._shape:
            raise UserError(f"observation of shape {seen.shape}, expected {self._shape}")
        return seen


def _taken(action: Float[ndarray, "act"], space: Any) -> ndarray:
    """A copy of an action, of the space's own precision; rounding takes it beyond no bound."""
    if not isinstance(space, Box) or space.dtype.kind != "f":
        return action.copy()
    taken: ndarray = np.clip(action.astype(space.dtype), space.low, space.high)
    return taken


def _said(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}".rstrip(": ")
