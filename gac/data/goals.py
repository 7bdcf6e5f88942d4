"""Goal environments: their observation, a dict of three vectors, joined to one."""

from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation

PARTS = ("achieved_goal", "desired_goal", "observation")
"""In the order in which they are joined: that of `gymnasium.wrappers.FlattenObservation` for sorted keys."""


def is_vector(space: spaces.Space[Any]) -> bool:
    """Whether a space holds rows of numbers."""
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def is_goal(space: spaces.Space[Any]) -> bool:
    """Whether a space is a goal environment's: a dict of PARTS, each of them a vector."""
    return isinstance(space, spaces.Dict) and set(space) == set(PARTS) and all(map(is_vector, space.values()))


def joined_space(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The space of the joined vectors of a goal environment; any other space as it is."""
    return spaces.flatten_space(_sorted(space)) if is_goal(space) else space


def join(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """A goal environment that observes the joined vector; any other environment as it is."""
    if not is_goal(env.observation_space):
        return env
    parts = _sorted(env.observation_space)
    return TransformObservation(env, lambda seen: spaces.flatten(parts, seen), spaces.flatten_space(parts))


def _sorted(space: Any) -> spaces.Space[Any]:
    return spaces.Dict([(part, space[part]) for part in PARTS])
