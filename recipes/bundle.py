"""Choose behaviour snapshots for a recipe and write them as one small file.

    python recipes/bundle.py runs/behaviour/hopper --out gac/data/snapshots/hopper.safetensors

Measures the return of every snapshot as it will be used (float16, actions sampled), calls `medium` the one
whose mean return is nearest the target, and keeps it. For the replay recipe, the training up to medium is cut
into equal stretches, and the snapshot in the middle of each stands for it: with equal shares of steps they
make up the run's replay buffer. The untrained actor stands for none: it is what the buffer has least of.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from safetensors.numpy import load_file, save_file

from gac.data.rollout import Job, Policy, play_policy

LAYERS = {"Dense_0": "hidden_0", "Dense_1": "hidden_1", "Dense_2": "mean", "Dense_3": "log_std"}
"""Flax's names of the actor's layers, in the order in which sbx's SAC makes them, and ours."""

Tensors = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to choose."""

    folder: tyro.conf.Positional[Path]
    """Folder of train_behaviour.py's snapshots."""
    out: Annotated[Path, tyro.conf.arg(help="The bundle to write.")]
    env_id: str = "Hopper-v5"
    """Gymnasium id."""
    medium_return: float = 1400.0
    """Mean return of the medium policy; D4RL's hopper-medium has 1422."""
    count: int = 15
    """Stretches of training before medium; with medium, the bundle has one snapshot more."""
    min_steps: int = 10_000
    """Steps of rollout to measure a snapshot by."""
    medium_steps: int = 100_000
    """Steps of rollout to decide between the candidates for medium by."""
    trained_with: str = "sbx-rl SAC, default settings, net_arch 256x256, seed 0; recipes/train_behaviour.py"
    """How the snapshots were trained."""


def half(path: Path) -> Tensors:
    """A snapshot as `<layer>/<kernel|bias>` in float16."""
    tensors = {}
    for key, value in load_file(path).items():
        _, layer, part = key.split("/")
        tensors[f"{LAYERS[layer]}/{part}"] = value.astype(np.float16)
    return tensors


def measure(tensors: Tensors, step: int, settings: Settings, min_steps: int) -> np.ndarray:
    """Returns of whole episodes with sampled actions."""
    wide = {key: value.astype(np.float32) for key, value in tensors.items()}
    hidden_0, hidden_1, mean, log_std = ((wide[f"{x}/kernel"], wide[f"{x}/bias"]) for x in LAYERS.values())
    job = Job(settings.env_id, "", step, min_steps, envs=16, seed=[0, step])
    flat = play_policy(Policy([hidden_0, hidden_1], mean, log_std), job)
    return np.add.reduceat(flat["rewards"].astype(np.float64), np.cumsum(flat["lengths"]) - flat["lengths"])


def choose_medium(snapshots: dict[int, Tensors], means: dict[int, float], settings: Settings) -> int:
    """The snapshot nearest the target, the five nearest by the short measurement measured again at length."""
    near = sorted(means, key=lambda step: abs(means[step] - settings.medium_return))[:5]
    for step in near:
        returns = measure(snapshots[step], step, settings, settings.medium_steps)
        means[step] = float(returns.mean())
        print(
            f"candidate {step:7d}: {returns.mean():7.1f} ± {returns.std():6.1f} over {len(returns)} episodes"
        )
    return min(near, key=lambda step: abs(means[step] - settings.medium_return))


def middles(steps: list[int], medium: int, count: int) -> list[int]:
    """The steps before medium that are nearest the middles of `count` equal stretches."""
    below = [step for step in steps if step < medium]
    wanted = (np.arange(count) + 0.5) * medium / count
    return sorted({min(below, key=lambda step: abs(step - target)) for target in wanted})


def main(settings: Settings) -> None:
    """Measure, choose, write."""
    snapshots = {int(path.stem): half(path) for path in sorted(settings.folder.glob("*.safetensors"))}
    means = {}
    for step, tensors in snapshots.items():
        returns = measure(tensors, step, settings, settings.min_steps)
        means[step] = float(returns.mean())
        print(
            f"{step:7d}: {returns.mean():7.1f} ± {returns.std():6.1f} over {len(returns)} episodes",
            flush=True,
        )
    medium = choose_medium(snapshots, means, settings)
    chosen = [*middles(list(snapshots), medium, settings.count), medium]
    bundle = {f"{step}/{key}": value for step in chosen for key, value in snapshots[step].items()}
    metadata = {
        "env_id": settings.env_id,
        "medium": str(medium),
        "trained_with": settings.trained_with,
        "mean_returns": json.dumps({step: round(means[step], 1) for step in chosen}),
    }
    temporary = settings.out.with_name(f".{settings.out.name}.tmp")
    save_file(bundle, temporary, metadata)
    os.replace(temporary, settings.out)
    size = settings.out.stat().st_size
    print(f"medium: {medium} ({means[medium]:.1f}); {len(chosen)} snapshots, {size:,} bytes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
