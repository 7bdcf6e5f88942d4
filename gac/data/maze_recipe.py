"""Recipes of Maze2D's data: the endless runs of a waypoint controller, cut into episodes.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gac.data import workers
from gac.data.episodes import Episodes
from gac.data.mazes import DEFAULT_CUT, Run, cut
from gac.data.names import CUT, STEPS, Parameter
from gac.envs.layouts import LAYOUTS

_PACKAGE = Path(__file__).parents[1]
SOURCES = [
    _PACKAGE / name
    for name in (
        "data/maze_recipe.py",
        "data/maze_rollout.py",
        "data/mazes.py",
        "envs/layouts.py",
        "envs/maze2d.py",
        "envs/noisy.py",
    )
]
"""The code that decides the data."""


@dataclass(frozen=True)
class MazeRecipe:
    """How to make a data set of a maze."""

    about: str
    """A line for `gac data list`."""
    size: str
    """A key of `LAYOUTS`."""
    steps: int
    """About so many steps in all."""
    jobs: int
    """Endless runs that share the steps, each from a start of its own."""
    noisy: bool = False
    """Whether a random force acts on the ball (`gac.envs.noisy.NoisyMaze2D`)."""
    cut: str = DEFAULT_CUT
    """How the runs become episodes, one of `gac.data.mazes.CUTS`."""

    parameters: ClassVar[dict[str, Parameter]] = {"steps": STEPS, "cut": CUT}

    @property
    def env_id(self) -> str:
        """The Gymnasium id of the environment."""
        return f"gac/NoisyMaze2d-{self.size}-v1" if self.noisy else f"maze2d-{self.size}-v1"


MAZE_RECIPES = {
    "maze2d-umaze": MazeRecipe(
        about="maze2d-umaze-v1, 1M steps of a controller on its way to random cells, cut every 300",
        size="umaze",
        steps=1_000_000,
        jobs=4,
    ),
    "maze2d-medium": MazeRecipe(
        about="maze2d-medium-v1, 2M steps of a controller on its way to random cells, cut every 600",
        size="medium",
        steps=2_000_000,
        jobs=4,
    ),
    "maze2d-large": MazeRecipe(
        about="maze2d-large-v1, 4M steps of a controller on its way to random cells, cut every 800",
        size="large",
        steps=4_000_000,
        jobs=4,
    ),
    "noisy-maze2d-umaze": MazeRecipe(
        about="gac/NoisyMaze2d-umaze-v1, 150k steps of maze2d-umaze's controller under random forces",
        size="umaze",
        steps=150_000,
        jobs=4,
        noisy=True,
    ),
}
"""By name; those without noise have as many steps as D4RL's sets."""


def make(name: str, recipe: MazeRecipe, seed: int) -> Episodes:
    """Make a recipe's data; see `gac.data.recipes.make`."""
    horizon = LAYOUTS[recipe.size].horizon
    return cut(runs(name, recipe, seed), recipe.cut, horizon=horizon, env_id=recipe.env_id, name=name)


def runs(name: str, recipe: MazeRecipe, seed: int) -> list[Run]:
    """The recipe's endless runs.

    Each lasts a whole number of the environment's horizons, so that cutting there leaves no rest.
    """
    from gac.data import maze_rollout

    horizon = LAYOUTS[recipe.size].horizon
    steps = horizon * -(-recipe.steps // (recipe.jobs * horizon))
    jobs = [
        maze_rollout.Job(recipe.size, steps, [seed, zlib.crc32(name.encode()), part], recipe.noisy)
        for part in range(recipe.jobs)
    ]
    return [Run(**arrays) for arrays in workers.run(maze_rollout, jobs)]
