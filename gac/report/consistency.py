"""The sweep of commanded returns: figures and tables of what the actor achieved and the critic recognised."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from numpy import ndarray
from rich import box
from rich.table import Table

from gac.records import Consistency
from gac.report.drawing import HALF, Span, density, make_figure, nothing, span_of
from gac.report.page import table
from gac.report.runs import Run
from gac.report.style import DATA, LIGHT, Theme, colour
from gac.report.tables import NOTHING

SPREAD = 10, 90
"""Percentiles that a bar reaches from and to."""
USUAL, BEYOND = "target", "explore"
"""Whose colours tell commands within the usual returns from those beyond: the palette's green and orange."""
_KINDS = ((True, USUAL, "usual commands"), (False, BEYOND, "beyond the data's 95th percentile"))


def actor_consistency(
    run: Run, theme: Theme = LIGHT, across: Span | None = None, up: Span | None = None
) -> Figure:
    """Achieved against commanded return, and below the density of the data's returns.

    Args:
        run: A run; one that was not swept gives an empty figure that says so.
        theme: Colours of the figure.
        across: Limits of the commanded returns, raw.
        up: Limits of the achieved returns, raw.
    """

    def draw(figure: FigureBase) -> None:
        if run.consistency is None:
            return nothing(figure.subplots(), "no sweep was made", theme)
        top, strip = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
        _draw_commands(top, run, run.consistency, theme, up)
        low, high = across or achieved_limits([run])[0]
        grid = np.linspace(low, high, 400)
        heights = density(run.data.returns, grid, floor=0.012 * (high - low))
        strip.fill_between(grid, heights, color=colour(DATA), alpha=0.35, linewidth=0)
        strip.plot(grid, heights, color=colour(DATA), linewidth=1.2)
        strip.set(xlim=(low, high), ylim=(0, 1.08), yticks=[], xlabel="commanded return")
        strip.set_ylabel("data", color=theme.muted, fontsize=9)
        strip.grid(axis="y", visible=False)
        _mark_usual(strip, run.consistency, theme)

    return make_figure(HALF, theme, draw)


def critic_consistency(run: Run, theme: Theme = LIGHT, span: Span | None = None) -> Figure:
    """Estimated against achieved return of the collected trajectories, in and out of distribution.

    Args:
        run: A run; one that was not swept gives an empty figure that says so.
        theme: Colours of the figure.
        span: Limits of both axes, raw.
    """

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        if run.consistency is None:
            return nothing(axis, "no sweep was made", theme)
        low, high = span or estimated_limits([run])
        axis.plot([low, high], [low, high], color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for usual, name, words in _KINDS:
            y, estimate, _ = run.consistency.judged(usual=usual)
            shape = "s" if usual else "^"
            axis.scatter(y, estimate, s=15, alpha=0.4, linewidths=0, color=colour(name), marker=shape)
            # The legend shows the points as they are without their transparency.
            axis.scatter([], [], s=28, color=colour(name), marker=shape, label=words)
        axis.set(xlim=(low, high), ylim=(low, high), xlabel="achieved return", ylabel="mean of p(y | τ)")
        figure.legend(loc="outside upper left", ncols=2, handletextpad=0.4, columnspacing=1.4)

    return make_figure(HALF, theme, draw)


def achieved_limits(runs: Sequence[Run]) -> tuple[Span, Span]:
    """Limits that hold every command and the data's returns, and every achieved return and command."""
    swept = [(run, run.consistency) for run in runs if run.consistency is not None]
    across = [y for run, record in swept for y in (*run.data.returns, *record.commanded)]
    up = [y for _, record in swept for row in record.returns for y in (*row, *record.commanded)]
    return span_of(across), span_of(up)


def estimated_limits(runs: Sequence[Run]) -> Span:
    """Limits that hold every achieved return and its estimate."""
    values = [
        y
        for run in runs
        if run.consistency is not None
        for usual in (True, False)
        for column in run.consistency.judged(usual=usual)[:2]
        for y in column.tolist()
    ]
    return span_of(values)


def _draw_commands(axis: Axes, run: Run, record: Consistency, theme: Theme, up: Span | None) -> None:
    commanded = np.asarray(record.commanded)
    low, high = up or achieved_limits([run])[1]
    axis.plot(commanded, commanded, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    width = 0.22 * float(np.diff(commanded).min()) if len(commanded) > 1 else 1.0
    for y_star, row in zip(commanded, record.returns, strict=True):
        returns, name = np.asarray(row), USUAL if y_star <= record.usual else BEYOND
        # Side by side without an order that could be taken for one: multiples of the golden ratio.
        beside = y_star + width * (2 * (0.618 * np.arange(len(returns)) % 1) - 1)
        axis.scatter(beside, returns, s=7, alpha=0.35, linewidths=0, color=colour(name))
        axis.plot([y_star] * 2, np.percentile(returns, SPREAD), color=colour(name), linewidth=2.2, zorder=3)
        axis.scatter(
            [y_star],
            [returns.mean()],
            s=60,
            color=colour(name),
            edgecolors=theme.paper,
            linewidths=1.3,
            zorder=4,
        )
    _mark_usual(axis, record, theme)
    axis.annotate(
        "95 % of the data is left of here",
        (record.usual, 0.02),
        (4, 0),
        xycoords=axis.get_xaxis_transform(),
        textcoords="offset points",
        fontsize=8.5,
        color=theme.muted,
    )
    axis.set(ylim=(low, high), ylabel="achieved return")


def _mark_usual(axis: Axes, record: Consistency, theme: Theme) -> None:
    axis.axvline(record.usual, color=theme.muted, linewidth=0.8, linestyle=":", zorder=1)


def consistency_table(record: Consistency) -> Table:
    """The sweep for a terminal: a row per command."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("commanded", "predicted", "achieved", "p(y | tau)", "error"):
        table.add_column(heading, justify="right")
    for cells in _command_rows(record):
        table.add_row(*cells)
    return table


def consistency_table_html(run: Run) -> str:
    """The sweep as an HTML fragment: a row per command."""
    assert run.consistency is not None  # only runs with a sweep are asked
    rows = [cells[:3] for cells in _command_rows(run.consistency)]
    return table(("commanded", "predicted", "achieved"), rows, "swept")


def critic_table_html(run: Run) -> str:
    """The critic's errors in and out of distribution, as an HTML fragment."""
    assert run.consistency is not None  # only runs with a sweep are asked
    rows = []
    for usual, _, words in _KINDS:
        y, estimate, std = run.consistency.judged(usual=usual)
        rows.append((words, str(len(y)), *(_errors(y, estimate, std) if len(y) else (NOTHING,) * 4)))
    return table(("", "episodes", "bias", "RMSE", "correlation", "within 2 std"), rows, "swept")


def _command_rows(record: Consistency) -> list[tuple[str, ...]]:
    columns = record.commanded, record.predicted_returns, record.returns, record.estimated_returns
    rows: list[tuple[str, ...]] = []
    for y_star, predicted, returns, estimates in zip(*columns, strict=True):
        pairs = [(y, guess) for y, guess in zip(returns, estimates, strict=True) if guess is not None]
        y, guess = np.array(pairs, np.float64).reshape(-1, 2).T
        rows.append(
            (
                f"{y_star:.1f}",
                f"{np.mean(predicted):.1f}",
                f"{np.mean(returns):.1f} ± {np.std(returns):.1f}",
                f"{guess.mean():.1f}" if pairs else NOTHING,
                f"{np.sqrt(np.mean((guess - y) ** 2)):.1f}" if pairs else NOTHING,
            )
        )
    return rows


def _errors(
    y: Float[ndarray, "points"], estimate: Float[ndarray, "points"], std: Float[ndarray, "points"]
) -> tuple[str, ...]:
    """Bias, root mean square error, correlation, and the share of truths within two standard deviations."""
    error = estimate - y
    related = np.ptp(y) > 0 and np.ptp(estimate) > 0
    return (
        f"{error.mean():+.1f}",
        f"{np.sqrt(np.mean(error**2)):.1f}",
        f"{np.corrcoef(y, estimate)[0, 1]:.2f}" if related else NOTHING,
        f"{np.mean(np.abs(error) <= 2 * std):.0%}",
    )
