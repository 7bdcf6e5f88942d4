"""Which endless runs are read as ways."""

import numpy as np
import pytest
from maze_file import write_maze

import gac
from gac import cli
from gac.data import Episodes, load_data, write_d4rl
from gac.data.load import ways_of
from gac.data.mazes import NEVER_MET_SHARE

ENV_ID = "maze2d-umaze-v1"


def windows(met, count=100, env_id=ENV_ID, last=3):
    lengths = [3] * (count - 1) + [last]
    return Episodes.from_arrays(
        [np.zeros((steps, 4)) for steps in lengths],
        [np.zeros((steps, 2)) for steps in lengths],
        returns=[float(i < met) for i in range(count)],
        env_id=env_id,
    )


def test_windows_seldom_meet_the_target_if_more_than_the_share_never_do():
    enough = round(100 * (1 - NEVER_MET_SHARE))
    assert ways_of("maze2d-umaze", windows(enough)) is None
    assert ways_of("maze2d-umaze", windows(enough - 1)) == "maze2d-umaze:cut=hold"
    assert ways_of("maze2d-umaze", windows(0, env_id="Hopper-v5")) is None
    assert ways_of("maze2d-umaze", windows(0, last=2)) is None, "ways differ in length"


@pytest.fixture
def run(tmp_path):
    """A run of which two windows of 300 in ten meet the target."""
    return write_maze(tmp_path / "run.hdf5", steps=3001, env_id=ENV_ID)


def test_a_run_that_seldom_meets_the_target_is_read_as_ways(run):
    windows = load_data(f"{run}:cut=horizon")
    assert (windows.returns == 0).mean() == 0.8
    assert ways_of(run, windows) == f"{run}:cut=hold"
    ways = load_data(run)
    assert ways.name == f"{run}:cut=hold"
    assert len(set(ways.lengths.tolist())) > 1
    np.testing.assert_array_equal(ways.observations, load_data(f"{run}:cut=hold").observations)


def test_what_is_named_is_kept(run):
    for how in ("horizon", "subgoal"):
        assert ways_of(f"{run}:cut={how}", load_data(f"{run}:cut={how}")) is None


def test_a_run_that_meets_the_target_often_is_kept(tmp_path):
    often = write_maze(tmp_path / "often.hdf5", env_id=ENV_ID)
    assert ways_of(often, load_data(often)) is None


def test_what_cannot_be_cut_is_kept(run, tmp_path):
    cut = tmp_path / "cut.hdf5"
    write_d4rl(load_data(f"{run}:cut=horizon"), cut)
    assert (load_data(cut).returns == 0).mean() > NEVER_MET_SHARE
    assert ways_of(cut, load_data(cut)) is None
    aimless = write_maze(tmp_path / "aimless.hdf5", steps=3001, env_id=ENV_ID, timeouts=None)
    assert (load_data(aimless).returns == 0).mean() > NEVER_MET_SHARE
    assert ways_of(aimless, load_data(aimless)) is None


@pytest.mark.parametrize("name", ["minari/mine/maze-v0", "log.csv", "log.parquet"])
def test_what_is_no_run_by_its_name_is_kept(name):
    assert ways_of(name, windows(0)) is None


def test_a_recipe_is_cut_by_its_name():
    assert ways_of("maze2d-medium", windows(0, env_id="maze2d-medium-v1")) == "maze2d-medium:cut=hold"


@pytest.mark.parametrize("cut", ["", ":cut=horizon"])
def test_the_command_trains_on_them_and_says_so(run, tmp_path, monkeypatch, capsys, cut):
    given = []

    def train(episodes, *_, **__):
        given.append(episodes.name)

    monkeypatch.setattr(gac, "train", train, raising=False)
    assert cli.main(["train", f"{run}{cut}", "--out", str(tmp_path / "out"), "--updates", "1"]) == 0
    assert given == [f"{run}{cut or ':cut=hold'}"]
    said = "most windows of" in capsys.readouterr().out
    assert said == (cut == "")
