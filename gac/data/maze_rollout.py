r"""The behaviour behind Maze2D's data; runs as a script, so that a recipe can use several processes.

One endless run: go to a random cell, along the shortest way and from waypoint to waypoint, then to the
next. The controller knows nothing of the target that reward is given for. Its action is

$$a = \text{clip}(\text{clip}(10\,(w - p) - v) + 0.5\,\epsilon), \quad \epsilon \sim N(0, I),$$

with waypoint w, position p, velocity v, and each clip to [-1, 1].

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219, and its code.
"""

import math
import sys
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from gac.data.rollout import serve
from gac.envs.layouts import CELL_MIDDLE, LAYOUTS, Layout
from gac.envs.maze2d import Maze2D
from gac.envs.noisy import NoisyMaze2D

POSITION_GAIN = 10.0
VELOCITY_GAIN = -1.0
NOISE = 0.5
"""Standard deviation of the noise on each action."""
ARRIVED = 0.1
"""A waypoint, or the goal, is reached below this distance."""
WAYPOINT_NOISE = 0.2
"""A waypoint lies up to so far below its cell (i, j) in each axis, which is around the cell's middle."""

_MOVES = ((0, -1), (0, 1), (-1, 0), (1, 0))

Cell = tuple[int, int]


@dataclass(frozen=True)
class Job:
    """One run, with a seed of its own: the same whoever does it."""

    size: str
    """A key of `LAYOUTS`."""
    steps: int
    """Length of the run."""
    seed: list[int]
    """Entropy of every random draw."""
    noisy: bool = False
    """Whether a random force acts on the ball."""


class Controller:
    """Leads the ball from cell to cell."""

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._rng = rng
        self._free = [(int(i), int(j)) for i, j in layout.free_cells]
        self._onward = {goal: shortest_ways(goal, self._free) for goal in self._free}
        self._waypoints: list[tuple[float, float]] = []  # the next one is the last

    def choose_goal(self, x: float, y: float) -> None:
        """From (x, y) turn to a random free cell, perhaps the one at hand."""
        self.go_to(self._free[self._rng.integers(len(self._free))], x, y)

    def go_to(self, goal: Cell, x: float, y: float) -> None:
        """From (x, y) turn to a free cell.

        The last waypoint is the cell (i, j) itself, those before it are drawn around their cells' middles.
        """
        onward, cell = self._onward[goal], _cell(x, y)
        waypoints: list[tuple[float, float]] = []
        while cell != goal and (cell := onward[cell]) != goal:
            below_x, below_y = self._rng.uniform(0.0, WAYPOINT_NOISE, 2).tolist()
            waypoints.append((cell[0] - below_x, cell[1] - below_y))
        self._waypoints = [goal, *reversed(waypoints)]

    def act(self, x: float, y: float, vx: float, vy: float) -> tuple[float, float, bool]:
        """The action before noise, and whether the goal is reached."""
        to_x, to_y = self._waypoints[-1]
        arrived = math.hypot(to_x - x, to_y - y) < ARRIVED
        reached = arrived and len(self._waypoints) == 1
        if arrived and not reached:
            self._waypoints.pop()
        ax = POSITION_GAIN * (to_x - x) + VELOCITY_GAIN * vx
        ay = POSITION_GAIN * (to_y - y) + VELOCITY_GAIN * vy
        return _clip(ax), _clip(ay), reached


def play(job: Job) -> dict[str, ndarray]:
    """One run without a reset.

    Returns:
        The fields of `gac.data.mazes.Run`.
    """
    rng = np.random.default_rng(job.seed)
    env = NoisyMaze2D(job.size) if job.noisy else Maze2D(job.size)
    state = env.reset(seed=int(rng.integers(2**31)))[0]
    controller = Controller(LAYOUTS[job.size], rng)
    noise = (NOISE * rng.standard_normal((job.steps, 2))).tolist()
    observations, actions = np.empty((job.steps + 1, 4), np.float32), np.empty((job.steps, 2), np.float32)
    rewards, reached = np.empty(job.steps, np.float32), np.empty(job.steps, bool)
    observations[0] = state
    x, y, vx, vy = state.tolist()
    controller.choose_goal(x, y)
    for t in range(job.steps):
        ax, ay, reached[t] = controller.act(x, y, vx, vy)
        actions[t] = _clip(ax + noise[t][0]), _clip(ay + noise[t][1])
        state, rewards[t], _, _, _ = env.step(actions[t])
        observations[t + 1] = state
        x, y, vx, vy = state.tolist()
        if reached[t]:
            controller.choose_goal(x, y)
    return {"observations": observations, "actions": actions, "rewards": rewards, "reached": reached}


def _clip(force: float) -> float:
    return min(max(force, -1.0), 1.0)


def _cell(x: float, y: float) -> Cell:
    """The cell that a point lies in."""
    return math.floor(x - CELL_MIDDLE + 0.5), math.floor(y - CELL_MIDDLE + 0.5)


def shortest_ways(goal: Cell, free: list[Cell]) -> dict[Cell, Cell]:
    """From every cell the next one on a shortest way to the goal; among equals, the first of `_MOVES`."""
    distance, queue = {goal: 0}, deque([goal])
    while queue:
        cell = queue.popleft()
        for near in _neighbours(cell):
            if near in free and near not in distance:
                distance[near] = distance[cell] + 1
                queue.append(near)
    return {
        cell: min(filter(distance.__contains__, _neighbours(cell)), key=distance.__getitem__)
        for cell in distance
    }


def _neighbours(cell: Cell) -> list[Cell]:
    return [(cell[0] + i, cell[1] + j) for i, j in _MOVES]


if __name__ == "__main__":
    try:
        serve(Job, play)
    except KeyboardInterrupt:
        sys.exit(130)
