"""The stages of a fine-tuned run: what they aimed at, collected and are worth, as a figure and a table."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FixedLocator

from gac.online.record import StageRecord
from gac.online.stages_table import HEADINGS, stage_cells
from gac.report.drawing import HALF, Span, make_figure, nothing, span_of
from gac.report.page import table
from gac.report.runs import Run
from gac.report.style import LIGHT, Theme, colour, marker

SPREAD = (10, 90)
"""Percentiles that the bars span."""
BESIDE = 0.16
"""What is of one stage stands side by side, this far apart; in stages."""
# The aims, what came of them, and what the stage is judged by: in the colours of the queries that they are.
_KINDS = (("target", "aims"), ("explore", "collected"), ("exploit", "exploit, after the stage"))


def stage_returns(run: Run, theme: Theme = LIGHT, span: Span | None = None) -> Figure:
    """Returns aimed at and collected, stage by stage, and those of exploit before the first and after each.

    Args:
        run: A run; one that was not fine-tuned gives an empty figure that says so.
        theme: Colours of the figure.
        span: Limits of the return axis, raw; those of `stages_span` unless given.
    """

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        if not run.stages:
            return nothing(axis, "no stage is recorded", theme)
        for place, (name, words) in enumerate(_KINDS):
            found = [(record.stage, returns) for record in run.stages if (returns := _of(record, name))]
            if found:
                _draw_kind(axis, found, BESIDE * (place - 1), name, words, theme)
        last = run.stages[-1].stage
        axis.set(
            xlim=(-0.5, last + 0.5), ylim=span or stages_span([run]), xlabel="stage", ylabel="return, raw"
        )
        axis.xaxis.set_major_locator(FixedLocator(range(last + 1)))
        axis.set_xticklabels(["offline", *map(str, range(1, last + 1))])
        axis.grid(axis="x", visible=False)
        figure.legend(loc="outside upper left", ncols=3, handletextpad=0.4, columnspacing=1.4)

    return make_figure(HALF, theme, draw)


def stages_span(runs: Sequence[Run]) -> Span:
    """Limits that hold every aim and every return of the stages, raw."""
    return span_of(
        [y for run in runs for record in run.stages for name, _ in _KINDS for y in _of(record, name)]
    )


def stages_table_html(run: Run) -> str:
    """The stages as an HTML fragment, a row for each."""
    return table(HEADINGS, [tuple(stage_cells(record)) for record in run.stages], "swept")


def _of(record: StageRecord, name: str) -> tuple[float, ...]:
    """Raw returns of a stage: its aims, what was collected, or exploit's after it."""
    if name == "exploit":
        return () if record.after is None else record.after.returns
    if record.collection is None:
        return ()
    aims = tuple(y for y in record.collection.y_plus if y is not None)
    return aims if name == "target" else record.collection.returns


def _draw_kind(
    axis: Axes,
    found: Sequence[tuple[int, tuple[float, ...]]],
    shift: float,
    name: str,
    words: str,
    theme: Theme,
) -> None:
    """A point per episode, a bar of `SPREAD` and a marker at the mean of each stage; means are joined."""
    for stage, returns in found:
        # Side by side without an order that could be taken for one: multiples of the golden ratio.
        jitter = 0.1 * (0.618 * np.arange(len(returns)) % 1 - 0.5)
        axis.scatter(stage + shift + jitter, returns, s=7, alpha=0.3, linewidths=0, color=colour(name))
        axis.plot(
            [stage + shift] * 2, np.percentile(returns, SPREAD), color=colour(name), linewidth=2.2, zorder=3
        )
    axis.plot(
        [stage + shift for stage, _ in found],
        [float(np.mean(returns)) for _, returns in found],
        color=colour(name),
        linewidth=1,
        marker=marker(name),
        markersize=7.5,
        markeredgecolor=theme.paper,
        markeredgewidth=1.2,
        zorder=4,
        label=words,
    )
