"""The tables of a comparison: the same cells for table.md and for the page."""

from collections.abc import Mapping, Sequence

import numpy as np

from gac.compare.results import Result, Row, Table
from gac.report.tables import NOTHING, mean_std

SCORES_TEXT = (
    "Scores are normalised, 0 for a random policy and 100 for D4RL's expert; ± is the standard deviation "
    "over seeds, or over the episodes of a single run, which is marked *. Where an environment has no "
    "reference, returns are raw, marked so, and left out of what follows. IQM is the interquartile mean over "
    "all runs of all sets, with a 95 % bootstrap interval over the runs of each set and the episodes of each "
    "run."
)
LEAST_SHARE = 0.8
"""Of a core's time; a run with less had not the budget that its minutes say."""
CHANCE_TEXT = (
    "P(improvement) is the chance that a run of the first method scores above one of the other on the same "
    "data set, averaged over the sets, with its 95 % interval."
)


def headings(table: Table) -> list[str]:
    """The first line of a table."""
    return ["method", "IQM", *table.sets, "training"]


def cells(table: Table) -> list[list[str]]:
    """The lines of a table, the highest interquartile mean first; rows that lack runs are last."""
    summaries = {summary.row.label: summary for summary in table.summaries}
    ordered = [summary.row for summary in table.summaries]
    ordered += [row for row in table.rows if row.label not in summaries]
    lines = []
    for row in ordered:
        found = summaries.get(row.label)
        iqm = NOTHING if found is None else f"{found.mean:.1f} [{found.low:.1f}, {found.high:.1f}]"
        lines.append([row.label, iqm, *(cell(row.of(data)) for data in table.sets), training(row)])
    return lines


def cell(results: Sequence[Result]) -> str:
    """A method's score on a data set."""
    if not results:
        return NOTHING
    scores = [result.scores for result in results]
    known = [each for each in scores if each is not None]
    raw = "" if len(known) == len(scores) else " raw"
    values = known if not raw else [result.record.returns for result in results]
    if len(values) == 1:
        return f"{mean_std(float(np.mean(values[0])), float(np.std(values[0])))}{raw} *"
    means = [float(np.mean(each)) for each in values]
    return f"{mean_std(float(np.mean(means)), float(np.std(means, ddof=1)))}{raw}"


def training(row: Row) -> str:
    """Minutes and updates of a row's runs."""
    updates = [result.updates for result in row.results if result.updates is not None]
    parts = [] if row.seconds is None else [f"{row.seconds / 60:.1f} min"]
    parts += [f"{np.mean(updates):,.0f} updates"] if updates else []
    return ", ".join(parts) or NOTHING


def improvement_cells(table: Table) -> list[list[str]]:
    """A line for each method but the first: the chance that the first beats it."""
    return [
        [summary.row.label, f"{chance:.2f} [{low:.2f}, {high:.2f}]"]
        for summary, chance, low, high in table.improvements
    ]


def sections(table: Table) -> list[str]:
    """The paragraphs of a table: the table, what to know of it, and the chances of improvement."""
    parts = [f"## {table.title}", _markdown(headings(table), cells(table)), *notes(table)]
    if table.improvements:
        first = table.summaries[0].row.label
        parts += [CHANCE_TEXT, _markdown(["against", f"P({first} improves)"], improvement_cells(table))]
    return parts


def to_markdown(tables: Sequence[Table], failures: Mapping[str, str], command: str) -> str:
    """table.md."""
    parts = ["# Comparison", f"Made by `{command}`.", SCORES_TEXT]
    for table in tables:
        parts += sections(table)
    if failures:
        parts += ["## Failed runs", "\n".join(f"- {name}: {why}" for name, why in failures.items())]
    return "\n\n".join(parts) + "\n"


def notes(table: Table) -> list[str]:
    """What a reader must know of the runs of a table."""
    lacking = [
        f"{row.label} lacks {len(row.jobs) - len(row.results)} of {len(row.jobs)} runs, so it has no mean."
        for row in table.rows
        if not row.whole
    ]
    shares = [result.core_share for row in table.rows for result in row.results]
    slow = [share for share in shares if share < LEAST_SHARE]
    if slow:
        lacking.append(
            f"{len(slow)} of {len(shares)} runs had less than {LEAST_SHARE:.0%} of a core's time, the least "
            f"{min(slow):.0%}: the machine was busy, and their minutes were shorter than they seem."
        )
    return lacking


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in (head, rule, *lines)
    )
