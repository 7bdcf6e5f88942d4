"""What a run's folder tells of its data and evaluations: the records, written as JSON and read strictly."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.config import OnlineConfig
from gac.data.environment import reach_of
from gac.data.episodes import Episodes
from gac.envs.specification import Environment, checked_spec
from gac.errors import UserError
from gac.json_fields import Fields, read_text

ONLINE_SCHEMA = 7
"""Schema of online.json."""


SEED_FOLDER = re.compile(r"seed-(\d+)", re.ASCII)
"""Name of the run of a seed, in the folder of a training of several."""
_NAMED_SEEDS = 4


def seed_folders(folder: Path) -> list[Path]:
    """The runs that `gac train --seeds` left in a folder, by their seeds; none where it is no such folder."""
    found = [
        (int(match[1]), path)
        for path in folder.glob("seed-*")
        if (match := SEED_FOLDER.fullmatch(path.name)) and (path / "config.json").is_file()
    ]
    return [path for _, path in sorted(found)]


def no_run(folder: Path) -> UserError:
    """Why a folder without config.json is no run, and which one to give."""
    if seeds := seed_folders(folder):
        named = ", ".join(map(str, seeds[:_NAMED_SEEDS])) + ", …" * (len(seeds) > _NAMED_SEEDS)
        return UserError(
            f"{folder} holds the runs of {len(seeds)} seeds, expected one run; give one of {named}"
        )
    return UserError(f"{folder} holds no run (no config.json); give the folder that gac train --out wrote")


@dataclass(frozen=True)
class DataFacts:
    """What a run tells of the data that it was trained on; data.json."""

    name: str
    env_id: str | None
    episodes: int
    steps: int
    returns: tuple[float, ...]
    """Raw and undiscounted."""
    lengths: tuple[int, ...]
    collected: int = 0
    """How many of the episodes, the last ones, were collected in fine-tuning; none of them is held out."""
    env_spec: str | None = None
    """JSON of Gymnasium's specification of the environment, where it is more than `env_id`."""
    action_shape: tuple[tuple[float, ...], ...] = ()
    """`gac.data.environment.Reach.shape` of the actions; empty in older records."""
    added: int = 0
    """How many of those before the collected ones, the last of them, fine-tuning found added to the data of
    the run that it began with; none of them is held out."""

    @property
    def shared_out(self) -> int:
        """How many of the episodes, the first ones, were shared out into training and held-out ones."""
        return self.episodes - self.collected - self.added

    def to_json(self) -> str:
        """The facts as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of(cls, episodes: Episodes, collected: int = 0, added: int = 0) -> "DataFacts":
        """The facts of a data set, or of a buffer whose last `collected` episodes are from fine-tuning and
        whose last `added` ones before these were added to the data set."""
        return cls(
            episodes.name,
            episodes.env_id,
            episodes.num_episodes,
            episodes.num_steps,
            tuple(episodes.returns.tolist()),
            tuple(episodes.lengths.tolist()),
            collected,
            episodes.env_spec,
            tuple(map(tuple, reach_of(episodes.actions).shape.tolist())),
            added,
        )


@dataclass(frozen=True)
class Evaluation:
    """The record of an evaluation, which is also the JSON file eval-<query>.json."""

    query: str
    env_id: str
    seed: int
    returns: tuple[float, ...]
    """Achieved, raw and undiscounted, one per episode."""
    lengths: tuple[int, ...]
    predicted_returns: tuple[float, ...]
    """Expected return of each episode's plan, raw; empty where the method predicts none."""
    mean: float
    std: float
    normalized_mean: float | None
    """0 to 100; None where no reference exists."""
    normalized_std: float | None
    plan_seconds: float
    """Wall-clock seconds of all queries, compilation included."""
    steps_per_second: float
    """Environment steps per second of acting, planning excluded."""
    trace: tuple[float, ...]
    """Mean predicted return along the query's steps, raw."""
    converged: float | None
    """Share of the plans that met the stop threshold."""
    query_steps: float | None
    """Mean number of steps of the query."""
    y_star: float | None
    """The return that a target query aimed at, raw."""
    versions: Mapping[str, str]
    replan: str = "never"
    """When new plans were inferred within an episode: never, every:N, trigger:RATE:SIGNAL."""
    disturb: str | None = None
    """What disturbed the environment: push:X, noise:X."""
    replans: tuple[int, ...] = ()
    """New plans inferred within each episode; empty in records from before there were any."""
    replan_seconds: float = 0.0
    """Wall-clock seconds of inferring these, compilation included."""
    ms_per_step: float | None = None
    """Milliseconds of the policy, replanning included, per environment step."""
    quantile: float | None = None
    """Of the returns that an explore query drew its aims above."""
    delta_y: float | None = None
    """What it added to them, in standard deviations of the data's returns."""
    env_spec: str | None = None
    """JSON of Gymnasium's specification of the environment, where it is more than `env_id`."""
    steps: int | None = None
    """Sampling steps K of a decision, for a run of gtp."""
    commit: str | None = None
    """Commit of the code that played; None outside a checkout."""
    machine: str | None = None
    """Processor, cores and operating system."""
    config: Mapping[str, Any] | None = None
    """The whole configuration of the run; None where another library trained."""

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @property
    def stem(self) -> str:
        """The name of its file, without the suffix."""
        parts = [self.query] + [self.replan] * (self.replan != "never") + [self.disturb] * bool(self.disturb)
        return "eval-" + "-".join(str(part).replace(":", "_") for part in parts)

    @property
    def environment(self) -> Environment:
        """What was played in."""
        return Environment(self.env_id, self.env_spec)

    @property
    def plain(self) -> bool:
        """Whether it tells of one plan an episode, undisturbed: what queries are compared by."""
        return self.replan == "never" and self.disturb is None

    @property
    def predicted_mean(self) -> float | None:
        """Mean predicted return, raw and undiscounted; None where none is predicted."""
        return float(np.mean(self.predicted_returns)) if self.predicted_returns else None

    @property
    def ratio(self) -> float | None:
        """Predicted over achieved mean return; None where a ratio says nothing (not both positive)."""
        predicted = self.predicted_mean
        return predicted / self.mean if predicted is not None and self.mean > 0 and predicted > 0 else None


@dataclass(frozen=True)
class Consistency:
    """What was commanded, achieved and recognised over a sweep of target returns; consistency.json.

    Returns are raw and undiscounted; the inner tuples have a number per episode, in the order of `commanded`.
    """

    env_id: str
    seed: int
    commanded: tuple[float, ...]
    """Targets y*, rising."""
    usual: float
    """The return up to which commands count as in distribution: a high quantile of the data's."""
    returns: tuple[tuple[float, ...], ...]
    """Achieved."""
    predicted_returns: tuple[tuple[float, ...], ...]
    """mu_gamma(z_y) of each plan, before acting."""
    estimated_returns: tuple[tuple[float | None, ...], ...]
    """Mean of p(y | tau) of each collected trajectory; None for one of a single step."""
    estimated_stds: tuple[tuple[float | None, ...], ...]
    """Its standard deviation."""
    versions: Mapping[str, str]
    env_spec: str | None = None
    """JSON of Gymnasium's specification of the environment, where it is more than `env_id`."""

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @property
    def environment(self) -> Environment:
        """What was played in."""
        return Environment(self.env_id, self.env_spec)

    def judged(self, *, usual: bool) -> tuple[Float[ndarray, "points"], ...]:
        """Achieved returns, estimates and their stds of the commands in distribution, or of those beyond."""
        rows = [
            (y, estimate, std)
            for commanded, *columns in zip(
                self.commanded, self.returns, self.estimated_returns, self.estimated_stds, strict=True
            )
            if (commanded <= self.usual) == usual
            for y, estimate, std in zip(*columns, strict=True)
            if estimate is not None
        ]
        return tuple(np.array(rows, np.float64).reshape(-1, 3).T)


def read_consistency(path: Path) -> Consistency:
    """Read consistency.json.

    Raises:
        UserError: not JSON, a missing field, lists of different lengths.
    """
    fields = Fields.parse(read_text(path), str(path))
    record = Consistency(
        env_id=fields.words("env_id"),
        seed=fields.whole("seed"),
        commanded=fields.numbers("commanded"),
        usual=fields.number("usual"),
        returns=fields.table("returns"),
        predicted_returns=fields.table("predicted_returns"),
        estimated_returns=fields.table("estimated_returns", holes=True),
        estimated_stds=fields.table("estimated_stds", holes=True),
        versions=fields.versions("versions"),
        env_spec=_spec(fields),
    )
    shapes = {
        tuple(map(len, table))
        for table in (
            record.returns,
            record.predicted_returns,
            record.estimated_returns,
            record.estimated_stds,
        )
    }
    if len(shapes) > 1 or len(record.commanded) != len(record.returns) or not record.commanded:
        raise UserError(
            f"{path}: the tables do not have one row per command and one value per episode; "
            "make it again with gac consistency"
        )
    return record


def read_facts(path: Path) -> DataFacts:
    """Read data.json.

    Raises:
        UserError: no such file, not JSON, a missing field, lists of different lengths.
    """
    fields = Fields.parse(read_text(path), str(path))
    facts = DataFacts(
        name=fields.words("name"),
        env_id=fields.maybe_words("env_id"),
        episodes=fields.whole("episodes"),
        steps=fields.whole("steps"),
        returns=fields.numbers("returns"),
        lengths=tuple(map(int, fields.numbers("lengths"))),
        collected=fields.whole("collected") if "collected" in fields.raw else 0,
        added=fields.whole("added") if "added" in fields.raw else 0,
        env_spec=_spec(fields),
        action_shape=fields.table("action_shape") if "action_shape" in fields.raw else (),
    )
    if not facts.returns or not len(facts.returns) == len(facts.lengths) == facts.episodes:
        raise UserError(
            f"{fields.where}: episodes is {facts.episodes}, with {len(facts.returns)} returns and "
            f"{len(facts.lengths)} lengths, expected one of each per episode; restore the file or train again"
        )
    return facts


def read_evaluation(text: str, where: str, stem: str | None = None) -> Evaluation:
    """Read the JSON text of one evaluation; `stem` is its file's, which has to name the same query.

    Raises:
        UserError: not JSON, a missing field, a value of the wrong kind, lists of different lengths.
    """
    fields = Fields.parse(text, where)
    record = Evaluation(
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
        replan=fields.words("replan") if "replan" in fields.raw else "never",
        replans=tuple(map(int, fields.numbers("replans"))) if "replans" in fields.raw else (),
        replan_seconds=fields.number("replan_seconds") if "replan_seconds" in fields.raw else 0.0,
        ms_per_step=fields.maybe_number("ms_per_step"),
        disturb=fields.maybe_words("disturb"),
        env_spec=_spec(fields),
        steps=None if fields.raw.get("steps") is None else fields.whole("steps"),
        commit=fields.maybe_words("commit"),
        machine=fields.maybe_words("machine"),
        config=fields.maybe_object("config"),
        **{name: fields.maybe_number(name) for name in ("quantile", "delta_y")},
    )
    if record.replans and len(record.replans) != len(record.returns):
        raise UserError(
            f"{where}: replans has {len(record.replans)} values, expected one for each of "
            f"{len(record.returns)} episodes; evaluate again"
        )
    promised = record.predicted_returns or record.returns
    sizes = len(record.returns), len(record.lengths), len(promised)
    if min(sizes) < 1 or len(set(sizes)) > 1:
        raise UserError(
            f"{where}: returns, lengths and predicted_returns have {', '.join(map(str, sizes))} values, "
            "expected one of each per episode; evaluate again"
        )
    if stem is not None and stem != record.stem:
        said = "query" if record.plain else "query, replan and disturb"
        value = record.query if record.plain else f"{record.query}, {record.replan}, {record.disturb}"
        raise UserError(f"{where}: {said} is {value!r}, expected that of the file's name; evaluate again")
    return record


def _spec(fields: Fields) -> str | None:
    """The specification in a record, where it is one."""
    text = fields.maybe_words("env_spec")
    return None if text is None else checked_spec(text, fields.words("env_id"), fields.where)


def read_online(out: Path) -> tuple[dict[str, Any], OnlineConfig]:
    """What online.json holds: what the stages began with, and their settings.

    Raises:
        UserError: no such file, not JSON, another schema, unknown settings.
    """
    path = out / "online.json"
    try:
        saved = json.loads(read_text(path))
        version = saved.get("schema_version")
    except (json.JSONDecodeError, AttributeError) as error:
        raise UserError(f"{path} is not what fine-tuning wrote ({error}); restore the file") from None
    if version != ONLINE_SCHEMA:
        raise UserError(f"{path} has schema_version {version!r}, not {ONLINE_SCHEMA}; fine-tune anew")
    return saved, OnlineConfig.from_dict(saved.get("config"), f"{path}: config")
