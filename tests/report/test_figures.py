import matplotlib
import numpy as np
import pytest
from fake_run import evaluation, metrics, write_run

from gac.report import (
    DARK,
    inference_dynamics,
    objective_curves,
    predicted_against_achieved,
    read_run,
    readme_figure,
    return_distributions,
    training_health,
)
from gac.report.style import COLOURS

DRAWINGS = [return_distributions, predicted_against_achieved, inference_dynamics, readme_figure]


def hexes(artists):
    return {matplotlib.colors.to_hex(artist.get_color()) for artist in artists}


def test_curves_hold_the_recorded_values(tmp_path):
    run = read_run(write_run(tmp_path / "run", lines=metrics(100)))
    for figure, keys in (
        (objective_curves([run]), ["elbo", "log_p_tau", "log_p_y", "kl"]),
        (training_health([run]), ["active_dims", "inner_steps", "prior_return_mean", "prior_return_std"]),
    ):
        for axis, key in zip(figure.axes, keys, strict=True):
            np.testing.assert_array_equal(axis.lines[0].get_ydata(), [line[key] for line in metrics(100)])
    heldout = objective_curves([run]).axes[0].lines[1]
    assert list(heldout.get_xdata()) == [100]


def test_every_query_keeps_its_colour(tmp_path):
    run = read_run(write_run(tmp_path / "run"))
    top, strip = return_distributions(run).axes
    assert hexes(top.lines) == hexes(strip.lines) == set(COLOURS.values())
    assert [label.get_text() for label in strip.get_yticklabels()] == list(COLOURS)
    assert hexes(inference_dynamics(run).axes[0].lines) >= {COLOURS[name] for name in ("exploit", "target")}
    points = predicted_against_achieved(run).axes[0].collections
    drawn = {matplotlib.colors.to_hex(point.get_facecolor()[0]) for point in points[1:]}
    assert drawn == set(COLOURS.values()) - {COLOURS["data"]}


def test_promises_are_predicted_across_and_achieved_up(tmp_path):
    record = evaluation("exploit", episodes=9)
    figure = predicted_against_achieved(read_run(write_run(tmp_path / "run", {"exploit": record})))
    expected = np.stack([record["predicted_returns"], record["returns"]], axis=1)
    np.testing.assert_allclose(figure.axes[0].collections[1].get_offsets(), expected)
    assert figure.axes[0].get_xlim() == figure.axes[0].get_ylim()


def test_dynamics_end_at_what_was_achieved(tmp_path):
    record = evaluation("target")
    axis = inference_dynamics(read_run(write_run(tmp_path / "run", {"target": record}))).axes[0]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), record["trace"])
    assert list(axis.lines[1].get_ydata()) == [record["trace"][-1], record["mean"]]


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("theme", [DARK])
def test_any_number_of_queries_and_episodes_can_be_drawn(tmp_path, draw, theme):
    some = {
        "none": {},
        "one-episode": {"exploit": evaluation("exploit", episodes=1)},
        "all-equal": {"prior": evaluation("prior", returns=[5.0] * 100)},
        "untraced": {"exploit": evaluation("exploit", trace=[])},
    }
    for name, queries in some.items():
        draw(read_run(write_run(tmp_path / name, queries)), theme).canvas.draw()


@pytest.mark.parametrize("name", ["$x_1$", "_hidden", "名前", "a\x07b", "x" * 200])
def test_any_name_can_be_drawn(tmp_path, name):
    runs = [read_run(write_run(tmp_path / each, {}, metrics(20))) for each in (name, "other")]
    objective_curves(runs).canvas.draw()


def test_nothing_recorded_can_be_drawn(tmp_path):
    run = read_run(write_run(tmp_path / "run", {}, lines=[]))
    objective_curves([run]).canvas.draw()
    training_health([run]).canvas.draw()


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    readme_figure(read_run(write_run(tmp_path / "run")), DARK)
    assert dict(matplotlib.rcParams) == before
