import subprocess
import sys

import numpy as np
import pytest

from gac.data import Episodes, list_data, load, load_data, recipes, write_d4rl
from gac.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def made(monkeypatch):
    """Replaces the recipes' work; lists the seeds that were made."""
    seeds = []

    def make(name, seed):
        seeds.append(seed)
        return Episodes.from_arrays([np.full((3, 2), seed)], [np.ones((3, 1))], [np.ones(3)], name=name)

    monkeypatch.setattr(recipes, "make", make)
    return seeds


def test_a_recipe_is_made_once_per_seed(cache, made):
    first, again, other = (load_data("hopper-medium", seed) for seed in (0, 0, 1))
    assert made == [0, 1]
    assert first.name == again.name == "hopper-medium"
    np.testing.assert_array_equal(first.observations, again.observations)
    assert other.observations[0, 0] == 1
    assert len(list(cache.iterdir())) == 2


def test_every_cut_of_a_maze_is_made_once(cache, made):
    names = [f"maze2d-umaze{cut}" for cut in (":cut=subgoal", "", ":cut=horizon", ":cut=success")]
    assert [load_data(name).name for name in names * 2] == names * 2
    assert len(made) == len(list(cache.iterdir())) == 3


def test_a_damaged_cache_file_is_made_again(cache, made):
    load_data("hopper-medium")
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert load_data("hopper-medium").num_steps == 3
    assert made == [0, 0]
    load_data("hopper-medium")
    assert made == [0, 0]


def test_a_changed_recipe_is_made_again(cache, made, monkeypatch):
    load_data("hopper-medium")
    changed = recipes.RECIPES["hopper-medium"].__class__("", "hopper", "medium", 10)
    monkeypatch.setitem(recipes.RECIPES, "hopper-medium", changed)
    load_data("hopper-medium")
    assert made == [0, 0]


def test_a_cache_that_cannot_be_made_is_named(tmp_path, made, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="set GAC_CACHE"):
        load_data("hopper-medium")


def test_without_a_setting_the_cache_is_in_the_home(monkeypatch, tmp_path):
    monkeypatch.delenv("GAC_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load.cache_folder() == tmp_path / ".cache" / "gac"


@pytest.mark.parametrize("name", ["data.hdf5", "data.h5", "data"])
def test_a_path_is_read(tmp_path, name):
    write_d4rl(Episodes.from_arrays([np.ones((3, 2))], [np.ones((3, 1))], [np.ones(3)]), tmp_path / name)
    assert load_data(tmp_path / name).num_steps == 3
    assert load_data(str(tmp_path / name)).name == str(tmp_path / name)


def test_a_file_whose_name_looks_like_a_cut_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_d4rl(Episodes.from_arrays([np.ones((3, 2))], [np.ones((3, 1))], [np.ones(3)]), "a:cut=horizon")
    assert load_data("a:cut=horizon").num_steps == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hopper-medum", "did you mean hopper-medium"),
        ("nonsense", "give one of hopper-medium, "),
        ("none.hdf5", "does not exist"),
        ("", "neither"),
        ("d4rl/hopper-meduim-v2", "did you mean d4rl/hopper-medium-v2"),
        ("d4lr/hopper-medium-v2", "did you mean d4rl/hopper-medium-v2"),
        (
            "d4rl/maze2d-umaze-v1:cut=goal",
            "cut is 'goal', expected one of horizon, subgoal, hold, success",
        ),
        ("hopper-medium:cut=horizon", "'cut' is no parameter here, expected steps"),
        ("hoper-medium:steps=9000", "did you mean hopper-medium"),
        ("d4rl/maze2d-umaze-v1:steps=9000", "'steps' is no parameter here, expected cut"),
        ("minari/mine/log-v0:cut=hold", "has episodes of its own and takes no 'cut'"),
        ("log.csv:steps=9000", "has episodes of its own and takes no 'steps'"),
    ],
)
def test_an_unknown_name_is_answered(name, message):
    with pytest.raises(UserError, match=message) as raised:
        load_data(name)
    assert "\n" not in str(raised.value)


def test_the_list_names_what_can_be_loaded():
    assert list(list_data()) == list(recipes.RECIPES)
    assert all(about and "\n" not in about for about in list_data().values())


def test_the_data_and_the_environments_come_with_the_package():
    code = "import gac; print(gac.data.read_d4rl.__name__, gac.envs.maze_map.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["read_d4rl", "maze_map"]


def test_a_recipe_whose_cache_cannot_be_written_is_not_lost(cache, made, monkeypatch):
    def full(*_, **__):
        raise UserError("the disk is full")

    monkeypatch.setattr(load, "write_d4rl", full)
    with pytest.warns(UserWarning, match="is made and not kept for the next time: the disk is full"):
        assert load_data("hopper-medium").num_episodes > 0
