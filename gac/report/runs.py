"""Read a run's folder into frozen records; what is missing or malformed is said in one line."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gac.config import OnlineConfig, Settings
from gac.credit.record import FILE as CREDIT_FILE
from gac.credit.record import CreditRecord, read_credit
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.json_fields import is_number, read_text
from gac.methods import METHODS, Method, read_config
from gac.online.folder import existing
from gac.online.record import StageRecord, read_record, record_path
from gac.records import (
    SEED_FOLDER,
    Consistency,
    DataFacts,
    Evaluation,
    no_run,
    read_consistency,
    read_evaluation,
    read_facts,
    read_online,
    seed_folders,
)

QUERIES = METHODS["gac"].queries
"""The queries in the order in which they are always shown."""


@dataclass(frozen=True)
class Metrics:
    """The lines of `metrics.jsonl`, in increasing order of `update`."""

    lines: tuple[Mapping[str, Any], ...]
    cut_off: bool = False
    """The last line was cut off, by a kill or because the run still writes; it is left out."""

    def series(self, key: str) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
        """Updates and values of a metric, at the lines that have a finite value of it."""
        points = [(line["update"], line[key]) for line in self.lines if line.get(key) is not None]
        array = np.array([point for point in points if math.isfinite(point[1])], dtype=np.float64).reshape(
            -1, 2
        )
        return array[:, 0], array[:, 1]

    def last(self, key: str) -> float | None:
        """The last finite value of a metric, None where there is none."""
        values = self.series(key)[1]
        return float(values[-1]) if len(values) else None


@dataclass(frozen=True)
class Run:
    """All that a report shows of a run's folder."""

    path: Path
    config: Settings
    data: DataFacts
    metrics: Metrics
    queries: tuple[Evaluation, ...]
    """One plan an episode, undisturbed; in the order of QUERIES, then by name."""
    variants: tuple[Evaluation, ...] = ()
    """Evaluations with replanning or disturbances, by the names of their files."""
    consistency: Consistency | None = None
    credit: CreditRecord | None = None
    """Of a run whose rewards were learned from returns."""
    finetuning: tuple[Mapping[str, Any], OnlineConfig] | None = None
    """online.json, of a run that was fine-tuned in stages: what it began with, and its settings."""
    stages: tuple[StageRecord, ...] = ()
    """The stages of a fine-tuned run that are done; stage 0 is what it began from."""

    @property
    def environments(self) -> tuple[Environment, ...]:
        """Those that its data and its evaluations are known to be from, each once."""
        played = (*self.queries, *self.variants)
        found = [Environment.of(self.data), *(record.environment for record in played)]
        return tuple(dict.fromkeys(each for each in found if each is not None))

    @property
    def missing(self) -> tuple[str, ...]:
        """The queries of its method that were not evaluated."""
        asked = {record.query for record in self.queries}
        return tuple(name for name in self.method.queries if name not in asked)

    @property
    def asked(self) -> tuple[str, ...]:
        """What a table shows of it: the queries of its method, and what else was evaluated."""
        return (*self.method.queries, *(record.query for record in self.queries))

    @property
    def method(self) -> Method:
        """What it was trained by."""
        return METHODS[self.config.method]


def run_folders(path: Path) -> list[Path]:
    """The runs of a folder: itself, or those of the seeds in it.

    Raises:
        UserError: no folder, or one that holds neither a run nor seeds.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder, expected a run; give the folder that gac train --out wrote")
    # A run that lost a file is still one, and reading it says which file.
    if any((path / name).exists() for name in ("config.json", "data.json", "metrics.jsonl")):
        return [path]
    if seeds := seed_folders(path):
        return seeds
    raise no_run(path)


def seeds_of(runs: Sequence[Run]) -> dict[Path, list[Run]]:
    """The runs that are seeds of one training, by its folder; runs alone are in none."""
    groups: dict[Path, list[Run]] = {}
    for run in runs:
        path = run.path.resolve()
        if SEED_FOLDER.fullmatch(path.name):
            groups.setdefault(path.parent, []).append(run)
    return {folder: group for folder, group in groups.items() if len(group) > 1}


def read_run(path: Path) -> Run:
    """Read a run's folder.

    Raises:
        UserError: the folder or one of config.json, data.json is missing, or a file is malformed.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder, expected a run; give the folder that gac train --out wrote")
    read_text(path / "config.json")
    config = read_config(path)
    records = [
        read_evaluation(read_text(file), str(file), file.stem) for file in sorted(path.glob("eval-*.json"))
    ]
    plain = [record for record in records if record.plain]
    swept, credit = path / "consistency.json", path / CREDIT_FILE
    rank = {name: place for place, name in enumerate(QUERIES)}
    return Run(
        path=path,
        config=config,
        data=read_facts(path / "data.json"),
        metrics=read_metrics(path / "metrics.jsonl"),
        queries=tuple(sorted(plain, key=lambda record: (rank.get(record.query, len(rank)), record.query))),
        variants=tuple(record for record in records if not record.plain),
        consistency=read_consistency(swept) if swept.exists() else None,
        credit=read_credit(credit) if credit.exists() else None,
        finetuning=read_online(path) if (path / "online.json").exists() else None,
        stages=tuple(map(read_record, existing(path, record_path))),
    )


def read_metrics(path: Path) -> Metrics:
    """Read `metrics.jsonl`: no file, no lines; a last line that was cut off is left out.

    A run that resumed after a kill may have done some updates twice: what was written last counts.

    Raises:
        UserError: a line that is no JSON object with a number `update`, or with a metric that is no number.
    """
    if not path.exists():
        return Metrics(())
    rows = [row for row in enumerate(read_text(path).split("\n"), 1) if row[1].strip()]
    kept: list[Mapping[str, Any]] = []
    cut_off = False
    for place, (number, row) in enumerate(rows, 1):
        try:
            line = json.loads(row)
        except json.JSONDecodeError:
            if place < len(rows):
                raise UserError(
                    f"{path}: line {number} is not JSON; restore the file or remove the line"
                ) from None
            cut_off = True
            break
        _check_line(line, f"{path}: line {number}")
        while kept and kept[-1]["update"] >= line["update"]:
            kept.pop()
        kept.append(line)
    return Metrics(tuple(kept), cut_off)


def _check_line(line: Any, where: str) -> None:
    if not isinstance(line, dict) or not is_number(line.get("update")):
        raise UserError(f"{where} is no object with a number update; restore the file or remove the line")
    for key, value in line.items():
        if not (value is None or isinstance(value, list) or is_number(value)):
            raise UserError(
                f"{where}: {key} is {value!r}, expected a number; restore the file or remove the line"
            )


def labels(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its folder's, with as many parents as it takes to tell them apart."""
    parts = [run.path.resolve().parts for run in runs]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names if parts else []
