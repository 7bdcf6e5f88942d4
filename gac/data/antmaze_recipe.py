"""Recipes of AntMaze's data: an ant that can walk, led through the maze by a waypoint controller.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219. The ant comes from recipes/train_ant.py and recipes/bundle_ant.py.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from numpy import ndarray
from safetensors import safe_open

from gac.data import workers
from gac.data.names import STEPS, Parameter
from gac.envs.ant_layouts import ANT_TASKS
from gac.errors import UserError

_PACKAGE = Path(__file__).parents[1]
SOURCES = [
    _PACKAGE / name
    for name in (
        "data/ant_rollout.py",
        "data/antmaze_recipe.py",
        "data/maze_rollout.py",
        "envs/ant.py",
        "envs/ant_layouts.py",
        "envs/ant_reach.py",
        "envs/antmaze.py",
        "envs/layouts.py",
    )
]
"""The code that decides the data."""
BUNDLE = _PACKAGE / "data" / "snapshots" / "ant.safetensors"
"""The ant that can walk."""

_ABOUT = {
    "fixed": "from the start to the goal",
    "play": "from random cells to hand-picked ones",
    "diverse": "from random cells to random ones",
}


@dataclass(frozen=True)
class AntMazeRecipe:
    """How to make a data set of an ant in a maze."""

    about: str
    """A line for `gac data list`."""
    task: str
    """A key of `ANT_TASKS`."""
    steps: int = 1_000_000
    """About so many steps in all, as D4RL's sets have; those that stay at the goal are then left out."""
    jobs: int = 4
    """Pieces of work that share the steps."""
    envs: int = 8
    """Environments per job; those under way when the steps are done finish their run."""

    parameters: ClassVar[dict[str, Parameter]] = {"steps": STEPS}


ANTMAZE_RECIPES = {
    f"antmaze-{name}": AntMazeRecipe(
        about=f"antmaze-{name}-v2, 1M steps of an ant led through the maze {_ABOUT[task.ways]}", task=name
    )
    for name, task in ANT_TASKS.items()
}
"""By name."""


def bundle(name: str) -> Path:
    """The file that holds the ant.

    Raises:
        UserError: there is none.
    """
    if not BUNDLE.is_file():
        raise UserError(
            f"{name} cannot be made without an ant that can walk, expected as {BUNDLE}; "
            "train one by recipes/train_ant.py and write it by recipes/bundle_ant.py"
        )
    return BUNDLE


def make(name: str, recipe: AntMazeRecipe, seed: int) -> tuple[str, list[dict[str, ndarray]]]:
    """The environment's id, and the flat arrays of `Episodes` of every job.

    Raises:
        UserError: there is no ant.
    """
    from gac.data import ant_rollout

    path = bundle(name)
    with safe_open(path, framework="np") as file:
        snapshot = int(file.metadata()["snapshot"])
    jobs = [
        ant_rollout.Job(
            task=recipe.task,
            bundle=str(path),
            snapshot=snapshot,
            min_steps=recipe.steps // recipe.jobs,
            envs=recipe.envs,
            seed=[seed, zlib.crc32(name.encode()), part],
        )
        for part in range(recipe.jobs)
    ]
    return f"antmaze-{recipe.task}-v2", workers.run(ant_rollout, jobs)
