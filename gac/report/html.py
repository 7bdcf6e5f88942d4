"""One self-contained HTML page about one run or several: tables, figures, notes and provenance."""

import base64
import functools
import io
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.figure import Figure

from gac.errors import UserError
from gac.files import write_text
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
from gac.report.provenance import commands, flatten, notes
from gac.report.runs import Run, labels, read_run
from gac.report.style import DARK, LIGHT, Theme
from gac.report.tables import NOTHING, mean_std, plans_table_html, query_table_html

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")

QUERIES_TEXT = """Returns are raw and undiscounted, normalised ones run from 0 (random) to 100 (expert);
both are mean ± standard deviation over episodes. Predicted is the critic's mean return of the plans, before
acting. Predicted over achieved is this method's honesty check: 1.00 keeps its promises, more is too much."""

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
    "objective": (
        "The objective",
        "Means over the batch, against updates. Where early values are extreme the axis leaves them out.",
    ),
    "health": (
        "Posterior and prior",
        "In standardised units; the prior predictive of y looks like the data where it meets the dashes.",
    ),
}


def write_report(runs: Sequence[Path], out: Path) -> None:
    """Write one HTML page that needs nothing else: no network, no script, no file beside it.

    Args:
        runs: Folders of runs; several are compared side by side.
        out: The page to write; it appears whole or not at all.

    Raises:
        UserError: no run, a run twice, a folder that is no whole run, or an `out` that is a folder.
    """
    if not runs:
        raise UserError(
            "no run is given, expected one or more folders; give the folder that gac train --out wrote"
        )
    for index, path in enumerate(runs):
        if path.resolve() in {other.resolve() for other in runs[:index]}:
            raise UserError(f"{path} is given twice, expected different runs; leave one out")
    if out.is_dir():
        raise UserError(
            f"--out {out} is a folder, expected a file; give a name such as {out / 'report.html'}"
        )
    page = render([read_run(path) for path in runs])
    write_text(out, page)


def render(runs: Sequence[Run]) -> str:
    """The page's text; the same runs give the same text."""
    names = labels(runs)
    title = escape(f"GAC: {', '.join(names)}")
    body = (
        f"<header><p>Generative Actor Critic</p><h1>{_wrap(', '.join(names))}</h1></header>",
        _columns(runs, names, "facts", _facts),
        f"<section><h2>Queries</h2>{query_table_html(runs)}<p class=note>{QUERIES_TEXT}</p></section>",
        f"<section><h2>Behaviour</h2>{_behaviour(runs, names)}</section>",
        f"<section><h2>Training</h2>{_training(runs)}</section>",
        f"<section><h2>Notes</h2>{_columns(runs, names, 'notes', _notes)}</section>",
        f"<section><h2>Provenance</h2>{_columns(runs, names, 'provenance', _provenance)}"
        f"{_settings(runs, names)}</section>",
    )
    style = files("gac.report").joinpath("report.css").read_text(encoding="utf-8")
    return PAGE.substitute(title=title, style=style, body="\n".join(body))


def _columns(runs: Sequence[Run], names: Sequence[str], kind: str, content: Callable[[Run], str]) -> str:
    """The same content for each run, side by side, with the runs' names where there are several."""
    heads = [f"<h3>{_wrap(name)}</h3>" if len(runs) > 1 else "" for name in names]
    parts = "".join(f"<div>{head}{content(run)}</div>" for head, run in zip(heads, runs, strict=True))
    return f'<div class="{kind} {"columns" if len(runs) > 1 else "single"}">{parts}</div>'


def _facts(run: Run) -> str:
    returns = np.asarray(run.data.returns)
    updates, seconds, heldout = (run.metrics.last(key) for key in ("update", "seconds", "heldout_elbo"))
    facts = {
        "data": run.data.name,
        "environment": run.data.env_id or "unknown",
        "episodes": f"{run.data.episodes} ({run.data.steps} steps)",
        "return of the data": mean_std(float(returns.mean()), float(returns.std())),
        "updates": NOTHING if updates is None else f"{updates:.0f}",
        "training": NOTHING if seconds is None else f"{seconds / 60:.1f} min",
        "held-out ELBO": NOTHING if heldout is None else f"{heldout:.1f}",
    }
    return _definitions(facts)


def _behaviour(runs: Sequence[Run], labelled: Sequence[str]) -> str:
    """The figures of a run's episodes; those of several runs share their axes, so that they compare."""
    names = labelled if len(runs) > 1 else [None]
    achieved, promised, dynamics = (span(runs) for span in (achieved_span, promised_span, dynamics_span))
    asked = any(run.queries for run in runs)
    traced = any(len(record.trace) > 1 for run in runs for record in run.queries)
    # What to draw, whether there is anything to draw it from, how, and what follows the words below it.
    rows: list[tuple[str, bool, Callable[[Run, Theme], Figure], Callable[[Run], str]]] = [
        ("distributions", True, lambda run, theme: return_distributions(run, theme, achieved), _no_more),
        ("promises", asked, lambda run, theme: predicted_against_achieved(run, theme, promised), _no_more),
        ("dynamics", traced, lambda run, theme: inference_dynamics(run, theme, dynamics), plans_table_html),
    ]
    pictures = [
        [
            _picture(key, functools.partial(draw, run), name, extra(run))
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


def _training(runs: Sequence[Run]) -> str:
    if not any(run.metrics.lines for run in runs):
        return "<p class=note>No metrics were recorded.</p>"
    pictures = (
        _picture("objective", lambda theme: objective_curves(runs, theme)),
        _picture("health", lambda theme: training_health(runs, theme)),
    )
    return f'<div class="figures">{"".join(pictures)}</div>'


def _picture(key: str, draw: Callable[[Theme], Figure], name: str | None = None, extra: str = "") -> str:
    """A figure in both themes; the page shows the one that fits the reader's."""
    title, words = CAPTIONS[key]
    of = "" if name is None else f"<span>{_wrap(name)}</span>"
    alternative = escape(f"{title}{'' if name is None else ', ' + name}. {words}")
    return (
        f'<figure class="{key}"><h3>{title}{of}</h3><picture>'
        f'<source media="screen and (prefers-color-scheme: dark)" srcset="{_embedded(draw(DARK), DARK)}">'
        f'<img src="{_embedded(draw(LIGHT), LIGHT)}" alt="{alternative}"></picture>'
        f"<figcaption>{words}{extra}</figcaption></figure>"
    )


def _embedded(figure: Figure, theme: Theme) -> str:
    """The figure as a data URI of an SVG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with theme.context():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _notes(run: Run) -> str:
    found = notes(run)
    items = "".join(f"<li>{_wrap(note)}</li>" for note in found)
    return (
        f"<ul>{items}</ul>"
        if found
        else "<p class=note>All four queries were evaluated; nothing was left out.</p>"
    )


def _provenance(run: Run) -> str:
    environments = {
        f"{record.env_id}, MuJoCo {record.versions.get('mujoco', 'unknown')}" for record in run.queries
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
    return f"{_definitions(facts)}<pre><code>{shell}</code></pre>"


def _settings(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Every setting of every run; where runs differ the row is marked, and the table is open."""
    settings = [flatten(run.config) for run in runs]
    rows = []
    for key in settings[0]:
        values = [str(each[key]) for each in settings]
        differs = len(set(values)) > 1
        cells = "".join(f"<td>{escape(value)}</td>" for value in values)
        rows.append(f"<tr{' class=differs' if differs else ''}><th scope=row>{escape(key)}</th>{cells}</tr>")
    head = "".join(f"<th scope=col>{_wrap(name)}</th>" for name in names)
    differing = "" if len(runs) == 1 else "; marked where the runs differ"
    return (
        f"<details{' open' if len(runs) > 1 else ''}><summary>Settings{differing}</summary><div class=scroll>"
        f"<table class=settings><thead><tr><th scope=col>setting</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _definitions(facts: dict[str, str]) -> str:
    return f"<dl>{''.join(_definition(key, value) for key, value in facts.items())}</dl>"


def _definition(key: str, value: str) -> str:
    return f"<div><dt>{escape(key)}</dt><dd>{_wrap(value)}</dd></div>"


def _wrap(text: str) -> str:
    """Escaped, with places where a long path or name may break."""
    return escape(text).replace("/", "/<wbr>")
