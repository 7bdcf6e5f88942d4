"""What a file says twice is compared: next states, numbers of steps and episodes, other flags."""

import warnings

import h5py
import numpy as np
import pytest

from gac.data import blocks as blocks_module
from gac.data import read_d4rl, unpack_d4rl
from gac.errors import UserError

LENGTHS = (4, 3, 5)
ENDS = np.cumsum(LENGTHS) - 1
STEPS = np.concatenate([np.arange(n) for n in LENGTHS])
IDS = np.repeat(np.arange(3), LENGTHS)


def write(path, scale=1.0, offset=0.0, dtype=np.float32, wide=np.float32, **changes):
    """Three episodes whose next_observations are right; the environment was reset between them."""
    states = np.random.default_rng(0).normal(size=(12, 2)) * scale + offset
    following = np.roll(states, -1, axis=0)
    following[ENDS] = scale * np.array([[7.0, 8.0], [9.0, 10.0], [11.0, 12.0]]) + offset
    columns = {
        "observations": states.astype(dtype),
        "actions": np.zeros((12, 1), np.float32),
        "rewards": np.ones(12, np.float32),
        "terminals": np.zeros(12, bool),
        "timeouts": np.isin(np.arange(12), ENDS),
        "next_observations": following.astype(wide),
    }
    columns |= {key: value(columns) if callable(value) else value for key, value in changes.items()}
    with h5py.File(path, "w") as file:
        for key, column in columns.items():
            if column is not None:
                file[key] = column
    return path


def refused(path, **options):
    with pytest.raises(UserError) as raised:
        read_d4rl(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def shifted(row, column, by):
    """next_observations with one value that is off."""

    def change(columns):
        following = columns["next_observations"].copy()
        following[row, column] += by
        return following

    return change


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_next_state_that_the_next_row_contradicts_is_refused(tmp_path, monkeypatch, scale, on_disk):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 24)  # Three rows: the next one is in another block.
    read_d4rl(write(tmp_path / "x.hdf5", scale), on_disk=on_disk)
    for row in (0, 2, 9):
        path = write(tmp_path / "x.hdf5", scale, next_observations=shifted(row, 1, 0.01 * scale))
        said = refused(path, on_disk=on_disk)
        assert f"row {row}: next_observations[1] is " in said
        assert "as in 1 of 9 rows (11.1%) inside episodes" in said


def test_interleaved_environments_are_refused_with_the_share_of_their_rows(tmp_path):
    def interleaved(columns):
        order = np.argsort(np.arange(12) % 4, kind="stable")
        return columns["next_observations"][order]

    path = write(tmp_path / "x.hdf5", next_observations=interleaved)
    with pytest.raises(UserError, match=r"as in [89] of 9 rows .* inside episodes; write the rows of one"):
        read_d4rl(path)
    with pytest.raises(UserError, match="next_observations"):
        unpack_d4rl(path, tmp_path / "flat.hdf5")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.hdf5"]


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_rounding_to_float32_and_back_is_no_contradiction(tmp_path, offset):
    """float64 states beside float32 next states, and next states from centred ones."""

    def rounded(columns):
        near = columns["next_observations"].astype(np.float64)
        centred = (near - 3.0 - offset).astype(np.float32)
        return (centred.astype(np.float32) + np.float32(3.0 + offset)).astype(np.float32)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of states that float32 cannot hold
        read_d4rl(write(tmp_path / "x.hdf5", offset=offset, dtype=np.float64))
        read_d4rl(write(tmp_path / "x.hdf5", offset=offset, dtype=np.float64, next_observations=rounded))
    said = refused(write(tmp_path / "x.hdf5", offset=offset, next_observations=shifted(1, 0, 0.7)))
    assert "row 1" in said


def test_what_float64_alone_can_hold_is_compared_as_such(tmp_path):
    """Seconds since 1970: float32 would round both copies to the same number."""
    exact = {"offset": 1.7e9, "dtype": np.float64, "wide": np.float64}
    with pytest.warns(UserWarning, match="too little for their size to be held in float32"):
        read_d4rl(write(tmp_path / "x.hdf5", **exact))
    said = refused(write(tmp_path / "x.hdf5", **exact, next_observations=shifted(1, 0, 0.25)))
    assert "row 1: next_observations[0] is 1700000000" in said


def test_half_precision_is_compared_as_such(tmp_path):
    path = write(tmp_path / "x.hdf5", next_observations=lambda c: c["next_observations"].astype(np.float16))
    np.testing.assert_array_equal(read_d4rl(path).final_observations[0], [7, 8])
    assert "row 5" in refused(
        write(
            path,
            next_observations=lambda c: shifted(5, 0, 0.05)(c).astype(np.float16),
        )
    )


def test_d4rls_own_files_are_read_with_a_warning(tmp_path):
    path = write(tmp_path / "hopper_medium-v2.hdf5", next_observations=shifted(1, 0, 1.0))
    with pytest.warns(UserWarning, match=r"row 1: next_observations\[0\]"):
        assert len(read_d4rl(path)) == 3


def test_final_observations_are_compared_with_next_observations(tmp_path):
    right = np.array([[7.0, 8.0], [9.0, 10.0], [11.0, 12.0]], np.float32)
    path = write(tmp_path / "x.hdf5", final_observations=right)
    np.testing.assert_array_equal(read_d4rl(path).final_observations, right)
    right[1, 0] = 9.5
    said = refused(write(path, final_observations=right))
    assert "row 6, the last of an episode: next_observations[0] is 9, but final_observations say 9.5" in said
    assert "as in 1 of 3 rows (33.3%) that end an episode" in said


@pytest.mark.parametrize("key", ["episode_ids", "episode_id", "episode"])
@pytest.mark.parametrize("form", [np.int64, np.float64, lambda ids: [f"run {i}" for i in ids]])
def test_numbers_of_episodes_are_compared_with_the_flags(tmp_path, key, form):
    path = tmp_path / "x.hdf5"
    assert len(read_d4rl(write(path, **{key: form(IDS)}))) == 3
    assert f"row 3: {key} stays" in refused(write(path, **{key: form(np.repeat([0, 1], [7, 5]))}))
    said = refused(write(path, **{key: form(np.repeat([0, 1, 2, 3], [2, 2, 3, 5]))}))
    assert f"row 1: {key} goes from" in said
    assert "1 of 3 ends (33.3%)" in said


def test_a_missing_number_of_an_episode_is_refused(tmp_path):
    ids = IDS.astype(float)
    ids[4:7] = np.nan
    assert "row 4: episode_ids is nan" in refused(write(tmp_path / "x.hdf5", episode_ids=ids))


@pytest.mark.parametrize("key", ["steps", "timestep"])
def test_numbers_of_steps_are_compared_with_the_flags(tmp_path, key):
    path = tmp_path / "x.hdf5"
    for right in (STEPS, STEPS[:, None], np.arange(12), np.repeat([5, 6, 7], LENGTHS)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(read_d4rl(write(path, **{key: right}))) == 3
    wrong = STEPS.copy()
    wrong[9:] -= 2
    assert f"row 9: {key} is 0 after 1 within an episode" in refused(write(path, **{key: wrong}))
    wrong[9:] += 1
    assert f"row 9: {key} is 1 again within an episode" in refused(write(path, **{key: wrong}))


def test_an_end_where_the_steps_go_on_is_named(tmp_path):
    steps = np.concatenate([np.arange(2), np.arange(2), np.arange(3), np.arange(5)])
    path = write(tmp_path / "x.hdf5", steps=steps, timeouts=np.isin(np.arange(12), [1, 3, 6, 8, 11]))
    with pytest.warns(
        UserWarning, match=r"row 8: an episode ends there, but steps goes on .* 1 of 4 ends \(25%\)"
    ):
        assert len(read_d4rl(path)) == 5


def test_a_row_of_a_reset_may_count_as_part_of_the_episode_before(tmp_path):
    """With next-step autoreset the first row of an episode repeats the last state of the one before."""

    def with_resets(columns):
        states = columns["observations"].copy()
        states[ENDS[:-1] + 1] = columns["next_observations"][ENDS[:-1]]
        return states

    late = np.searchsorted(ENDS[:-1] + 1, np.arange(12))
    path = tmp_path / "x.hdf5"
    assert len(read_d4rl(write(path, observations=with_resets, episode_ids=IDS))) == 3
    assert len(read_d4rl(write(path, observations=with_resets, episode_ids=late))) == 3
    counted = np.concatenate([np.arange(5), np.arange(3), np.arange(4)])
    assert len(read_d4rl(write(path, observations=with_resets, steps=counted))) == 3
    assert "row 3: episode_ids stays 0" in refused(write(path, episode_ids=late))


def test_lengths_and_other_flags_are_compared_with_the_flags(tmp_path):
    path = tmp_path / "x.hdf5"
    assert len(read_d4rl(write(path, lengths=np.array(LENGTHS), dones=np.isin(np.arange(12), ENDS)))) == 3
    said = refused(write(path, lengths=np.array([4, 4, 4])))
    assert "lengths[1] is 4, but by terminals and timeouts the episode has 3 steps, as in 2 of 3" in said
    assert "lengths has 2 entries, but terminals and timeouts mark 3" in refused(
        write(path, lengths=np.array([7, 5]))
    )
    assert "row 8: dones is 1, but neither" in refused(write(path, dones=np.isin(np.arange(12), [3, 8])))


def test_other_things_of_these_names_are_left_alone(tmp_path):
    path = write(
        tmp_path / "x.hdf5",
        steps=np.zeros((12, 3)),
        episode=np.arange(3),
        dones=7,
        lengths=np.zeros(12),
    )
    assert len(read_d4rl(path)) == 3
