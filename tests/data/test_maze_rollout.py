import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gac.data.maze_rollout import Controller, Job, play
from gac.envs import LAYOUTS
from gac.envs.maze2d import Maze2D

PUBLISHED = {  # state_mean and state_std of D4RL's files, (x, y, vx, vy)
    "umaze": ([1.9316, 2.3733, 0.0002, -0.0010], [0.8999, 0.7094, 2.2143, 2.4694]),
    "medium": ([3.4945, 3.4632, 0.0000, 0.0000], [1.3372, 1.5214, 2.3435, 2.3721]),
    "large": ([3.6928, 5.2794, 0.0000, 0.0000], [1.8033, 2.5799, 2.4437, 2.6557]),
}


@pytest.fixture(scope="module")
def run():
    return play(Job("umaze", 20_000, [0]))


@given(st.sampled_from(list(LAYOUTS)), st.integers(0, 2**31 - 1))
def test_the_way_goes_through_neighbouring_free_cells_to_the_goal(size, seed):
    layout, rng = LAYOUTS[size], np.random.default_rng(seed)
    controller = Controller(layout, rng)
    start, goal = (tuple(rng.choice(layout.free_cells).tolist()) for _ in range(2))
    controller.go_to(goal, *start)
    *between, last = controller._waypoints[::-1]
    assert last == goal
    cells = [start, *(tuple(np.ceil(point).astype(int).tolist()) for point in between), goal]
    assert layout.walls[tuple(zip(*cells, strict=True))].sum() == 0
    for here, there in itertools.pairwise(cells):
        assert abs(here[0] - there[0]) + abs(here[1] - there[1]) == (0 if start == goal else 1)


@pytest.mark.parametrize(
    ("size", "start", "goal", "steps"),
    # Around the U; around the middle block of the large maze, where the cells are three apart.
    [("umaze", (3, 1), (1, 1), 6), ("large", (5, 1), (5, 4), 15)],
)
def test_the_way_is_a_shortest_one(size, start, goal, steps):
    onward = Controller(LAYOUTS[size], np.random.default_rng(0))._onward[goal]
    cells = [start]
    while cells[-1] != goal:
        cells.append(onward[cells[-1]])
    assert len(cells) - 1 == steps


def test_among_equal_ways_the_order_of_moves_decides():
    controller = Controller(LAYOUTS["medium"], np.random.default_rng(0))
    assert controller._onward[2, 2][1, 1] == (1, 2)
    assert controller._onward[1, 1][2, 2] == (2, 1)


def test_the_law_of_the_controller():
    controller = Controller(LAYOUTS["umaze"], np.random.default_rng(0))
    controller._waypoints = [(1.0, 1.0), (1.9, 1.05)]
    assert controller.act(1.85, 1.0, -0.2, 1.0) == pytest.approx((0.7, -0.5, False))
    # That waypoint was near: the next is on.
    assert controller._waypoints == [(1.0, 1.0)]
    assert controller.act(1.85, 1.0, 0.0, 0.3) == pytest.approx((-1.0, -0.3, False))
    assert controller.act(1.05, 1.0, 0.0, 0.0) == pytest.approx((-0.5, 0.0, True))


@pytest.mark.parametrize("size", list(LAYOUTS))
def test_every_goal_is_reached_from_every_cell_within_the_horizon(size):
    """Without noise and with the worst of pairs: from the cells at the ends of the longest ways."""
    layout, env = LAYOUTS[size], Maze2D(size)
    controller = Controller(layout, np.random.default_rng(0))
    ends = [tuple(layout.free_cells[k].tolist()) for k in (0, len(layout.free_cells) // 2, -1)]
    env.reset(seed=0)
    for start, goal in itertools.permutations(ends, 2):
        state = env.set_state(np.array([*start, 0.0, 0.0]))
        controller.go_to(goal, *state[:2].tolist())
        for _ in range(layout.horizon):
            ax, ay, reached = controller.act(*state.tolist())
            if reached:
                break
            state = env.step(np.array([ax, ay]))[0]
        assert reached
        assert np.hypot(*(state[:2] - goal)) < 0.1


def test_a_run_is_one_run_in_the_environment(run):
    """Stored actions, played from the stored start, lead through the stored states and rewards."""
    env = Maze2D("umaze")
    env.reset(seed=0)
    state = env.set_state(run["observations"][0].astype(np.float64))
    for t in range(500):
        np.testing.assert_allclose(state, run["observations"][t], atol=1e-3)
        state, reward, *_ = env.step(run["actions"][t])
        if abs(np.hypot(*(state[:2] - 1)) - 0.5) > 1e-3:
            assert reward == run["rewards"][t]
    assert run["reached"][:500].sum() >= 3


def test_rewards_belong_to_the_state_after_the_action(run):
    distance = np.hypot(*(run["observations"][1:, :2] - 1.0).T)
    clear = np.abs(distance - 0.5) > 1e-5
    np.testing.assert_array_equal(run["rewards"][clear], (distance <= 0.5)[clear])


def test_goals_are_cells_reached_and_noise_is_on_the_actions(run):
    reached = run["observations"][:-1][run["reached"], :2]
    assert np.hypot(*(reached - np.round(reached)).T).max() < 0.1
    assert {tuple(cell) for cell in np.round(reached).astype(int)} == set(
        map(tuple, LAYOUTS["umaze"].free_cells)
    )
    assert np.abs(run["actions"]).max() == 1.0
    # On the way the controller asks for all there is, and noise takes from that half of the time.
    assert (np.abs(run["actions"]) == 1.0).mean() == pytest.approx(0.3, abs=0.1)


def test_a_seed_gives_the_same_bytes():
    one, again, other = (play(Job("medium", 300, [seed, 7])) for seed in (0, 0, 1))
    assert all(one[key].tobytes() == again[key].tobytes() for key in one)
    assert one["observations"].tobytes() != other["observations"].tobytes()


@pytest.mark.parametrize("size", list(LAYOUTS))
def test_the_states_have_the_moments_of_d4rls(size, run):
    """Few goals fit into a short run: the close bound is benchmarks/maze2d_moments.py's."""
    states = (run if size == "umaze" else play(Job(size, 20_000, [0])))["observations"].astype(np.float64)
    mean, std = PUBLISHED[size]
    span = np.ptp(states, axis=0)
    assert (np.abs(states.mean(axis=0) - mean) / span).max() < 0.12
    assert (np.abs(states.std(axis=0) - std) / span).max() < 0.04
    assert (np.abs(states.std(axis=0) - std) / std)[2:].max() < 0.05
