r"""AntReach: the ant in the open walks to one point after another; trains the walker behind AntMaze's data.

What it observes does not depend on where it is or which way it faces: all is seen from above the torso,
turned by its yaw. So what is learned in one direction holds in every other.
"""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float, Float32
from numpy import ndarray

from gac.envs.ant import ACTIONS, DURATION, POSITIONS, VELOCITIES, AntBody

FAR = 5.0
"""Metres beyond which a point's distance is no longer told."""
NEAREST, FURTHEST = 1.0, 6.0
"""Range of a new point's distance, in metres: a maze's next waypoint is 3 to 5 away."""
ARRIVED = 0.5
"""A point is reached up to this distance."""
ALIVE = 0.25
"""Reward of every step on the feet."""
EFFORT = 0.02
"""Cost of the squared action: 0.16 at most, where walking at a metre a second earns 1."""
HEALTHY = 0.2, 1.0
"""Range of the torso's height on the feet."""
WIDTH = POSITIONS + VELOCITIES - 2 + 3

_FRAME = POSITIONS  # the first of the velocities


class AntReach(gymnasium.Env[ndarray, ndarray]):
    r"""The ant, and where the next point is; reward is the speed towards it.

    A step lasts 0.1 s, and the reward is

    $$\frac{d_t - d_{t+1}}{0.1} + 0.25 - 0.02 \lVert a \rVert^2,$$

    with d the distance to the point in metres. Once d is at most 0.5, another point is drawn, 1 to 6 m away.

    Observation: float32 `(30,)`, see `reach_observation`.
    Action: 8 torques in [-1, 1].
    End: terminated where the ant has fallen: its height leaves [0.2, 1], or its back is below.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own declaration is no ClassVar

    def __init__(self) -> None:
        self.observation_space = Box(-np.inf, np.inf, (WIDTH,), np.float32)
        self.action_space = Box(-1.0, 1.0, (ACTIONS,), np.float32)
        self._body = AntBody()
        self._point = np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[ndarray, "30"], dict[str, Any]]:
        """Stand at the origin; there are no options."""
        super().reset(seed=seed)
        self._body.start(self.np_random)
        state = self._body.state()
        self._draw_point(state)
        return self._observe(state), {}

    def step(
        self, action: Float[ndarray, "8"]
    ) -> tuple[Float32[ndarray, "30"], float, bool, bool, dict[str, Any]]:
        """Act for 0.1 s; `info["reached"]` says whether that reached the point."""
        before = self._distance(self._body.state())
        self._body.act(action)
        state = self._body.state()
        after = self._distance(state)
        effort = float(np.square(np.clip(action, -1.0, 1.0)).sum())
        reward = (before - after) / DURATION + ALIVE - EFFORT * effort
        if reached := after <= ARRIVED:
            self._draw_point(state)
        return self._observe(state), reward, has_fallen(state), False, {"reached": reached}

    def _draw_point(self, state: Float[ndarray, "29"]) -> None:
        distance, turn = self.np_random.uniform((NEAREST, 0.0), (FURTHEST, 2 * np.pi))
        self._point = state[:2] + distance * np.array([np.cos(turn), np.sin(turn)])

    def _distance(self, state: Float[ndarray, "29"]) -> float:
        return math.hypot(*(self._point - state[:2]).tolist())

    def _observe(self, state: Float[ndarray, "29"]) -> Float32[ndarray, "30"]:
        observation: ndarray = reach_observation(state[None], self._point[None])[0]
        return observation


def has_fallen(state: Float[ndarray, "29"]) -> bool:
    """Whether the torso is too low or too high, or upside down."""
    _, x, y, _ = state[3:7].tolist()
    upright = 1.0 - 2.0 * (x**2 + y**2) > 0.0  # the vertical part of the torso's own axis
    return not (upright and HEALTHY[0] <= state[2] <= HEALTHY[1])


def reach_observation(
    states: Float[ndarray, "ants 29"], points: Float[ndarray, "ants 2"]
) -> Float32[ndarray, "ants 30"]:
    """What a walker needs to know to walk to a point, the same wherever it is and whichever way it faces.

    Args:
        states: Positions and velocities, as AntMaze observes them.
        points: Where to walk (x, y).

    Returns:
        The torso's height; its rotation but for the yaw, a quaternion; the 8 joints; its velocity, turned by
        the yaw; its rotation's velocity; those of the joints; the direction of the point, turned by the yaw;
        and its distance as a share of `FAR`, at most 1.
    """
    w, x, y, z = (states[:, 3:7] / np.linalg.norm(states[:, 3:7], axis=1, keepdims=True)).T
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y**2 + z**2))
    cos, sin = np.cos(yaw / 2), np.sin(yaw / 2)
    tilt = np.stack([cos * w + sin * z, cos * x + sin * y, cos * y - sin * x, cos * z - sin * w], axis=1)
    tilt *= np.where(tilt[:, :1] < 0, -1.0, 1.0)  # a quaternion and its negative are one rotation
    way = points - states[:, :2]
    distance = np.linalg.norm(way, axis=1, keepdims=True)
    parts = (
        states[:, 2:3],
        tilt,
        states[:, 7:_FRAME],
        _turned(states[:, _FRAME : _FRAME + 2], -yaw),
        states[:, _FRAME + 2 :],
        _turned(way / np.maximum(distance, 1e-6), -yaw),
        np.minimum(distance / FAR, 1.0),
    )
    return np.concatenate(parts, axis=1).astype(np.float32)


def _turned(vectors: Float[ndarray, "ants 2"], angle: Float[ndarray, "ants"]) -> Float[ndarray, "ants 2"]:
    """Vectors of the plane, each turned by its angle."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vectors.T
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
