"""Recipes: data sets in the likeness of D4RL's, made here.

The robots' come from bundled snapshots of a SAC run, the mazes' (`gac.data.maze_recipe`) from a controller,
those of the ant in a maze (`gac.data.antmaze_recipe`) from both, the lottery's (`gac.data.lottery_recipe`)
from its rules. A name may be followed by parameters
(`gac.data.names`), which replace fields of its recipe.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219. The snapshots come from recipes/train_behaviour.py and
recipes/bundle.py.
"""

import hashlib
import zlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from safetensors import safe_open

from gac.data import antmaze_recipe, lottery_recipe, maze_recipe, rollout, workers
from gac.data.antmaze_recipe import ANTMAZE_RECIPES, AntMazeRecipe
from gac.data.episodes import Episodes, episode_returns
from gac.data.lottery_recipe import LOTTERY_RECIPES, LotteryRecipe
from gac.data.maze_recipe import MAZE_RECIPES, MazeRecipe
from gac.data.names import STEPS, Parameter, split, values
from gac.errors import UserError

_SNAPSHOTS = Path(__file__).parent / "snapshots"
_NOISY = Path(__file__).parents[1] / "envs" / "noisy.py"
_EPISODE = 1000
"""Most steps of an episode of the robots."""


@dataclass(frozen=True)
class Recipe:
    """How to make a robot's data set."""

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
    """Most environments per job; those under way when the steps are done finish their episode."""
    env_id: str | None = None
    """One of `gac.envs` to play in, instead of the one that the policies were trained in."""

    parameters: ClassVar[dict[str, Parameter]] = {"steps": STEPS}


AnyRecipe = Recipe | MazeRecipe | AntMazeRecipe | LotteryRecipe

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
    "noisy-hopper-medium-replay": Recipe(
        about="gac/NoisyHopper-v4, 150k steps of hopper-medium-replay's policies under random forces",
        robot="hopper",
        policies="replay",
        steps=150_000,
        jobs=4,
        envs=8,
        env_id="gac/NoisyHopper-v4",
    ),
    **MAZE_RECIPES,
    **ANTMAZE_RECIPES,
    **LOTTERY_RECIPES,
}


def make(name: str, seed: int = 0) -> Episodes:
    """Make a data set; the same bytes for a seed, on one machine with the same packages.

    Args:
        name: A key of `RECIPES`, perhaps with parameters: `hopper-medium:steps=1000000`.
        seed: 0 or more.

    Raises:
        UserError: an unknown name or parameter, a negative seed, no ant that can walk.
    """
    base, recipe = chosen(name, seed)
    if isinstance(recipe, LotteryRecipe):
        return lottery_recipe.make(name, recipe, seed)
    if isinstance(recipe, MazeRecipe):
        return replace(maze_recipe.make(base, recipe, seed), name=name)
    if isinstance(recipe, AntMazeRecipe):
        env_id, parts = antmaze_recipe.make(base, recipe, seed)
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


def fingerprint(name: str) -> str:
    """A short hash of all that `make`'s data depends on but the seed: a cache file's name.

    Raises:
        UserError: an unknown name or parameter, no ant that can walk.
    """
    base, recipe = chosen(name)
    packages = ["gymnasium", "mujoco", "numpy"]
    if isinstance(recipe, LotteryRecipe):
        files = lottery_recipe.SOURCES
    elif isinstance(recipe, MazeRecipe):
        files = [Path(rollout.__file__), *maze_recipe.SOURCES]
        packages += ["gymnasium-robotics"]
    elif isinstance(recipe, AntMazeRecipe):
        files = [Path(rollout.__file__), *antmaze_recipe.SOURCES, antmaze_recipe.bundle(base)]
        packages += ["gymnasium-robotics"]
    else:
        files = [Path(rollout.__file__), _bundle(recipe), *([_NOISY] if recipe.env_id else [])]
    source = b"".join(file.read_bytes() for file in files)
    versions = [f"{package} {version(package)}" for package in packages]
    return hashlib.sha256(source + repr((recipe, versions)).encode()).hexdigest()[:12]


def chosen(name: str, seed: int = 0) -> tuple[str, AnyRecipe]:
    """The key of `RECIPES` in a name, and its recipe with the parameters of the name.

    Raises:
        UserError: an unknown name or parameter, a negative seed.
    """
    base, given = split(name)
    if base not in RECIPES:
        raise UserError(f"{name!r} is no recipe, expected one of {', '.join(RECIPES)}; see gac data list")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more; choose another")
    recipe = RECIPES[base]
    return base, replace(recipe, **values(name, given, recipe.parameters))


def _bundle(recipe: Recipe) -> Path:
    return _SNAPSHOTS / f"{recipe.robot}.safetensors"


def rollouts(name: str, seed: int = 0) -> tuple[str, list[rollout.Job]]:
    """The environment, and jobs that share the steps of a robot's recipe equally among its policies.

    Raises:
        UserError: an unknown name or parameter, no robot, a negative seed.
    """
    base, recipe = chosen(name, seed)
    if not isinstance(recipe, Recipe):
        raise UserError(f"{name} is no robot and has no snapshots; give a robot's recipe")
    bundle = _bundle(recipe)
    with safe_open(bundle, framework="np") as file:
        metadata = file.metadata()
        stored = sorted({int(key.split("/")[0]) for key in file.keys()})  # noqa: SIM118
    medium = int(metadata["medium"])
    chosen_steps = [medium] if recipe.policies == "medium" else [step for step in stored if step < medium]
    per_policy = -(-recipe.jobs // len(chosen_steps))
    seeded = [(step, part) for step in chosen_steps for part in range(per_policy)]
    min_steps = recipe.steps // len(seeded)
    return recipe.env_id or metadata["env_id"], [
        rollout.Job(
            # With the module: a worker imports nothing of gac by itself.
            env_id=f"gac.envs:{recipe.env_id}" if recipe.env_id else metadata["env_id"],
            bundle=str(bundle),
            snapshot=step,
            min_steps=min_steps,
            # Every environment finishes an episode: of many, a few steps would become many more.
            envs=min(recipe.envs, max(1, min_steps // _EPISODE)),
            seed=[seed, zlib.crc32(base.encode()), step, part],
        )
        for step, part in seeded
    ]
