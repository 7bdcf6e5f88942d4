"""Choose the ant that walks best and write it as one small file, for AntMaze's recipes.

    python recipes/bundle_ant.py runs/behaviour/ant --out gac/data/snapshots/ant.safetensors

Measures how many points the last snapshots reach as they will be used: float16, actions sampled, and with the
recipes' noise on them. The one that reaches most is kept.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated

import bundle
import gymnasium
import numpy as np
import tyro
from safetensors.numpy import save_file

import gac.envs  # registers the environment
from gac.data.ant_rollout import NOISE
from gac.data.rollout import Policy

ENV_ID = "gac/AntReach-v0"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to choose from."""

    folder: tyro.conf.Positional[Path]
    """Folder of train_ant.py's snapshots."""
    out: Annotated[Path, tyro.conf.arg(help="The bundle to write.")]
    last: int = 10
    """So many of the latest snapshots are measured."""
    episodes: int = 20
    """Episodes to measure a snapshot by, of 500 steps at most."""
    trained_with: str = "sbx-rl SAC, default settings, net_arch 256x256, seed 0; recipes/train_ant.py"
    """How the snapshots were trained."""


def policy_of(tensors: bundle.Tensors) -> Policy:
    """The policy of a snapshot."""
    wide = {key: value.astype(np.float32) for key, value in tensors.items()}
    hidden_0, hidden_1, mean, log_std = (
        (wide[f"{name}/kernel"], wide[f"{name}/bias"]) for name in bundle.LAYERS.values()
    )
    return Policy([hidden_0, hidden_1], mean, log_std)


def measure(policy: Policy, episodes: int) -> tuple[float, float]:
    """Points reached in an episode, and the share of episodes without a fall."""
    env, rng = gymnasium.make(ENV_ID), np.random.default_rng(0)
    reached, upright = 0, 0
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        over = False
        while not over:
            noise = rng.standard_normal((2, 1, 8), np.float32)
            action = np.clip(policy.sample(observation[None], noise[0]) + NOISE * noise[1], -1.0, 1.0)[0]
            observation, _, fallen, late, info = env.step(action)
            reached += info["reached"]
            over = fallen or late
        upright += not fallen
    env.close()
    return reached / episodes, upright / episodes


def main(settings: Settings) -> None:
    """Measure, choose, write."""
    paths = sorted(path for path in settings.folder.glob("*.safetensors") if path.stem.isdigit())
    if not paths:
        raise SystemExit(f"{settings.folder} has no snapshots; train an ant by recipes/train_ant.py")
    snapshots = {int(path.stem): bundle.half(path) for path in paths[-settings.last :]}
    points = {}
    for step, tensors in snapshots.items():
        points[step], upright = measure(policy_of(tensors), settings.episodes)
        print(f"{step:7d}: {points[step]:5.1f} points an episode, {upright:.0%} without a fall", flush=True)
    chosen = max(points, key=points.__getitem__)
    metadata = {
        "env_id": ENV_ID,
        "snapshot": str(chosen),
        "trained_with": settings.trained_with,
        "points": json.dumps(points),
    }
    temporary = settings.out.with_name(f".{settings.out.name}.tmp")
    save_file({f"{chosen}/{key}": value for key, value in snapshots[chosen].items()}, temporary, metadata)
    os.replace(temporary, settings.out)
    print(f"chosen: {chosen} ({points[chosen]:.1f}); {settings.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    assert gac.envs.ANT_LAYOUTS  # the import is for what it registers
    main(tyro.cli(Settings))
