"""`gac data inspect` and `gac data convert`."""

import json
import shlex

import numpy as np
import pytest
import tiny
from maze_file import write_maze
from one_line import refused

import gac
from gac import cli
from gac.data import Episodes, read_d4rl, write_d4rl
from gac.errors import UserError
from gac.report import data_page


def test_inspect_prints_and_writes_what_it_found(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(data_page, "render_data", lambda episodes, facts, found: found[0].what)
    data, copy, page = (tmp_path / name for name in ("data.hdf5", "facts.json", "page.html"))
    write_d4rl(tiny.make_episodes(), data)
    assert cli.main(["data", "inspect", str(data), "--json", str(copy), "--html", str(page)]) == 0
    out = capsys.readouterr().out
    facts = json.loads(copy.read_text())
    worst = facts["findings"][0]
    assert worst["severity"] == "problem"
    assert f"problem: {worst['what']}" in out
    assert page.read_text() == worst["what"]
    assert out.splitlines()[-2:] == [f"json: {copy}", f"html: {page}"]
    assert facts["episodes"] == 10


def test_inspect_refuses_in_one_line(capsys, tmp_path):
    assert "does not exist" in refused(capsys, "data", "inspect", tmp_path / "none.hdf5")
    assert "--html" in refused(capsys, "data", "inspect", "hopper-medium", "--html")


def test_inspect_overwrites_neither_the_data_nor_its_own_output(capsys, tmp_path):
    path = tmp_path / "data.hdf5"
    gac.data.write_d4rl(tiny.make_episodes(20), path)
    before = path.read_bytes()
    for flag in ("--json", "--html"):
        assert "is the data itself" in refused(capsys, "data", "inspect", path, flag, path)
    both = ("--json", tmp_path / "same", "--html", tmp_path / "same")
    assert "give two names" in refused(capsys, "data", "inspect", path, *both)
    assert path.read_bytes() == before
    assert not (tmp_path / "same").exists()


def test_make_takes_the_cut_of_a_maze(capsys, monkeypatch):
    asked = []

    def load(name, seed):
        asked.append((name, seed))
        return tiny.make_episodes()

    monkeypatch.setattr("gac.data.load_data", load)
    assert cli.main(["data", "make", "maze2d-umaze:cut=subgoal", "--seed", "3"]) == 0
    assert asked == [("maze2d-umaze:cut=subgoal", 3)]
    assert "expected one of" in refused(capsys, "data", "make", "maze2d-umaze:cut=never")
    assert "is no recipe" in refused(capsys, "data", "make", "maze2d-none:cut=subgoal")


@pytest.mark.parametrize("cut", ["", ":cut=hold", ":cut=subgoal"])
def test_the_advice_for_a_maze_that_cannot_stay_on_disk_works_and_keeps_its_cut(tmp_path, cut):
    (tmp_path / "my mazes").mkdir()
    data = f"{write_maze(tmp_path / 'my mazes' / 'maze2d-umaze-sparse-v1.hdf5')}{cut}"
    with pytest.raises(UserError, match="cannot stay on disk") as raised:
        gac.load_data(data, on_disk=True)
    written = tmp_path / "new.hdf5"
    command = str(raised.value).split("gac ")[-1].replace("NEW.hdf5", shlex.quote(str(written)))
    assert cli.main(shlex.split(command)) == 0
    expected, found = gac.load_data(data), gac.load_data(written, on_disk=True)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_array_equal(found.returns, expected.returns)


def test_convert_reads_a_table_by_the_columns_that_are_named(capsys, tmp_path):
    log, scores, out = tmp_path / "log.csv", tmp_path / "scores.csv", tmp_path / "log.hdf5"
    log.write_text("run,t,heat,flow,valve\na,0,1,2,3\na,1,4,5,6\n")
    scores.write_text("run,yield\na,7.5\n")
    words = ["data", "convert", log, out, "--episode", "run", "--step", "t", "--observations", "flow, heat"]
    words += ["--actions", "valve", "--scores", scores, "--score", "yield", "--env-id", "Plant-v0"]
    assert cli.main([str(word) for word in words]) == 0
    assert f"{out}: 1 episodes, 2 steps" in capsys.readouterr().out
    data = gac.load_data(str(out))
    assert data.observations.tolist() == [[2.0, 1.0], [5.0, 4.0]]
    assert (data.returns.tolist(), data.env_id) == ([7.5], "Plant-v0")
    assert "--observations" in refused(capsys, "data", "convert", log, tmp_path / "other.hdf5")
    assert "--score is for a table" in refused(capsys, "data", "convert", out, tmp_path / "x", "--score", "y")


def test_convert_writes_a_minari_set(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    log = tmp_path / "log.csv"
    log.write_text("episode,obs_0,act_0,reward\n1,1,2,3\n1,4,5,6\n")
    assert "no final observations" in refused(capsys, "data", "convert", log, "minari/mine/log-v0")
    data = gac.Episodes.from_arrays([[[1.0], [2.0], [3.0]]], [[[4.0], [5.0]]], [[6.0, 7.0]])
    gac.data.write_d4rl(data, tmp_path / "log.hdf5")
    assert cli.main(["data", "convert", str(tmp_path / "log.hdf5"), "minari/mine/log-v0"]) == 0
    assert gac.load_data("minari/mine/log-v0").returns.tolist() == [13.0]
    assert not (tmp_path / "minari").exists()


def test_any_data_set_is_converted_to_one_that_can_stay_on_disk(capsys, tmp_path):
    episodes, src, dst = tiny.make_episodes(), tmp_path / "src.hdf5", tmp_path / "dst.hdf5"
    write_d4rl(episodes, src)
    assert cli.main(["data", "convert", str(src), str(dst), "--contiguous"]) == 0
    assert f"{dst}: 10 episodes, {episodes.num_steps} steps" in capsys.readouterr().out
    assert read_d4rl(dst, on_disk=True).num_steps == episodes.num_steps


def test_targets_are_looked_at_before_the_work(capsys, monkeypatch, tmp_path):
    """Whatever reads, makes or fetches data would fail here: none of it may be called."""

    def work(*_, **__):
        raise AssertionError("the work was begun")

    monkeypatch.setattr("gac.data.load_data", work)
    monkeypatch.setattr("gac.data.fetch.fetch", work)
    (tmp_path / "file").write_text("")
    bad, missing = tmp_path / "file" / "x.json", tmp_path / "none" / "x.hdf5"
    for flag in ("--json", "--html"):
        assert f"{bad} cannot be written (Not a directory)" in refused(
            capsys, "data", "inspect", "x.hdf5", flag, bad
        )
    for command in (
        ("make", "hopper-medium", "--out", missing),
        ("fetch", "d4rl/hopper-medium-v2", "--out", missing),
        ("convert", "x.hdf5", missing),
    ):
        assert f"{missing} cannot be written (No such file or directory)" in refused(capsys, "data", *command)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    (tmp_path / "sets" / "mine" / "logs-v0").mkdir(parents=True)
    assert "minari/mine/logs-v0 exists" in refused(capsys, "data", "convert", "x", "minari/mine/logs-v0")
    for command in (
        ("evaluate", "nowhere", "--json", bad),
        ("consistency", "nowhere", "--json", bad),
        ("bench", "--json", bad),
        ("report", "nowhere", "--out", bad),
        ("train", "x.hdf5", "--out", bad),
        ("finetune", "nowhere", "--out", bad),
    ):
        assert f"{bad}" in refused(capsys, *command)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "sets"]


def test_actions_are_clipped_to_the_environment_on_request(capsys, tmp_path):
    actions = np.array([[-3.0], [0.5], [9.0]], np.float32)
    data = Episodes.from_arrays([np.ones((3, 3))], [actions], returns=[1.0], env_id="Pendulum-v1")
    write_d4rl(data, tmp_path / "log.hdf5")
    words = ["data", "convert", str(tmp_path / "log.hdf5"), str(tmp_path / "clipped.hdf5"), "--contiguous"]
    assert cli.main([*words, "--clip-actions"]) == 0
    np.testing.assert_array_equal(read_d4rl(tmp_path / "clipped.hdf5").actions, [[-2.0], [0.5], [2.0]])
