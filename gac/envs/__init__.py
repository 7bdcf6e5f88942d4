"""Environments of our own; importing this registers them with Gymnasium, and loads no simulator."""

import gymnasium

from gac.envs.ant_layouts import ANT_LAYOUTS, ANT_TASKS
from gac.envs.layouts import LAYOUTS, maze_map, target

__all__ = ["ANT_LAYOUTS", "LAYOUTS", "maze_map", "target"]

for _size, _layout in LAYOUTS.items():
    _env_id = f"maze2d-{_size}-v1"
    if _env_id not in gymnasium.registry:
        gymnasium.register(
            _env_id,
            entry_point="gac.envs.maze2d:Maze2D",
            max_episode_steps=_layout.horizon,
            # The checker would cost more than the step; the tests run it instead.
            disable_env_checker=True,
            kwargs={"size": _size},
        )

for _name, _task in ANT_TASKS.items():
    _env_id = f"antmaze-{_name}-v2"
    if _env_id not in gymnasium.registry:
        gymnasium.register(
            _env_id,
            entry_point="gac.envs.antmaze:AntMaze",
            max_episode_steps=ANT_LAYOUTS[_task.size].horizon,
            disable_env_checker=True,
            kwargs={"size": _task.size},
        )

if "gac/AntReach-v0" not in gymnasium.registry:
    gymnasium.register(
        "gac/AntReach-v0",
        entry_point="gac.envs.ant_reach:AntReach",
        max_episode_steps=500,
        disable_env_checker=True,
    )
