"""What guards Minari's writer and its reader: room on the disk, numbers that are there, and agree."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from gac.data import Episodes, minari_sets, read_minari, write_minari
from gac.errors import UserError

ID = "mine/toy/logs-v0"


@pytest.fixture(autouse=True)
def sets(tmp_path, monkeypatch):
    """A folder of this test's own for minari."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    return tmp_path / "sets"


def make(lengths):
    rng = np.random.default_rng(0)
    return Episodes.from_arrays(
        [rng.normal(size=(n + 1, 4)) for n in lengths],
        [rng.normal(size=(n, 2)) for n in lengths],
        rewards=[rng.normal(size=n) for n in lengths],
    )


def refused(call, *args):
    with pytest.raises(UserError) as raised:
        call(*args)
    assert "\n" not in str(raised.value)
    return str(raised.value)


FULL = """
import resource, sys
import numpy as np
from gac.data import Episodes, write_minari
from gac.errors import UserError

rng = np.random.default_rng(0)
count, steps = int(sys.argv[2]), 4000 // int(sys.argv[2])
episodes = Episodes.from_arrays(
    [rng.normal(size=(steps + 1, 8)) for _ in range(count)],
    [rng.normal(size=(steps, 2)) for _ in range(count)],
    rewards=[rng.normal(size=steps) for _ in range(count)],
)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
try:
    write_minari(episodes, "mine/toy/logs-v0")
except UserError as error:
    print(error)
"""
"""Writes some 200 KB where a file may have only so many bytes: a write fails as on a full disk."""


@pytest.mark.parametrize("episodes", [1, 40, 1000])
@pytest.mark.parametrize("room", [1_000, 60_000, 170_000])
def test_a_full_disk_is_one_line_and_no_crash(room, episodes, sets):
    """HDF5 itself ends such a process by a segmentation fault, within minari's writer."""
    sets.mkdir()
    words = [sys.executable, "-c", FULL, str(room), str(episodes)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert f"minari/{ID} cannot be written" in done.stdout
    assert "File too large" in done.stdout
    assert not list(sets.iterdir())


@pytest.mark.parametrize("lengths", [(2,), (300,), (2,) * 30, (1500, 2), (1025, 1025)])
def test_minaris_file_takes_no_more_than_was_asked_for(sets, lengths):
    episodes = make(lengths)
    write_minari(episodes, ID)
    taken = (sets / ID / "data" / "main_data.hdf5").stat().st_size
    assert taken < minari_sets._bytes_of(episodes) < 10 * taken


def test_what_a_set_says_twice_is_compared(sets):
    write_minari(make((3, 4)), ID)
    file, metadata = (sets / ID / "data" / name for name in ("main_data.hdf5", "metadata.json"))
    metadata.write_text(metadata.read_text().replace('"total_steps": 7', '"total_steps": 9'))
    with pytest.warns(UserWarning, match="says that it has 9 steps, and its episodes hold 7"):
        read_minari(ID)
    with h5py.File(file, "a") as written:
        del written["episode_1/terminations"]
        written["episode_1/terminations"] = np.arange(5) == 4
    assert "episode 1 of minari/mine/toy/logs-v0 has 4 rewards, 5 terminations" in refused(read_minari, ID)
    with h5py.File(file, "a") as written:
        del written["episode_1/terminations"]
        written.create_dataset("episode_1/terminations", (4,), bool)
    assert "episode_1/terminations was made and never written" in refused(read_minari, ID)


def test_a_target_is_looked_at_before_the_work(sets):
    write_minari(make((3, 2)), ID)
    assert f"minari/{ID} exists" in refused(minari_sets.check_new_set, ID)
    minari_sets.check_new_set("mine/toy/logs-v1")
    assert sorted(path.name for path in (sets / "mine" / "toy").iterdir() if path.is_dir()) == ["logs-v0"]
    (sets / "file").write_text("")
    assert "file/logs-v0 cannot be written" in refused(minari_sets.check_new_set, "file/logs-v0")
