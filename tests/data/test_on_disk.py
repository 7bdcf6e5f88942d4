"""Steps that stay on disk: the same episodes, in bounded memory, or one line that says why not."""

import tracemalloc

import h5py
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gac.data import blocks as blocks_module
from gac.data import (
    d4rl_hdf5,
    describe,
    episode_facts,
    load_data,
    read_d4rl,
    reset_rows,
    sentinels,
    unpack_d4rl,
    write_d4rl,
)
from gac.data.memory import available_memory
from gac.errors import UserError
from gac.training.checkpoint import fingerprint

STEPS = ("observations", "actions", "rewards")
FIELDS = (*STEPS, "returns", "lengths", "terminated", "truncated", "final_observations")


@pytest.fixture
def small_blocks(monkeypatch):
    """Everything takes many blocks."""
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 64)


def with_rewards(count=6, final=True, seed=0):
    """The tiny episodes with rewards that add up to other returns."""
    episodes, rng = tiny.make_episodes(count, seed=seed, final=final), np.random.default_rng(seed)
    rows = [episodes[i] for i in range(count)]
    return type(episodes).from_arrays(
        [
            np.concatenate([one.observations, one.final_observation[None]]) if final else one.observations
            for one in rows
        ],
        [one.actions for one in rows],
        [rng.normal(size=len(one.actions)) for one in rows],
        terminated=rng.random(count) < 0.5,
        env_id="Hopper-v5",
    )


def assert_same(one, other):
    assert one.env_id == other.env_id
    for field in FIELDS:
        left, right = getattr(one, field), getattr(other, field)
        assert (left is None) == (right is None), field
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=field)
            assert left.dtype == right.dtype


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 6),
    final=st.booleans(),
    rewards=st.booleans(),
    contiguous=st.booleans(),
    seed=st.integers(0, 99),
)
def test_memory_and_disk_hold_the_same_episodes(
    tmp_path, small_blocks, count, final, rewards, contiguous, seed
):
    make = with_rewards if rewards else tiny.make_episodes
    episodes = make(count, final=final, seed=seed)
    first, flat = tmp_path / "first.hdf5", tmp_path / "flat.hdf5"
    flat.unlink(missing_ok=True)
    write_d4rl(episodes, first, overwrite=True, contiguous=contiguous)
    assert unpack_d4rl(first, flat) == (count, episodes.num_steps)
    mapped = read_d4rl(flat, on_disk=True)
    assert_same(mapped, episodes)
    assert_same(read_d4rl(first, on_disk=False), episodes)
    assert fingerprint(mapped) == fingerprint(episodes)
    assert mapped.on_disk
    assert not episodes.on_disk
    chosen = mapped.select([count - 1, 0])
    assert_same(chosen, episodes.select([count - 1, 0]))
    assert not chosen.on_disk
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.hdf5", "flat.hdf5"]


def test_a_data_set_on_disk_is_described_alike(tmp_path, small_blocks):
    write_d4rl(with_rewards(), tmp_path / "x.hdf5", contiguous=True)
    described = [describe(read_d4rl(tmp_path / "x.hdf5", on_disk=on_disk)) for on_disk in (False, True)]
    assert described[0] == described[1]


def test_next_observations_of_other_peoples_files_give_the_final_states(tmp_path):
    episodes = with_rewards()
    write_d4rl(episodes, tmp_path / "x.hdf5")
    flat = tmp_path / "flat.hdf5"
    with h5py.File(tmp_path / "x.hdf5") as source, h5py.File(flat, "w") as file:
        for key in source:
            file[key] = source[key][()]
    mapped = read_d4rl(flat, on_disk=True)
    np.testing.assert_array_equal(mapped.final_observations, episodes.final_observations)


def test_an_unfinished_last_episode_is_left_out_on_disk_too(tmp_path):
    write_d4rl(with_rewards(3), tmp_path / "x.hdf5", contiguous=True)
    with h5py.File(tmp_path / "x.hdf5", "a") as file:
        file["timeouts"][-1] = file["terminals"][-1] = False
        del file["final_observations"]
    with pytest.warns(UserWarning, match="unfinished episode"):
        mapped = read_d4rl(tmp_path / "x.hdf5", on_disk=True)
    assert mapped.num_episodes == 2
    assert mapped.on_disk
    with pytest.warns(UserWarning, match=r"x.hdf5: the last"):
        assert unpack_d4rl(tmp_path / "x.hdf5", tmp_path / "y.hdf5") == (2, mapped.num_steps)


def refusal(*args, **kwargs):
    with pytest.raises(UserError) as error:
        read_d4rl(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_memory_decides_where_nothing_is_said(tmp_path, monkeypatch):
    episodes, flat, packed = with_rewards(), tmp_path / "flat.hdf5", tmp_path / "packed.hdf5"
    write_d4rl(episodes, flat, contiguous=True)
    write_d4rl(episodes, packed)
    needed = d4rl_hdf5.IN_MEMORY_COPIES * sum(getattr(episodes, key).nbytes for key in STEPS)
    monkeypatch.setattr(d4rl_hdf5, "available_memory", lambda: needed)
    assert not read_d4rl(flat).on_disk
    assert read_d4rl(flat, on_disk=True).on_disk
    monkeypatch.setattr(d4rl_hdf5, "available_memory", lambda: needed - 1)
    assert read_d4rl(flat).on_disk
    assert not read_d4rl(flat, on_disk=False).on_disk
    assert not read_d4rl(packed, on_disk=False).on_disk
    said = refusal(packed)
    assert "memory" in said
    assert f"gac data convert {packed} NEW.hdf5 --contiguous" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dtype": "f8"}, "observations is contiguous float64"),
        ({"dtype": ">f4"}, "observations is contiguous >f4"),
        ({"dtype": "f4", "chunks": (2, 3)}, "observations is chunked float32"),
        ({"dtype": "f4", "compression": "lzf"}, "observations is lzf float32"),
    ],
)
def test_what_cannot_be_mapped_is_named_and_converted(tmp_path, changed, said):
    episodes, path = with_rewards(), tmp_path / "x.hdf5"
    write_d4rl(episodes, path, contiguous=True)
    with h5py.File(path, "a") as file:
        del file["observations"]
        file.create_dataset("observations", data=episodes.observations, **changed)
    assert said in refusal(path, on_disk=True)
    unpack_d4rl(path, tmp_path / "flat.hdf5")
    assert_same(read_d4rl(tmp_path / "flat.hdf5", on_disk=True), episodes)


def test_a_userblock_shifts_the_file_and_is_not_mapped(tmp_path):
    write_d4rl(with_rewards(), tmp_path / "x.hdf5", contiguous=True)
    with (
        h5py.File(tmp_path / "x.hdf5") as source,
        h5py.File(tmp_path / "y.hdf5", "w", userblock_size=512) as file,
    ):
        for key in source:
            file[key] = source[key][()]
    assert "cannot stay on disk" in refusal(tmp_path / "y.hdf5", on_disk=True)


def test_steps_that_lie_in_another_file_are_read_from_there_or_not_mapped(tmp_path):
    write_d4rl(with_rewards(), tmp_path / "data.hdf5", contiguous=True)
    with h5py.File(tmp_path / "data.hdf5") as file, h5py.File(tmp_path / "links.hdf5", "w") as links:
        links.attrs["env_id"] = "Hopper-v5"
        for key in file:
            links[key] = h5py.ExternalLink("data.hdf5", f"/{key}")
    with pytest.raises(UserError, match="observations is in another file"):
        load_data(str(tmp_path / "links.hdf5"), on_disk=True)
    own, linked = (load_data(str(tmp_path / name), on_disk=False) for name in ("data.hdf5", "links.hdf5"))
    np.testing.assert_array_equal(own.observations, linked.observations)


def test_a_conversion_that_fails_leaves_nothing(tmp_path):
    path, flat = tmp_path / "x.hdf5", tmp_path / "flat.hdf5"
    write_d4rl(with_rewards(), path)
    with h5py.File(path, "a") as file:
        file["observations"][3, 0] = np.nan
    with pytest.raises(UserError, match=r"x.hdf5 has observations nan"):
        unpack_d4rl(path, flat)
    with pytest.raises(UserError, match="folder that exists"):
        unpack_d4rl(path, tmp_path / "none" / "flat.hdf5")
    flat.write_text("mine")
    with pytest.raises(UserError, match="exists"):
        unpack_d4rl(path, flat)
    assert flat.read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["flat.hdf5", "x.hdf5"]


def test_a_recipe_is_not_left_on_disk():
    with pytest.raises(UserError, match=r"gac data convert hopper-medium .* --contiguous"):
        load_data("hopper-medium", on_disk=True)


def test_available_memory_is_some():
    assert 2**20 < available_memory() < 2**50


def test_reading_writing_and_converting_take_memory_for_a_few_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 2**18)
    monkeypatch.setattr(episode_facts, "SAMPLE", 1000)
    for module in (reset_rows, sentinels):
        monkeypatch.setattr(module, "SAMPLE", 1000)
    path, flat, again = (tmp_path / name for name in ("x.hdf5", "flat.hdf5", "again.hdf5"))
    steps, count = 1000, 300
    rng = np.random.default_rng(0)
    states = rng.normal(size=(steps, 10)).astype(np.float32)
    with h5py.File(path, "w") as file:
        for key, rows in (("observations", states), ("next_observations", np.roll(states, -1, axis=0))):
            file.create_dataset(key, data=np.tile(rows, (count, 1)), chunks=(1000, 10), compression="lzf")
        file["actions"] = np.tile(states[:, :2], (count, 1))
        file["rewards"] = np.tile(states[:, 0], count)
        file["timeouts"] = np.tile(np.arange(steps) == steps - 1, count)
        file["terminals"] = np.zeros(steps * count, np.uint8)
    tracemalloc.start()
    unpack_d4rl(path, flat)
    mapped = read_d4rl(flat, on_disk=True)
    describe(mapped)
    write_d4rl(mapped, again)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mapped.num_steps == steps * count
    assert peak < 2**22 < mapped.observations.nbytes / 2
