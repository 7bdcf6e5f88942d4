import gymnasium
import numpy as np
import pytest

from gac.data.environment import action_bounds, is_maze, maze_of


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
