"""Maze2D: a ball pushed through a maze, D4RL's task on Gymnasium-Robotics' point maze.

The ball, the walls and the motors are Gymnasium-Robotics'; the frame, the task and the start are D4RL's.
Every environment of a maze shares one compiled model, and a step is MuJoCo's and little else.
"""

import contextlib
import io
import math
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float, Float64
from numpy import ndarray

from gac.envs.layouts import CELL_MIDDLE, LAYOUTS
from gac.errors import UserError

GOAL_RADIUS = 0.5
"""Reward is given up to this distance from the target."""
TOP_SPEED = 5.0
"""Speed along an axis to which a step first clips the ball's."""
START_NOISE = 0.1
"""Half range of the start around its cell, and standard deviation of its velocity."""
FRAME_SIZE = 480, 480
CAMERA_DISTANCE = 3.0
"""Above the middle of the maze, in halves of its longer side."""


class Maze2D(gymnasium.Env[ndarray, ndarray]):
    """The ball's position and velocity; forces on it; reward 1 while it is near the target.

    A step lasts 0.01 s. Nothing terminates an episode, and the time limit that truncates it comes from
    `gymnasium.make`.

    Observation: float64 `(x, y, vx, vy)` in D4RL's frame (`gac.envs.layouts`), cells and cells per second.
    Action: `(ax, ay)` in [-1, 1], the force as a share of the motors'; clipped.
    Reward: 1 if the position after the step is within 0.5 of the target, else 0.
    Start: a free cell at random, the target's included, plus uniform noise up to 0.1; velocity normal
    with standard deviation 0.1.

    Args:
        size: A key of `LAYOUTS`.
        render_mode: None, or what Gymnasium's MuJoCo renderer offers.

    Raises:
        UserError: an unknown size.
    """

    moves_in_plane = True
    """A push may go in any direction (`gac.envs.disturb`)."""
    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own declaration is no ClassVar
        "render_modes": ["human", "rgb_array", "depth_array"],
        "render_fps": 100,
    }

    def __init__(self, size: str = "umaze", render_mode: str | None = None) -> None:
        if size not in LAYOUTS:
            raise UserError(f"size is {size!r}, expected one of {', '.join(LAYOUTS)}")
        layout = LAYOUTS[size]
        self.observation_space = Box(-np.inf, np.inf, (4,), np.float64)
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.render_mode = render_mode
        self._target_x, self._target_y = layout.target.tolist()
        self._free_cells = layout.free_cells
        self._model, self._origin = _physics(size)
        self._data = mujoco.MjData(self._model)
        # Views of MuJoCo's own memory, good for the life of the data.
        self._position, self._velocity = self._data.qpos, self._data.qvel
        self._force = self._data.ctrl
        self._renderer: Any = None

    @property
    def data(self) -> Any:
        """MuJoCo's state, under the name that Gymnasium's own environments have it."""
        return self._data

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float64[ndarray, "4"], dict[str, Any]]:
        """Put the ball at a random start; there are no options."""
        super().reset(seed=seed)
        cell = self._free_cells[self.np_random.integers(len(self._free_cells))]
        position = cell + self.np_random.uniform(-START_NOISE, START_NOISE, 2)
        return self.set_state(np.concatenate([position, self.np_random.normal(0.0, START_NOISE, 2)])), {}

    def set_state(self, state: Float[ndarray, "4"]) -> Float64[ndarray, "4"]:
        """Put the ball into a state `(x, y, vx, vy)`; returns it as observed."""
        mujoco.mj_resetData(self._model, self._data)
        self._position[:] = state[:2] - self._origin
        self._velocity[:] = state[2:]
        mujoco.mj_forward(self._model, self._data)
        return self._observe()

    def step(
        self, action: Float[ndarray, "2"]
    ) -> tuple[Float64[ndarray, "4"], float, bool, bool, dict[str, Any]]:
        """Push for 0.01 s."""
        np.clip(self._velocity, -TOP_SPEED, TOP_SPEED, out=self._velocity)
        # The motors' own limits clip the action.
        self._force[:] = action
        mujoco.mj_step(self._model, self._data)
        if self.render_mode == "human":
            self.render()
        observation = self._observe()
        return observation, self.reward(*observation[:2].tolist()), False, False, {}

    def reward(self, x: float, y: float) -> float:
        """1 within `GOAL_RADIUS` of the target, the rim included, else 0."""
        return float(math.hypot(x - self._target_x, y - self._target_y) <= GOAL_RADIUS)

    def render(self) -> Any:
        """A frame in the render mode."""
        if self.render_mode is None:
            raise UserError("render_mode is None; give render_mode='rgb_array' to gymnasium.make")
        if self._renderer is None:
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

            camera = {"distance": CAMERA_DISTANCE * float(max(self._origin)), "elevation": -90.0}
            self._renderer = MujocoRenderer(self._model, self._data, camera, *FRAME_SIZE)
        return self._renderer.render(self.render_mode)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _observe(self) -> Float64[ndarray, "4"]:
        observation = np.empty(4)
        np.add(self._position, self._origin, out=observation[:2])
        observation[2:] = self._velocity
        return observation


@cache
def _physics(size: str) -> tuple[Any, Float64[ndarray, "2"]]:
    """The compiled model, and the place of its origin in D4RL's frame.

    Gymnasium-Robotics draws the columns of its map along x and the rows down y, around the map's middle:
    turned by a quarter, the map lies as D4RL's, whose rows go along x.
    """
    layout = LAYOUTS[size]
    # The package greets those who import it with a notice about other environments.
    with contextlib.redirect_stderr(io.StringIO()):
        from gymnasium_robotics.envs.maze.point_maze import PointMazeEnv
    origin = (np.array(layout.walls.shape) - 1) / 2 + CELL_MIDDLE
    maze = PointMazeEnv(maze_map=np.rot90(layout.walls).tolist(), continuing_task=True, reset_target=False)
    Path(maze.tmp_xml_file_path).unlink(missing_ok=True)
    maze.goal = layout.target - origin
    maze.update_target_site_pos()
    return maze.model, origin
