"""What a comparison's runs scored, read from their records alone, and summed up by table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.compare import statistics
from gac.compare.launching import Places
from gac.compare.specification import Job
from gac.data.scores import normalized_score
from gac.json_fields import Fields, read_text
from gac.records import Evaluation, read_evaluation


@dataclass(frozen=True)
class Result:
    """A finished run."""

    job: Job
    record: Evaluation
    seconds: float | None
    """Wall-clock seconds of training; None where the run recorded none."""
    updates: int | None
    core_share: float
    """Processor seconds over wall-clock seconds of the whole run: 1 where it had a core to itself."""

    @property
    def scores(self) -> tuple[float, ...] | None:
        """Normalised score of each episode; None where the environment has no reference."""
        found = normalized_score(self.record.env_id, self.record.returns)
        known = found is not None and self.record.normalized_mean is not None
        return tuple(found.tolist()) if known and found is not None else None


@dataclass(frozen=True)
class Row:
    """A method with a budget: a line of a table."""

    label: str
    jobs: tuple[Job, ...]
    results: tuple[Result, ...]

    @property
    def whole(self) -> bool:
        """Whether every run of it is there."""
        return len(self.results) == len(self.jobs)

    def of(self, data: str) -> list[Result]:
        """The results on a data set."""
        return [result for result in self.results if result.job.data == data]

    def runs(self, sets: Sequence[str]) -> list[list[tuple[float, ...]]]:
        """For each data set the normalised scores of each run's episodes."""
        return [[result.scores for result in self.of(data) if result.scores is not None] for data in sets]

    def scores(self, sets: Sequence[str]) -> list[Float[ndarray, "_"]]:
        """For each data set the score of each run."""
        return [np.array([np.mean(episodes) for episodes in runs]) for runs in self.runs(sets)]

    @property
    def seconds(self) -> float | None:
        """Mean seconds of training; None where a run recorded none."""
        found = [result.seconds for result in self.results if result.seconds is not None]
        return float(np.mean(found)) if found and len(found) == len(self.results) else None


@dataclass(frozen=True)
class Summary:
    """A row's interquartile mean over all runs of all data sets, with the ends of its interval."""

    row: Row
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """Rows over the same data sets."""

    title: str
    sets: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def scored(self) -> tuple[str, ...]:
        """The data sets whose scores are normalised, so that they can be averaged."""
        found = [result for row in self.rows for result in row.results]
        return tuple(
            data
            for data in self.sets
            if all(result.scores is not None for result in found if result.job.data == data)
            and any(result.job.data == data for result in found)
        )

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """The rows that have a score on every one of these sets and lack no run, the best first."""
        found = []
        for row in self.rows:
            if not row.whole or not self.scored or not all(row.of(data) for data in self.scored):
                continue
            low, high = statistics.interval([row.runs(self.scored)], statistics.interquartile_mean)
            found.append(
                Summary(row, float(statistics.interquartile_mean(row.scores(self.scored))), low, high)
            )
        return tuple(sorted(found, key=lambda summary: -summary.mean))

    @cached_property
    def improvements(self) -> tuple[tuple[Summary, float, float, float], ...]:
        """For each row but the first of `summaries`: P(first > row), with the ends of its interval."""
        if len(self.summaries) < 2:
            return ()
        first, sets = self.summaries[0], self.scored
        found = []
        for other in self.summaries[1:]:
            pair = first.row, other.row
            chance = float(statistics.probability_of_improvement(*(row.scores(sets) for row in pair)))
            low, high = statistics.interval(
                [row.runs(sets) for row in pair], statistics.probability_of_improvement
            )
            found.append((other, chance, low, high))
        return tuple(found)


def read_result(job: Job, places: Places) -> Result | None:
    """The result of a run; None where it has not finished.

    Raises:
        UserError: a record that is none.
    """
    path = places.record(job)
    if path is None:
        return None
    record = read_evaluation(read_text(path), str(path), path.stem)
    last = _last_line(path.parent / "metrics.jsonl") or _last_line(places.run(job) / "metrics.jsonl")
    seconds, update = last.get("seconds"), last.get("update")
    finished = places.finished(job)
    times = Fields.parse(read_text(finished), str(finished))
    return Result(
        job,
        record,
        None if seconds is None else float(seconds),
        None if update is None else int(update),
        times.number("cpu_seconds") / times.number("seconds"),
    )


def _last_line(path: Path) -> dict[str, Any]:
    """The last line of a run's metrics; empty where there is none."""
    if not path.is_file():
        return {}
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    return dict(Fields.parse(lines[-1], str(path)).raw) if lines else {}


def read_table(title: str, jobs: Sequence[Job], places: Places) -> Table:
    """The rows of a table, method by method, with what has finished."""
    sets = tuple(dict.fromkeys(job.data for job in jobs))
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.method, job.budget), []).append(job)
    budgets = {budget for _, budget in groups}
    rows = []
    for (method, budget), each in groups.items():
        results = [result for job in each if (result := read_result(job, places)) is not None]
        label = method if len(budgets) == 1 else f"{method}, {budget}"
        rows.append(Row(label, tuple(each), tuple(results)))
    return Table(title, sets, tuple(rows))
