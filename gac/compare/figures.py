"""The figures of a comparison: one function each, from a table to a matplotlib Figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from gac.compare import statistics
from gac.compare.results import Table
from gac.report.drawing import HALF, make_figure, nothing, printable, span_of
from gac.report.style import Theme

DASHES = ("-", "--", "-.", ":")
GRID = 300
"""Points of a profile."""


def styles(table: Table, theme: Theme) -> dict[str, dict[str, Any]]:
    """A colour and a dash for each row, the same in every figure of a table."""
    kinds = len(theme.runs)
    return {
        row.label: {
            "color": theme.runs[place % kinds],
            "linestyle": DASHES[place // kinds % len(DASHES)],
        }
        for place, row in enumerate(table.rows)
    }


def interquartile_means(table: Table, theme: Theme) -> Figure:
    """The interquartile mean of each method and its interval, the best on top."""
    lines = [(each.row.label, each.mean, each.low, each.high) for each in table.summaries]
    return make_figure(
        HALF,
        theme,
        lambda figure: _draw_intervals(figure, table, theme, lines, "interquartile mean of scores"),
    )


def improvements(table: Table, theme: Theme) -> Figure:
    """The chance that the best method beats each of the others."""
    lines = [(each.row.label, chance, low, high) for each, chance, low, high in table.improvements]
    first = table.summaries[0].row.label if table.summaries else ""

    def draw(figure: FigureBase) -> None:
        _draw_intervals(figure, table, theme, lines, f"P({printable(first)} scores above it)", half=True)

    return make_figure(HALF, theme, draw)


def profiles(table: Table, theme: Theme) -> Figure:
    """The share of runs that score above each value."""

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        found = [each.row.scores(table.scored) for each in table.summaries]
        if not found:
            return nothing(axis, "no method has all runs", theme)
        low, high = span_of([float(value) for scores in found for value in np.concatenate(scores)])
        at = np.linspace(low, high, GRID)
        styled = styles(table, theme)
        for summary, scores in zip(table.summaries, found, strict=True):
            label = summary.row.label
            shares = statistics.performance_profile(scores, at)
            axis.plot(at, shares, drawstyle="steps-post", label=printable(label), **styled[label])
        axis.set(
            xlim=(low, high), ylim=(0, 1.02), xlabel="normalised score τ", ylabel="runs with a score above τ"
        )
        figure.legend(loc="outside upper left", ncols=4)

    return make_figure(HALF, theme, draw)


def against_time(table: Table, theme: Theme) -> Figure:
    """The interquartile mean of each method against the minutes that its training took."""

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        timed = [each for each in table.summaries if each.row.seconds is not None]
        if not timed:
            return nothing(axis, "no method has all runs and their times", theme)
        styled = styles(table, theme)
        for each in timed:
            minutes = (each.row.seconds or 0.0) / 60
            colour = styled[each.row.label]["color"]
            axis.plot([minutes, minutes], [each.low, each.high], color=colour, linewidth=1.2, alpha=0.6)
            axis.plot([minutes], [each.mean], "o", color=colour, markersize=6)
            axis.annotate(
                printable(each.row.label),
                (minutes, each.mean),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        low, high = span_of([(each.row.seconds or 0.0) / 60 for each in timed])
        axis.set_xlim(min(low, 0.0), high + 0.25 * (high - min(low, 0.0)))
        axis.set(xlabel="training, wall-clock minutes", ylabel="interquartile mean of scores")

    return make_figure(HALF, theme, draw)


def _draw_intervals(
    figure: FigureBase,
    table: Table,
    theme: Theme,
    lines: Sequence[tuple[str, float, float, float]],
    words: str,
    half: bool = False,
) -> None:
    """A point with an interval on a line for each label; `half` marks one half, a draw."""
    axis = figure.subplots()
    if not lines:
        return nothing(axis, "no method has all runs" if not half else "no two methods have all runs", theme)
    styled = styles(table, theme)
    for place, (label, value, low, high) in enumerate(lines):
        colour = styled[label]["color"]
        axis.plot([low, high], [place, place], color=colour, linewidth=4, alpha=0.35, solid_capstyle="butt")
        axis.plot([value], [place], "o", color=colour, markersize=6)
    axis.set_yticks(range(len(lines)), [printable(label) for label, *_ in lines])
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    if half:
        axis.axvline(0.5, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
        axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel(words)
