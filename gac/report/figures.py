"""The figures of a report: one function each, from a run to a matplotlib Figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from gac.report.drawing import HALF, WIDE, Span, density, make_figure, nothing, printable, span_of
from gac.report.runs import Run, labels
from gac.report.style import DARK, DATA, LIGHT, Theme, colour, marker

__all__ = [
    "DARK",
    "LIGHT",
    "Theme",
    "inference_dynamics",
    "objective_curves",
    "predicted_against_achieved",
    "readme_figure",
    "return_distributions",
    "training_health",
]

DASHES = ("-", "--", "-.", ":")
OBJECTIVES = {
    "gac": {
        "elbo": "ELBO (dots: held out)",
        "log_p_tau": "log p(τ | s0, z)",
        "log_p_y": "log p(y | z)",
        "kl": "KL(q ‖ N(0, I)), nats",
    },
    "gtp": {
        "loss_actor": "actor's loss, Eq. (19)",
        "loss_consistency": "consistency, Eq. (17)",
        "loss_flow": "flow, Eq. (18)",
        "loss_critic": "critics, Eq. (16)",
    },
    "lpt": {
        "loss": "loss of theta",
        "loss_action": "action error",
        "loss_return": "return error, with dropout",
        "return_error": "return error, without",
    },
    "odt": {
        "loss": "loss of theta",
        "loss_nll": "negative log-likelihood of actions",
        "entropy": "entropy of the policy, nats",
        "temperature": "weight of the entropy",
    },
}
"""Metrics and their titles, by method."""
HEALTH = {
    "gac": {
        "active_dims": "active latent dimensions",
        "inner_steps": "inner steps",
        "prior_return_mean": "prior predictive of y: mean",
        "prior_return_std": "prior predictive of y: std",
    },
    "gtp": {
        "q": "min Q(s, a), discounted",
        "advantage_std": "std of the advantages",
        "w": "mean weight, Eq. (14)",
        "theta_norm": "norm of all weights",
    },
    "lpt": {
        "z0_second_moment": "mean square of z0 (1 under the prior)",
        "drift_over_noise": "drift over noise of a Langevin step",
        "prior_return_mean": "prior predictive of y: mean",
        "prior_return_std": "prior predictive of y: std",
    },
    "odt": {
        "loss_action": "action error of the mean",
        "std": "standard deviation before tanh",
        "theta_norm": "norm of all weights",
        "updates_per_second": "updates per second",
    },
}


def objective_curves(runs: Sequence[Run], theme: Theme = LIGHT) -> Figure:
    """The objective and its terms against the update; a line per run. All runs are of one method."""
    return _curves(runs, OBJECTIVES[runs[0].config.method], theme)


def training_health(runs: Sequence[Run], theme: Theme = LIGHT) -> Figure:
    """What else tells how training goes, against the update; a line per run. All are of one method."""
    return _curves(runs, HEALTH[runs[0].config.method], theme)


def return_distributions(run: Run, theme: Theme = LIGHT, span: Span | None = None) -> Figure:
    """Returns of the data and of the queries on one axis: densities, and below them every episode.

    Args:
        run: A run with any number of evaluated queries.
        theme: Colours of the figure.
        span: Limits of the return axis, raw; those of `achieved_span` unless given.
    """
    return make_figure(HALF, theme, lambda figure: _draw_distributions(figure, run, theme, span))


def predicted_against_achieved(run: Run, theme: Theme = LIGHT, span: Span | None = None) -> Figure:
    """A point per episode, its return as predicted and as achieved; on the diagonal the promise was kept.

    Args:
        run: A run with any number of evaluated queries.
        theme: Colours of the figure.
        span: Limits of both axes, raw; those of `promised_span` unless given.
    """
    return make_figure(HALF, theme, lambda figure: _draw_promises(figure, run, theme, span))


def inference_dynamics(run: Run, theme: Theme = LIGHT, span: Span | None = None) -> Figure:
    """Mean predicted return along each query's optimisation; at the right what its episodes achieved.

    Args:
        run: A run with any number of evaluated queries.
        theme: Colours of the figure.
        span: Limits of the return axis, raw; matplotlib's own unless given.
    """
    return make_figure(HALF, theme, lambda figure: _draw_dynamics(figure, run, theme, span))


def readme_figure(run: Run, theme: Theme = LIGHT) -> Figure:
    """Return distributions, and predicted against achieved return, side by side in one wide picture."""

    def draw(figure: FigureBase) -> None:
        left, right = figure.subfigures(1, 2, wspace=0.03, squeeze=False)[0]
        _draw_distributions(left, run, theme, None)
        _draw_promises(right, run, theme, None)

    return make_figure(WIDE, theme, draw)


def achieved_span(runs: Sequence[Run]) -> Span:
    """Limits that hold every return of the data and of the queries, raw."""
    return span_of([value for run in runs for value in _achieved(run)])


def promised_span(runs: Sequence[Run]) -> Span:
    """Limits that hold every predicted and achieved return of the queries, raw."""
    records = [record for run in runs for record in run.queries]
    return span_of([value for record in records for value in (*record.returns, *record.predicted_returns)])


def dynamics_span(runs: Sequence[Run]) -> Span:
    """Limits that hold every trace and every achieved mean return, raw."""
    records = [record for run in runs for record in run.queries]
    data = [float(np.mean(run.data.returns)) for run in runs]
    return span_of([*data, *(value for record in records for value in (*record.trace, record.mean))])


def _curves(runs: Sequence[Run], panels: dict[str, str], theme: Theme) -> Figure:
    def draw(figure: FigureBase) -> None:
        axes = figure.subplots(2, 2, sharex=True)
        for axis, (key, title) in zip(axes.flat, panels.items(), strict=True):
            _draw_metric(axis, runs, key, theme)
            axis.set_title(title, fontsize=9.5)
        for axis in axes[1]:
            axis.set_xlabel("update")
        if len(runs) > 1:
            handles = [axes.flat[0].plot([], [], **_run_style(place, theme))[0] for place in range(len(runs))]
            names = [printable(name) for name in labels(runs)]
            figure.legend(handles, names, loc="outside upper left", ncols=min(len(runs), 3))

    return make_figure(HALF, theme, draw)


def _draw_metric(axis: Axes, runs: Sequence[Run], key: str, theme: Theme) -> None:
    shown: list[float] = []
    for place, run in enumerate(runs):
        updates, values = run.metrics.series(key)
        axis.plot(updates, values, **_run_style(place, theme))
        shown += list(values)
        if key == "elbo":
            updates, values = run.metrics.series("heldout_elbo")
            dots = _run_style(place, theme) | {"linestyle": "none", "marker": "o", "markersize": 4.5}
            axis.plot(updates, values, **dots, markeredgecolor=theme.paper, markeredgewidth=0.8, zorder=3)
            shown += list(values)
    # In standardised units the data has mean 0 and std 1: a prior that looks like the data meets the line.
    wanted = {"prior_return_mean": 0.0, "prior_return_std": 1.0}.get(key)
    if wanted is not None:
        axis.axhline(wanted, color=colour(DATA), linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        at: dict[str, Any] = {
            "xy": (0.02, wanted),
            "xycoords": axis.get_yaxis_transform(),
            "xytext": (0, 3),
            "textcoords": "offset points",
        }
        axis.annotate("data", fontsize=8, color=theme.muted, **at)
        shown.append(wanted)
    if not shown:
        nothing(axis, "not recorded", theme)
        return
    if key in ("active_dims", "inner_steps"):
        axis.set_ylim(0, 1.08 * max(shown) or 1)
    _leave_out_extremes(axis, np.asarray(shown))
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(4))


def _run_style(place: int, theme: Theme) -> dict[str, Any]:
    return {
        "color": theme.runs[place % len(theme.runs)],
        "linestyle": DASHES[place % len(DASHES)],
        "linewidth": 1.3,
    }


def _leave_out_extremes(axis: Axes, values: Float[np.ndarray, "points"]) -> None:
    """Let no first, untrained value flatten the curve: the axis then holds what comes later.

    Its ends are near the 10th and 98th percentile, where the values reach far beyond these.
    """
    low, high = np.percentile(values, [10, 98])
    if high > low and np.ptp(values) > 3 * (high - low):
        axis.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))


def _draw_distributions(figure: FigureBase, run: Run, theme: Theme, span: Span | None) -> None:
    low, high = span or achieved_span([run])
    samples = {DATA: run.data.returns} | {record.query: record.returns for record in run.queries}
    top, strip = figure.subplots(2, 1, sharex=True, height_ratios=(3, 0.42 * len(samples) + 0.2))
    grid = np.linspace(low, high, 400)
    for place, (name, returns) in enumerate(samples.items()):
        heights = density(returns, grid, floor=0.012 * (high - low))
        top.fill_between(grid, heights, color=colour(name), alpha=0.22 if name == DATA else 0.1, linewidth=0)
        top.plot(grid, heights, color=colour(name), linewidth=1.2 if name == DATA else 1.8)
        # At most 300 episodes are drawn; evenly spaced ones of the sorted sample keep its shape and its ends.
        ordered = np.sort(np.asarray(returns))
        drawn = ordered[np.unique(np.linspace(0, len(ordered) - 1, 300).astype(int))]
        strip.plot(drawn, np.full(len(drawn), place), "|", color=colour(name), markersize=8, alpha=0.45)
        mean = float(np.mean(returns))
        strip.plot(
            [mean],
            [place],
            marker(name) if name != DATA else "X",
            color=colour(name),
            markersize=7,
            markeredgecolor=theme.paper,
            markeredgewidth=1,
        )
    top.set_ylim(0, 1.08)
    top.set_yticks([])
    top.spines["left"].set_visible(False)
    top.set_ylabel("density, peak = 1", color=theme.muted, fontsize=9)
    strip.set_yticks(range(len(samples)), [printable(name) for name in samples])
    for tick, name in zip(strip.get_yticklabels(), samples, strict=True):
        tick.set_color(colour(name))
        tick.set_fontweight("bold")
    strip.set_ylim(len(samples) - 0.4, -0.6)
    strip.grid(axis="y", visible=False)
    strip.tick_params(axis="y", length=0)
    strip.spines["left"].set_visible(False)
    strip.set_xlim(low, high)
    strip.set_xlabel("return, raw and undiscounted")


def _draw_promises(figure: FigureBase, run: Run, theme: Theme, span: Span | None) -> None:
    axis = figure.subplots()
    if not run.queries:
        return nothing(axis, "no query was evaluated", theme)
    low, high = span or promised_span([run])
    axis.fill_between([low, high], [low, high], [high, high], color=theme.muted, alpha=0.07, linewidth=0)
    axis.plot([low, high], [low, high], color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
    promised = [record for record in run.queries if record.predicted_mean is not None]
    for record in promised:
        style: dict[str, Any] = {"marker": marker(record.query), "color": colour(record.query)}
        axis.scatter(record.predicted_returns, record.returns, s=15, alpha=0.35, linewidths=0, **style)
    for record in promised:
        style = {"marker": marker(record.query), "color": colour(record.query)}
        axis.scatter(
            [float(np.mean(record.predicted_returns))],
            [float(np.mean(record.returns))],
            s=85,
            edgecolors=theme.paper,
            linewidths=1.4,
            zorder=4,
            label=printable(record.query),
            **style,
        )
    axis.set(xlim=(low, high), ylim=(low, high), xlabel="predicted return", ylabel="achieved return")
    axis.annotate(
        "better than promised",
        (0.02, 0.975),
        xycoords="axes fraction",
        va="top",
        fontsize=8.5,
        color=theme.muted,
    )
    axis.annotate(
        "worse than promised",
        (0.98, 0.03),
        xycoords="axes fraction",
        ha="right",
        fontsize=8.5,
        color=theme.muted,
    )
    _legend(figure, axis)


def _draw_dynamics(figure: FigureBase, run: Run, theme: Theme, span: Span | None) -> None:
    axis = figure.subplots()
    traced = [record for record in run.queries if len(record.trace) > 1]
    if not traced:
        return nothing(axis, "no query has a recorded trace", theme)
    for record in traced:
        # Queries record different numbers of steps; shares of the whole put their ends in one place.
        share = np.linspace(0, 100, len(record.trace))
        axis.plot(
            share, record.trace, color=colour(record.query), linewidth=1.8, label=printable(record.query)
        )
        axis.plot(
            [100, 106], [record.trace[-1], record.mean], color=colour(record.query), linewidth=1, alpha=0.6
        )
        axis.plot(
            [106],
            [record.mean],
            marker(record.query),
            color=colour(record.query),
            markersize=7,
            markeredgecolor=theme.paper,
            markeredgewidth=1,
            clip_on=False,
            zorder=4,
        )
    mean = float(np.mean(run.data.returns))
    axis.axhline(mean, color=colour(DATA), linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axis.annotate(
        "mean of the data", (0, mean), (2, 3), textcoords="offset points", fontsize=8.5, color=theme.muted
    )
    axis.axvline(100, color=theme.muted, linewidth=0.8)
    axis.set(xlim=(0, 108), ylim=span, xlabel="share of the query's steps, %", ylabel="mean predicted return")
    axis.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100"])
    axis.grid(axis="x", visible=False)
    _legend(figure, axis)


def _legend(figure: FigureBase, axis: Axes) -> None:
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=4, handletextpad=0.4, columnspacing=1.4)


def _achieved(run: Run) -> list[float]:
    return [*run.data.returns, *(value for record in run.queries for value in record.returns)]
