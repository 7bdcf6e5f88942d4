"""States of Maze2D data made here beside those of D4RL's own files.

    python benchmarks/maze2d_moments.py [--steps N] [--seed S] [--json FILE]

Makes N steps of each maze (the recipe's endless runs, uncached) and prints, for every dimension of the
state, mean and standard deviation beside the published ones, the differences in per cent of the span that
the states cover, and the time it took; then what the controller earns when it knows the target: once it
stays there, and once, with the data's noise, it goes back and forth between the target and a cell beside it,
which is the most that we know how to piece together from what the data hold. It exits with 1 where a
difference is beyond 3 %.
"""

import dataclasses
import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import arg

import gac
from gac.data.maze_recipe import MAZE_RECIPES, runs
from gac.data.maze_rollout import NOISE, Controller
from gac.envs import LAYOUTS

MOST_PERCENT = 3.0
EPISODES = 100
DIMENSIONS = ("x", "y", "vx", "vy")
PUBLISHED: dict[str, dict[str, list[float]]] = {
    "maze2d-umaze": {
        "mean": [1.93164837, 2.37334914, 0.000209841481, -0.00101988765],
        "std": [0.89986658, 0.70937353, 2.21428558, 2.46938459],
    },
    "maze2d-medium": {
        "mean": [3.49454016, 3.46319102, 4.28361845e-05, 3.85331163e-05],
        "std": [1.33720044, 1.52140076, 2.34346425, 2.37207193],
    },
    "maze2d-large": {
        "mean": [3.69282311, 5.27941087, 4.74631517e-05, 2.78835494e-05],
        "std": [1.80331666, 2.57985848, 2.44369906, 2.65572593],
    },
}
"""Per dimension of the observations of D4RL's maze2d files, v1."""


def measure(name: str, steps: int, seed: int) -> dict[str, Any]:
    """Moments, differences and times of one maze."""
    began, cpu_began = time.perf_counter(), _children_cpu()
    parts = runs(name, dataclasses.replace(MAZE_RECIPES[name], steps=steps), seed)
    wall, cpu = time.perf_counter() - began, _children_cpu() - cpu_began
    states = np.concatenate([part.observations[:-1] for part in parts]).astype(np.float64)
    rewards = np.concatenate([part.rewards for part in parts])
    goals = np.concatenate([np.diff(np.flatnonzero(part.reached)) for part in parts])
    span = np.ptp(states, axis=0)
    found = {"mean": states.mean(axis=0), "std": states.std(axis=0)}
    off = {word: 100 * (found[word] - PUBLISHED[name][word]) / span for word in found}
    horizon = LAYOUTS[MAZE_RECIPES[name].size].horizon
    return {
        "steps": len(states),
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "span": span.round(4).tolist(),
        **{word: values.round(4).tolist() for word, values in found.items()},
        **{f"published_{word}": values for word, values in PUBLISHED[name].items()},
        **{f"{word}_off_percent_of_span": values.round(2).tolist() for word, values in off.items()},
        "largest_off_percent_of_span": round(float(np.abs([*off.values()]).max()), 2),
        "return_per_horizon": round(float(rewards.mean()) * horizon, 2),
        "steps_per_goal": round(float(goals.mean()), 1),
        "most_steps_per_goal": int(goals.max()),
        "straight_to_target": straight_to_target(MAZE_RECIPES[name].size, seed),
        "there_and_back": there_and_back(MAZE_RECIPES[name].size, seed),
    }


def straight_to_target(size: str, seed: int) -> dict[str, Any]:
    """Returns of the same controller, without noise, that goes to the target from every start and stays."""
    return _played(size, seed, noise=0.0, leave=False)


def there_and_back(size: str, seed: int) -> dict[str, Any]:
    """Returns of the controller as in the data, noise included, with goals that keep it about the target.

    In the data a reached goal is left for another one. So it goes to the target, to a cell beside it, to the
    target, and so on.
    """
    return _played(size, seed, noise=NOISE, leave=True)


def _played(size: str, seed: int, noise: float, leave: bool) -> dict[str, Any]:
    layout, env = LAYOUTS[size], gymnasium.make(f"maze2d-{size}-v1")
    controller, rng = Controller(layout, np.random.default_rng(seed)), np.random.default_rng([seed, 1])
    free = {(int(i), int(j)) for i, j in layout.free_cells}
    i, j = layout.target.astype(int).tolist()
    beside = sorted(free & {(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)})
    returns = np.zeros(EPISODES)
    for episode in range(EPISODES):
        state, _ = env.reset(seed=seed + episode)
        controller.go_to((i, j), *state[:2].tolist())
        to_target = True
        ended = False
        while not ended:
            ax, ay, reached = controller.act(*state.tolist())
            force = np.array([ax, ay]) + noise * rng.standard_normal(2)
            state, reward, _, ended, _ = env.step(np.clip(force, -1.0, 1.0))
            returns[episode] += reward
            if reached and leave:
                to_target = not to_target
                goal = (i, j) if to_target else beside[rng.integers(len(beside))]
                controller.go_to(goal, *state[:2].tolist())
    scores = gac.normalized_score(env.spec.id, returns)
    return {
        "episodes": EPISODES,
        "mean": round(returns.mean(), 1),
        "std": round(returns.std(), 1),
        "normalized_mean": round(scores.mean(), 1),
    }


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine(seed: int) -> dict[str, Any]:
    """What the figures depend on."""
    packages = ("gymnasium", "gymnasium-robotics", "mujoco", "numpy")
    return {
        "seed": seed,
        "device": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {"gac": gac.__version__} | {package: version(package) for package in packages},
    }


def print_table(figures: dict[str, dict[str, Any]]) -> None:
    table = Table("maze", "", *DIMENSIONS)
    for name, row in figures.items():
        for word in ("mean", "std"):
            for label, key in (
                (word, word),
                ("published", f"published_{word}"),
                ("off, % of span", f"{word}_off_percent_of_span"),
            ):
                table.add_row(name if label == "mean" else "", label, *(f"{x:.2f}" for x in row[key]))
        table.add_section()
    Console().print(table)
    for name, row in figures.items():
        print(f"{name}: {row['steps']:,} steps in {row['seconds']} s, {row['cpu_seconds']} s of CPU")
        for key in ("straight_to_target", "there_and_back"):
            earned = row[key]
            label = key.replace("_", " ")
            print(f"  {label}: {earned['mean']} ± {earned['std']}, normalised {earned['normalized_mean']}")


def main(
    steps: int = 1_000_000, seed: int = 0, json_file: Annotated[Path | None, arg(name="json")] = None
) -> None:
    """Compare made states with D4RL's.

    Args:
        steps: About so many steps of each maze.
        seed: Seed of the recipes.
        json_file: Also write the figures here.
    """
    figures = {name: measure(name, steps, seed) for name in PUBLISHED}
    print_table(figures)
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine(seed)} | figures, indent=1) + "\n")
    worst = max(row["largest_off_percent_of_span"] for row in figures.values())
    if worst > MOST_PERCENT:
        sys.exit(f"a difference is {worst} % of the span, beyond {MOST_PERCENT} %")


if __name__ == "__main__":
    tyro.cli(main)
