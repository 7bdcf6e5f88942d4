"""The table of queries: the same cells for the terminal and for the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from gac.envs.specification import Environment
from gac.records import Evaluation
from gac.report.runs import QUERIES, Run, labels, seeds_of
from gac.report.style import DATA, colour

HEADINGS = (
    "query",
    "episodes",
    "return",
    "normalised",
    "predicted",
    "predicted / achieved",
    "plan, s",
)
"""Returns are raw and undiscounted, normalised ones 0 to 100; both are mean ± standard deviation. Rows from
several environments have one more column, which says which."""

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Row:
    """A line of the table: what was asked of which run, and the cells after the query's name."""

    query: str
    run: str
    cells: tuple[str, ...]
    evaluated: bool = True


def mean_std(mean: float | None, std: float | None) -> str:
    """`mean ± std` with a decimal each; a dash where there is none."""
    if mean is None:
        return NOTHING
    return f"{mean:.1f}" if std is None else f"{mean:.1f} ± {std:.1f}"


def query_rows(runs: Sequence[Run]) -> list[list[Row]]:
    """The rows in groups: the data, then query by query, each with a row per run and one for its seeds."""
    names, mixed = labels(runs), several_environments(runs)
    seeds = list(seeds_of(runs).values())
    extra = sorted({record.query for run in runs for record in run.queries} - set(QUERIES))
    data = [_data_row(run, name, mixed) for run, name in zip(runs, names, strict=True)]
    return [data] + [
        [
            *(
                _query_row(run, name, query, mixed)
                for run, name in zip(runs, names, strict=True)
                if query in run.asked
            ),
            *(row for group in seeds if (row := _seeds_row(group, query, mixed)) is not None),
        ]
        for query in (*QUERIES, *extra)
        if any(query in run.asked for run in runs)
    ]


def several_environments(runs: Sequence[Run]) -> bool:
    """Whether rows of these runs are known to come from more than one environment."""
    return len({each for run in runs for each in run.environments}) > 1


def query_table(runs: Sequence[Run]) -> Table:
    """The table of queries for a terminal; several runs are compared query by query."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
    for heading in _headings(runs):
        # The one long heading takes two lines: so the table of a run fits 80 columns.
        words = heading.replace(" / ", "\n/ ")
        side: Literal["left", "right"] = "left" if heading in ("query", "run", "environment") else "right"
        whole = len(runs) == 1 and heading != "environment"
        table.add_column(words, justify=side, overflow="fold", no_wrap=whole or heading == "query")
    for group in query_rows(runs):
        for row in group:
            # Text, not str: a name with brackets is no markup.
            first = [Text(row.query, style=colour(row.query)), *([Text(row.run)] if len(runs) > 1 else [])]
            table.add_row(*first, *map(Text, row.cells), style=None if row.evaluated else "dim")
        if len(runs) > 1:
            table.add_section()
    return table


def query_table_html(runs: Sequence[Run]) -> str:
    """The table of queries as an HTML fragment."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in _headings(runs))
    groups = "".join(
        f"<tbody>{''.join(_html_rows(group, len(runs) > 1))}</tbody>" for group in query_rows(runs)
    )
    kind = "queries many" if len(runs) > 1 else "queries"
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>{groups}</table></div>'


def plans_table_html(run: Run) -> str:
    """How each query's optimisation went, as an HTML fragment; nothing where no record tells."""
    rows = [
        (
            f'<tr><th scope="row">{_chip(record.query)}{escape(record.query)}</th>'
            f"<td>{NOTHING if record.query_steps is None else f'{record.query_steps:.0f}'}</td>"
            f"<td>{NOTHING if record.converged is None else f'{100 * record.converged:.0f} %'}</td></tr>"
        )
        for record in run.queries
        if record.query_steps is not None or record.converged is not None
    ]
    head = '<tr><th scope="col">query</th><th scope="col">mean steps</th><th scope="col">converged</th></tr>'
    return f'<table class="plans"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>' if rows else ""


def _chip(query: str) -> str:
    return f'<i class="chip" style="background:{colour(query)}"></i>'


def _headings(runs: Sequence[Run]) -> tuple[str, ...]:
    first = (HEADINGS[0],) if len(runs) == 1 else (HEADINGS[0], "run")
    return (*first, *(("environment",) if several_environments(runs) else ()), *HEADINGS[1:])


def _html_rows(group: Sequence[Row], many: bool) -> Iterator[str]:
    for index, row in enumerate(group):
        name = ""
        if index == 0:
            name = f'<th scope="rowgroup" rowspan="{len(group)}">{_chip(row.query)}{escape(row.query)}</th>'
        run = f'<td class="run">{escape(row.run)}</td>' if many else ""
        if row.evaluated:
            cells = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells)
        else:
            cells = f'<td class="none" colspan="{len(row.cells)}">not evaluated</td>'
        yield f"<tr{' class=data' if row.query == DATA else ''}>{name}{run}{cells}</tr>"


def _data_row(run: Run, name: str, mixed: bool) -> Row:
    returns = np.asarray(run.data.returns)
    where = (str(Environment.of(run.data) or NOTHING),) if mixed else ()
    achieved = mean_std(float(returns.mean()), float(returns.std()))
    return Row(DATA, name, (*where, str(run.data.episodes), achieved, *[NOTHING] * 4))


def _query_row(run: Run, name: str, query: str, mixed: bool) -> Row:
    record = next((record for record in run.queries if record.query == query), None)
    if record is None:
        where = (NOTHING,) if mixed else ()
        return Row(query, name, (*where, NOTHING, "not evaluated", *[NOTHING] * 4), evaluated=False)
    return Row(query, name, (*((str(record.environment),) if mixed else ()), *_cells(record)))


def _seeds_row(runs: Sequence[Run], query: str, mixed: bool) -> Row | None:
    """Mean ± standard deviation over the seeds that were asked; None for fewer than two, or where their
    environments differ."""
    found = [record for run in runs for record in run.queries if record.query == query]
    where = {str(record.environment) for record in found}
    if len(found) < 2 or len(where) > 1:
        return None

    def over(values: Sequence[float | None], digits: int = 1) -> str:
        if any(value is None for value in values):
            return NOTHING
        numbers = np.array(values, np.float64)
        return f"{numbers.mean():.{digits}f} ± {numbers.std():.{digits}f}"

    asked = len(found) if len(found) == len(runs) else f"{len(found)} of {len(runs)}"
    cells = (
        *(where if mixed else ()),
        str(sum(len(record.returns) for record in found)),
        over([record.mean for record in found]),
        over([record.normalized_mean for record in found]),
        over([record.predicted_mean for record in found]),
        over([record.ratio for record in found], 2),
        over([record.plan_seconds for record in found], 2),
    )
    return Row(query, f"{runs[0].path.resolve().parent.name}: {asked} seeds", cells)


def _cells(record: Evaluation) -> tuple[str, ...]:
    return (
        str(len(record.returns)),
        mean_std(record.mean, record.std),
        mean_std(record.normalized_mean, record.normalized_std),
        mean_std(record.predicted_mean, None),
        NOTHING if record.ratio is None else f"{record.ratio:.2f}",
        f"{record.plan_seconds:.2f}",
    )
