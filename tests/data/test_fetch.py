"""A D4RL file is fetched once and is the same bytes ever after: which hash is believed, and when."""

import dataclasses
import hashlib

import h5py
import numpy as np
import pytest
from loopback import serving
from maze_file import SUBGOAL_EVERY, write_maze

from gac.data import d4rl_catalogue, load_data
from gac.data.download import file_sha256
from gac.data.fetch import copy_file, fetch, load_fetched
from gac.data.load import fetched_folder
from gac.errors import UserError

NAME, FILE = "d4rl/hopper-medium-v2", "hopper_medium-v2.hdf5"


class Silent:
    def begin(self, url):
        pass

    def progress(self, done, total):
        pass

    def say(self, line):
        self.said = line


def robot_file(path, steps=50, seed=0):
    """In the layout of D4RL's own locomotion files: metadata, extra columns, no env_id."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for key, width in (
            ("observations", 11),
            ("actions", 3),
            ("next_observations", 11),
            ("infos/qpos", 6),
        ):
            values = rng.normal(size=(steps, width)).astype(np.float32)
            if key == "next_observations":
                values[:-1] = file["observations"][1:]
            file.create_dataset(key, data=values, compression="gzip")
        file["rewards"] = np.ones(steps, np.float32)
        file["terminals"] = np.zeros(steps, bool)
        file["timeouts"] = np.arange(steps) % 10 == 9
        file["metadata/algorithm"] = np.bytes_(b"SAC")
    return path.read_bytes()


@pytest.fixture
def site(monkeypatch, tmp_path):
    """A mirror of one file, and a catalogue that knows no other place for it."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(d4rl_catalogue.MIRRORS_VARIABLE, raising=False)
    with serving() as site:
        site.body = site.files[FILE] = robot_file(tmp_path / "source.hdf5")
        site.sha256 = hashlib.sha256(site.body).hexdigest()
        know(monkeypatch, NAME, site)
        yield site


def know(monkeypatch, name, site, sha256=None):
    entry = d4rl_catalogue.CATALOGUE[name]
    known = dataclasses.replace(entry, mirrors=(site.url("{file}"),), sha256=sha256)
    monkeypatch.setitem(d4rl_catalogue.CATALOGUE, name, known)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_first_file_is_trusted_and_recorded_and_comes_once(site, folder):
    report = Silent()
    path = fetch(NAME, folder, report)
    assert path.read_bytes() == site.body
    assert site.sha256 in report.said
    assert "trusted" in report.said
    assert names(folder) == [FILE, f"{FILE}.sha256"]
    assert (folder / f"{FILE}.sha256").read_text() == f"{site.sha256}  {FILE}\n"
    assert fetch(NAME, folder, report) == load_fetched(NAME, folder, report) == path
    assert "recorded" in report.said
    assert len(site.asked) == 1


def test_another_file_is_refused_once_one_is_recorded(site, folder, tmp_path):
    fetch(NAME, folder, Silent()).unlink()
    site.files[FILE] = robot_file(tmp_path / "other.hdf5", seed=1)
    with pytest.raises(UserError, match=f"expected {site.sha256}"):
        load_fetched(NAME, folder, Silent())
    assert names(folder) == [f"{FILE}.sha256"]


def test_a_published_hash_is_insisted_on(site, folder, monkeypatch):
    know(monkeypatch, NAME, site, sha256="0" * 64)
    with pytest.raises(UserError, match=f"SHA-256 is {site.sha256}, expected {'0' * 64}"):
        fetch(NAME, folder, Silent())
    assert names(folder) == []
    know(monkeypatch, NAME, site, sha256=site.sha256)
    report = Silent()
    fetch(NAME, folder, report)
    assert "published" in report.said


def test_a_given_hash_comes_before_a_published_one_and_is_kept(site, folder, monkeypatch):
    know(monkeypatch, NAME, site, sha256="0" * 64)
    fetch(NAME, folder, Silent(), sha256=site.sha256.upper())
    assert load_fetched(NAME, folder, Silent()).read_bytes() == site.body
    with pytest.raises(UserError, match=f"expected {'1' * 64}"):
        fetch(NAME, folder, Silent(), sha256="1" * 64)
    assert load_fetched(NAME, folder, Silent()).read_bytes() == site.body  # the good file is still there


@pytest.mark.parametrize("sha256", ["abc", "g" * 64, "0" * 65, ""])
def test_what_is_no_hash_is_refused_before_anything_is_asked(site, folder, sha256):
    with pytest.raises(UserError, match="expected 64 hexadecimal digits"):
        fetch(NAME, folder, Silent(), sha256=sha256)
    assert site.asked == []


def test_a_damaged_file_is_not_loaded_and_fetched_again_when_asked(site, folder):
    path = fetch(NAME, folder, Silent())
    damage(path)
    with pytest.raises(UserError, match=f"gac data fetch {NAME} fetches it again") as raised:
        load_fetched(NAME, folder, Silent())
    assert "\n" not in str(raised.value)
    assert fetch(NAME, folder, Silent()).read_bytes() == site.body


def test_a_file_that_a_person_put_there_is_trusted_from_then_on(site, folder):
    folder.mkdir()
    (folder / FILE).write_bytes(site.body)
    assert load_fetched(NAME, folder, Silent()) == folder / FILE
    assert site.asked == []
    damage(folder / FILE)
    with pytest.raises(UserError, match="damaged"):
        load_fetched(NAME, folder, Silent())


def test_a_record_that_is_none_is_named(site, folder):
    fetch(NAME, folder, Silent())
    (folder / f"{FILE}.sha256").write_text("garbage\n")
    with pytest.raises(UserError, match="holds no SHA-256"):
        load_fetched(NAME, folder, Silent())


def test_mirrors_given_and_the_variables_are_asked_first(site, folder, monkeypatch, tmp_path):
    other = robot_file(tmp_path / "other.hdf5", seed=1)
    site.files |= {f"mine/{FILE}": other, f"theirs/gym_mujoco_v2/{FILE}": other}
    monkeypatch.setenv(d4rl_catalogue.MIRRORS_VARIABLE, site.url("theirs/{path}"))
    fetch(NAME, folder, Silent(), mirrors=[site.url("mine")])
    fetch(NAME, tmp_path / "second", Silent())
    assert [path for path, _ in site.asked] == [f"mine/{FILE}", f"theirs/gym_mujoco_v2/{FILE}"]


def test_a_folder_that_cannot_be_made_is_named(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set GAC_CACHE"):
        fetch(NAME, tmp_path / "file" / "d4rl", Silent())


def test_load_data_fetches_once_and_reads(site, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "cache"))
    episodes = load_data(NAME)
    assert (episodes.name, episodes.env_id, len(episodes)) == (NAME, "Hopper-v4", 5)
    np.testing.assert_array_equal(episodes.returns, np.full(5, 10))
    assert episodes.final_observations is not None
    assert len(load_data(NAME)) == 5
    assert len(site.asked) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"fetching {site.url(FILE)}" in captured.err
    assert site.sha256 in captured.err
    assert file_sha256(fetched_folder() / FILE) == site.sha256


def test_load_data_cuts_a_maze_as_its_name_says(site, monkeypatch, tmp_path):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "cache"))
    maze = "d4rl/maze2d-umaze-v1"
    know(monkeypatch, maze, site)
    site.files["maze2d-umaze-sparse-v1.hdf5"] = write_maze(tmp_path / "maze.hdf5").read_bytes()
    assert load_data(maze).lengths.tolist() == [300, 300, 300]
    assert load_data(f"{maze}:cut=horizon").lengths.tolist() == [300, 300, 300]
    by_subgoal = load_data(f"{maze}:cut=subgoal")
    assert set(by_subgoal.lengths) == {SUBGOAL_EVERY}
    assert (by_subgoal.name, by_subgoal.env_id) == (f"{maze}:cut=subgoal", "maze2d-umaze-v1")
    assert len(site.asked) == 1


def test_a_copy_is_whole_and_replaces_nothing(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")
    copy_file(source, target)
    assert target.read_bytes() == b"content"
    source.write_bytes(b"changed")
    with pytest.raises(UserError, match="exists"):
        copy_file(source, target)
    with pytest.raises(UserError, match="folder that exists"):
        copy_file(source, tmp_path / "none" / "target")
    assert target.read_bytes() == b"content"
    assert names(tmp_path) == ["source", "target"]
