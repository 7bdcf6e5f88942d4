"""The lottery's data: buying and not buying logged equally often.

The first action of an episode has a random size between `DEAD_ZONE` and 1, so that a small error of a model
is not another decision. Half of the episodes buy, one less where their number is odd, in random order. Later
actions are uniform in [-1, 1] and do nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np

from gac.data.episodes import Episodes, episode_returns
from gac.data.names import Parameter, whole
from gac.envs import lottery
from gac.errors import UserError

SOURCES = [Path(__file__), Path(lottery.__file__)]
"""The code that decides the data."""
DEAD_ZONE = 0.2
"""No first action is smaller in size."""
MOST = 10**8
"""Steps in all, some gigabytes."""

_READ: dict[str, Callable[[str], Any]] = {"kind": str, "p": float, "win": float, "steps": whole}


@dataclass(frozen=True)
class LotteryRecipe:
    """How to make a data set of the lottery; the first four are those of `gac.envs.lottery.Lottery`."""

    about: str
    """A line for `gac data list`."""
    kind: str = "seen"
    p: float = 0.05
    win: float = 10.0
    steps: int = 4
    episodes: int = 1000

    parameters: ClassVar[dict[str, Parameter]] = {
        **{key: Parameter(_READ[key], lottery.EXPECTED[key], lottery.VALID[key]) for key in _READ},
        "episodes": Parameter(whole, "a whole number, 4 or more", lambda episodes: episodes >= 4),
    }


LOTTERY_RECIPES = {
    "lottery": LotteryRecipe(about="gac/Lottery-v0, 1,000 decisions between a sure 1 and a poor ticket")
}


def make(name: str, recipe: LotteryRecipe, seed: int) -> Episodes:
    """Make a recipe's data; see `gac.data.recipes.make`.

    Raises:
        UserError: more than `MOST` steps in all.
    """
    episodes, steps = recipe.episodes, recipe.steps
    if episodes * steps > MOST:
        raise UserError(
            f"{name} has {episodes:,} episodes of {steps:,} steps, expected {MOST:,} steps or fewer in all; "
            "give fewer episodes or steps"
        )
    env_id = lottery.lottery_id(recipe.kind, recipe.p, recipe.win, steps)
    rng = np.random.default_rng([seed, 0])
    actions = rng.uniform(-1.0, 1.0, (episodes, steps, 1)).astype(np.float32)
    sign = np.where(rng.permutation(episodes) < episodes // 2, 1.0, -1.0)
    actions[:, 0, 0] = sign * rng.uniform(DEAD_ZONE, 1.0, episodes)
    observations = np.empty((episodes, steps + 1, 3), np.float32)
    rewards = np.empty((episodes, steps), np.float32)
    env = gymnasium.make(env_id).unwrapped
    env.reset(seed=int(rng.integers(2**31)))
    for i in range(episodes):
        observations[i, 0], _ = env.reset()
        for t in range(steps):
            observations[i, t + 1], rewards[i, t], *_ = env.step(actions[i, t])
    lengths = np.full(episodes, steps, np.int32)
    flat = rewards.reshape(-1)
    return Episodes(
        observations=observations[:, :-1].reshape(-1, 3),
        actions=actions.reshape(-1, 1),
        rewards=flat,
        returns=episode_returns(flat, None, lengths, name),
        lengths=lengths,
        terminated=np.ones(episodes, bool),
        truncated=np.zeros(episodes, bool),
        final_observations=observations[:, -1].copy(),
        env_id=env_id,
        name=name,
    )
