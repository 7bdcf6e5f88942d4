"""AntMaze: a four-legged robot walks through a maze to a goal, D4RL's v2 task.

The ant is Gymnasium's, the walls are Gymnasium-Robotics'; the frame, the task, the start and the ant's
strength are D4RL's (`gac.envs.ant`, `gac.envs.ant_layouts`).
"""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float, Float64
from numpy import ndarray

from gac.envs.ant import ACTIONS, DURATION, POSITIONS, VELOCITIES, AntBody
from gac.envs.ant_layouts import ANT_LAYOUTS, SIDE, Point, cell_of, draw_goal
from gac.errors import UserError

GOAL_RADIUS = 0.5
"""The goal is reached up to this distance from it."""
FRAME_SIZE = 480, 480
CAMERA_DISTANCE = 3.0
"""Above the middle of the maze, in halves of its longer side."""

_OPTIONS = ("position", "goal")


class AntMaze(gymnasium.Env[ndarray, ndarray]):
    """The ant's positions and velocities; torques of its joints; reward 1 at the goal, which ends it.

    A step lasts 0.1 s. The time limit that truncates an episode comes from `gymnasium.make`.

    Observation: float64, 15 positions (x, y, z of the torso in D4RL's frame in metres, its quaternion, 8
    joints) and 14 velocities. The goal is no part of it.
    Action: 8 torques in [-1, 1], as a share of the motors'; clipped.
    Reward: 1 if the torso is within 0.5 of the goal in the plane after the step, else 0.
    End: terminated at the goal, and nowhere else: not where the ant has fallen on its back either.
    Start: in cell (1, 1), around the origin. The goal is drawn anew in the far corner's cell.

    Args:
        size: A key of `ANT_LAYOUTS`.
        render_mode: None, or what Gymnasium's MuJoCo renderer offers.

    Raises:
        UserError: an unknown size.
    """

    moves_in_plane = True
    """A push may go in any direction (`gac.envs.disturb`)."""
    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own declaration is no ClassVar
        "render_modes": ["human", "rgb_array", "depth_array"],
        "render_fps": round(1 / DURATION),
    }

    def __init__(self, size: str = "umaze", render_mode: str | None = None) -> None:
        if size not in ANT_LAYOUTS:
            raise UserError(f"size is {size!r}, expected one of {', '.join(ANT_LAYOUTS)}")
        self.observation_space = Box(-np.inf, np.inf, (POSITIONS + VELOCITIES,), np.float64)
        self.action_space = Box(-1.0, 1.0, (ACTIONS,), np.float32)
        self.render_mode = render_mode
        self._layout = ANT_LAYOUTS[size]
        self._body = AntBody(size)
        self._goal_x, self._goal_y = self._layout.target.tolist()
        self._renderer: Any = None

    @property
    def data(self) -> Any:
        """MuJoCo's state, under the name that Gymnasium's own environments have it."""
        return self._body.data

    @property
    def goal(self) -> Point:
        """The goal (x, y) of this episode."""
        return self._goal_x, self._goal_y

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float64[ndarray, "29"], dict[str, Any]]:
        """Stand at the start, with a new goal.

        Args:
            seed: As Gymnasium has it.
            options: `position` and `goal`, each (x, y), instead of the task's own.

        Raises:
            UserError: other options, or a place that is not in a free cell.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := sorted(set(options) - set(_OPTIONS)):
            raise UserError(f"options has {', '.join(unknown)}, expected {' or '.join(_OPTIONS)}")
        given = {key: self._place(key, place) for key, place in options.items()}
        self._goal_x, self._goal_y = given.get("goal") or draw_goal(self._layout.goal, self.np_random)
        self._body.start(self.np_random, given.get("position"))
        return self._body.state(), {}

    def set_state(self, state: Float[ndarray, "29"]) -> Float64[ndarray, "29"]:
        """Put the ant into a state; returns it as observed."""
        self._body.set_state(state)
        return self._body.state()

    def step(
        self, action: Float[ndarray, "8"]
    ) -> tuple[Float64[ndarray, "29"], float, bool, bool, dict[str, Any]]:
        """Act for 0.1 s."""
        self._body.act(action)
        if self.render_mode == "human":
            self.render()
        observation = self._body.state()
        reward = self.reward(*observation[:2].tolist())
        return observation, reward, reward > 0.0, False, {}

    def reward(self, x: float, y: float) -> float:
        """1 within `GOAL_RADIUS` of the goal, the rim included, else 0."""
        return float(math.hypot(x - self._goal_x, y - self._goal_y) <= GOAL_RADIUS)

    def render(self) -> Any:
        """A frame in the render mode."""
        if self.render_mode is None:
            raise UserError("render_mode is None; give render_mode='rgb_array' to gymnasium.make")
        if self._renderer is None:
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

            half = SIDE * max(self._layout.walls.shape) / 2
            camera = {"distance": CAMERA_DISTANCE * half, "elevation": -90.0, "lookat": np.zeros(3)}
            self._renderer = MujocoRenderer(self._body.model, self.data, camera, *FRAME_SIZE)
        # In the data, not in the model, which all ants of the maze share.
        self.data.site("target").xpos[:2] = np.array(self.goal) - self._body.origin
        return self._renderer.render(self.render_mode)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _place(self, key: str, place: Any) -> Point:
        """A point given as an option, if an ant can be there."""
        values = np.asarray(place, np.float64)
        if values.shape == (2,) and np.isfinite(values).all():
            x, y = values.tolist()
            if cell_of(x, y) in self._layout.free_cells:
                return x, y
        raise UserError(f"{key} is {place}, expected (x, y) in a free cell; see gac.envs.ANT_LAYOUTS")
