"""The ant: Gymnasium's body with D4RL's strength and time step, in Gymnasium-Robotics' maze or in the open.

D4RL's ant has Gymnasium's shape and weight. It differs in three constants, which are set here: a time step of
0.02 s instead of 0.01, motors of 30 N m instead of 150, and softer contacts.
"""

import contextlib
import io
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from gac.envs.ant_layouts import ANT_LAYOUTS, OFFSET, SIDE

POSITIONS, VELOCITIES, ACTIONS = 15, 14, 8
TIME_STEP, SUBSTEPS = 0.02, 5
DURATION = TIME_STEP * SUBSTEPS
"""Seconds of a step."""
TORQUE = 30.0
"""Of a motor at full action, N m."""
CONTACT_IMPEDANCE = 0.8, 0.8, 0.01
"""MuJoCo's `solimp`: lowest and highest impedance, and the width in between."""
START_NOISE = 0.1
"""Half range of the positions, and standard deviation of the velocities, about standing at the start."""
WALL_HEIGHT = 0.5
"""In sides of a cell."""


class AntBody:
    """An ant in the simulator. Every ant of a maze shares one compiled model.

    Args:
        size: A key of `ANT_LAYOUTS`; None is the open plane.
    """

    def __init__(self, size: str | None = None) -> None:
        self.model, self.origin = _physics(size)
        """The compiled model, and the place of its origin in D4RL's frame."""
        self.data = mujoco.MjData(self.model)
        # Views of MuJoCo's own memory, good for the life of the data.
        self._positions, self._velocities = self.data.qpos, self.data.qvel

    def start(self, rng: np.random.Generator, position: tuple[float, float] | None = None) -> None:
        """Stand at a place (x, y), or near the frame's origin, with a little noise in every joint."""
        state = np.concatenate([self.model.qpos0, np.zeros(VELOCITIES)])
        state[:2] = 0.0
        state[:POSITIONS] += rng.uniform(-START_NOISE, START_NOISE, POSITIONS)
        state[POSITIONS:] += rng.normal(0.0, START_NOISE, VELOCITIES)
        if position is not None:
            state[:2] = position
        self.set_state(state)

    def set_state(self, state: Float[ndarray, "29"]) -> None:
        """Take on positions and velocities, in D4RL's frame."""
        mujoco.mj_resetData(self.model, self.data)
        self._positions[:] = state[:POSITIONS]
        self._positions[:2] -= self.origin
        self._velocities[:] = state[POSITIONS:]
        mujoco.mj_forward(self.model, self.data)

    def act(self, action: Float[ndarray, "8"]) -> None:
        """Turn the joints for a step's time; the motors' own limits clip the action to [-1, 1]."""
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, SUBSTEPS)

    def state(self) -> Float64[ndarray, "29"]:
        """Positions (x, y, z, quaternion, joints) and velocities, in D4RL's frame."""
        state = np.concatenate([self._positions, self._velocities])
        state[:2] += self.origin
        return state


@cache
def _physics(size: str | None) -> tuple[Any, Float64[ndarray, "2"]]:
    """The compiled model, and the place of its origin in D4RL's frame.

    Gymnasium-Robotics draws the columns of its map along x and the rows against y, around the map's middle.
    """
    ant = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "ant.xml"
    origin = np.zeros(2)
    if size is None:
        model = mujoco.MjModel.from_xml_path(str(ant))
    else:
        # The package greets those who import it with a notice about other environments.
        with contextlib.redirect_stderr(io.StringIO()):
            from gymnasium_robotics.envs.maze.maze_v4 import Maze
        walls = ANT_LAYOUTS[size].walls
        _, path = Maze.make_maze(str(ant), walls.T[::-1].tolist(), SIDE, WALL_HEIGHT)
        model = mujoco.MjModel.from_xml_path(path)
        Path(path).unlink(missing_ok=True)
        origin = SIDE * (np.array(walls.shape) - 1) / 2 + OFFSET
    model.opt.timestep = TIME_STEP
    model.actuator_gear[:, 0] = TORQUE
    model.geom_solimp[:, :3] = CONTACT_IMPEDANCE
    return model, origin
