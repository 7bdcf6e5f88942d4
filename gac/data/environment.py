"""What is known about the environment of a data set: the bounds of its actions, the map of its maze."""

import warnings
from dataclasses import dataclass

import gymnasium
import numpy as np
from jaxtyping import Float64, Int
from numpy import ndarray

from gac.data.step_facts import Bounds
from gac.envs import maze_map, register_by_id, target
from gac.envs.ant_layouts import OFFSET, SIDE, ant_layout
from gac.envs.layouts import CELL_MIDDLE

_MAZES = ("maze2d", "antmaze")


@dataclass(frozen=True)
class Maze:
    """A maze in the frame of its observations, whose first two entries are the position (x, y)."""

    walls: Int[ndarray, "x y"]
    """1 where cell (i, j) is a wall, 0 where it is free."""
    offset: float
    """The middle of cell (i, j) is at `side` (i, j) plus this, in both axes."""
    target: Float64[ndarray, "2"]
    """The point around which reward is given; the middle of where it may be."""
    side: float = 1.0
    """Length of a cell's side."""


def action_bounds(env_id: str | None) -> Bounds | None:
    """Lowest and highest action of an environment, each `(A,)`, raw.

    Returns:
        None where the id is unknown, the environment cannot be made here, or its actions are no flat box.
    """
    register_by_id(env_id)
    # Only registered ids: others may name a module, which nobody asked to import.
    if env_id is None or env_id not in gymnasium.registry:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            environment = gymnasium.make(env_id)
    except Exception:
        # Whatever an environment lacks here, its data can be looked at; the facts say whose bounds they use.
        return None
    space = environment.action_space
    environment.close()
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        return None
    return space.low.astype(np.float64), space.high.astype(np.float64)


def is_maze(env_id: str | None) -> bool:
    """Whether the first two entries of the states are a place in a plane, to draw paths in."""
    return (env_id or "").split("/")[-1].lower().startswith(_MAZES)


def maze_of(env_id: str | None) -> Maze | None:
    """The map of an environment; None where it is no maze, or one whose map is unknown."""
    ant = ant_layout(env_id)
    if ant is not None:
        return Maze(ant.walls, OFFSET, ant.target, SIDE)
    walls, goal = maze_map(env_id), target(env_id)
    return None if walls is None or goal is None else Maze(walls, CELL_MIDDLE, goal)
