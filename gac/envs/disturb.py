"""Disturbances of an environment, as Gymnasium wrappers: pushes, and noise on actions.

What happens at which step follows from the seed of the reset alone, not from what was done: policies that
are compared meet the same.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy import ndarray

from gac.errors import UserError

PUSH_CHANCE = 0.01
"""Of a push at each step: ten in a whole episode of Hopper."""
_STREAM = {"push": 1, "noise": 2}
_EXPECTED = "expected push:SPEED (such as push:1, m/s) or noise:STD (such as noise:0.2)"


@dataclass(frozen=True)
class Disturbance:
    """What happens to the environment, and how strongly.

    Args:
        kind: `push` adds a velocity to the body at random steps, along x with a random sign (in a maze, in a
            random direction of the plane); `noise` adds a normal number to every action, clipped to the
            action space. The policy is told of neither.
        size: of the push in m/s (a maze's cells per second), or the noise's standard deviation in
            units of action.
    """

    kind: str
    size: float

    def __post_init__(self) -> None:
        if self.kind not in _STREAM or not 0.0 < self.size < np.inf:
            raise UserError(f"disturb is '{self}', {_EXPECTED}")

    def __str__(self) -> str:
        return f"{self.kind}:{self.size:g}"

    def wrap(self, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """The environment, so disturbed.

        Raises:
            UserError: an environment whose body cannot be pushed.
        """
        return (Pushed if self.kind == "push" else Shaken)(env, self.size)


def parse_disturbance(text: str) -> Disturbance:
    """`push:X` or `noise:X` as an object; `str` of it gives the words again.

    Raises:
        UserError: anything else.
    """
    kind, _, size = text.partition(":")
    try:
        return Disturbance(kind, float(size))
    except UserError:
        raise
    except ValueError:
        raise UserError(f"disturb is {text!r}, {_EXPECTED}") from None


class Pushed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A MuJoCo environment whose body is pushed at random steps: `speed` is added to its velocity."""

    def __init__(self, env: gymnasium.Env[Any, Any], speed: float) -> None:
        super().__init__(env)
        data: Any = getattr(env.unwrapped, "data", None)
        if not hasattr(data, "qvel"):
            raise UserError(f"{env.unwrapped} is no MuJoCo environment and cannot be pushed; use noise:STD")
        self._speed, self._in_plane = speed, getattr(env.unwrapped, "moves_in_plane", False)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Begin an episode, with the pushes of the seed."""
        self._random = _generator("push", seed)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """A step, perhaps after a push."""
        # Both are drawn at every step, so that what comes later does not depend on what was pushed.
        chance, turn = self._random.random(2)
        if chance < PUSH_CHANCE:
            self.env.unwrapped.data.qvel[:2] += self._push(turn)  # type: ignore[attr-defined]
        return self.env.step(action)

    def _push(self, turn: float) -> ndarray:
        if self._in_plane:
            return self._speed * np.array([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)])
        return np.array([self._speed if turn < 0.5 else -self._speed, 0.0])


class Shaken(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that carries out every action with noise added."""

    def __init__(self, env: gymnasium.Env[Any, Any], std: float) -> None:
        super().__init__(env)
        self._std = std

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Begin an episode, with the noise of the seed."""
        self._random = _generator("noise", seed)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """A step of the action with noise, within the action space."""
        space = self.action_space
        assert isinstance(space, Box)  # as the agent's evaluation checks
        noisy = np.asarray(action) + self._random.normal(0.0, self._std, np.shape(action))
        return self.env.step(np.clip(noisy, space.low, space.high).astype(space.dtype))


def _generator(kind: str, seed: int | None) -> np.random.Generator:
    """Randomness apart from the environment's own, which begins from the same seed."""
    return np.random.default_rng(None if seed is None else [seed, _STREAM[kind]])
