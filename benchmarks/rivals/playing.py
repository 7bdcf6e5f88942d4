"""What plays: a policy of a rival, for a batch of episodes side by side, and the record of its episodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from steps import GIVEN

from gac.acting.evaluate import chosen_environment, play_all
from gac.acting.record import recorded
from gac.acting.rollout import longest_of
from gac.config import LONGEST
from gac.data.episodes import Episodes
from gac.envs.rows import Rows, Steps
from gac.envs.specification import Environment
from gac.records import Evaluation

QUERY = "policy"
"""What a rival's evaluation is called: it has no queries."""
TARGETS = {
    "hopper": 3600.0,
    "halfcheetah": 6000.0,
    "walker2d": 5000.0,
    "maze2d-umaze": 165.0,
    "maze2d-medium": 280.0,
    "maze2d-large": 275.0,
}
"""Returns that a Decision Transformer is asked for, raw, by the start of the environment's id: those of the
library's script for robots; LPT's for mazes (arXiv 2402.04647), as the library has none."""


def target_of(env_id: str, best: float) -> float:
    """The return to ask for; the best one of the data where the environment has none."""
    return next((y for name, y in TARGETS.items() if env_id.lower().startswith(name)), best)


class Rewarded(Rows):
    """Rows whose last rewards can be read, as a Decision Transformer counts down what it asks for."""

    reward: ndarray | None = None

    def reset(self, seeds: list[int]) -> Float[ndarray, "batch obs"]:
        self.reward = None
        return super().reset(seeds)

    def step(self, action: Any, active: Any) -> Steps:
        seen = super().step(action, active)
        self.reward = seen.reward
        return seen


class Greedy:
    """A policy without memory."""

    replan_seconds = 0.0

    def __init__(self, act: Callable[[ndarray], ndarray]) -> None:
        self._act = act

    def begin(self, rows: Rewarded, batch: int) -> None:
        """Begin an episode in each row."""
        self.replans = np.zeros(batch, np.int64)

    def __call__(self, observation: Any, active: Any = None) -> Float[ndarray, "batch act"]:
        return self._act(np.asarray(observation, np.float32))


class Transformer:
    """A Decision Transformer of d3rlpy with the last steps of every row.

    Args:
        algo: the trained one.
        aim: the return that it is asked for, raw.
        rewards: what it learned from. With rewards at the end alone, nothing is counted down on the way.
    """

    replan_seconds = 0.0

    def __init__(self, algo: Any, aim: float, rewards: str) -> None:
        self._algo, self._aim, self._counts = algo, aim, rewards == GIVEN
        self._context, self._last = algo.config.context_size, algo.config.max_timestep

    def begin(self, rows: Rewarded, batch: int) -> None:
        """Begin an episode in each row."""
        self.replans, self._rows = np.zeros(batch, np.int64), rows
        self._left = np.full((batch, 1), self._aim, np.float32)
        self._states: list[ndarray] = []
        self._actions: list[ndarray] = []
        self._to_go: list[ndarray] = []

    def __call__(self, observation: Any, active: Any = None) -> Float[ndarray, "batch act"]:
        if self._counts and self._rows.reward is not None:
            self._left = self._left - self._rows.reward[:, None].astype(np.float32)
        self._states.append(np.asarray(observation, np.float32))
        self._to_go.append(self._left)
        first = max(0, len(self._states) - self._context)
        states = np.stack(self._states[first:], axis=1)
        to_go = np.stack(self._to_go[first:], axis=1)
        done = self._actions[first:]
        padding = np.zeros((len(states), self._algo.action_size), np.float32)  # What it is to predict.
        actions = np.stack([*done, padding], axis=1)
        times = np.minimum(np.arange(first, len(self._states)) + 1, self._last)
        action = self._predict(states, actions, to_go, np.tile(times, (len(states), 1)))
        self._actions.append(action)
        return action

    def _predict(self, states: ndarray, actions: ndarray, to_go: ndarray, times: ndarray) -> ndarray:
        """The action at the last step of each row; rows of one length need no padding."""
        config, modules = self._algo.config, self._algo.impl.modules
        with torch.no_grad():
            modules.set_eval()
            predicted = modules.transformer(
                config.observation_scaler.transform(torch.tensor(states)),
                torch.tensor(actions),
                config.reward_scaler.transform(torch.tensor(to_go)),
                torch.tensor(times),
                torch.zeros(times.shape),
            )
        last: ndarray = predicted[:, -1].numpy()
        return last


def evaluate(policy: Any, data: Episodes, episodes: int, seed: int, packages: tuple[str, ...]) -> Evaluation:
    """Play episodes in the environment of the data, environment i reset with seed + i, as `gac evaluate`."""
    environment = chosen_environment(None, None if data.env_id is None else Environment.of(data))
    made = environment.make()
    limit = longest_of(None if made.spec is None else made.spec.max_episode_steps, LONGEST)
    made.close()
    rows = Rewarded(environment, data.observation_dim)

    def make_policy(first: Any, seed: int) -> tuple[Any, tuple[float, ...]]:
        policy.begin(rows, len(first))
        return policy, ()

    played = play_all(make_policy, rows, episodes, seed, longest=limit)
    rows.close()
    return recorded(QUERY, environment, seed, played, None, packages=packages)
