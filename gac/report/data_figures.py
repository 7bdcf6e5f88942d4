"""The figures about a data set: one function each, from episodes or their facts to a matplotlib Figure."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy import ndarray

from gac.data.blocks import evenly_spaced
from gac.data.environment import Maze
from gac.data.episode_facts import Histogram, Spread
from gac.data.episodes import Episodes
from gac.data.inspect import Facts
from gac.data.scores import reference
from gac.data.step_facts import moments, principal_axes
from gac.report.drawing import HALF, WIDE, make_figure, nothing
from gac.report.style import Theme

MOST_POINTS = 3_000
"""Episodes in a scatter: more would hide each other and make the page heavy."""
MOST_ROWS = 200_000
"""Steps that a density is drawn from."""
MOST_DIMENSIONS = 40
"""Dimensions that a figure shows: what fits a screen."""
MOST_PATHS, PATH_POINTS = 120, 200
"""Paths on a map, and points of each."""

LINEAR_STDS = 4.0
"""Standard deviations up to which the axis of `state_spread` is linear."""
TICKS = (2, 4, 10, 30, 100, 300, 1_000, 10_000)
PLAIN = FuncFormatter(lambda number, _: f"{number:,.0f}".replace("-", "\N{MINUS SIGN}"))
"""Logarithmic ticks come as formulas otherwise, which the theme does not parse."""


def return_histogram(facts: Facts, theme: Theme) -> Figure:
    """Returns, raw: counts, and below them quantiles and mean."""

    def draw(figure: FigureBase) -> None:
        top = _stacked(figure, facts.returns.spread, "return, raw and undiscounted", theme)
        _bars(top, facts.returns.histogram, theme.runs[2])
        _normalised_axis(top, facts.env_id, theme)

    return make_figure(HALF, theme, draw)


def length_histogram(episodes: Episodes, facts: Facts, theme: Theme) -> Figure:
    """Steps per episode: counts by how the episode ended, and below them quantiles and mean."""

    def draw(figure: FigureBase) -> None:
        top = _stacked(figure, facts.lengths.spread, "steps", theme)
        edges = np.asarray(facts.lengths.histogram.edges)
        below = np.zeros(len(edges) - 1)
        for name, chosen, colour in _by_end(episodes, theme):
            counts, _ = np.histogram(episodes.lengths[chosen], bins=edges)
            top.bar(
                edges[:-1], counts, np.diff(edges), below, align="edge", color=colour, linewidth=0, label=name
            )
            below += counts
        top.set_ylim(0, 1.05 * below.max())
        figure.legend(loc="outside upper left", ncols=2)

    return make_figure(HALF, theme, draw)


def return_against_length(episodes: Episodes, theme: Theme) -> Figure:
    """A point per episode, by how it ended; at most `MOST_POINTS`, evenly chosen by return."""

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        shown = np.zeros(len(episodes), bool)
        shown[_evenly(episodes.returns, MOST_POINTS)] = True
        for name, chosen, colour in _by_end(episodes, theme):
            picked = chosen & shown
            style: dict[str, Any] = {"s": 14, "alpha": 0.5, "linewidths": 0, "color": colour, "label": name}
            axis.scatter(episodes.lengths[picked], episodes.returns[picked], **style)
        axis.set(xlabel="steps", ylabel="return, raw and undiscounted")
        legend = figure.legend(loc="outside upper left", ncols=2)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)

    return make_figure(HALF, theme, draw)


def state_spread(facts: Facts, theme: Theme) -> Figure:
    """Quantiles of each state dimension, in standard deviations from its mean."""
    dimensions = [each for each in facts.observations.dimensions if not each.constant][:MOST_DIMENSIONS]

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        if not dimensions:
            return nothing(axis, "no state dimension varies", theme)
        for row, each in enumerate(dimensions):
            place = {q: (value - each.mean) / each.std for q, value in each.quantiles.items()}
            ends = (each.min - each.mean) / each.std, (each.max - each.mean) / each.std
            axis.plot(ends, [row, row], "|", color=theme.muted, markersize=5, markeredgewidth=1)
            axis.hlines(row, *ends, color=theme.muted, linewidth=0.7)
            axis.hlines(row, place["0.01"], place["0.99"], color=theme.runs[2], linewidth=2)
            axis.hlines(row, place["0.25"], place["0.75"], color=theme.runs[2], linewidth=7)
            axis.plot([place["0.5"]], [row], "|", color=theme.ink, markersize=9, markeredgewidth=1.6)
        axis.set_yticks(range(len(dimensions)), [str(each.index) for each in dimensions])
        axis.set_ylim(len(dimensions) - 0.4, -0.6)
        axis.set(xlabel="standard deviations from the mean", ylabel="state dimension")
        axis.grid(axis="y", visible=False)
        if max(each.largest_z for each in dimensions) > 2 * LINEAR_STDS:
            axis.set_xscale("symlog", linthresh=LINEAR_STDS, linscale=2)
            axis.xaxis.set_major_locator(FixedLocator([-tick for tick in TICKS] + [0, *TICKS]))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(PLAIN)

    return make_figure((HALF[0], max(HALF[1], 0.24 * len(dimensions) + 0.9)), theme, draw)


def action_distributions(episodes: Episodes, facts: Facts, theme: Theme) -> Figure:
    """A histogram of each action dimension between its bounds; what is at a bound stands out."""
    saturation = facts.saturation
    shown = range(min(facts.action_dim, MOST_DIMENSIONS))
    varying = [i for i in shown if not facts.actions.dimensions[i].constant]
    common = len({(saturation.low[i], saturation.high[i]) for i in varying}) <= 1

    actions = episodes.actions[evenly_spaced(episodes.num_steps, MOST_ROWS)]

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        for row in shown:
            _ridge(axis, row, actions[:, row], facts, theme, common)
        axis.set_yticks(list(shown), [str(i) for i in shown])
        axis.set_ylim(len(shown) - 0.9, -1.05)
        axis.set(
            xlabel="action, raw" if common else "action, as a share of its range", ylabel="action dimension"
        )
        axis.grid(axis="y", visible=False)

    return make_figure((HALF[0], max(HALF[1], 0.45 * len(shown) + 0.9)), theme, draw)


def state_coverage(episodes: Episodes, theme: Theme) -> Figure:
    """Where the states are, along their first two principal axes: how many, and of episodes how good."""
    rows = evenly_spaced(episodes.num_steps, MOST_ROWS)
    found = moments(episodes.observations)
    variance, axes = principal_axes(found)
    scale = np.where(found.std > 0, found.std, 1.0)
    points = ((episodes.observations[rows] - found.mean) / scale) @ axes[:, :2]
    returns = np.repeat(episodes.returns, episodes.lengths)[rows]

    def draw(figure: FigureBase) -> None:
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        if points.shape[1] < 2 or variance[1] <= 0:
            nothing(left, "the states vary along one axis only", theme)
            return nothing(right, "the states vary along one axis only", theme)
        # The rarest states may lie far out: the picture holds all but a thousandth on each side.
        limits = np.quantile(points, [0.001, 0.999], axis=0)
        extent = (*limits[:, 0], *limits[:, 1])
        inside = ((points >= limits[0]) & (points <= limits[1])).all(axis=1)
        x, y = points[inside].T
        grid: dict[str, Any] = {
            "gridsize": (46, 26),
            "extent": extent,
            "linewidths": 0.1,
            "cmap": _colours(theme),
        }
        count = left.hexbin(x, y, norm=LogNorm(), mincnt=1, **grid)
        mean = right.hexbin(x, y, C=returns[inside], **grid)
        bar = figure.colorbar(
            count, ax=left, label="steps drawn", format=FuncFormatter(lambda n, _: f"{n:,.0f}")
        )
        bar.minorticks_off()
        figure.colorbar(mean, ax=right, label="mean return of the episodes")
        for axis in (left, right):
            axis.set_xlabel(_axis_words(0, variance, axes))
        left.set_ylabel(_axis_words(1, variance, axes))

    return make_figure(WIDE, theme, draw)


def maze_paths(episodes: Episodes, maze: Maze | None, theme: Theme) -> Figure:
    """Paths of episodes in the plane of the first two state entries, on the map where there is one."""

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        if maze is not None:
            _draw_map(axis, maze, theme)
        chosen = _evenly(episodes.returns, MOST_PATHS)
        paths = []
        for i in chosen:
            states = episodes[int(i)].observations[:, :2]
            paths.append(states[np.unique(np.linspace(0, len(states) - 1, PATH_POINTS).astype(int))])
        low, high = float(episodes.returns.min()), float(episodes.returns.max())
        norm = Normalize(low, high if high > low else low + 1)
        lines = LineCollection(paths, cmap=_colours(theme), norm=norm, linewidths=0.9, alpha=0.75)
        lines.set_array(episodes.returns[chosen])
        axis.add_collection(lines)
        figure.colorbar(lines, ax=axis, label="return")
        axis.autoscale()
        axis.set_aspect("equal")
        axis.grid(visible=False)
        axis.set(xlabel="x", ylabel="y")

    return make_figure((HALF[0], 1.15 * HALF[1]), theme, draw)


def _stacked(figure: FigureBase, spread: Spread, xlabel: str, theme: Theme) -> Axes:
    """An axis for counts, to draw in, above a strip that shows quantiles and mean."""
    axes = figure.subplots(2, 1, sharex=True, height_ratios=(8, 1))
    top: Axes = axes[0]
    strip: Axes = axes[1]
    q = spread.quantiles
    strip.hlines(0, q["0.05"], q["0.95"], color=theme.muted, linewidth=1.5)
    strip.hlines(0, q["0.25"], q["0.75"], color=theme.muted, linewidth=8)
    strip.plot([q["0.5"]], [0], "|", color=theme.ink, markersize=13, markeredgewidth=2)
    strip.plot([spread.mean], [0], "D", color=theme.ink, markersize=5, markeredgecolor=theme.paper)
    strip.set_ylim(-1, 1)
    strip.set_yticks([])
    strip.spines["left"].set_visible(False)
    strip.set_xlabel(xlabel)
    top.set_ylabel("episodes")
    top.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return top


def _normalised_axis(axis: Axes, env_id: str | None, theme: Theme) -> None:
    """Normalised scores along the top, where the environment has a reference."""
    known = reference(env_id)
    if known is None:
        return
    # Two points make a linear axis, with no need for functions both ways.
    low, high = (float(100 * (y - known.random) / (known.expert - known.random)) for y in axis.get_xlim())
    normal = axis.twiny()
    normal.set_xlim(low, high)
    normal.grid(visible=False)
    normal.spines["bottom"].set_visible(False)
    normal.tick_params(axis="x", colors=theme.muted)
    normal.set_xlabel("normalised: 0 random, 100 expert", fontsize=9, color=theme.muted)


def _bars(axis: Axes, histogram: Histogram, colour: str) -> None:
    edges = np.asarray(histogram.edges)
    axis.bar(edges[:-1], histogram.counts, np.diff(edges), align="edge", color=colour, linewidth=0)


def _by_end(episodes: Episodes, theme: Theme) -> list[tuple[str, ndarray, str]]:
    """Words, a mask of episodes and a colour for each way to end that occurs."""
    ends = [
        ("terminated", episodes.terminated, theme.runs[1]),
        ("truncated, as by a time limit", ~episodes.terminated, theme.runs[2]),
    ]
    return [(name, chosen, colour) for name, chosen, colour in ends if chosen.any()]


def _ridge(axis: Axes, row: int, actions: ndarray, facts: Facts, theme: Theme, common: bool) -> None:
    """One dimension's histogram on its own base line; what is at a bound stands out of the last bars."""
    low, high = facts.saturation.low[row], facts.saturation.high[row]
    if facts.actions.dimensions[row].constant:
        axis.annotate(
            f"always {actions[0]:g}",
            (0.5, row),
            (0, 3),
            textcoords="offset points",
            fontsize=8.5,
            xycoords=axis.get_yaxis_transform(),
            color=theme.muted,
            ha="center",
        )
        return
    shares = facts.saturation.at_low[row], facts.saturation.at_high[row]
    inside = actions[(actions >= low) & (actions <= high)]
    counts, edges = np.histogram(inside, bins=50, range=(low, high))
    places = edges if common else (edges - low) / (high - low)
    unit = 0.85 / counts.max()
    # Rows count downwards, so that bars grow towards smaller values.
    bar: dict[str, Any] = {"bottom": row, "align": "edge", "linewidth": 0}
    axis.bar(places[:-1], -unit * counts, np.diff(places), color=theme.runs[2], **bar)
    for place, share, side in ((0, shares[0], "right"), (-1, shares[1], "left")):
        at_bound = -unit * min(share * len(actions), counts[place])
        left = places[place] if place == 0 else places[-2]
        axis.bar([left], [at_bound], places[1] - places[0], color=theme.runs[1], **bar)
        axis.annotate(
            f"{share:.1%}",
            (places[place], row),
            (-5 if side == "right" else 5, 2),
            textcoords="offset points",
            ha=side,
            fontsize=8.5,
            color=theme.ink,
        )
    axis.hlines(row, places[0], places[-1], color=theme.muted, linewidth=0.7)
    axis.margins(x=0.13)


def _axis_words(place: int, variance: ndarray, axes: ndarray) -> str:
    """`axis 1, 34 % of the variance: mostly states 5, 8, 0`."""
    weights = np.square(axes[:, place])
    order = np.argsort(-weights)
    most = order[: min(3, int(np.searchsorted(np.cumsum(weights[order]), 0.7)) + 1)]
    share = variance[place] / variance.sum()
    return f"axis {place + 1}, {share:.0%} of the variance: mostly states {', '.join(map(str, most))}"


def _draw_map(axis: Axes, maze: Maze, theme: Theme) -> None:
    corners = maze.side * (np.argwhere(maze.walls == 1) - 0.5) + maze.offset
    walls = [Rectangle((x, y), maze.side, maze.side) for x, y in corners]
    axis.add_collection(PatchCollection(walls, facecolor=theme.grid, edgecolor=theme.grid, linewidth=0.5))
    axis.plot(*maze.target, "*", color=theme.runs[1], markersize=16, markeredgecolor=theme.paper, zorder=4)


def _colours(theme: Theme) -> Colormap:
    """Viridis without the end that the paper swallows."""
    dark = theme.paper < "#8"
    shades = matplotlib.colormaps["viridis"](np.linspace(0.15 if dark else 0.0, 1.0 if dark else 0.92, 256))
    return ListedColormap(shades)


def _evenly(values: ndarray, most: int) -> ndarray:
    """Indices of at most so many values, evenly spaced by rank, the ends included, the highest last."""
    order = np.argsort(values, kind="stable")
    chosen: ndarray = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), most)).astype(int))]
    return chosen
