import gymnasium
import numpy as np
import pytest

from gac.data import Episodes
from gac.data.environment import (
    action_bounds,
    beyond_bounds,
    clipped,
    is_maze,
    maze_of,
    reach_of,
    warn_beyond_bounds,
)
from gac.errors import UserError


def test_bounds_of_a_registered_environment():
    low, high = action_bounds("Pendulum-v1")
    np.testing.assert_array_equal((low, high), ([-2.0], [2.0]))
    assert low.dtype == np.float64


class Broken(gymnasium.Env):
    def __init__(self):
        raise RuntimeError("needs a display")


@pytest.fixture
def broken():
    gymnasium.register("Broken-v0", entry_point=Broken)
    yield
    gymnasium.registry.pop("Broken-v0")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("env_id", [None, "", "Nowhere-v0", "os.path:Thing-v0", "CartPole-v1", "Broken-v0"])
def test_what_has_no_bounds_or_cannot_be_made_has_none(env_id):
    assert action_bounds(env_id) is None


def test_a_file_cannot_name_a_module_to_import(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert action_bounds("trap:Thing-v0") is None


def test_mazes_are_known_by_their_id():
    assert is_maze("maze2d-umaze-v1")
    assert is_maze("other/Maze2D-large-v0")
    assert is_maze("antmaze-umaze-diverse-v2")
    assert not is_maze("Hopper-v5")
    assert not is_maze(None)


@pytest.mark.parametrize(
    "env_id",
    [
        "maze2d-umaze-v1",
        "maze2d-medium-v1",
        "maze2d-large-v1",
        "antmaze-umaze-v2",
        "antmaze-medium-play-v2",
        "antmaze-large-diverse-v2",
    ],
)
def test_a_maze_is_drawn_where_its_environment_has_it(env_id):
    maze, env = maze_of(env_id), gymnasium.make(env_id)

    def cell(place):
        return tuple(np.round((place - maze.offset) / maze.side).astype(int))

    for seed in range(5):
        start, _ = env.reset(seed=seed)
        assert maze.walls[cell(start[:2])] == 0
    assert maze.walls[cell(maze.target)] == 0
    assert (maze.walls[[0, -1]] == 1).all()
    env.close()


def test_the_bounds_of_a_maze_are_known_without_another_import():
    low, high = action_bounds("maze2d-umaze-v1")
    np.testing.assert_array_equal((low, high), ([-1, -1], [1, 1]))


def test_what_is_no_maze_has_no_map():
    assert maze_of("Hopper-v5") is None
    assert maze_of("maze2d-of-somebody-v1") is None
    assert maze_of(None) is None


TWO = np.array([-2.0]), np.array([2.0])
NORMAL = np.random.default_rng(0).normal(size=(2400, 1))


@pytest.mark.parametrize(
    ("actions", "advice"),
    [
        (2 * NORMAL, "clip them"),
        (np.concatenate([np.clip(NORMAL, -2, 2), [[9.0]]]), "clip them"),
        (4 * np.random.default_rng(0).uniform(-1, 1, (2400, 1)), "2 times as wide; rescale"),
        (np.clip(2 * NORMAL, -4, 4), "2 times as wide; rescale"),
        (200 * NORMAL, "rescale"),
        (5 + NORMAL, "where most of them are: they look as if in other units; rescale"),
        (np.clip(NORMAL, -2, 2), None),
        (np.clip(NORMAL, -2, 2) * (1 + 1e-7), None),
    ],
)
def test_what_lies_beyond_the_bounds_is_told_with_advice_that_fits(actions, advice):
    reach = reach_of(actions.astype(np.float32))
    said = beyond_bounds(reach, TWO, "Pendulum-v1")
    if advice is None:
        assert said is None
        return
    assert said.startswith("action 0 of the data reaches from")
    assert "beyond Pendulum-v1's bounds -2 and 2" in said
    assert advice in said
    assert ("clip" in advice) == ("rescale" not in said)
    older = beyond_bounds(reach._replace(shape=np.zeros(0)), TWO, "Pendulum-v1")
    assert "clip" in older
    assert "rescale" in older


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_bounds_compare_in_their_own_units(unit):
    actions = (unit * np.clip(2 * NORMAL, -2, 2)).astype(np.float32)
    for factor, fits in ((1.0, True), (0.99, False)):
        bounds = tuple(unit * factor * bound for bound in TWO)
        assert (beyond_bounds(reach_of(actions), bounds, "here") is None) == fits


def test_a_side_without_a_bound_is_never_crossed():
    bounds = np.array([-np.inf]), np.array([1.0])
    assert beyond_bounds(reach_of(np.float32([[-99.0], [1.0]])), bounds, "here") is None
    assert beyond_bounds(reach_of(np.float32([[-99.0], [1.1]])), bounds, "here") is not None


def pendulum(actions, env_id="Pendulum-v1"):
    states = [np.ones((len(actions), 3))]
    return Episodes.from_arrays(states, [actions], returns=[0.0], env_id=env_id, name="log")


def test_actions_are_compared_with_the_environment_that_the_data_name(recwarn):
    warn_beyond_bounds(pendulum(np.clip(NORMAL, -2, 2)))
    warn_beyond_bounds(pendulum(NORMAL, env_id=None))
    warn_beyond_bounds(pendulum(NORMAL, env_id="GacNowhere-v0"))
    assert not recwarn
    with pytest.warns(
        UserWarning, match="log could not be evaluated in its environment: action 0 .* clip them"
    ):
        warn_beyond_bounds(pendulum(2 * NORMAL))


def test_clipped_actions_are_what_the_environment_did(recwarn):
    done = clipped(pendulum(2 * NORMAL))
    np.testing.assert_array_equal(done.actions, np.clip(np.float32(2 * NORMAL), -2, 2))
    warn_beyond_bounds(done)
    assert not recwarn
    with pytest.raises(UserError, match="bounds are not known here"):
        clipped(pendulum(NORMAL, env_id=None))
