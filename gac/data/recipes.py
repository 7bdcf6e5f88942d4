"""Recipes: data sets in the likeness of D4RL's, made here.

The robots' come from bundled snapshots of a SAC run, the mazes' (`gac.data.maze_recipe`) from a controller,
those of the ant in a maze (`gac.data.antmaze_recipe`) from both, the lottery's (`gac.data.lottery_recipe`)
from its rules. A name may be followed by parameters
(`gac.data.names`), which replace fields of its recipe.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219. The snapshots and their shares come from recipes/train_behaviour.py
and recipes/bundle.py.
"""

import hashlib
import json
import math
import zlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

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
_STEPS_PER_ENVIRONMENT = 10_000
"""Each environment finishes the episode under way, 1,000 steps at most: with many, few steps become many."""


@dataclass(frozen=True)
class Recipe:
    """How to make a robot's data set."""

    about: str
    """A line for `gac data list`."""
    robot: str
    """Name of the bundle of snapshots."""
    policies: str
    """Name of the set in the bundle, which says what share of the steps each snapshot plays."""
    steps: int
    """About so many steps in all."""
    jobs: int = 8
    """At least so many pieces of work of about the same size."""
    envs: int = 8
    """Most environments per job; those under way when the steps are done finish their episode."""
    env_id: str | None = None
    """One of `gac.envs` to play in, instead of the one that the policies were trained in."""

    parameters: ClassVar[dict[str, Parameter]] = {"steps": STEPS}


AnyRecipe = Recipe | MazeRecipe | AntMazeRecipe | LotteryRecipe

_ROBOTS = ("hopper", "walker2d", "halfcheetah")
_SETS = {
    "medium": (250_000, "of a SAC policy of medium skill"),
    "medium-replay": (200_000, "of the policies that SAC passes through on the way to medium"),
    "medium-expert": (400_000, "half of medium's policy, half of expert's"),
    "expert": (250_000, "of an expert SAC policy"),
}
"""Steps of each set, and whose they are."""


def bundle_of(robot: str) -> Path:
    """The file of a robot's snapshots."""
    return _SNAPSHOTS / f"{robot}.safetensors"


def read_sets(bundle: Path) -> tuple[str, dict[str, dict[int, float]]]:
    """A bundle's environment, and for each set that can be made of it the snapshots' shares of the steps."""
    with safe_open(bundle, framework="np") as file:
        metadata = file.metadata()
    sets = {
        name: {int(step): share for step, share in shares.items()}
        for name, shares in json.loads(metadata["sets"]).items()
    }
    if "medium" in sets and "expert" in sets:
        halves: dict[int, float] = {}
        for name in ("medium", "expert"):
            for step, share in sets[name].items():
                halves[step] = halves.get(step, 0.0) + share / 2
        sets["medium-expert"] = halves
    return metadata["env_id"], sets


def robot_recipes() -> dict[str, Recipe]:
    """The recipes of the sets that the bundles have."""
    found = {}
    for robot in _ROBOTS:
        if bundle_of(robot).is_file():
            env_id, sets = read_sets(bundle_of(robot))
            for name, (steps, whose) in _SETS.items():
                if name in sets:
                    about = f"{env_id}, {steps // 1000}k steps {whose}"
                    found[f"{robot}-{name}"] = Recipe(about, robot, name, steps)
    if "hopper-medium-replay" in found:
        about = "gac/NoisyHopper-v4, 150k steps of hopper-medium-replay's policies under random forces"
        noisy = replace(
            found["hopper-medium-replay"], about=about, steps=150_000, env_id="gac/NoisyHopper-v4"
        )
        found["noisy-hopper-medium-replay"] = noisy
    return found


RECIPES: dict[str, AnyRecipe] = {
    **robot_recipes(),
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
        files = [Path(rollout.__file__), bundle_of(recipe.robot), *([_NOISY] if recipe.env_id else [])]
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


def rollouts(name: str, seed: int = 0) -> tuple[str, list[rollout.Job]]:
    """The environment, and the jobs that make a robot's data set: each policy plays its share of the steps.

    Raises:
        UserError: an unknown name or parameter, no robot, a negative seed.
    """
    base, recipe = chosen(name, seed)
    if not isinstance(recipe, Recipe):
        raise UserError(f"{name} is no robot and has no snapshots; give a robot's recipe")
    bundle = bundle_of(recipe.robot)
    env_id, sets = read_sets(bundle)
    # In pieces of about the same size, so that the workers end together.
    pieces = {step: math.ceil(share * recipe.jobs) for step, share in sets[recipe.policies].items()}
    jobs = []
    for step, share in sorted(sets[recipe.policies].items()):
        min_steps = round(recipe.steps * share / pieces[step])
        jobs += [
            rollout.Job(
                env_id=recipe.env_id or env_id,
                bundle=str(bundle),
                snapshot=step,
                min_steps=min_steps,
                envs=min(recipe.envs, max(1, min_steps // _STEPS_PER_ENVIRONMENT)),
                seed=[seed, zlib.crc32(base.encode()), step, part],
            )
            for part in range(pieces[step])
        ]
    return recipe.env_id or env_id, jobs
