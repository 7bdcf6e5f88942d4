"""Environments of our own; importing this registers them with Gymnasium, and loads no simulator."""

from typing import Any

import gymnasium

from gac.envs.ant_layouts import ANT_LAYOUTS, ANT_TASKS
from gac.envs.layouts import LAYOUTS, maze_map, target
from gac.envs.lottery import lottery_id, register_by_id

__all__ = ["ANT_LAYOUTS", "LAYOUTS", "lottery_id", "maze_map", "register_by_id", "target"]


def _register(env_id: str, entry_point: str, steps: int | None = None, **arguments: Any) -> None:
    if env_id not in gymnasium.registry:
        gymnasium.register(
            env_id,
            entry_point=entry_point,
            max_episode_steps=steps,
            # The checker would cost more than the step; the tests run it instead.
            disable_env_checker=True,
            kwargs=arguments,
        )


for _size, _layout in LAYOUTS.items():
    _register(f"maze2d-{_size}-v1", "gac.envs.maze2d:Maze2D", _layout.horizon, size=_size)
_register("gac/NoisyMaze2d-umaze-v1", "gac.envs.noisy:NoisyMaze2D", LAYOUTS["umaze"].horizon, size="umaze")
_register("gac/NoisyHopper-v4", "gac.envs.noisy:NoisyHopper", 1000)
_register("gac/Lottery-v0", "gac.envs.lottery:Lottery")
for _name, _task in ANT_TASKS.items():
    _horizon = ANT_LAYOUTS[_task.size].horizon
    _register(f"antmaze-{_name}-v2", "gac.envs.antmaze:AntMaze", _horizon, size=_task.size)
_register("gac/AntReach-v0", "gac.envs.ant_reach:AntReach", 500)
