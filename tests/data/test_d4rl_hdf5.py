import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gac.data import Episodes, read_d4rl, write_d4rl
from gac.errors import UserError

FIELDS = (
    "observations",
    "actions",
    "rewards",
    "returns",
    "lengths",
    "terminated",
    "truncated",
    "final_observations",
)


def make(lengths=(3, 2), *, final=True, rewards=True, env_id="Hopper-v5", seed=0, both=False):
    rng = np.random.default_rng(seed)
    terminated = rng.random(len(lengths)) < 0.5
    return Episodes.from_arrays(
        [rng.normal(size=(n + final, 4)) for n in lengths],
        [rng.normal(size=(n, 2)) for n in lengths],
        rewards=[rng.normal(size=n) for n in lengths] if rewards else None,
        returns=None if rewards else rng.normal(size=len(lengths)),
        terminated=terminated,
        truncated=np.ones_like(terminated) if both else None,
        env_id=env_id,
    )


def assert_same(one, other):
    assert one.env_id == other.env_id
    for field in FIELDS:
        left, right = getattr(one, field), getattr(other, field)
        assert (left is None) == (right is None), field
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=field)
            assert left.dtype == right.dtype


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(2, 7), min_size=1, max_size=5),
    final=st.booleans(),
    rewards=st.booleans(),
    both=st.booleans(),
    env_id=st.sampled_from([None, "Hopper-v5", "maze2d-umaze-v1"]),
    seed=st.integers(0, 99),
)
def test_a_file_gives_back_what_was_written(tmp_path, lengths, final, rewards, both, env_id, seed):
    episodes = make(lengths, final=final, rewards=rewards, env_id=env_id, seed=seed, both=both)
    path = tmp_path / "data.hdf5"
    write_d4rl(episodes, path, overwrite=True)
    assert_same(read_d4rl(path), episodes)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.hdf5"]


def test_the_layout_is_d4rls(tmp_path):
    write_d4rl(make((3, 2)), tmp_path / "data.hdf5")
    with h5py.File(tmp_path / "data.hdf5") as file:
        assert set(file) == {
            "observations",
            "actions",
            "rewards",
            "terminals",
            "timeouts",
            "next_observations",
        }
        assert file.attrs["env_id"] == "Hopper-v5"
        ends = file["terminals"][()] | file["timeouts"][()]
        np.testing.assert_array_equal(np.flatnonzero(ends), [2, 4])
        np.testing.assert_array_equal(file["next_observations"][:2], file["observations"][1:3])


def raw(path, **changes):
    """A small file of two episodes written by hand; None leaves a data set out."""
    columns = {
        "observations": np.arange(20.0).reshape(5, 4),
        "actions": np.ones((5, 2)),
        "rewards": np.ones(5),
        "terminals": np.array([0, 0, 1, 0, 0], bool),
        "timeouts": np.array([0, 0, 0, 0, 1], bool),
    } | changes
    with h5py.File(path, "w") as file:
        for key, value in columns.items():
            if value is not None:
                file[key] = value
    return path


def test_d4rls_variants_are_read(tmp_path):
    path = raw(
        tmp_path / "x.hdf5",
        terminals=np.array([0.0, 0, 1, 0, 0]),
        timeouts=np.array([0, 0, 0, 0, 1], np.uint8),
    )
    with h5py.File(path, "a") as file:
        file.attrs["env_id"] = np.bytes_(b"hopper-medium-v2")
        file["infos/qpos"] = np.zeros((5, 3))
    episodes = read_d4rl(path)
    assert episodes.env_id == "Hopper-v4"
    np.testing.assert_array_equal(episodes.lengths, [3, 2])
    np.testing.assert_array_equal(episodes.returns, [3, 2])
    np.testing.assert_array_equal(episodes.terminated, [True, False])


def test_an_unfinished_last_episode_is_left_out_with_a_warning(tmp_path):
    path = raw(tmp_path / "x.hdf5", timeouts=np.zeros(5, bool))
    with pytest.warns(UserWarning, match="the last 2 steps"):
        episodes = read_d4rl(path)
    np.testing.assert_array_equal(episodes.lengths, [3])
    assert episodes.num_steps == 3


def test_an_unfinished_last_episode_with_a_return_is_kept(tmp_path):
    path = raw(tmp_path / "x.hdf5", timeouts=np.zeros(5, bool), rewards=None, returns=np.array([7.0, 8.0]))
    episodes = read_d4rl(path)
    np.testing.assert_array_equal(episodes.returns, [7, 8])
    np.testing.assert_array_equal(episodes.truncated, [False, True])


def test_a_file_with_d4rls_own_name_has_the_environment_of_that_name(tmp_path):
    assert read_d4rl(raw(tmp_path / "walker2d_medium_replay-v2.hdf5")).env_id == "Walker2d-v4"
    assert read_d4rl(raw(tmp_path / "mine.hdf5")).env_id is None
    named = raw(tmp_path / "hopper_medium-v2.hdf5")
    with h5py.File(named, "a") as file:
        file.attrs["env_id"] = "Hopper-v5"
    assert read_d4rl(named).env_id == "Hopper-v5"


def test_without_next_observations_the_final_states_are_unknown(tmp_path):
    assert read_d4rl(raw(tmp_path / "x.hdf5")).final_observations is None
    following = np.arange(20.0).reshape(5, 4) + 4
    following[[2, 4]] += 100
    episodes = read_d4rl(raw(tmp_path / "y.hdf5", next_observations=following))
    np.testing.assert_array_equal(episodes.final_observations, following[[2, 4]])


def test_episodes_of_one_step_in_d4rls_own_files_are_left_out_with_a_warning(tmp_path):
    following = np.arange(20.0).reshape(5, 4) + 4
    changes = {"terminals": np.array([1, 0, 1, 1, 0], bool), "next_observations": following}
    with pytest.warns(UserWarning, match="3 episodes of a single step are left out"):
        episodes = read_d4rl(raw(tmp_path / "hopper_random-v2.hdf5", **changes))
    np.testing.assert_array_equal(episodes.lengths, [2])
    np.testing.assert_array_equal(episodes.observations[:, 0], [4, 8])
    np.testing.assert_array_equal(episodes.terminated, [True])
    assert len(episodes.final_observations) == 1


@pytest.mark.parametrize("columns", [{"returns": np.ones(3)}, {"final_observations": np.ones((3, 4))}])
def test_what_is_not_one_per_episode_is_refused_before_those_of_one_step_are_left_out(tmp_path, columns):
    path = raw(tmp_path / "hopper_random-v2.hdf5", terminals=np.array([1, 0, 1, 1, 0], bool), **columns)
    with pytest.raises(
        UserError, match=f"{next(iter(columns))} of .* 3 entries, expected 4, one per episode"
    ):
        read_d4rl(path)


MISTAKES = {
    "no terminals": ({"terminals": None}, "has no terminals .it has: actions, observations"),
    "no timeouts": ({"timeouts": None}, "has no timeouts"),
    "no observations": ({"observations": None}, "has no observations"),
    "neither rewards nor returns": ({"rewards": None}, "neither rewards nor returns"),
    "no end": ({"terminals": np.zeros(5, bool), "timeouts": np.zeros(5, bool)}, "no end of an episode"),
    "empty": (
        {
            "observations": np.zeros((0, 4)),
            "actions": np.zeros((0, 2)),
            "rewards": np.zeros(0),
            "terminals": np.zeros(0, bool),
            "timeouts": np.zeros(0, bool),
        },
        "no end of an episode",
    ),
    "one-step episode": ({"terminals": np.array([1, 0, 1, 0, 0], bool)}, "episode 0.*length 1"),
    "nan": ({"rewards": np.array([0, 0, 0, np.nan, 0])}, "episode 1.*rewards nan, step 0"),
    "infinite": ({"actions": np.full((5, 2), np.inf)}, "episode 0.*actions inf"),
    "mismatched lengths": ({"actions": np.ones((4, 2))}, "actions has 4 rows, expected 5"),
    "mismatched flags": ({"timeouts": np.ones(6, bool)}, "timeouts has 6 rows, expected 5"),
    "flat actions": ({"actions": np.ones(5)}, r"actions has shape \(5,\)"),
    "deep rewards": ({"rewards": np.ones((5, 1))}, r"rewards has shape \(5, 1\)"),
    "scalar rewards": ({"rewards": 1.0}, r"rewards has shape \(\)"),
    "text": ({"actions": np.full((5, 2), b"a")}, "actions has dtype"),
    "flags that are counts": (
        {"terminals": np.array([0, 0, 2, 0, 0])},
        "terminals holds values other than 0 and 1",
    ),
    "wrong number of returns": ({"rewards": None, "returns": np.ones(5)}, "5 entries, expected 2"),
    "narrow next observations": (
        {"next_observations": np.ones((5, 3))},
        "next_observations has another width",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_named_in_one_line(tmp_path, mistake):
    changes, message = MISTAKES[mistake]
    path = raw(tmp_path / "x.hdf5", **changes)
    with pytest.raises(UserError, match=message) as raised:
        read_d4rl(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_group_in_place_of_a_data_set_is_refused(tmp_path):
    path = raw(tmp_path / "x.hdf5", observations=None)
    with h5py.File(path, "a") as file:
        file["observations/achieved_goal"] = np.zeros((5, 2))
    with pytest.raises(UserError, match="observations is a group"):
        read_d4rl(path)


def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path):
    write_d4rl(make((200, 300)), tmp_path / "whole.hdf5")
    whole = (tmp_path / "whole.hdf5").read_bytes()
    for share in (0.0, 0.01, 0.3, 0.6, 0.99):
        path = tmp_path / "cut.hdf5"
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match="no HDF5 file, or a damaged one") as raised:
            read_d4rl(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("link", [h5py.SoftLink("/nothing"), h5py.ExternalLink("nowhere.hdf5", "/x")])
def test_a_link_to_nothing_is_refused(tmp_path, link):
    write_d4rl(make((20, 30)), tmp_path / "data.hdf5")
    with h5py.File(tmp_path / "data.hdf5", "a") as file:
        del file["rewards"]
        file["rewards"] = link
    with pytest.raises(UserError, match="damaged") as raised:
        read_d4rl(tmp_path / "data.hdf5")
    assert "\n" not in str(raised.value)


def test_a_damaged_block_is_refused(tmp_path):
    path = tmp_path / "data.hdf5"
    write_d4rl(make((400, 300)), path)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        block = file["observations"].id.get_chunk_info(0)
    content[block.byte_offset : block.byte_offset + block.size] = b"\xff" * block.size
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_d4rl(path)


def test_a_foreign_file_a_folder_and_nothing_are_refused(tmp_path):
    foreign = tmp_path / "x.hdf5"
    foreign.write_text("observations,actions\n1,2\n")
    with pytest.raises(UserError, match="no HDF5 file"):
        read_d4rl(foreign)
    with pytest.raises(UserError, match="is not a file"):
        read_d4rl(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_d4rl(tmp_path / "none.hdf5")


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "data.hdf5"
    path.write_text("mine")
    with pytest.raises(UserError, match="exists"):
        write_d4rl(make(), path)
    assert path.read_text() == "mine"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="folder that exists"):
        write_d4rl(make(), tmp_path / "none" / "data.hdf5")


def test_nothing_is_left_when_writing_fails_or_stops(tmp_path, monkeypatch):
    path = tmp_path / "data.hdf5"
    write_d4rl(make(seed=1), path)
    before = path.read_bytes()
    for error, seen in ((OSError("disk full"), UserError), (KeyboardInterrupt(), KeyboardInterrupt)):

        def fail(*_, error=error):
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", fail)
            with pytest.raises(seen):
                write_d4rl(make(seed=2), path, overwrite=True)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["data.hdf5"]


FULL = """
import resource, sys
import numpy as np
from gac.data import Episodes, write_d4rl
from gac.errors import UserError

rng = np.random.default_rng(0)
steps = [rng.normal(size=(n, 4)) for n in (4000, 3999)]
episodes = Episodes.from_arrays([steps[0]], [steps[1]], rewards=[steps[1][:, 0]])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    write_d4rl(episodes, sys.argv[1], contiguous=sys.argv[3] == "contiguous")
except UserError as error:
    print(error)
"""
"""Writes some 200 KB where a file may have only so many bytes: a write fails as on a full disk."""


@pytest.mark.parametrize("layout", ["contiguous", "packed"])
@pytest.mark.parametrize("room", [1_000, 60_000, 130_000])
def test_a_full_disk_is_one_line_and_no_crash(room, layout, tmp_path):
    """HDF5 itself ends such a process by a segmentation fault, after pages of messages."""
    words = [sys.executable, "-c", FULL, str(tmp_path / "data.hdf5"), str(room), layout]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert "cannot be written (File too large)" in done.stdout
    assert not list(tmp_path.iterdir())
