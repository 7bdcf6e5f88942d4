"""Where a run's numbers come from, and what a reader should know before believing them."""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from gac.config import OnlineConfig, Settings
from gac.envs.specification import Environment
from gac.methods import METHODS
from gac.records import Consistency, Evaluation
from gac.report.runs import Run

FEW_EPISODES = 20
"""With fewer episodes the spread of a query's returns says little."""


def commands(run: Run) -> list[str]:
    """The commands that make the run's records again, as far as its files tell."""
    out = shlex.quote(str(run.path))
    lines = [_training(run) if run.finetuning is None else _finetuning(run, *run.finetuning)]
    for record in (*run.queries, *run.variants):
        asked = f"--query {shlex.quote(record.query)}" if record.steps is None else f"--steps {record.steps}"
        words = f"gac evaluate {out} {asked} --episodes {len(record.returns)}"
        y_star = "Y" if record.y_star is None else f"{record.y_star:g}"
        target = f" --target {y_star}" if record.query == "target" else ""
        replan = "" if record.replan == "never" else f" --replan {shlex.quote(record.replan)}"
        disturb = "" if record.disturb is None else f" --disturb {shlex.quote(record.disturb)}"
        how = f"{target}{replan}{disturb}"
        lines.append(f"{words}{_environment(record)} --seed {record.seed}{how}")
    if (swept := run.consistency) is not None:
        words = f"gac consistency {out} --values {len(swept.commanded)} --episodes {len(swept.returns[0])}"
        lines.append(f"{words}{_environment(swept)} --seed {swept.seed}")
    return lines


def _environment(record: Evaluation | Consistency) -> str:
    """The flag of what was played in; a specification, which no flag holds, comes with the data."""
    return "" if record.env_spec is not None else f" --env-id {shlex.quote(record.env_id)}"


def _training(run: Run) -> str:
    data, out, config = shlex.quote(run.data.name), shlex.quote(str(run.path)), run.config
    updates = run.metrics.last("update")
    limit = "" if updates is None else f" --updates {int(updates)}"
    method = "" if config.method == "gac" else f"--method {config.method} "
    basis = f"{method}--preset {shlex.quote(config.preset)} --seed {config.seed}"
    return f"gac train {data} --out {out} {basis}{changed_flags(config)}{limit}"


def _finetuning(run: Run, began: Mapping[str, Any], config: OnlineConfig) -> str:
    usual = dataclasses.asdict(OnlineConfig())
    changed = {name: value for name, value in dataclasses.asdict(config).items() if usual.get(name) != value}
    plain = began.get("env_id") is not None and began.get("env_spec") is None
    environment = f" --env-id {shlex.quote(began['env_id'])}" if plain else ""
    # An agent that was not loaded from a run has no folder to name.
    words = f"gac finetune {shlex.quote(began.get('run') or 'RUN')} --out {shlex.quote(str(run.path))}"
    flags = "".join(_flag(name, value) for name, value in changed.items())
    return f"{words} --data {shlex.quote(run.data.name)}{environment}{flags}"


def changed_flags(config: Settings) -> str:
    """The flags of `gac train` that turn the configuration's preset into it, but for the seed."""
    method = METHODS[config.method]
    known = flatten(method.preset(config.preset)) if config.preset in method.presets else {}
    changed = {
        key: value
        for key, value in flatten(config).items()
        if key not in ("preset", "seed") and known.get(key) != value
    }
    return "".join(_flag(key.split(".")[-1], value) for key, value in changed.items())


def _flag(name: str, value: Any) -> str:
    words = name.replace("_", "-")
    if isinstance(value, bool):
        return f" --{words}" if value else f" --no-{words}"
    return f" --{words} {value}"


def flatten(config: Settings) -> dict[str, Any]:
    """Every setting by its dotted name, in the configuration's order."""
    values: dict[str, Any] = {}
    for key, value in dataclasses.asdict(config).items():
        values |= (
            {f"{key}.{name}": item for name, item in value.items()}
            if isinstance(value, dict)
            else {key: value}
        )
    return values


def notes(run: Run) -> list[str]:
    """Honest notes: what is not there, what was left out, and which numbers to take with care."""
    return [
        *_training_notes(run),
        *_missing_notes(run),
        *_sweep_notes(run),
        *(note for record in run.queries for note in _record_notes(run, record)),
    ]


def _training_notes(run: Run) -> list[str]:
    found = []
    if not run.metrics.lines:
        found.append("No metrics were recorded, so there are no training curves.")
    if run.metrics.cut_off:
        found.append("The last line of metrics.jsonl was cut off, as by a kill; it is left out.")
    if run.config.method == "gac" and run.metrics.lines and run.metrics.last("heldout_elbo") is None:
        found.append("The held-out ELBO was not computed.")
    spoilt = sorted({key for line in run.metrics.lines for key, value in line.items() if _not_finite(value)})
    if spoilt:
        found.append(f"Not finite at some updates, and left out of the curves there: {', '.join(spoilt)}.")
    return found


def _missing_notes(run: Run) -> list[str]:
    out = shlex.quote(str(run.path))
    if not run.method.queries and not run.queries:
        return [f"The run was not evaluated; to evaluate it: gac evaluate {out}"]
    return [
        f"{query} was not evaluated; to add it: gac evaluate {out} --query {query}"
        + (" --target Y" if query == "target" else "")
        for query in run.missing
    ]


def _sweep_notes(run: Run) -> list[str]:
    data_env, swept = Environment.of(run.data), run.consistency
    if swept is None or data_env in (None, swept.environment):
        return []
    return [
        f"consistency: commanded on {swept.environment}, the data is from {data_env}; their returns may not "
        "compare."
    ]


def _record_notes(run: Run, record: Evaluation) -> list[str]:
    data_env, env = Environment.of(run.data), record.environment
    ratio, converged = record.ratio, record.converged
    found = []
    count = len(record.returns)
    if count < FEW_EPISODES:
        found.append(f"{count} episode{'' if count == 1 else 's'} only; mean and spread are uncertain.")
    if data_env is not None and env != data_env:
        found.append(f"evaluated on {env}, the data is from {data_env}; their returns may not compare.")
    if record.normalized_mean is None:
        found.append(f"{env} has no reference scores, so the return is not normalised.")
    if ratio is not None and ratio > 1.5:
        found.append(
            f"predicts {ratio:.1f} times what it achieves: its plans have left what the model knows."
        )
    # Where draws or far aims keep the plans moving, the falling rate ends them.
    if converged is not None and converged < 0.5 and record.query == "exploit":
        found.append(f"{converged:.0%} of the plans met the stop threshold; the others ran out of steps.")
    return [f"{record.query}: {note}" for note in found]


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and (value != value or abs(value) == float("inf"))
