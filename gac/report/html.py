"""One self-contained HTML page about one run or several: tables, figures, notes and provenance."""

import functools
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gac.envs.specification import Environment
from gac.errors import UserError
from gac.files import write_text
from gac.report.consistency import (
    achieved_limits,
    actor_consistency,
    consistency_table_html,
    critic_consistency,
    critic_table_html,
    estimated_limits,
)
from gac.report.credit import credit_along
from gac.report.figures import (
    achieved_span,
    dynamics_span,
    inference_dynamics,
    objective_curves,
    predicted_against_achieved,
    promised_span,
    return_distributions,
    training_health,
)
from gac.report.page import definitions, page, picture, refuse_folder, wrap
from gac.report.provenance import commands, flatten, notes
from gac.report.runs import Run, labels, read_run, run_folders, seeds_of
from gac.report.stages import stage_returns, stages_span, stages_table_html
from gac.report.style import Theme
from gac.report.tables import NOTHING, mean_std, plans_table_html, query_table_html
from gac.report.variants import variants_table_html

QUERIES_TEXT = """Returns are raw and undiscounted, normalised ones run from 0 (random) to 100 (expert);
both are mean ± standard deviation over episodes. Predicted is the critic's mean return of the plans, before
acting. Predicted over achieved is this method's honesty check: 1.00 keeps its promises, more is too much."""
SEEDS_TEXT = """The rows of several seeds are mean ± standard deviation over the means of the seeds."""

CAPTIONS = {
    "distributions": (
        "Return distributions",
        "Kernel densities, each scaled to its own peak; below, a tick per episode and a marker at the mean.",
    ),
    "promises": (
        "Predicted against achieved return",
        "A point per episode, a large marker at each query's mean. On the dashed line the promise was kept.",
    ),
    "dynamics": (
        "Inference dynamics",
        "Mean predicted return along each query's optimisation; right of the line, what its episodes "
        "achieved. The prior query optimises nothing.",
    ),
    "actor": (
        "Consistency of the actor",
        "Achieved return against the return that was commanded: a point per episode, bars from the 10th to "
        "the 90th percentile, a marker at the mean. On the dashed line the command was met. Below, the "
        "density of the data's returns: where it ends, the model was never shown what is asked of it.",
    ),
    "critic": (
        "Consistency of the critic",
        "p(y | τ) of the same trajectories, with the plan inferred from the trajectory alone, against what "
        "they earned; a point per episode. Commands beyond the 95th percentile of the data are set apart.",
    ),
    "stages": (
        "Stages of fine-tuning",
        "Returns that each stage aimed at, what its plans achieved, and exploit after it: a point per "
        "episode, bars from the 10th to the 90th percentile, a marker at the mean.",
    ),
    "credit": (
        "Learned credit",
        "Reward of each step, learned from returns alone, along the logged episode of the highest return; "
        "beside it the true reward, where the data has one, which training never saw. Below, their sums.",
    ),
    "objective": (
        "The objective",
        "Means over the batch, against updates. Where early values are extreme the axis leaves them out.",
    ),
    "critics": (
        "Critics and weights",
        "Means over minibatches. Values are discounted, so they are no returns.",
    ),
    "health": (
        "Posterior and prior",
        "In standardised units; the prior predictive of y looks like the data where it meets the dashes.",
    ),
}


def write_report(runs: Sequence[Path], out: Path) -> None:
    """Write one HTML page that needs nothing else: no network, no script, no file beside it.

    Args:
        runs: Folders of runs, or of the seeds of one; several are compared side by side.
        out: The page to write; it appears whole or not at all.

    Raises:
        UserError: no run, a run twice, a folder that is no whole run, or an `out` that is a folder.
    """
    if not runs:
        raise UserError(
            "no run is given, expected one or more folders; give the folder that gac train --out wrote"
        )
    runs = [run for path in runs for run in run_folders(path)]
    for index, path in enumerate(runs):
        if path.resolve() in {other.resolve() for other in runs[:index]}:
            raise UserError(f"{path} is given twice, expected different runs; leave one out")
    refuse_folder(out, "report.html")
    page = render([read_run(path) for path in runs])
    write_text(out, page)


def render(runs: Sequence[Run]) -> str:
    """The page's text; the same runs give the same text."""
    names = labels(runs)
    body = (
        f"<header><p>{escape(', '.join(_methods(runs)))}</p><h1>{wrap(', '.join(names))}</h1></header>",
        _columns(runs, names, "facts", _facts),
        f"<section><h2>Queries</h2>{query_table_html(runs)}<p class=note>{_queries_text(runs)}</p></section>",
        f"<section><h2>Behaviour</h2>{_behaviour(runs, names)}</section>",
        _variants(runs, names),
        _consistency(runs, names),
        _stages(runs, names),
        f"<section><h2>Training</h2>{_training(runs)}{_credit(runs, names)}</section>",
        f"<section><h2>Notes</h2>{_columns(runs, names, 'notes', _notes)}</section>",
        f"<section><h2>Provenance</h2>{_columns(runs, names, 'provenance', _provenance)}"
        f"{_settings(runs, names)}</section>",
    )
    return page(f"GAC: {', '.join(names)}", "\n".join(body))


def _methods(runs: Sequence[Run]) -> list[str]:
    """The names in full of the runs' methods, each once."""
    return list(dict.fromkeys(run.method.words for run in runs))


def _queries_text(runs: Sequence[Run]) -> str:
    return f"{QUERIES_TEXT} {SEEDS_TEXT}" if seeds_of(runs) else QUERIES_TEXT


def _columns(runs: Sequence[Run], names: Sequence[str], kind: str, content: Callable[[Run], str]) -> str:
    """The same content for each run, side by side, with the runs' names where there are several."""
    heads = [f"<h3>{wrap(name)}</h3>" if len(runs) > 1 else "" for name in names]
    parts = "".join(f"<div>{head}{content(run)}</div>" for head, run in zip(heads, runs, strict=True))
    return f'<div class="{kind} {"columns" if len(runs) > 1 else "single"}">{parts}</div>'


def _facts(run: Run) -> str:
    returns = np.asarray(run.data.returns)
    updates, seconds, heldout = (run.metrics.last(key) for key in ("update", "seconds", "heldout_elbo"))
    facts = {
        "data": run.data.name,
        "environment": str(Environment.of(run.data) or "unknown"),
        "episodes": f"{run.data.episodes} ({run.data.steps} steps)",
        "return of the data": mean_std(float(returns.mean()), float(returns.std())),
        "updates": NOTHING if updates is None else f"{updates:.0f}",
        "training": NOTHING if seconds is None else f"{seconds / 60:.1f} min",
    }
    if run.credit is not None:
        facts["rewards"] = run.credit.words().removeprefix("rewards: ")
    if run.config.method == "gac":
        facts["held-out ELBO"] = NOTHING if heldout is None else f"{heldout:.1f}"
    return definitions(facts)


def _behaviour(runs: Sequence[Run], labelled: Sequence[str]) -> str:
    """The figures of a run's episodes; those of several runs share their axes, so that they compare."""
    names = labelled if len(runs) > 1 else [None]
    achieved, promised, dynamics = (span(runs) for span in (achieved_span, promised_span, dynamics_span))
    asked = any(record.predicted_returns for run in runs for record in run.queries)
    traced = any(len(record.trace) > 1 for run in runs for record in run.queries)
    # What to draw, whether there is anything to draw it from, how, and what follows the words below it.
    rows: list[tuple[str, bool, Callable[[Run, Theme], Figure], Callable[[Run], str]]] = [
        ("distributions", True, lambda run, theme: return_distributions(run, theme, achieved), _no_more),
        ("promises", asked, lambda run, theme: predicted_against_achieved(run, theme, promised), _no_more),
        ("dynamics", traced, lambda run, theme: inference_dynamics(run, theme, dynamics), plans_table_html),
    ]
    pictures = [
        [
            picture(key, CAPTIONS[key], functools.partial(draw, run), name, extra(run))
            for run, name in zip(runs, names, strict=True)
        ]
        for key, shown, draw, extra in rows
        if shown
    ]
    if len(runs) == 1:
        return f'<div class="figures">{"".join(picture for row in pictures for picture in row)}</div>'
    return "".join(f'<div class="figures compared">{"".join(row)}</div>' for row in pictures)


def _no_more(run: Run) -> str:
    return ""


VARIANTS_TEXT = """Returns are means with 95 % confidence intervals over episodes (normal approximation).
Gained is the mean difference to never replanning on the same environments under the same disturbance, episode
by episode. Milliseconds are the policy's, replanning and compilation included, per environment step."""


def _variants(runs: Sequence[Run], names: Sequence[str]) -> str:
    if not any(run.variants for run in runs):
        return ""
    tables = _columns(runs, names, "variants", variants_table_html)
    return f"<section><h2>Replanning and disturbances</h2>{tables}<p class=note>{VARIANTS_TEXT}</p></section>"


def _consistency(runs: Sequence[Run], labelled: Sequence[str]) -> str:
    """The figures of the sweeps; those of several runs share their axes."""
    swept = [(run, name) for run, name in zip(runs, labelled, strict=True) if run.consistency is not None]
    if not swept:
        return ""
    with_sweep = [run for run, _ in swept]
    achieved, estimated = achieved_limits(with_sweep), estimated_limits(with_sweep)
    rows: list[tuple[str, Callable[[Run, Theme], Figure], Callable[[Run], str]]] = [
        ("actor", lambda run, theme: actor_consistency(run, theme, *achieved), consistency_table_html),
        ("critic", lambda run, theme: critic_consistency(run, theme, estimated), critic_table_html),
    ]
    pictures = "".join(
        picture(key, CAPTIONS[key], functools.partial(draw, run), name if len(runs) > 1 else None, extra(run))
        for key, draw, extra in rows
        for run, name in swept
    )
    return f'<section><h2>Consistency</h2><div class="figures compared">{pictures}</div></section>'


def _stages(runs: Sequence[Run], labelled: Sequence[str]) -> str:
    """The figures of the fine-tuned runs; they share the axis of returns."""
    tuned = [(run, name) for run, name in zip(runs, labelled, strict=True) if run.stages]
    if not tuned:
        return ""
    span = stages_span([run for run, _ in tuned])
    pictures = "".join(
        picture(
            "stages",
            CAPTIONS["stages"],
            functools.partial(stage_returns, run, span=span),
            name if len(runs) > 1 else None,
            stages_table_html(run),
        )
        for run, name in tuned
    )
    return f'<section><h2>Fine-tuning</h2><div class="figures compared">{pictures}</div></section>'


def _training(runs: Sequence[Run]) -> str:
    if not any(run.metrics.lines for run in runs):
        return "<p class=note>No metrics were recorded.</p>"
    pictures = []
    for method in _methods(runs):
        alike = [run for run in runs if run.method.words == method]
        health = CAPTIONS["health" if alike[0].config.method == "gac" else "critics"]
        pictures += [
            picture("objective", CAPTIONS["objective"], functools.partial(objective_curves, alike)),
            picture("health", health, functools.partial(training_health, alike)),
        ]
    return f'<div class="figures">{"".join(pictures)}</div>'


def _credit(runs: Sequence[Run], labelled: Sequence[str]) -> str:
    """A figure for each run whose rewards were learned."""
    pictures = "".join(
        picture(
            "credit",
            CAPTIONS["credit"],
            functools.partial(credit_along, run.credit),
            name if len(runs) > 1 else None,
        )
        for run, name in zip(runs, labelled, strict=True)
        if run.credit is not None
    )
    return f'<div class="figures">{pictures}</div>' if pictures else ""


def _notes(run: Run) -> str:
    found = notes(run)
    items = "".join(f"<li>{wrap(note)}</li>" for note in found)
    return (
        f"<ul>{items}</ul>"
        if found
        else f"<p class=note>{'All four queries were evaluated; n' * bool(run.method.queries) or 'N'}othing "
        "was left out.</p>"
    )


def _provenance(run: Run) -> str:
    environments = {
        f"{record.environment}, MuJoCo {record.versions.get('mujoco', 'unknown')}" for record in run.queries
    }
    versions = {
        ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))
        for record in run.queries
    }
    facts = {
        "folder": str(run.path),
        "environment": "; ".join(sorted(environments)) or "none: no query was evaluated",
        "versions": "; ".join(sorted(versions)) or "none: no query was evaluated",
        "seeds": f"training {run.config.seed}"
        + "".join(f", {record.query} {record.seed}" for record in run.queries),
    }
    shell = "\n".join(escape(line) for line in commands(run))
    return f"{definitions(facts)}<pre><code>{shell}</code></pre>"


def _settings(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Every setting of every run; where runs differ the row is marked, and the table is open."""
    settings = [flatten(run.config) for run in runs]
    rows = []
    for key in dict.fromkeys(key for each in settings for key in each):
        values = [str(each.get(key, NOTHING)) for each in settings]
        differs = len(set(values)) > 1
        cells = "".join(f"<td>{escape(value)}</td>" for value in values)
        rows.append(f"<tr{' class=differs' if differs else ''}><th scope=row>{escape(key)}</th>{cells}</tr>")
    head = "".join(f"<th scope=col>{wrap(name)}</th>" for name in names)
    differing = "" if len(runs) == 1 else "; marked where the runs differ"
    return (
        f"<details{' open' if len(runs) > 1 else ''}><summary>Settings{differing}</summary><div class=scroll>"
        f"<table class=settings><thead><tr><th scope=col>setting</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )
