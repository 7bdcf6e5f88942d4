"""D4RL's own maze2d files, by a small one in their layout."""

import numpy as np
import pytest
from maze_file import STEPS, SUBGOAL_EVERY, TARGET_FROM, TARGET_TO, write_maze

from gac.data import read_d4rl, write_d4rl
from gac.data.mazes import HORIZONS
from gac.errors import UserError


@pytest.fixture
def umaze(tmp_path):
    """Named as D4RL names it, without the attribute, which D4RL does not write."""
    return write_maze(tmp_path / "maze2d-umaze-sparse-v1.hdf5")


def rows(episode):
    return episode.observations[:, 0].astype(int)


def test_the_run_is_cut_into_windows_of_the_environments_horizon(umaze):
    episodes = read_d4rl(umaze)
    assert episodes.env_id == "maze2d-umaze-v1"
    np.testing.assert_array_equal(episodes.lengths, [300, 300, 300])
    assert episodes.truncated.all()
    assert not episodes.terminated.any()
    for i, episode in enumerate(episodes):
        np.testing.assert_array_equal(rows(episode), np.arange(300 * i, 300 * i + 300))
        assert episode.final_observation[0] == 300 * i + 300


def test_the_reward_of_a_step_is_that_of_the_state_after_it(umaze):
    for episode in read_d4rl(umaze):
        following = np.append(rows(episode)[1:], int(episode.final_observation[0]))
        inside = (following >= TARGET_FROM) & (following < TARGET_TO)
        np.testing.assert_array_equal(episode.rewards, inside)


def test_a_windows_return_counts_the_states_it_reaches(umaze):
    np.testing.assert_array_equal(read_d4rl(umaze).returns, [0, 201, 49])


def test_timeouts_are_sub_goals_and_end_an_episode_only_if_asked(umaze):
    episodes = read_d4rl(umaze, "subgoal")
    np.testing.assert_array_equal(episodes.lengths, np.full(STEPS // SUBGOAL_EVERY, SUBGOAL_EVERY))
    assert rows(episodes[1])[0] == SUBGOAL_EVERY


def test_success_ends_at_the_target(umaze):
    first, second, third = list(read_d4rl(umaze, "success"))[:3]
    assert (len(first.actions), first.y) == (300, 0)
    assert (second.final_observation[0], second.y) == (TARGET_FROM, 1)
    assert rows(third)[0] == TARGET_TO


def test_every_size_has_its_horizon(tmp_path):
    for size in ("umaze", "medium", "large"):
        by_name = write_maze(tmp_path / f"maze2d-{size}-sparse-v1.hdf5")
        by_attribute = write_maze(tmp_path / f"{size}.hdf5", env_id=f"maze2d-{size}-v1")
        for path in (by_name, by_attribute):
            episodes = read_d4rl(path)
            assert episodes.env_id == f"maze2d-{size}-v1"
            assert set(episodes.lengths) == {HORIZONS[episodes.env_id]}


def test_a_file_of_an_unknown_maze_can_be_cut_by_sub_goal_only(tmp_path):
    path = write_maze(tmp_path / "mine.hdf5")
    with pytest.raises(UserError, match="name the maze by env_id") as raised:
        read_d4rl(path)
    assert "\n" not in str(raised.value)
    assert len(read_d4rl(path, "subgoal")) == STEPS // SUBGOAL_EVERY


def test_old_files_have_no_timeouts_and_no_sub_goals(tmp_path):
    path = write_maze(tmp_path / "old.hdf5", env_id="maze2d-umaze-v1", timeouts=None)
    assert len(read_d4rl(path)) == 3
    for how in ("subgoal", "hold"):
        with pytest.raises(UserError, match="has no timeouts, which mark the sub-goals"):
            read_d4rl(path, how)


def test_a_maze_without_rewards_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no rewards"):
        read_d4rl(write_maze(tmp_path / "x.hdf5", env_id="maze2d-umaze-v1", rewards=None))


@pytest.mark.parametrize("steps", [0, 1, 2, 300])
def test_a_run_too_short_for_an_episode_is_refused(tmp_path, steps):
    path = write_maze(tmp_path / "x.hdf5", steps, env_id="maze2d-umaze-v1")
    with pytest.raises(UserError, match="no whole episode"):
        read_d4rl(path)


def test_what_is_written_from_a_maze_is_read_as_it_says(umaze, tmp_path):
    """A converted file has whole episodes: it must be neither shifted nor cut a second time."""
    episodes = read_d4rl(umaze, "subgoal")
    write_d4rl(episodes, tmp_path / "mine.hdf5")
    again = read_d4rl(tmp_path / "mine.hdf5")
    for field in ("observations", "actions", "rewards", "returns", "lengths", "final_observations"):
        np.testing.assert_array_equal(getattr(again, field), getattr(episodes, field))
    with pytest.raises(UserError, match="has episodes of its own and cannot be cut by horizon"):
        read_d4rl(tmp_path / "mine.hdf5", "horizon")


def test_other_robots_with_goals_are_no_mazes(tmp_path):
    """D4RL's AntMaze files have goals too, and flags that mean what they say."""
    flags = np.zeros(STEPS, bool)
    flags[[499, 999]] = True
    path = write_maze(tmp_path / "ant.hdf5", observations=np.zeros((STEPS, 29), np.float32), timeouts=flags)
    np.testing.assert_array_equal(read_d4rl(path).lengths, [500, 500])
