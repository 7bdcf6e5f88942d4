import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walker import SNAPSHOT, write_walker

from gac.data.ant_rollout import Guide, Job, _Run, episode_rows, play
from gac.envs.ant_layouts import ANT_LAYOUTS, ANT_TASKS, cell_of, draw_way
from gac.envs.antmaze import AntMaze

PACE = 0.1
"""Metres a step: one a second."""


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    path = write_walker(tmp_path_factory.mktemp("walker") / "ant.safetensors")
    return Job("medium-play", str(path), SNAPSHOT, min_steps=900, envs=2, seed=[0, 3])


@settings(max_examples=30)
@given(st.sampled_from(list(ANT_TASKS)), st.integers(0, 2**31 - 1))
def test_a_point_that_follows_the_guide_reaches_every_goal_through_free_cells(name, seed):
    task, rng = ANT_TASKS[name], np.random.default_rng(seed)
    layout = ANT_LAYOUTS[task.size]
    free, guide = set(layout.free_cells), Guide(layout, rng)
    start, goal = draw_way(task, rng)
    x, y = start or (0.0, 0.0)
    guide.go_to(goal, x, y)
    for _ in range(layout.horizon):
        to_x, to_y = guide.waypoint(x, y)
        distance = math.dist((to_x, to_y), (x, y))
        if (to_x, to_y) == goal and distance <= PACE:
            break
        x, y = x + PACE * (to_x - x) / distance, y + PACE * (to_y - y) / distance
        assert cell_of(x, y) in free
    assert math.dist((x, y), goal) <= PACE
    assert guide.waypoint(x, y) == goal


@pytest.mark.parametrize(("size", "cells"), [("umaze", 6), ("medium", 10), ("large", 14)])
def test_the_way_to_the_far_corner_is_a_shortest_one(size, cells):
    layout = ANT_LAYOUTS[size]
    guide = Guide(layout, np.random.default_rng(0))
    guide.go_to(tuple(layout.target.tolist()), 0.0, 0.0)
    way = [(1, 1), *(cell_of(*point) for point in guide._waypoints[::-1])]
    assert len(way) == cells + 1
    assert way[-1] == layout.goal
    for here, there in itertools.pairwise(way):
        assert abs(here[0] - there[0]) + abs(here[1] - there[1]) == 1
        assert layout.walls[there] == 0


def test_a_waypoint_is_left_within_half_a_metre_of_it_and_the_goal_never():
    guide = Guide(ANT_LAYOUTS["umaze"], np.random.default_rng(0))
    guide._waypoints = [(8.0, 0.5), (4.0, 0.5)]
    assert guide.waypoint(3.4, 0.5) == (4.0, 0.5)
    assert guide.waypoint(3.51, 0.5) == (8.0, 0.5)
    assert guide.waypoint(3.4, 0.5) == (8.0, 0.5)
    assert guide.waypoint(8.0, 0.5) == (8.0, 0.5)


@pytest.mark.parametrize(("rewards", "rows"), [
    ([0, 0, 0], [(0, 3)]),
    ([0, 0, 1], [(0, 3)]),
    ([0, 1, 0, 0], [(0, 2), (2, 4)]),
    ([0, 0, 1, 1, 1, 0, 0, 1, 0], [(0, 3), (5, 8)]),
    ([1, 1, 1], []),
])  # fmt: skip
def test_an_episode_ends_with_every_reward_and_single_steps_are_left_out(rewards, rows):
    assert episode_rows(np.array(rewards, np.float32)) == rows


def test_rewards_and_ends_are_for_the_goal_of_an_evaluation():
    run = _Run("medium-play", np.random.default_rng(0))
    still, goal = np.zeros(8, np.float32), ANT_LAYOUTS["medium"].target
    assert run._env.goal == tuple(goal) != run._guide._waypoints[0]
    state = run.state.copy()
    for place in ((0.0, 0.0), (0.0, 0.0), goal, goal, (0.0, 0.0), (4.0, 0.0)):
        state[:2] = place
        run._env.set_state(state)
        assert not run.step(still)
    first, last = run.episodes()
    assert first["rewards"].tolist() == [0, 0, 1]
    assert (first["terminated"].tolist(), first["truncated"].tolist()) == ([True], [False])
    np.testing.assert_allclose(first["final_observations"][0, :2], goal, atol=0.1)
    assert last["rewards"].tolist() == [0, 0]
    assert (last["terminated"].tolist(), last["truncated"].tolist()) == ([False], [True])
    np.testing.assert_allclose(last["final_observations"][0, :2], (4.0, 0.0), atol=0.1)


def test_runs_last_as_long_as_the_environments_episodes(job):
    data = play(job)
    assert data["lengths"].sum() == len(data["observations"]) == 2000
    assert data["lengths"].tolist() == [1000, 1000]
    assert data["truncated"].all()
    assert np.abs(data["actions"]).max() <= 1.0
    assert data["observations"].shape == (2000, 29)
    # The stored actions lead through the stored states.
    env = AntMaze("medium")
    env.reset(seed=0)
    env.set_state(data["observations"][0].astype(np.float64))
    for t in range(10):
        observation, *_ = env.step(data["actions"][t])
        np.testing.assert_allclose(observation, data["observations"][t + 1], atol=1e-2)


def test_a_seed_gives_the_same_bytes(job, monkeypatch):
    short = dataclasses.replace(ANT_LAYOUTS["medium"], horizon=30)
    monkeypatch.setitem(ANT_LAYOUTS, "medium", short)
    jobs = [dataclasses.replace(job, min_steps=100, seed=[seed]) for seed in (0, 0, 1)]
    one, again, other = map(play, jobs)
    assert one["lengths"].tolist() == [30] * 4
    assert all(one[key].tobytes() == again[key].tobytes() for key in one)
    assert one["observations"].tobytes() != other["observations"].tobytes()
