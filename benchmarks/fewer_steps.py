"""Held-out ELBO against the time that it takes, for runs of the same data with other settings of the loops.

python benchmarks/fewer_steps.py DATA runs/*/ --json-file FILE \
    --figure FILE.png --after SECONDS

The folders are of `gac train DATA --heldout-every N` with one seed. The time is that of an update, measured
here: the median of some, the settings in turn, several rounds. So the runs themselves may train side by side.
"""

import dataclasses
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import tyro
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tyro.conf import Positional

import gac
from gac.config import Config
from gac.report.provenance import changed_flags
from gac.training.offline import Trainer
from gac.training.scale.devices import one_device_per_core

Record = dict[str, Any]
ROUNDS, UPDATES = 3, 8
"""Rounds over all settings, and updates of each in a round; the first, which may compile, is left out."""


def read(folder: Path) -> tuple[Config, list[tuple[int, float]]]:
    """A run's configuration, and its held-out ELBO by update."""
    config = Config.from_json((folder / "config.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return config, [(line["update"], line["heldout_elbo"]) for line in lines if "heldout_elbo" in line]


def name(config: Config) -> str:
    """The settings by their flags; how often the held-out ELBO is computed is not one of them."""
    usual = dataclasses.replace(config.training, heldout_every=500)
    return changed_flags(dataclasses.replace(config, training=usual)).strip() or "as it is"


def update_seconds(data: str, configs: list[Config]) -> list[list[float]]:
    """Median seconds of an update in each round, for each of the configurations."""
    episodes = gac.load_data(data)
    seconds: list[list[float]] = [[] for _ in configs]
    with tempfile.TemporaryDirectory() as out:
        trainers = [Trainer(episodes, config, Path(out)) for config in configs]
        for trainer in trainers:
            trainer.step()
        for _ in range(ROUNDS):
            for trainer, medians in zip(trainers, seconds, strict=True):
                taken = []
                for _ in range(UPDATES):
                    began = time.perf_counter()
                    trainer.step()
                    taken.append(time.perf_counter() - began)
                medians.append(statistics.median(taken[1:]))
    return seconds


def at(curve: list[tuple[float, float]], seconds: float) -> float | None:
    """The held-out ELBO after so many seconds, between two of its computations; None beyond them."""
    for (before, low), (after, high) in itertools.pairwise(curve):
        if before <= seconds <= after:
            return low + (high - low) * (seconds - before) / (after - before)
    return None


def draw(rows: list[Record], path: Path) -> None:
    """Held-out ELBO over seconds of updates, a line for each of the settings."""
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        usual = row["settings"] == "as it is"
        colour = colormaps["tab20"](place % 20)
        style = {"color": "black", "linewidth": 2.5, "zorder": 3} if usual else {"color": colour}
        axes.plot(*zip(*row["curve"], strict=True), marker=".", label=row["settings"], **style)
    axes.set(xlabel="seconds of updates", ylabel="held-out ELBO, nats")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=130)


def main(
    data: Positional[str], runs: Positional[list[Path]], json_file: Path, figure: Path, after: float
) -> None:
    """Measure an update of each run's settings, and write the curves.

    Args:
        data: Name or path of the data set.
        runs: Folders of the runs.
        json_file: Where the record goes.
        figure: Where the picture goes.
        after: Seconds at which the table compares.
    """
    one_device_per_core()
    read_runs = [read(folder) for folder in runs]
    seconds = update_seconds(data, [config for config, _ in read_runs])
    rows = []
    for (config, curve), each in zip(read_runs, seconds, strict=True):
        second = statistics.median(each)
        timed = [(update * second, value) for update, value in curve]
        row: Record = {"settings": name(config), "seed": config.seed, "update_seconds": each, "curve": timed}
        rows.append(row | {"heldout_elbo": at(timed, after)})
    rows.sort(key=lambda row: (row["heldout_elbo"] is None, -(row["heldout_elbo"] or 0.0)))
    record = {"data": Path(data).name, "after_seconds": after, "runs": rows}
    json_file.write_text(json.dumps(record, indent=1) + "\n")
    draw(rows, figure)
    print(f"| settings | seconds of an update | held-out ELBO after {after:g} s |\n|---|---|---|")
    for row in rows:
        value = "-" if row["heldout_elbo"] is None else f"{row['heldout_elbo']:.0f}"
        print(f"| {row['settings']} | {statistics.median(row['update_seconds']):.3f} | {value} |")


if __name__ == "__main__":
    tyro.cli(main)
