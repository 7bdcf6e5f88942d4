"""Read a run's folder into frozen records; what is missing or malformed is said in one line."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gac.config import Config
from gac.errors import UserError

QUERIES = ("exploit", "explore", "target", "prior")
"""The queries in the order in which they are always shown."""


@dataclass(frozen=True)
class DataFacts:
    """What `data.json` says of the data set that a run was trained on."""

    name: str
    env_id: str | None
    episodes: int
    steps: int
    returns: tuple[float, ...]
    """Raw and undiscounted, one per episode."""
    lengths: tuple[int, ...]


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
class QueryRecord:
    """An `eval-<query>.json`: the episodes played with plans of one inference query."""

    query: str
    env_id: str
    seed: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    predicted_returns: tuple[float, ...]
    mean: float
    std: float
    normalized_mean: float | None
    normalized_std: float | None
    plan_seconds: float
    steps_per_second: float
    versions: Mapping[str, str]
    trace: tuple[float, ...] = ()
    """Mean predicted return, raw, at each recorded step of the query's optimisation."""
    converged: float | None = None
    """Share of the plans that met the stop threshold, in [0, 1]."""
    query_steps: float | None = None
    """Mean number of steps of the query's optimisation."""
    y_star: float | None = None
    """The return that the target query aimed at, raw."""

    @property
    def predicted_mean(self) -> float:
        """Mean predicted return, raw and undiscounted."""
        return float(np.mean(self.predicted_returns))

    @property
    def ratio(self) -> float | None:
        """Predicted over achieved mean return; None where a ratio says nothing (not both positive)."""
        return self.predicted_mean / self.mean if self.mean > 0 and self.predicted_mean > 0 else None


@dataclass(frozen=True)
class Run:
    """All that a report shows of a run's folder."""

    path: Path
    config: Config
    data: DataFacts
    metrics: Metrics
    queries: tuple[QueryRecord, ...]
    """In the order of QUERIES, then by name."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The queries of QUERIES that were not evaluated."""
        return tuple(name for name in QUERIES if name not in {record.query for record in self.queries})


def read_run(path: Path) -> Run:
    """Read a run's folder.

    Raises:
        UserError: the folder or one of config.json, data.json is missing, or a file is malformed.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder, expected a run; give the folder that gac train --out wrote")
    config = Config.from_json(_text(path / "config.json"), str(path / "config.json"))
    records = (read_record(_text(file), str(file), file.stem) for file in sorted(path.glob("eval-*.json")))
    rank = {name: place for place, name in enumerate(QUERIES)}
    return Run(
        path=path,
        config=config,
        data=_data(_Fields.parse(_text(path / "data.json"), str(path / "data.json"))),
        metrics=read_metrics(path / "metrics.jsonl"),
        queries=tuple(sorted(records, key=lambda record: (rank.get(record.query, len(rank)), record.query))),
    )


def read_record(text: str, where: str, stem: str | None = None) -> QueryRecord:
    """Read the JSON text of one evaluation; `stem` is its file's, which has to name the same query.

    Raises:
        UserError: not JSON, a missing field, a value of the wrong kind, lists of different lengths.
    """
    fields = _Fields.parse(text, where)
    record = QueryRecord(
        query=fields.words("query"),
        env_id=fields.words("env_id"),
        seed=fields.whole("seed"),
        returns=fields.numbers("returns"),
        lengths=tuple(map(int, fields.numbers("lengths"))),
        predicted_returns=fields.numbers("predicted_returns"),
        mean=fields.number("mean"),
        std=fields.number("std"),
        normalized_mean=fields.maybe_number("normalized_mean"),
        normalized_std=fields.maybe_number("normalized_std"),
        plan_seconds=fields.number("plan_seconds"),
        steps_per_second=fields.number("steps_per_second"),
        versions=fields.versions("versions"),
        trace=fields.numbers("trace") if fields.raw.get("trace") is not None else (),
        converged=fields.maybe_number("converged"),
        query_steps=fields.maybe_number("query_steps"),
        y_star=fields.maybe_number("y_star"),
    )
    sizes = len(record.returns), len(record.lengths), len(record.predicted_returns)
    if min(sizes) < 1 or len(set(sizes)) > 1:
        raise UserError(
            f"{where}: returns, lengths and predicted_returns have {', '.join(map(str, sizes))} values, "
            "expected one of each per episode; evaluate again"
        )
    if stem is not None and stem != f"eval-{record.query}":
        raise UserError(
            f"{where}: query is {record.query!r}, expected that of the file's name; evaluate again"
        )
    return record


def read_metrics(path: Path) -> Metrics:
    """Read `metrics.jsonl`: no file, no lines; a last line that was cut off is left out.

    A run that resumed after a kill may have done some updates twice: what was written last counts.

    Raises:
        UserError: a line that is no JSON object with a number `update`, or with a metric that is no number.
    """
    if not path.exists():
        return Metrics(())
    rows = [row for row in enumerate(_text(path).split("\n"), 1) if row[1].strip()]
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
    if not isinstance(line, dict) or not _is_number(line.get("update")):
        raise UserError(f"{where} is no object with a number update; restore the file or remove the line")
    for key, value in line.items():
        if not (value is None or isinstance(value, list) or _is_number(value)):
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


def _data(fields: "_Fields") -> DataFacts:
    facts = DataFacts(
        name=fields.words("name"),
        env_id=None if fields.raw.get("env_id") is None else fields.words("env_id"),
        episodes=fields.whole("episodes"),
        steps=fields.whole("steps"),
        returns=fields.numbers("returns"),
        lengths=tuple(map(int, fields.numbers("lengths"))),
    )
    if not facts.returns or not len(facts.returns) == len(facts.lengths) == facts.episodes:
        raise UserError(
            f"{fields.where}: episodes is {facts.episodes}, with {len(facts.returns)} returns and "
            f"{len(facts.lengths)} lengths, expected one of each per episode; restore the file or train again"
        )
    return facts


def _text(path: Path) -> str:
    """A file's text; bytes that are no UTF-8 become marks, which JSON then refuses or shows."""
    if not path.is_file():
        raise UserError(
            f"{path.parent} has no {path.name}, so it is no whole run; train again or give another folder"
        )
    return path.read_text(encoding="utf-8", errors="replace")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class _Fields:
    """A JSON object whose fields are taken out by the kind that they must have."""

    raw: Mapping[str, Any]
    where: str

    @classmethod
    def parse(cls, text: str, where: str) -> "_Fields":
        try:
            raw = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{where} is not JSON ({error}); restore the file or make it again") from None
        if not isinstance(raw, dict):
            raise UserError(f"{where} holds {type(raw).__name__}, expected an object; restore the file")
        return cls(raw, where)

    def _refuse(self, key: str, expected: str) -> UserError:
        if key not in self.raw:
            return UserError(f"{self.where} has no {key}, expected {expected}; make the file again")
        value = re.sub(r"\s+", " ", repr(self.raw[key]))
        shown = value if len(value) <= 60 else value[:57] + "..."
        return UserError(f"{self.where}: {key} is {shown}, expected {expected}; make the file again")

    def words(self, key: str) -> str:
        value = self.raw.get(key)
        if not isinstance(value, str) or not value:
            raise self._refuse(key, "text")
        return value

    def number(self, key: str) -> float:
        value = self.raw.get(key)
        if not _is_number(value) or not math.isfinite(value):  # type: ignore[arg-type]
            raise self._refuse(key, "a finite number")
        return float(value)  # type: ignore[arg-type]

    def maybe_number(self, key: str) -> float | None:
        return None if self.raw.get(key) is None else self.number(key)

    def whole(self, key: str) -> int:
        value = self.raw.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refuse(key, "a whole number")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self.raw.get(key)
        if not isinstance(value, list) or not all(_is_number(item) and math.isfinite(item) for item in value):
            raise self._refuse(key, "a list of finite numbers")
        return tuple(map(float, value))

    def versions(self, key: str) -> Mapping[str, str]:
        value = self.raw.get(key)
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._refuse(key, "an object of version texts")
        return dict(value)
