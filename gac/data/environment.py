"""What is known about the environment of a data set: the bounds of its actions, the map of its maze."""

import warnings
from dataclasses import dataclass, replace
from typing import NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float32, Float64, Int
from numpy import ndarray

from gac.data.blocks import evenly_spaced, extremes, taken
from gac.data.episode_facts import SAMPLE
from gac.data.episodes import Episodes
from gac.data.step_facts import Bounds
from gac.envs import maze_map, register_by_id, target
from gac.envs.ant_layouts import OFFSET, SIDE, ant_layout
from gac.envs.layouts import CELL_MIDDLE
from gac.envs.specification import Environment
from gac.errors import UserError

BOUND_TOLERANCE = 1e-4
"""Share of the range of an action that it may be beyond its bounds: rounding, which acting clips."""
SHAPE = (0.005, 0.25, 0.75, 0.995)
"""Quantiles that tell a tail from an edge."""
INNER_SHARE = 0.95
"""A Gaussian's quantiles of `SHAPE` have less than this of the way between its extremes, an edge's more."""
EDGE = 1e-3
"""Share of the way between the extremes within which a row is at one of them."""
LEAST_AT_EDGE = 3
"""Rows at an extreme from which on it is a bound: a tail ends in a single row."""

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


class Reach(NamedTuple):
    """How far the actions of a data set reach, raw."""

    low: Float64[ndarray, "act"]
    high: Float64[ndarray, "act"]
    shape: Float64[ndarray, "..."]
    """For each dimension its quantiles of `SHAPE`, and how many rows are at its least and at its greatest
    value, within `EDGE`; empty where that is unknown."""


def reach_of(actions: Float32[ndarray, "steps act"]) -> Reach:
    """How far actions reach; their shape from at most `SAMPLE` evenly spaced rows."""
    low, high = (limit.astype(np.float64) for limit in extremes(actions))
    some = taken(actions, evenly_spaced(len(actions), SAMPLE)).astype(np.float64)
    near = EDGE * (high - low)
    at_edges = np.stack([(some <= low + near).sum(axis=0), (some >= high - near).sum(axis=0)])
    return Reach(low, high, np.concatenate([np.quantile(some, SHAPE, axis=0), at_edges]).T)


def bounds_of(space: gymnasium.spaces.Box) -> Bounds:
    """The bounds of a space of actions, in float64 whatever its own precision."""
    return space.low.astype(np.float64), space.high.astype(np.float64)


def beyond_bounds(reach: Reach, bounds: Bounds, environment: str) -> str | None:
    """What is wrong with actions beyond an environment's bounds, and what to do, in a line; None if nothing.

    Actions that were logged before the environment clipped them have tails: clip them. Actions in other units
    end at bounds of their own, or are mostly beyond: rescale them.
    """
    low, high = bounds
    span = high - low
    finite = np.where(np.isfinite(low), np.abs(low), 0.0), np.where(np.isfinite(high), np.abs(high), 0.0)
    size = np.maximum(*finite)
    tolerance = BOUND_TOLERANCE * np.where(np.isfinite(span), span, size) + np.spacing(np.float32(size))
    excess = np.maximum(low - reach.low, reach.high - high) / tolerance
    worst = int(np.argmax(excess))
    if not excess[worst] > 1.0:
        return None
    count = int((excess > 1.0).sum())
    said = (
        f"action {worst} of the data reaches from {reach.low[worst]:g} to {reach.high[worst]:g}, beyond "
        f"{environment}'s bounds {low[worst]:g} and {high[worst]:g}"
        + (f", as {count} of {len(low)} actions do" if count > 1 else "")
    )
    own = float(low[worst]), float(high[worst])
    return f"{said}{_advice(reach, worst, *own, float(tolerance[worst]))}"


def _advice(reach: Reach, which: int, low: float, high: float, tolerance: float) -> str:
    """What to do about an action beyond its bounds, by the shape of what lies there."""
    clip = "clip them (gac data convert DATA NEW --clip-actions) and train on that"
    if not reach.shape.size:
        return f"; if they were logged before the environment clipped them, {clip}; else rescale them"
    least, quarter, three_quarters, most, *at_edges = reach.shape[which]
    across = reach.high[which] - reach.low[which]
    crossed = low - reach.low[which] > tolerance, reach.high[which] - high > tolerance
    piled = min(rows for rows, beyond in zip(at_edges, crossed, strict=True) if beyond) >= LEAST_AT_EDGE
    if piled or most - least >= INNER_SHARE * across or three_quarters - quarter > 2.0 * (high - low):
        wider = f", {across / (high - low):.3g} times as wide" if np.isfinite(high - low) else ""
        return f": they look as if in other units{wider}; rescale the data's actions to the environment's"
    if quarter > high or three_quarters < low:
        return ", where most of them are: they look as if in other units; rescale the data's actions"
    return f": they look as if logged before the environment clipped them; {clip}"


def other_bounds(recorded: Bounds, own: Bounds) -> bool:
    """Whether recorded bounds of actions, where they are known, are not an environment's own."""
    if len(recorded[0]) != len(own[0]):
        return True
    known = np.isfinite(recorded)
    apart = np.abs(np.subtract(np.where(known, recorded, 0.0), np.where(known, own, 0.0)))
    return bool((apart > BOUND_TOLERANCE * np.maximum(np.abs(own[0]), np.abs(own[1])))[known].any())


def action_bounds(env_id: str | None, env_spec: str | None = None) -> Bounds | None:
    """Lowest and highest action of an environment, each `(A,)`, raw.

    Args:
        env_id: Gymnasium id.
        env_spec: JSON of its specification, where it is more than its id.

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
            environment = Environment(env_id, env_spec).make()
    except Exception:
        # Whatever an environment lacks here, its data can be looked at; the facts say whose bounds they use.
        return None
    space = environment.action_space
    environment.close()
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        return None
    return bounds_of(space)


def warn_beyond_bounds(episodes: Episodes) -> None:
    """Warn of actions that the environment which the data name would not take."""
    bounds = action_bounds(episodes.env_id, episodes.env_spec)
    if bounds is None or len(bounds[0]) != episodes.action_dim:
        return
    named = Environment(str(episodes.env_id), episodes.env_spec)
    said = beyond_bounds(reach_of(episodes.actions), bounds, str(named))
    if said is not None:
        warnings.warn(f"{episodes.name} could not be evaluated in its environment: {said}", stacklevel=3)


def clipped(episodes: Episodes) -> Episodes:
    """The episodes with their actions within the bounds of their environment.

    Raises:
        UserError: an environment whose bounds are unknown, or are of another width.
    """
    named, bounds = Environment.of(episodes), action_bounds(episodes.env_id, episodes.env_spec)
    if bounds is None or len(bounds[0]) != episodes.action_dim:
        raise UserError(
            f"{episodes.name} has {episodes.action_dim} actions of {named or 'no known environment'}, whose "
            "bounds are not known here; name an environment that can be made (env_id), or leave out "
            "--clip-actions"
        )
    low, high = (bound.astype(np.float32) for bound in bounds)
    return replace(episodes, actions=np.clip(episodes.actions, low, high))


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
