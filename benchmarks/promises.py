"""Exploit with the promises of logged plans corrected by what their like returned, and by promise alone.

    python benchmarks/promises.py runs/*/ --json benchmarks/records/promises.json

Both ways play the same environments under plans inferred with the same draws, from the same saved agent.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional, arg

import gac
from gac.files import write_text

Record = dict[str, Any]


def play(agent: gac.Agent, episodes: int, seed: int) -> Record:
    """What exploit achieves and was promised."""
    evaluation = gac.evaluate(agent, query=gac.Exploit(), episodes=episodes, seed=seed)
    returns = np.asarray(evaluation.returns)
    return {
        "mean": float(returns.mean()),
        "std": float(returns.std()),
        "lowest": float(returns.min()),
        "median": float(np.median(returns)),
        "normalized_mean": evaluation.normalized_mean,
        "predicted_mean": float(np.mean(evaluation.predicted_returns)),
        "returns": returns.tolist(),
    }


def compare(run: Path, episodes: int, seed: int) -> Record:
    """One run's agent, both ways."""
    agent = gac.load(run)
    corrected = play(agent, episodes, seed)
    agent.logged = agent.logged._replace(residual=jnp.zeros_like(agent.logged.residual))
    by_promise = play(agent, episodes, seed)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "run": run.name,
        "data": Path(agent.facts.name).name,
        "training_seed": agent.config.seed,
        "outer_lr": agent.config.training.outer_lr,
        "updates": last["update"],
        "corrected": corrected,
        "by_promise": by_promise,
    }


def main(
    runs: Positional[list[Path]],
    episodes: int = 50,
    seed: int = 7000,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Compare the two on every run.

    Args:
        runs: folders of runs.
        episodes: episodes of each way.
        seed: seed of the environments.
        json_file: where to write the record.
    """
    records = []
    for run in runs:
        record = compare(run, episodes, seed)
        records.append(record)
        ways = [
            f"{record[way]['mean']:.1f} ± {record[way]['std']:.1f}" for way in ("corrected", "by_promise")
        ]
        print(f"{record['run']}: corrected {ways[0]}, by promise alone {ways[1]}", flush=True)
    if json_file is not None:
        write_text(
            json_file, json.dumps({"episodes": episodes, "seed": seed, "runs": records}, indent=1) + "\n"
        )


if __name__ == "__main__":
    tyro.cli(main)
