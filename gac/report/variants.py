"""The table of evaluations with replanning or disturbances, each beside never replanning."""

from collections.abc import Iterator
from html import escape
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich import box
from rich.table import Table
from rich.text import Text

from gac.records import Evaluation
from gac.report.runs import Run
from gac.report.style import colour
from gac.report.tables import NOTHING, several_environments

HEADINGS = ("query", "replan", "disturbed", "episodes", "return", "gained", "replans", "ms per step")
LEFT = ("query", "environment", "replan", "disturbed")
Z_95 = 1.96
"""Of a 95 % interval, normal approximation."""


def interval(values: Float[ndarray, "episodes"]) -> str:
    """`mean ± half width` of the 95 % confidence interval of the mean; the mean alone of one value."""
    mean = f"{values.mean():.1f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {Z_95 * values.std(ddof=1) / len(values) ** 0.5:.1f}"


def gained(record: Evaluation, baseline: Evaluation | None) -> str:
    """Mean difference to never replanning, episode by episode, with its interval; a dash without a pair.

    Both must have played the same environments under the same disturbance: episode i then has the same
    start and the same pushes, and the difference has less noise than the two means.
    """
    if baseline is None or baseline is record or len(baseline.returns) != len(record.returns):
        return NOTHING
    return interval(np.asarray(record.returns) - np.asarray(baseline.returns))


def variant_rows(run: Run) -> Iterator[tuple[Evaluation, tuple[str, ...]]]:
    """A record and its cells for each variant, and for the plain records that they compare with."""
    records = [*run.queries, *run.variants]
    asked = {record.query for record in run.variants}
    shown = [record for record in records if record.query in asked]
    mixed = several_environments([run])
    for record in sorted(shown, key=lambda one: (one.query, one.disturb or "", one.replan != "never")):
        baseline = next((other for other in records if _same_but_never(other, record)), None)
        yield (
            record,
            (
                *((str(record.environment),) if mixed else ()),
                record.replan,
                record.disturb or NOTHING,
                str(len(record.returns)),
                interval(np.asarray(record.returns)),
                gained(record, baseline),
                f"{np.mean(record.replans):.2f}" if record.replans else NOTHING,
                NOTHING if record.ms_per_step is None else f"{record.ms_per_step:.2f}",
            ),
        )


def _same_but_never(other: Evaluation, record: Evaluation) -> bool:
    same = ("query", "environment", "seed", "disturb", "y_star")
    return other.replan == "never" and all(getattr(other, key) == getattr(record, key) for key in same)


def _headings(run: Run) -> tuple[str, ...]:
    """With the environment, where rows come from several."""
    return (HEADINGS[0], *(("environment",) if several_environments([run]) else ()), *HEADINGS[1:])


def variants_table(run: Run) -> Table:
    """The table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
    for heading in _headings(run):
        side: Literal["left", "right"] = "left" if heading in LEFT else "right"
        table.add_column(heading, justify=side, overflow="fold")
    for record, cells in variant_rows(run):
        table.add_row(Text(record.query, style=colour(record.query)), *map(Text, cells))
    return table


def variants_table_html(run: Run) -> str:
    """The table as an HTML fragment."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in _headings(run))
    body = "".join(
        f'<tr><th scope="row">{escape(record.query)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for record, cells in variant_rows(run)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
