"""Cutting an endless run: what an episode is, and what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gac.data.mazes import CUTS, HORIZONS, Run, cut
from gac.errors import UserError


def make_run(rewards, reached=None, first=0):
    """A run whose rows are numbered: state t is (t, 0), action t is (t,)."""
    steps = len(rewards)
    return Run(
        observations=np.stack([np.arange(first, first + steps + 1), np.zeros(steps + 1)], 1).astype("f4"),
        actions=np.arange(first, first + steps, dtype=np.float32)[:, None],
        rewards=np.asarray(rewards, np.float32),
        reached=np.zeros(steps, bool) if reached is None else np.asarray(reached, bool),
    )


def cut_rows(run, how, horizon=3):
    """The rows of each episode, which must be consecutive and agree between states, actions and ends."""
    episodes = cut([run], how, horizon=horizon, env_id="maze2d-umaze-v1", name="run")
    rows = []
    for episode in episodes:
        row = episode.actions[:, 0].astype(int)
        np.testing.assert_array_equal(row, np.arange(row[0], row[-1] + 1))
        np.testing.assert_array_equal(episode.observations[:, 0], row)
        np.testing.assert_array_equal(episode.rewards, run.rewards[row])
        assert episode.final_observation[0] == row[-1] + 1
        assert episode.y == run.rewards[row].sum()
        assert episode.truncated
        assert not episode.terminated
        rows.append(row.tolist())
    return rows


def test_windows_of_the_horizon_leave_out_the_rest():
    assert cut_rows(make_run(np.zeros(8)), "horizon") == [[0, 1, 2], [3, 4, 5]]
    assert cut_rows(make_run(np.zeros(9)), "horizon") == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_an_episode_ends_with_the_last_step_towards_a_sub_goal():
    run = make_run(np.zeros(9), reached=[0, 1, 0, 0, 0, 1, 1, 0, 0])
    # Row 6 reaches the sub-goal it was given at once: one step, too short. Rows 7 and 8 reach none.
    assert cut_rows(run, "subgoal", horizon=None) == [[0, 1], [2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("horizon", "returns"), [(10, [9.0, 8.0, 1.0]), (3, [2.0, 2.0, 1.0]), (2, [1.0, 2.0, 1.0])]
)
def test_a_sub_goal_that_is_held_earns_its_last_reward_until_the_horizon(horizon, returns):
    run = make_run([0, 1, 0, 0, 1, 1, 1, 0], reached=[0, 1, 0, 0, 0, 1, 0, 1])
    episodes = cut([run], "hold", horizon=horizon, env_id="maze2d-umaze-v1", name="run")
    assert episodes.lengths.tolist() == [2, 4, 2]
    # 1 logged and 8 held; 2 logged and 6 held; the last is outside when it gets there.
    assert episodes.returns.tolist() == returns
    assert episodes.rewards is None


def test_what_holds_a_sub_goal_begins_anywhere_on_the_way_to_it():
    ways, steps, horizon = 900, 10, 20
    rewards = np.tile(np.arange(steps) >= 7, ways).astype("f4")
    run = make_run(rewards, reached=np.tile(np.arange(steps) == steps - 1, ways))
    episodes = cut([run], "hold", horizon=horizon, env_id="maze2d-umaze-v1", name="run")
    assert episodes.final_observations[:, 0].tolist() == list(range(steps, ways * steps + 1, steps))
    # 2 to 10 steps are left, each for as many ways.
    lengths, counts = np.unique(episodes.lengths, return_counts=True)
    assert lengths.tolist() == list(range(2, steps + 1))
    np.testing.assert_allclose(counts, ways / len(lengths), atol=2)
    # All of them hold the target after the way; the last three steps of a way are in it already.
    np.testing.assert_array_equal(
        episodes.returns, np.minimum(episodes.lengths, 3) + (horizon - episodes.lengths)
    )


def test_success_ends_with_the_first_reward_and_begins_again_outside():
    #                0  1  2  3  4  5  6  7  8  9
    run = make_run([0, 1, 1, 1, 0, 0, 0, 0, 0, 1])
    # State 5 is the first outside; 5, 6, 7 pass the horizon; 8, 9 succeed.
    assert cut_rows(run, "success") == [[0, 1], [5, 6, 7], [8, 9]]


def by_success_step_by_step(rewards, horizon):
    """The definition, followed one step at a time."""
    found, rows, staying = [], [], False
    for t, reward in enumerate(rewards):
        if staying:
            staying = reward > 0
            continue
        rows.append(t)
        if reward > 0 or len(rows) == horizon:
            found.append(rows)
            rows, staying = [], reward > 0
    return [rows for rows in found if len(rows) >= 2]


@given(rewards=st.lists(st.integers(0, 1), min_size=3, max_size=40), horizon=st.integers(2, 6))
def test_success_follows_its_definition(rewards, horizon):
    expected = by_success_step_by_step(rewards, horizon)
    if expected:
        assert cut_rows(make_run(rewards), "success", horizon) == expected
    else:
        with pytest.raises(UserError, match="no whole episode when cut by success"):
            cut_rows(make_run(rewards), "success", horizon)


@given(
    how=st.sampled_from(CUTS),
    sizes=st.lists(st.integers(6, 30), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_several_runs_are_cut_one_by_one(how, sizes, seed):
    rng = np.random.default_rng(seed)
    runs = []
    for i, steps in enumerate(sizes):
        rewards = rng.random(steps) < 0.4
        rewards[:3] = False  # so that every cut finds an episode in every run
        runs.append(make_run(rewards, np.arange(1, steps + 1) % 4 == 0, first=100 * i))
    options = {"horizon": 3, "env_id": None, "name": "runs"}
    together = cut(runs, how, **options)
    apart = [episode for run in runs for episode in cut([run], how, **options)]
    assert len(together) == len(apart)
    for one, other in zip(together, apart, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_the_environment_and_the_name_are_kept():
    episodes = cut([make_run(np.ones(6))], horizon=2, env_id="maze2d-large-v1", name="mine")
    assert (episodes.env_id, episodes.name, len(episodes)) == ("maze2d-large-v1", "mine", 3)
    assert HORIZONS[episodes.env_id] == 800


@pytest.mark.parametrize(
    ("how", "horizon", "message"),
    [
        ("horizont", 3, "cut is 'horizont', expected one of horizon, subgoal, hold, success"),
        ("horizon", None, "horizon is None, expected 2 steps or more to cut by horizon"),
        ("success", 1, "horizon is 1"),
        ("hold", None, "horizon is None"),
        ("horizon", 10, "run has 9 steps and no whole episode when cut by horizon"),
        ("subgoal", None, "no whole episode when cut by subgoal"),
    ],
)
def test_what_cannot_be_cut_is_named_in_one_line(how, horizon, message):
    with pytest.raises(UserError, match=message) as raised:
        cut([make_run(np.zeros(9))], how, horizon=horizon, env_id=None, name="run")
    assert "\n" not in str(raised.value)
