"""The page of a comparison: tables and figures in one HTML file with all it needs inside."""

import functools
from collections.abc import Mapping, Sequence
from html import escape

from gac.compare import figures
from gac.compare.results import Table
from gac.compare.tables import CHANCE_TEXT, SCORES_TEXT, cells, headings, notes
from gac.report.page import page, picture, wrap
from gac.report.page import table as html_table

CAPTIONS = {
    "means": (
        "Interquartile means",
        "Over all runs of all data sets, with 95 % intervals. Where two intervals overlap, these runs do not "
        "show which method is better.",
    ),
    "profiles": ("Performance profiles", "Of two curves, the higher one is better at that score."),
    "improvement": ("Probability of improvement", CHANCE_TEXT),
    "time": (
        "Scores against wall time",
        "Mean minutes of training of each method's runs; evaluation is left out.",
    ),
}


def comparison_page(
    tables: Sequence[Table], failures: Mapping[str, str], command: str, specification: str
) -> str:
    """The whole page.

    Args:
        tables: in the order of the specification.
        failures: why runs failed, by their names.
        command: that made it.
        specification: the file's text.
    """
    parts = ["<header><p>Comparison</p><h1>Methods side by side</h1></header>"]
    parts += [_section(table) for table in tables]
    if failures:
        items = "".join(
            f"<li><code>{wrap(name)}</code>: {escape(why)}</li>" for name, why in failures.items()
        )
        parts.append(f"<section><h2>Failed runs</h2><ul>{items}</ul></section>")
    made = f"<pre><code>{escape(command)}</code></pre>"
    parts.append(
        f"<section><h2>Provenance</h2>{made}<p class=note>{escape(_versions(tables))}</p>"
        f"<details><summary>Specification</summary><pre><code>{escape(specification)}</code></pre></details>"
        "</section>"
    )
    return page("GAC: methods side by side", "\n".join(parts))


def _section(table: Table) -> str:
    drawn = {
        "means": figures.interquartile_means,
        "profiles": figures.profiles,
        "improvement": figures.improvements,
        "time": figures.against_time,
    }
    pictures = "".join(
        picture(key, CAPTIONS[key], functools.partial(draw, table)) for key, draw in drawn.items()
    )
    words = " ".join([SCORES_TEXT, *notes(table)])
    return (
        f"<section><h2>{escape(table.title)}</h2>{html_table(headings(table), cells(table), 'queries')}"
        f"<p class=note>{escape(words)}</p><div class=figures>{pictures}</div></section>"
    )


def _versions(tables: Sequence[Table]) -> str:
    """The versions that the runs' records name, each once."""
    found = {
        f"{name} {value}"
        for table in tables
        for row in table.rows
        for result in row.results
        for name, value in result.record.versions.items()
    }
    return f"Versions: {', '.join(sorted(found))}." if found else "No run has finished."
