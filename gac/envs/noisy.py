"""Environments with process noise: a random force acts on the body at every step, seen by nobody.

The force is drawn from the environment's own generator, so that a seed of `reset` fixes it. Actions are
logged and rewarded as they were given; the noise is no part of them.
"""

from typing import Any

import numpy as np
from gymnasium.envs.mujoco.hopper_v4 import HopperEnv
from jaxtyping import Float, Float64
from numpy import ndarray

from gac.envs.maze2d import Maze2D
from gac.errors import UserError

HOPPER_STD = 20.0
"""Newtons, beside a weight of 155: a policy that earns 1,850 without noise still earns 1,500."""
MAZE_STD = 200.0
"""Newtons, beside motors of 100: from one start, returns of the waypoint controller differ by 8 in 300."""


class NoisyHopper(HopperEnv):
    """Gymnasium's Hopper-v4 with a normal force along x and z on the torso, a new one every step (8 ms).

    Args:
        std: Standard deviation of each component of the force, newtons, 0 or more.
        options: Arguments of Gymnasium's Hopper-v4.

    Raises:
        UserError: a `std` that is negative or not finite.
    """

    def __init__(self, std: float = HOPPER_STD, **options: Any) -> None:
        self._std = _checked(std)
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def step(self, action: Float[ndarray, "3"]) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """A step of Hopper-v4 under a new force."""
        # The first two degrees of freedom are the torso's place along x and z.
        self.data.qfrc_applied[:2] = self.np_random.normal(0.0, self._std, 2)
        result: tuple[Any, Any, bool, bool, dict[str, Any]]
        result = super().step(action)  # type: ignore[no-untyped-call]
        return result


class NoisyMaze2D(Maze2D):
    """Maze2D with a normal force along x and y on the ball, a new one every step (0.01 s).

    Args:
        size: A key of `LAYOUTS`.
        std: Standard deviation of each component of the force, newtons, 0 or more.
        render_mode: As in `Maze2D`.

    Raises:
        UserError: an unknown size, a `std` that is negative or not finite.
    """

    def __init__(self, size: str = "umaze", std: float = MAZE_STD, render_mode: str | None = None) -> None:
        self._std = _checked(std)
        super().__init__(size, render_mode)

    def step(
        self, action: Float[ndarray, "2"]
    ) -> tuple[Float64[ndarray, "4"], float, bool, bool, dict[str, Any]]:
        """Push for 0.01 s under a new force."""
        self.data.qfrc_applied[:2] = self.np_random.normal(0.0, self._std, 2)
        return super().step(action)


def _checked(std: float) -> float:
    if not 0.0 <= std < np.inf:
        raise UserError(f"std is {std}, expected a finite number of newtons, 0 or more")
    return std
