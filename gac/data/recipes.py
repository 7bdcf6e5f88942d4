"""Recipes: data sets in the likeness of D4RL's, made here from bundled snapshots of a SAC run.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219. The snapshots come from recipes/train_behaviour.py and
recipes/bundle.py.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import safe_open

from gac.data import rollout
from gac.data.episodes import Episodes, episode_returns
from gac.errors import UserError

WORKERS = 2
"""Processes that share the jobs; the data does not depend on it."""

_SNAPSHOTS = Path(__file__).parent / "snapshots"
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


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


RECIPES = {
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
}


def make(name: str, seed: int = 0) -> Episodes:
    """Make a data set; the same bytes for a seed, on one machine with the same packages.

    Args:
        name: A key of `RECIPES`.
        seed: 0 or more.

    Raises:
        UserError: an unknown name or a negative seed.
    """
    _require(name, seed)
    env_id, jobs = _jobs(name, seed)
    parts = _run(jobs)
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
    """A short hash of all that a recipe's data depends on but the seed: a cache file's name.

    Raises:
        UserError: an unknown name.
    """
    _require(name, 0)
    recipe = RECIPES[name]
    packages = [f"{package} {version(package)}" for package in ("gymnasium", "mujoco", "numpy")]
    source = Path(rollout.__file__).read_bytes() + _bundle(recipe).read_bytes()
    return hashlib.sha256(source + repr((recipe, packages)).encode()).hexdigest()[:12]


def _require(name: str, seed: int) -> None:
    if name not in RECIPES:
        raise UserError(f"{name!r} is no recipe, expected one of {', '.join(RECIPES)}; see gac data list")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more; choose another")


def _bundle(recipe: Recipe) -> Path:
    return _SNAPSHOTS / f"{recipe.robot}.safetensors"


def _jobs(name: str, seed: int) -> tuple[str, list[rollout.Job]]:
    """The environment, and jobs that share the steps equally among the recipe's policies."""
    recipe = RECIPES[name]
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


def _run(jobs: list[rollout.Job], workers: int = WORKERS) -> list[dict[str, np.ndarray]]:
    """Do jobs in worker processes; results in the jobs' order.

    Plain subprocesses, since those of multiprocessing import the caller's script again, which breaks
    scripts without a `__main__` guard.
    """
    # -P: without it, Python puts this folder first in the path, and its inspect.py hides the library's.
    command = [sys.executable, "-P", rollout.__file__]
    with tempfile.TemporaryDirectory(prefix="gac-") as folder:
        outs = [f"{folder}/{i}.npz" for i in range(len(jobs))]
        shares = [list(zip(jobs, outs, strict=True))[i::workers] for i in range(workers)]
        running: list[subprocess.Popen[str]] = []
        try:
            for i, share in enumerate(shares):
                with open(f"{folder}/{i}.json", "w+") as work, open(f"{folder}/{i}.log", "w") as log:
                    work.write(rollout.encode(share))
                    work.seek(0)
                    environment = os.environ | _ONE_THREAD
                    running.append(
                        subprocess.Popen(command, stdin=work, stderr=log, text=True, env=environment)
                    )
            for i, process in enumerate(running):
                if process.wait():
                    raise RuntimeError(f"a worker failed: {Path(folder, f'{i}.log').read_text()[-2000:]}")
        finally:
            for process in running:
                process.kill()
                process.wait()
        return [_load(out) for out in outs]


def _load(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
