import base64
import re
import sys
import types

import matplotlib
import numpy as np
import pytest
from pages import Page

from gac.data import Episodes, describe, findings
from gac.data.environment import Maze
from gac.data.words import NO_FINDING
from gac.errors import UserError
from gac.report import data_figures, data_page
from gac.report.data_page import render_data, write_data_page
from gac.report.style import DARK, LIGHT

WALLS = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]])


def make(count=30, width=3, steps=(20, 40), **fields):
    rng = np.random.default_rng(0)
    lengths = rng.integers(*steps, count)
    arrays = {
        "observations": [
            rng.normal(size=width) + 0.1 * rng.normal(size=(t, width)).cumsum(axis=0) for t in lengths
        ],
        "actions": [rng.uniform(-1, 1, size=(t, 2)) for t in lengths],
        "returns": rng.uniform(0, 100, count),
        "terminated": rng.random(count) < 0.5,
        "name": "mine",
    }
    return Episodes.from_arrays(**arrays | fields)


def drawn(data):
    facts = describe(data)
    return render_data(data, facts, findings(facts))


@pytest.fixture
def lightly(monkeypatch):
    """Figures are laid out once and not saved, which takes most of a page's time."""

    def picture(key, caption, draw):
        figure = draw(LIGHT)
        figure.draw_without_rendering()
        # The theme parses no formulas: one would be shown as it is written.
        assert not any("$" in text.get_text() for text in figure.findobj(matplotlib.text.Text))
        return f'<figure class="{key}"><h3>{caption[0]}</h3>{caption[1]}</figure>'

    monkeypatch.setattr(data_page, "picture", picture)


def test_a_page_is_whole_the_same_again_and_needs_nothing_else(tmp_path):
    data = make(env_id="Hopper-v5")
    facts = describe(data)
    out = tmp_path / "new" / "data.html"
    write_data_page(data, facts, findings(facts), out)
    assert list(out.parent.iterdir()) == [out]
    text = out.read_text(encoding="utf-8")
    assert text == drawn(data)
    page = Page(text)
    assert page.open == []
    assert page.tags.count("figure") == page.tags.count("img") == 6
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert len(page.sources) == 12
    for source in page.sources:
        kind, _, body = source.partition("base64,")
        assert kind == "data:image/svg+xml;"
        assert not re.search(
            r'(href|src)="(?!#)(?!data:)|url\((?!#)|@import', base64.b64decode(body).decode()
        )
    assert not re.search(r"https?://", text)


def test_the_page_says_what_will_hurt(lightly):
    data = make()
    page = Page(drawn(data))
    for each in findings(describe(data)):
        for words in (each.severity, each.what, each.why, each.do):
            assert words in page.text
    facts = describe(data)
    assert NO_FINDING in Page(render_data(data, facts, [])).text
    assert f"{facts.returns.length_correlation:+.2f}" in page.text


def test_names_are_escaped(lightly):
    page = Page(drawn(make(name="<script>alert(1)</script>&", env_id="<b>x</b>")))
    assert not {"script"} & set(page.tags)
    assert page.text.count("<script>alert(1)</script>&") >= 1
    assert "<b>x</b>" in page.text


def still(t):
    return np.ones((t, 1))


@pytest.mark.parametrize(
    "data",
    [
        make(count=1),
        make(count=2, returns=[1.0, 1.0]),
        make(width=1),
        make(width=60),
        Episodes.from_arrays([still(5)] * 3, [still(5)] * 3, returns=[0.0, 0.0, 0.0], env_id="maze2d-x-v1"),
        make(env_id="maze2d-unknown-v1"),
        make(observations=[np.exp(9 * x.observations) for x in make()]),
    ],
    ids=[
        "one episode",
        "equal returns",
        "one state",
        "many states",
        "nothing moves",
        "maze without a map",
        "heavy tails",
    ],
)
def test_any_data_can_be_drawn(data, lightly):
    page = Page(drawn(data))
    assert page.open == []
    assert page.tags.count("figure") >= 4


def test_a_maze_shows_paths_on_its_map(monkeypatch, lightly):
    layouts = types.ModuleType("gac.envs.layouts")
    layouts.CELL_MIDDLE = -0.2
    layouts.maze_map = lambda env_id: WALLS
    layouts.target = lambda env_id: np.array([1.0, 2.0])
    parent = types.ModuleType("gac.envs")
    parent.__spec__ = types.SimpleNamespace(name="gac.envs")
    monkeypatch.setitem(sys.modules, "gac.envs", parent)
    monkeypatch.setitem(sys.modules, "gac.envs.layouts", layouts)
    text = Page(drawn(make(env_id="maze2d-umaze-v1"))).text
    assert "Paths" in text
    assert "star: the target" in text
    assert "Paths" not in Page(drawn(make(env_id="Hopper-v5"))).text


def test_walls_and_target_lie_in_the_frame_of_the_observations():
    maze = Maze(WALLS, -0.2, np.array([1.0, 2.0]))
    axis = data_figures.maze_paths(make(), maze, LIGHT).axes[0]
    walls, paths = axis.collections
    boxes = {tuple(np.round(path.get_extents().bounds, 6)) for path in walls.get_paths()}
    # Cell (0, 3) is the unit square around (-0.2, 2.8).
    assert (-0.7, 2.3, 1.0, 1.0) in boxes
    assert len(boxes) == 10
    (star,) = axis.lines
    assert star.get_xydata().tolist() == [[1.0, 2.0]]
    assert len(paths.get_segments()) == 30


def test_walls_of_larger_cells_lie_in_the_frame_too():
    maze = Maze(WALLS, -4.0, np.array([1.0, 2.0]), side=4.0)
    walls, _ = data_figures.maze_paths(make(), maze, LIGHT).axes[0].collections
    boxes = {tuple(np.round(path.get_extents().bounds, 6)) for path in walls.get_paths()}
    # Cell (0, 3) is the square of side 4 around (-4, 8).
    assert (-6.0, 6.0, 4.0, 4.0) in boxes
    assert len(boxes) == 10


def test_paths_are_coloured_by_return_and_the_best_is_on_top():
    data = make()
    paths = data_figures.maze_paths(data, None, LIGHT).axes[0].collections[0]
    np.testing.assert_array_equal(paths.get_array(), np.sort(data.returns))
    best = data[int(data.returns.argmax())].observations[:, :2]
    np.testing.assert_allclose(paths.get_segments()[-1], best)


def test_histograms_hold_every_episode():
    data = make()
    facts = describe(data)
    top = data_figures.return_histogram(facts, LIGHT).axes[0]
    assert sum(bar.get_height() for bar in top.patches) == 30
    top = data_figures.length_histogram(data, facts, LIGHT).axes[0]
    assert sum(bar.get_height() for bar in top.patches) == 30


def test_the_normalised_axis_is_that_of_the_scores():
    facts = describe(make(env_id="Hopper-v5"))
    top, _, normal = data_figures.return_histogram(facts, LIGHT).axes
    low, high = top.get_xlim()
    expected = [100 * (y + 20.272305) / (3234.3 + 20.272305) for y in (low, high)]
    np.testing.assert_allclose(normal.get_xlim(), expected)
    assert len(data_figures.return_histogram(describe(make()), LIGHT).axes) == 2


def test_saturated_actions_stand_out():
    data = make(actions=[np.clip(np.ones((len(x.actions), 2)) * [3, 0.1], -1, 1) for x in make()])
    actions = data.actions.copy()
    actions[::4, 0] = 0.0
    actions[1::2, 1] = -0.5
    data = make(actions=np.split(actions, data.starts[1:]))
    axis = data_figures.action_distributions(data, describe(data), LIGHT).axes[0]
    orange = matplotlib.colors.to_rgba(LIGHT.runs[1])
    tall = [bar.get_height() for bar in axis.patches if bar.get_facecolor() == orange]
    # Dimension 0 is at its upper bound in three steps of four, its tallest bar.
    assert min(tall) == pytest.approx(-0.85, rel=0.02)
    assert any("75.0%" in text.get_text() for text in axis.texts)


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    data_figures.state_coverage(make(), DARK)
    assert dict(matplotlib.rcParams) == before


def test_a_folder_is_refused_and_left_alone(tmp_path):
    data = make()
    facts = describe(data)
    with pytest.raises(UserError, match="is a folder, expected a file"):
        write_data_page(data, facts, [], tmp_path)
    assert list(tmp_path.iterdir()) == []
