"""Recipes: data sets in the likeness of D4RL's, made here.

The robots' come from bundled snapshots of a SAC run, the mazes' (`gac.data.maze_recipe`) from a controller,
and those of the ant in a maze (`gac.data.antmaze_recipe`) from both.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219. The snapshots come from recipes/train_behaviour.py and
recipes/bundle.py.
"""

import hashlib
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import safe_open

from gac.data import antmaze_recipe, maze_recipe, rollout, workers
from gac.data.antmaze_recipe import ANTMAZE_RECIPES, AntMazeRecipe
from gac.data.episodes import Episodes, episode_returns
from gac.data.maze_recipe import MAZE_RECIPES, MazeRecipe
from gac.data.mazes import DEFAULT_CUT, check_cut
from gac.errors import UserError

_SNAPSHOTS = Path(__file__).parent / "snapshots"


@dataclass(frozen=True)
class Recipe:
    """How to make a data set."""

    about: str
    """A line for `gac data list`."""
    robot: str
    """Name of the bundle of snapshots."""
    policies: Literal["medium", "replay"]
    """The medium policy alone, or the snapshots before it, each for an equal stretch of training."""
    steps: int
    """About so many steps in all."""
    jobs: int
    """At least so many pieces of work, an equal number per policy."""
    envs: int
    """Environments per job; those under way when the steps are done finish their episode."""


AnyRecipe = Recipe | MazeRecipe | AntMazeRecipe

RECIPES: dict[str, AnyRecipe] = {
    "hopper-medium": Recipe(
        about="Hopper-v5, 250k steps of one SAC policy stopped at about a third of expert return",
        robot="hopper",
        policies="medium",
        steps=250_000,
        jobs=4,
        envs=16,
    ),
    "hopper-medium-replay": Recipe(
        about="Hopper-v5, 200k steps of the policies that SAC passes through on its way to hopper-medium's",
        robot="hopper",
        policies="replay",
        steps=200_000,
        jobs=4,
        envs=8,
    ),
    "walker2d-medium": Recipe(
        about="Walker2d-v5, 250k steps of one SAC policy stopped at about a third of expert return",
        robot="walker2d",
        policies="medium",
        steps=250_000,
        jobs=4,
        envs=16,
    ),
    "walker2d-medium-replay": Recipe(
        about="Walker2d-v5, 300k steps of the policies that SAC passes through on the way to medium",
        robot="walker2d",
        policies="replay",
        steps=300_000,
        jobs=4,
        envs=8,
    ),
    "halfcheetah-medium": Recipe(
        about="HalfCheetah-v5, 250k steps of one SAC policy stopped at about a third of expert return",
        robot="halfcheetah",
        policies="medium",
        steps=250_000,
        jobs=4,
        envs=16,
    ),
    "halfcheetah-medium-replay": Recipe(
        about="HalfCheetah-v5, 200k steps of the policies that SAC passes through on the way to medium",
        robot="halfcheetah",
        policies="replay",
        steps=200_000,
        jobs=4,
        envs=4,
    ),
    **MAZE_RECIPES,
    **ANTMAZE_RECIPES,
}


def make(name: str, seed: int = 0, cut: str | None = None) -> Episodes:
    """Make a data set; the same bytes for a seed, on one machine with the same packages.

    Args:
        name: A key of `RECIPES`.
        seed: 0 or more.
        cut: How the runs of a maze become episodes, one of `gac.data.mazes.CUTS`; their default unless given.

    Raises:
        UserError: an unknown name or cut, a negative seed, a cut for what is no maze, no ant that can walk.
    """
    recipe = _require(name, seed, cut)
    if isinstance(recipe, MazeRecipe):
        return maze_recipe.make(name, recipe, seed, cut or DEFAULT_CUT)
    if isinstance(recipe, AntMazeRecipe):
        env_id, parts = antmaze_recipe.make(name, recipe, seed)
    else:
        env_id, jobs = rollouts(name, seed)
        parts = workers.run(rollout, jobs)
    flat = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Episodes(
        observations=flat["observations"],
        actions=flat["actions"],
        rewards=flat["rewards"],
        returns=episode_returns(flat["rewards"], None, flat["lengths"], name),
        lengths=flat["lengths"],
        terminated=flat["terminated"],
        truncated=flat["truncated"],
        final_observations=flat["final_observations"],
        env_id=env_id,
        name=name,
    )


def fingerprint(name: str, cut: str | None = None) -> str:
    """A short hash of all that `make`'s data depends on but the seed: a cache file's name.

    Raises:
        UserError: an unknown name or cut, a cut for what is no maze, no ant that can walk.
    """
    recipe = _require(name, 0, cut)
    files, packages = [Path(rollout.__file__)], ["gymnasium", "mujoco", "numpy"]
    if isinstance(recipe, MazeRecipe):
        files += maze_recipe.SOURCES
        packages += ["gymnasium-robotics"]
        cut = cut or DEFAULT_CUT
    elif isinstance(recipe, AntMazeRecipe):
        files += [*antmaze_recipe.SOURCES, antmaze_recipe.bundle(name)]
        packages += ["gymnasium-robotics"]
    else:
        files += [_bundle(recipe)]
    source = b"".join(file.read_bytes() for file in files)
    versions = [f"{package} {version(package)}" for package in packages]
    return hashlib.sha256(source + repr((recipe, cut, versions)).encode()).hexdigest()[:12]


def _require(name: str, seed: int, cut: str | None) -> AnyRecipe:
    if name not in RECIPES:
        raise UserError(f"{name!r} is no recipe, expected one of {', '.join(RECIPES)}; see gac data list")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more; choose another")
    recipe = RECIPES[name]
    if cut is not None:
        if not isinstance(recipe, MazeRecipe):
            raise UserError(f"{name} has episodes of its own and cannot be cut by {cut}; leave out the cut")
        check_cut(cut)
    return recipe


def _bundle(recipe: Recipe) -> Path:
    return _SNAPSHOTS / f"{recipe.robot}.safetensors"


def rollouts(name: str, seed: int = 0) -> tuple[str, list[rollout.Job]]:
    """The environment, and jobs that share the steps of a robot's recipe equally among its policies.

    Raises:
        UserError: an unknown name, a maze, a negative seed.
    """
    recipe = _require(name, seed, None)
    if not isinstance(recipe, Recipe):
        raise UserError(f"{name} is a maze and has no snapshots to share its steps; give a robot's recipe")
    bundle = _bundle(recipe)
    with safe_open(bundle, framework="np") as file:
        metadata = file.metadata()
        stored = sorted({int(key.split("/")[0]) for key in file.keys()})  # noqa: SIM118
    medium = int(metadata["medium"])
    chosen = [medium] if recipe.policies == "medium" else [step for step in stored if step < medium]
    per_policy = -(-recipe.jobs // len(chosen))
    seeded = [(step, part) for step in chosen for part in range(per_policy)]
    return metadata["env_id"], [
        rollout.Job(
            env_id=metadata["env_id"],
            bundle=str(bundle),
            snapshot=step,
            min_steps=recipe.steps // len(seeded),
            envs=recipe.envs,
            seed=[seed, zlib.crc32(name.encode()), step, part],
        )
        for step, part in seeded
    ]
