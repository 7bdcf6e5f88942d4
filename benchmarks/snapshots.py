"""The policies that made a robot's data, played with and without their noise.

    python benchmarks/snapshots.py walker2d-medium-replay --json FILE

What imitating one of them to perfection would achieve.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from tyro.conf import Positional, arg

from gac.data import recipes, rollout
from gac.files import write_text


def without_noise(policy: rollout.Policy) -> rollout.Policy:
    """The same means, at the least spread that a policy may have."""
    kernel, bias = policy.log_std
    return policy._replace(log_std=(0.0 * kernel, np.full_like(bias, rollout.LOG_STD_RANGE[0])))


def main(
    recipe: Positional[str],
    steps: int = 20_000,
    seed: int = 7000,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Play every policy of a recipe.

    Args:
        recipe: name of a robot's recipe.
        steps: of each policy and way; no episode starts later.
        seed: of the environments and of the noise.
        json_file: where to write the record.
    """
    env_id, jobs = recipes._jobs(recipe, recipes.RECIPES[recipe], seed)  # type: ignore[arg-type]
    rows: list[dict[str, Any]] = []
    for snapshot in sorted({job.snapshot for job in jobs}):
        policy = rollout.load_policy(jobs[0].bundle, snapshot)
        for actions, who in (("drawn", policy), ("mean", without_noise(policy))):
            job = rollout.Job(env_id, jobs[0].bundle, snapshot, steps, 8, [seed, snapshot])
            played = rollout.play_policy(who, job)
            starts = np.cumsum(played["lengths"]) - played["lengths"]
            returns = np.add.reduceat(played["rewards"], starts)
            row = {"snapshot": snapshot, "actions": actions, "episodes": len(returns)}
            rows.append(row | {"mean": float(returns.mean()), "std": float(returns.std())})
            print(
                snapshot, actions, f"{returns.mean():.0f} ± {returns.std():.0f} of {len(returns)}", flush=True
            )
    if json_file is not None:
        record = {"recipe": recipe, "env_id": env_id, "steps": steps, "seed": seed, "results": rows}
        write_text(json_file, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
