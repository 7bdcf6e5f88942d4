"""Tables of returns, and the records behind them, from runs that were trained and evaluated.

python benchmarks/returns.py runs/hopper-medium-0 runs/hopper-medium-1 … --records benchmarks/records
"""

import dataclasses
import json
import shutil
import statistics
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from tyro.conf import Positional

QUERIES = ("exploit", "explore", "target", "prior")
LAST_LINES = 10
"""Logged updates that the training figures are averaged over: single batches are noisy."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How a run's training ended."""

    run: str
    seed: int
    updates: int
    minutes: float
    trajectories_per_second: float
    kl: float
    active_dims: float
    return_error: float
    prior_return_mean: float
    heldout_elbo: float | None


def read_training(run: Path) -> Training:
    """The last lines of metrics.jsonl."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = lines[-LAST_LINES:]
    heldout = [line["heldout_elbo"] for line in lines if "heldout_elbo" in line]

    def mean(key: str) -> float:
        return statistics.fmean(line[key] for line in last)

    return Training(
        run=run.name,
        seed=json.loads((run / "config.json").read_text())["seed"],
        updates=lines[-1]["update"],
        minutes=lines[-1]["seconds"] / 60.0,
        trajectories_per_second=statistics.median(line["trajectories_per_second"] for line in lines[1:]),
        kl=mean("kl"),
        active_dims=mean("active_dims"),
        return_error=mean("return_error"),
        prior_return_mean=mean("prior_return_mean"),
        heldout_elbo=heldout[-1] if heldout else None,
    )


def read_evaluations(run: Path) -> dict[str, dict[str, Any]]:
    """The record of every query that was evaluated, exploit among them, by its name."""
    paths = {query: run / f"eval-{query}.json" for query in QUERIES}
    return {
        query: json.loads(path.read_text())
        for query, path in paths.items()
        if path.exists() or query == "exploit"
    }


def cell(record: dict[str, Any] | None) -> str:
    """`mean ± std (predicted)`."""
    if record is None:
        return "not run"
    return f"{record['mean']:.0f} ± {record['std']:.0f} ({np.mean(record['predicted_returns']):.0f})"


def row(training: Training, evaluations: dict[str, dict[str, Any]]) -> str:
    """A line of the Markdown table."""
    exploit = evaluations["exploit"]
    normalized = exploit["normalized_mean"]
    cells = [
        str(training.seed),
        str(training.updates),
        f"{training.kl:.1f}",
        "none" if training.heldout_elbo is None else f"{training.heldout_elbo:.0f}",
        f"{training.prior_return_mean:+.2f}",
        *(cell(evaluations.get(query)) for query in QUERIES),
        f"{np.mean(exploit['predicted_returns']) / exploit['mean']:.2f}",
        "none" if normalized is None else f"{normalized:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "seed",
    "updates",
    "KL",
    "held-out ELBO",
    "prior predictive of y",
    *QUERIES,
    "exploit: predicted / achieved",
    "exploit, normalised",
)


def main(runs: Positional[tuple[Path, ...]], records: Annotated[Path | None, tyro.conf.arg()] = None) -> None:
    """Print a table, and keep the records.

    Args:
        runs: Folders of evaluated runs, one table row each.
        records: Folder that gets a folder per run: training.json and every eval-*.json.
    """
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    means = []
    for run in runs:
        training, evaluations = read_training(run), read_evaluations(run)
        means.append(evaluations["exploit"]["mean"])
        print(row(training, evaluations))
        if records is not None:
            kept = records / run.name
            kept.mkdir(parents=True, exist_ok=True)
            (kept / "training.json").write_text(json.dumps(dataclasses.asdict(training), indent=1) + "\n")
            for path in run.glob("eval-*.json"):
                shutil.copyfile(path, kept / path.name)
    print(f"\nExploit over {len(runs)} seeds: mean {np.mean(means):.0f}, lowest {min(means):.0f}.")


if __name__ == "__main__":
    tyro.cli(main)
