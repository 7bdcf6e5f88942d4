"""The policies that made a robot's data, played with and without their noise, alone and together.

    python benchmarks/snapshots.py walker2d-medium-replay --json FILE

What imitating one of them to perfection would achieve, and what the mean action of several does.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy import ndarray
from tyro.conf import Positional, arg

from gac.data import recipes, rollout
from gac.files import write_text

MOST_TOGETHER = 6


def without_noise(policy: rollout.Policy) -> rollout.Policy:
    """The same means, at the least spread that a policy may have."""
    kernel, bias = policy.log_std
    return policy._replace(log_std=(0.0 * kernel, np.full_like(bias, rollout.LOG_STD_RANGE[0])))


@dataclass(frozen=True)
class Together:
    """Several policies that act by the mean of their actions."""

    policies: list[rollout.Policy]

    @property
    def mean(self) -> tuple[ndarray, ndarray]:
        """For the size of an action."""
        return self.policies[0].mean

    def sample(self, observations: ndarray, noise: ndarray) -> ndarray:
        """Actions (batch, act) in [-1, 1]."""
        return np.mean([policy.sample(observations, noise) for policy in self.policies], axis=0)


def main(
    recipe: Positional[str],
    steps: int = 20_000,
    seed: int = 7000,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Play every policy of a recipe, then the best of them together.

    Args:
        recipe: name of a robot's recipe.
        steps: of each policy and way; no episode starts later.
        seed: of the environments and of the noise.
        json_file: where to write the record.
    """
    env_id, jobs = recipes.rollouts(recipe, seed)
    bundle = jobs[0].bundle
    rows: list[dict[str, Any]] = []

    def play(who: Any, snapshots: list[int], actions: str) -> float:
        job = rollout.Job(env_id, bundle, snapshots[0], steps, 8, [seed, *snapshots])
        played = rollout.play_policy(who, job)
        starts = np.cumsum(played["lengths"]) - played["lengths"]
        returns = np.add.reduceat(played["rewards"], starts)
        row = {"snapshots": snapshots, "actions": actions, "episodes": len(returns)}
        row |= {"mean": float(returns.mean()), "std": float(returns.std())}
        rows.append(row | {"mean_length": float(played["lengths"].mean())})
        print(snapshots, actions, f"{returns.mean():.0f} ± {returns.std():.0f} of {len(returns)}", flush=True)
        return float(returns.mean())

    achieved: dict[int, float] = {}
    for snapshot in sorted({job.snapshot for job in jobs}):
        policy = rollout.load_policy(bundle, snapshot)
        play(policy, [snapshot], "drawn")
        achieved[snapshot] = play(without_noise(policy), [snapshot], "mean")
    best = sorted(achieved, key=lambda snapshot: -achieved[snapshot])
    for count in range(2, 1 + min(MOST_TOGETHER, len(best))):
        policies = [without_noise(rollout.load_policy(bundle, each)) for each in best[:count]]
        play(Together(policies), best[:count], "mean")
    if json_file is not None:
        record = {"recipe": recipe, "env_id": env_id, "steps": steps, "seed": seed, "results": rows}
        write_text(json_file, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
