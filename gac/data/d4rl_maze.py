"""D4RL's own maze2d files: one endless run, whose columns do not mean what those of its other files do.

- `timeouts` mark the last step towards a sub-goal; nothing ends there.
- `rewards` are off by one step: row t holds the reward of the state `s_t` *before* the action, so that of
  step t stands in row t + 1. The last row's reward is unknown: the row only gives the run's last state.
- There is no `next_observations`: the next row is the next state.

By D4RL's generator, the row after a reached sub-goal repeats the state of the row before, though the run has
gone on. It is left as it is: the published statistics of the states hold it too.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy import ndarray

from gac.data.episodes import Episodes
from gac.data.mazes import HORIZONS, Run, cut
from gac.errors import UserError

REQUIRED = ("observations", "actions", "rewards")

_GOAL = "infos/goal"
_WIDTH = 4


def is_maze(file: Any) -> bool:
    """Whether an open HDF5 file has the columns of D4RL's own maze2d files; nothing else here writes them."""
    observations = file.get("observations")
    return _GOAL in file and isinstance(observations, h5py.Dataset) and observations.shape[1:] == (_WIDTH,)


def episodes(columns: Mapping[str, ndarray], how: str, env_id: str | None, name: str) -> Episodes:
    """The episodes of a file, cut as `gac.data.mazes.cut` says.

    Args:
        columns: `observations (N, 4)`, `actions (N, 2)`, `rewards (N,)`, and `timeouts (N,)` to cut by
            sub-goal: what the file holds.
        how: One of `gac.data.mazes.CUTS`.
        env_id: The Gymnasium id of the maze, which decides the horizon; may be None for `subgoal`.
        name: What to call the data.

    Raises:
        UserError: no `timeouts` to cut by sub-goal, or what `cut` refuses.
    """
    if how in ("subgoal", "hold") and "timeouts" not in columns:
        raise UserError(f"{name} has no timeouts, which mark the sub-goals; cut it by horizon or success")
    observations = columns["observations"]
    run = Run(
        observations=observations,
        actions=columns["actions"][:-1],
        rewards=columns["rewards"][1:],
        reached=columns["timeouts"][:-1] if "timeouts" in columns else np.zeros(len(observations) - 1, bool),
    )
    return cut([run], how, horizon=HORIZONS.get(env_id or ""), env_id=env_id, name=name)
