r"""The mazes of D4RL's Maze2D v1: maps, targets, horizons, and where a cell lies in the plane.

A map is written as D4RL writes it, `#` a wall, `O` free, `G` the target; the row is the first axis, x,
and the column the second, y. D4RL builds the walls around cell (i, j) on the square

$$[i - 0.7,\, i + 0.3] \times [j - 0.7,\, j + 0.3],$$

while targets, starts and the behaviour's waypoints are at (i, j) itself, 0.2 off the middle in both axes.
Observations are in this frame.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219, and its code.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

CELL_MIDDLE = -0.2
"""The middle of cell (i, j) is at (i, j) plus this, in both axes."""


@dataclass(frozen=True)
class Layout:
    """One maze."""

    rows: tuple[str, ...]
    """The map, a string for each x."""
    horizon: int
    """Steps of an episode."""

    @property
    def walls(self) -> Int64[ndarray, "x y"]:
        """1 where a wall is, 0 where not."""
        return np.array([[int(tile == "#") for tile in row] for row in self.rows])

    @property
    def target(self) -> Float64[ndarray, "2"]:
        """The point (x, y) around which reward is given."""
        (x,) = [i for i, row in enumerate(self.rows) if "G" in row]
        return np.array([x, self.rows[x].index("G")], np.float64)

    @property
    def free_cells(self) -> Int64[ndarray, "cells 2"]:
        """Cells (i, j) without a wall, in the map's order."""
        return np.argwhere(self.walls == 0)


LAYOUTS = {
    "umaze": Layout(
        rows=(
            "#####",
            "#GOO#",
            "###O#",
            "#OOO#",
            "#####",
        ),
        horizon=300,
    ),
    "medium": Layout(
        rows=(
            "########",
            "#OO##OO#",
            "#OO#OOO#",
            "##OOO###",
            "#OO#OOO#",
            "#O#OO#O#",
            "#OOO#OG#",
            "########",
        ),
        horizon=600,
    ),
    "large": Layout(
        rows=(
            "############",
            "#OOOO#OOOOO#",
            "#O##O#O#O#O#",
            "#OOOOOO#OOO#",
            "#O####O###O#",
            "#OO#O#OOOOO#",
            "##O#O#O#O###",
            "#OO#OOO#OGO#",
            "############",
        ),
        horizon=800,
    ),
}
"""By size; the Gymnasium id is maze2d-SIZE-v1."""

# D4RL's ids of the same mazes: other versions, dense rewards.
_ENV_ID = re.compile(r"(?:.*/)?maze2d-(umaze|medium|large)(?:-dense)?-v\d+", re.I)


def maze_map(env_id: str | None) -> Int64[ndarray, "x y"] | None:
    """The walls of a maze, for drawing: `walls[i, j]` is 1 on a wall; None if the id is no maze.

    Cell (i, j) is the unit square around (i, j) + `CELL_MIDDLE`, in the frame of the observations.
    """
    layout = _layout(env_id)
    return None if layout is None else layout.walls


def target(env_id: str | None) -> Float64[ndarray, "2"] | None:
    """The target (x, y) in the frame of the observations; None if the id is no maze."""
    layout = _layout(env_id)
    return None if layout is None else layout.target


def _layout(env_id: str | None) -> Layout | None:
    found = _ENV_ID.fullmatch(env_id or "")
    return LAYOUTS[found[1].lower()] if found else None
