"""Rules of what to aim at, compared over data sets and seeds: a table, a figure, one record of all stages.

python benchmarks/targets.py tuned/*/*/ --json-file FILE --figure FILE.png

The folders are of `gac finetune`, named RULE/DATA-SEED.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tyro.conf import Positional

from gac.config import TARGET_RULES

Record = dict[str, Any]
NAME = re.compile(r"(?P<data>.+)-(?P<seed>\d+)")


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned run, its stages in order; stage 0 is what it began from."""

    data: str
    seed: int
    stages: list[Record]

    @property
    def rule(self) -> str:
        """How its aims were set."""
        return str(self.stages[1]["targets"]["rule"])


def read(folder: Path) -> Tuned:
    """Its stages, without what every single episode did."""
    named = NAME.fullmatch(folder.name)
    if named is None:
        raise SystemExit(f"{folder}: expected a folder named DATA-SEED")
    paths = sorted(folder.glob("stage-*.json"), key=lambda path: int(path.stem.split("-")[1]))
    if len(paths) < 2:
        raise SystemExit(f"{folder}: expected stage-0.json, stage-1.json and so on")
    return Tuned(named["data"], int(named["seed"]), [stage(json.loads(path.read_text())) for path in paths])


def stage(record: Record) -> Record:
    """What the comparison needs of a stage's record; returns are raw."""
    exploit = record["after"]
    kept = {
        "stage": record["stage"],
        "exploit": exploit["mean"],
        "exploit_std": exploit["std"],
        "exploit_episodes": len(exploit["returns"]),
        "exploit_normalized": exploit["normalized_mean"],
    }
    if record["stage"]:
        collection = record["collection"]
        kept |= {
            "targets": record["targets"],
            "aim": float(np.nanmean(np.asarray(collection["y_plus"], float))),
            "collected": collection["mean"],
            "collected_std": collection["std"],
            "reached": collection["reached"],
            "updates": record["last_update"] - record["first_update"],
        }
    return kept


def cell(values: list[float]) -> str:
    """Mean over seeds, and the single values where there are several."""
    mean, each = f"{np.mean(values):.0f}", ", ".join(f"{value:.0f}" for value in sorted(values))
    return mean if len(values) == 1 else f"{mean} ({each})"


def table(groups: dict[tuple[str, str], list[Tuned]]) -> str:
    """Markdown: one line per data set and rule."""
    head = ("data", "rule", "seeds", "aims", "reached, %", "collected", "exploit before", "exploit after")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (data, rule), runs in groups.items():
        over_stages = {
            key: " → ".join(
                f"{np.mean([run.stages[n][key] for run in runs]) * (100.0 if key == 'reached' else 1.0):.0f}"
                for n in range(1, len(runs[0].stages))
            )
            for key in ("aim", "reached", "collected")
        }
        cells = [data, rule, str(len(runs)), *over_stages.values()]
        cells += [cell([run.stages[n]["exploit"] for run in runs]) for n in (0, -1)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(groups: dict[tuple[str, str], list[Tuned]], path: Path) -> None:
    """Aims and what was achieved, stage by stage: a panel per data set, a colour per rule."""
    names = list(dict.fromkeys(data for data, _ in groups))
    figure = Figure(figsize=(4.2 * len(names), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for (data, rule), runs in groups.items():
            if data != name:
                continue
            color = f"C{TARGET_RULES.index(rule)}"
            for i, run in enumerate(runs):
                stages = [record["stage"] for record in run.stages[1:]]
                aims = [record["aim"] for record in run.stages[1:]]
                achieved = [record["collected"] for record in run.stages[1:]]
                axes.plot(stages, aims, "--", color=color, linewidth=1, alpha=0.6)
                axes.plot(stages, achieved, "o-", color=color, markersize=4, label=None if i else rule)
        axes.set(title=name, xlabel="stage")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, title="achieved\n(aims dashed)", loc="outside right upper")
    figure.axes[0].set_ylabel("mean return of 100 episodes")
    figure.savefig(path, dpi=110)


def main(
    runs: Positional[tuple[Path, ...]], json_file: Path | None = None, figure: Path | None = None
) -> None:
    """Print the table.

    Args:
        runs: Folders of fine-tuned runs.
        json_file: File that gets every stage of every run.
        figure: Picture that gets aims and achieved returns.
    """
    groups: defaultdict[tuple[str, str], list[Tuned]] = defaultdict(list)
    for run in sorted(map(read, runs), key=lambda run: (run.data, TARGET_RULES.index(run.rule), run.seed)):
        groups[run.data, run.rule].append(run)
    print(table(groups))
    if json_file is not None:
        every = [
            {"data": run.data, "seed": run.seed, "rule": run.rule, "stages": run.stages}
            for group in groups.values()
            for run in group
        ]
        json_file.write_text(json.dumps(every, indent=1) + "\n")
    if figure is not None:
        draw(groups, figure)


if __name__ == "__main__":
    tyro.cli(main)
