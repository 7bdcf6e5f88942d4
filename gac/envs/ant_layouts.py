r"""The mazes and tasks of D4RL's AntMaze v2: cells, starts, goals, horizons, and where a cell lies.

The walls are those of Maze2D (`gac.envs.layouts`), in another frame: a column of the map is the first axis,
x, and a row the second, y. Cell (i, j) is the square of side 4 around

$$(4\,(i - 1),\; 4\,(j - 1)),$$

so that the middle of the start's cell, (1, 1), is the origin. A goal in a cell is the cell's middle plus
u + v in each axis, u uniform in [0, 1] and v in [0, 0.5]: up to 1.5 off the middle, always in one direction.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219, and its code.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gac.envs.layouts import LAYOUTS

SIDE = 4.0
"""Length of a cell's side, in metres."""
OFFSET = -SIDE
"""The middle of cell (i, j) is at `SIDE` (i, j) plus this, in both axes."""
GOAL_NOISE = 1.0, 0.5
"""Largest values of the two uniform numbers that put a goal off its cell's middle, in both axes."""
PLACE_NOISE = 1.0
"""Largest value of the uniform number that puts a random start off its cell's middle, in both axes."""

Cell = tuple[int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class AntLayout:
    """One maze; its walls are those of Maze2D's maze of the same size."""

    size: str
    """A key of `LAYOUTS`."""
    horizon: int
    """Steps of an episode."""
    goal: Cell
    """Where an evaluation leads."""
    hand_picked: tuple[Cell, ...]
    """The goals of D4RL's *play* data, as its maps mark them."""

    @property
    def walls(self) -> Int64[ndarray, "x y"]:
        """1 where a wall is, 0 where not."""
        return LAYOUTS[self.size].walls.T

    @property
    def free_cells(self) -> list[Cell]:
        """Cells without a wall, in the map's order."""
        return [(int(i), int(j)) for i, j in np.argwhere(self.walls == 0)]

    @property
    def target(self) -> Float64[ndarray, "2"]:
        """The middle (x, y) of where an evaluation's goal may be."""
        return np.array(middle(self.goal)) + sum(GOAL_NOISE) / 2


ANT_LAYOUTS = {
    "umaze": AntLayout("umaze", 700, (1, 3), ((1, 3),)),
    "medium": AntLayout("medium", 1000, (6, 6), ((6, 2), (1, 5), (5, 6))),
    "large": AntLayout(
        "large", 1000, (9, 7), ((6, 1), (5, 3), (10, 3), (2, 5), (4, 7), (6, 7), (9, 7))
    ),
}  # fmt: skip
"""By size."""


@dataclass(frozen=True)
class AntTask:
    """What one of D4RL's data sets shows."""

    size: str
    """A key of `ANT_LAYOUTS`."""
    ways: Literal["fixed", "play", "diverse"]
    """From the start to the goal of an evaluation; from anywhere to hand-picked goals; from anywhere to
    anywhere."""


ANT_TASKS = {
    "umaze": AntTask("umaze", "fixed"),
    "umaze-diverse": AntTask("umaze", "diverse"),
    "medium-play": AntTask("medium", "play"),
    "medium-diverse": AntTask("medium", "diverse"),
    "large-play": AntTask("large", "play"),
    "large-diverse": AntTask("large", "diverse"),
}
"""By name; the Gymnasium id is antmaze-NAME-v2. The environment is that of the size alone."""

# D4RL's ids of the same mazes: other versions have the same map and start.
_ENV_ID = re.compile(rf"(?:.*/)?antmaze-({'|'.join(ANT_TASKS)})-v\d+", re.I)


def ant_layout(env_id: str | None) -> AntLayout | None:
    """The maze of a Gymnasium or D4RL id; None if the id is no AntMaze."""
    found = _ENV_ID.fullmatch(env_id or "")
    return ANT_LAYOUTS[ANT_TASKS[found[1].lower()].size] if found else None


def middle(cell: Cell) -> Point:
    """The middle (x, y) of a cell."""
    return SIDE * cell[0] + OFFSET, SIDE * cell[1] + OFFSET


def cell_of(x: float, y: float) -> Cell:
    """The cell that a point lies in."""
    return math.floor((x - OFFSET) / SIDE + 0.5), math.floor((y - OFFSET) / SIDE + 0.5)


def draw_goal(cell: Cell, rng: np.random.Generator) -> Point:
    """A goal in a cell."""
    x, y = middle(cell) + rng.uniform(0.0, GOAL_NOISE[0], 2) + rng.uniform(0.0, GOAL_NOISE[1], 2)
    return float(x), float(y)


def draw_way(task: AntTask, rng: np.random.Generator) -> tuple[Point | None, Point]:
    """Where an episode of the data begins, None for the start of an evaluation, and where it leads.

    D4RL starts *play* in any cell but the hand-picked goals, and so does this.
    """
    layout = ANT_LAYOUTS[task.size]
    if task.ways == "fixed":
        return None, draw_goal(layout.goal, rng)
    free, goals = layout.free_cells, layout.free_cells
    if task.ways == "play":
        free, goals = [cell for cell in free if cell not in layout.hand_picked], list(layout.hand_picked)
    x, y = middle(free[rng.integers(len(free))]) + rng.uniform(0.0, PLACE_NOISE, 2)
    return (float(x), float(y)), draw_goal(goals[rng.integers(len(goals))], rng)
