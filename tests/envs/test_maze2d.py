import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import gac.envs
from gac.envs import LAYOUTS
from gac.envs.maze2d import Maze2D
from gac.errors import UserError

IDS = [f"maze2d-{size}-v1" for size in LAYOUTS]
REACH = 0.4
"""From a cell's middle to where the ball, of radius 0.1, meets a wall."""


@pytest.mark.filterwarnings("ignore:.*A Box observation space .*infinity")
@pytest.mark.parametrize("env_id", IDS)
def test_the_environment_is_what_gymnasium_expects(env_id):
    env = gymnasium.make(env_id)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (4,)
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()


@pytest.mark.parametrize(("env_id", "horizon"), list(zip(IDS, (300, 600, 800), strict=True)))
def test_an_episode_is_truncated_at_the_horizon_and_never_terminated(env_id, horizon):
    env = gymnasium.make(env_id)
    env.reset(seed=0)
    env.unwrapped.set_state(np.array([*gac.envs.target(env_id), 0.0, 0.0]))
    ends = [env.step(np.zeros(2))[1:4] for _ in range(horizon)]
    assert ends[:-1] == [(1.0, False, False)] * (horizon - 1)
    assert ends[-1] == (1.0, False, True)


@pytest.mark.parametrize(("x", "y", "reward"), [
    (1.0, 1.0, 1.0),
    (1.0, 1.5 - 1e-9, 1.0),
    (1.0, 1.5 + 1e-9, 0.0),
    (1.3, 1.4 - 1e-9, 1.0),
    (1.3, 1.4 + 1e-9, 0.0),
    (3.0, 3.0, 0.0),
])  # fmt: skip
def test_reward_is_given_within_half_a_cell_of_the_target(x, y, reward):
    assert Maze2D("umaze").reward(x, y) == reward


def test_the_rim_belongs_to_the_target():
    assert Maze2D("umaze").reward(1.0, 1.5) == Maze2D("umaze").reward(0.5, 1.0) == 1.0


def test_reward_is_for_the_position_after_the_step():
    env = Maze2D("umaze")
    env.reset(seed=0)
    before = env.set_state(np.array([1.0, 1.51, 0.0, -4.0]))
    after, reward, *_ = env.step(np.zeros(2))
    assert env.reward(*before[:2].tolist()) == 0.0
    assert np.hypot(*(after[:2] - 1.0)) < 0.5
    assert reward == 1.0


@pytest.mark.parametrize("size", list(LAYOUTS))
def test_a_cell_is_where_the_frame_says(size):
    """Pushed along an axis from the middle of each cell, the ball stops at the wall, or leaves the cell."""
    env, walls = Maze2D(size), LAYOUTS[size].walls
    env.reset(seed=0)
    for cell in LAYOUTS[size].free_cells[:: 1 if size == "umaze" else 5]:
        middle = cell - 0.2
        for move in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            env.set_state(np.array([*middle, 0.0, 0.0]))
            for _ in range(100):
                observation = env.step(np.array(move, np.float64))[0]
            gone = (observation[:2] - middle) @ np.array(move)
            if walls[tuple(cell + move)]:
                assert gone == pytest.approx(REACH, abs=0.02)
            else:
                assert gone > 1


@settings(max_examples=10)
@given(st.sampled_from(list(LAYOUTS)), st.integers(0, 2**31 - 1))
def test_walls_hold(size, seed):
    """Whatever the forces, the ball's centre stays out of the walls, which give way at most by its radius."""
    env, rng = Maze2D(size), np.random.default_rng(seed)
    env.reset(seed=seed)
    walls = np.argwhere(LAYOUTS[size].walls == 1) - 0.2
    for _ in range(10):
        force = rng.choice([-1.0, 1.0], 2)
        for _ in range(30):
            away = np.abs(env.step(force)[0][:2] - walls) - 0.5
            assert away.max(axis=1).min() > 0


def test_the_physics_is_that_of_gymnasium_robotics_point_maze():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", sys.stdout)
        from gymnasium_robotics.envs.maze.point_maze import PointMazeEnv

    env, other = Maze2D("umaze"), PointMazeEnv(maze_map=np.rot90(LAYOUTS["umaze"].walls).tolist())
    other.reset(seed=0)
    state = env.reset(seed=0)[0]
    shift = np.array([1.8, 1.8, 0.0, 0.0])  # the middle of a map of five cells, in D4RL's frame
    other.point_env.set_state(state[:2] - 1.8, state[2:])
    rng = np.random.default_rng(0)
    for _ in range(20):
        force = rng.uniform(-2, 2, 2)
        for _ in range(20):
            expected = other.step(force)[0]["observation"] + shift
            np.testing.assert_allclose(env.step(force)[0], expected, atol=1e-9)
    other.close()


def test_starts_are_spread_over_the_free_cells():
    env = gymnasium.make("maze2d-medium-v1")
    starts = np.stack([env.reset(seed=seed)[0] for seed in range(300)])
    cells = np.round(starts[:, :2])
    assert np.abs(starts[:, :2] - cells).max() <= 0.1
    assert set(map(tuple, cells.astype(int))) == set(map(tuple, LAYOUTS["medium"].free_cells))
    assert starts[:, 2:].std() == pytest.approx(0.1, rel=0.15)


def test_a_seed_gives_the_same_bytes_whatever_came_before():
    def play(env):
        first = env.reset(seed=5)[0]
        env.set_state(np.array([1.22, 1.22, 0.5, 0.5]))  # pressed into a corner, where the solver has work
        rng = np.random.default_rng(1)
        return b"".join(
            [first.tobytes(), *(env.step(rng.uniform(-1, 1, 2))[0].tobytes() for _ in range(400))]
        )

    fresh, used, beside = Maze2D("umaze"), Maze2D("umaze"), Maze2D("umaze")
    used.reset(seed=1)
    for _ in range(50):
        used.step(np.ones(2))
        beside.step(np.ones(2))
    assert play(fresh) == play(used)


def test_an_action_is_clipped():
    one, two = Maze2D("umaze"), Maze2D("umaze")
    for env in (one, two):
        env.reset(seed=0)
    np.testing.assert_array_equal(one.step(np.array([5.0, -9.0]))[0], two.step(np.array([1.0, -1.0]))[0])


def test_an_observation_is_not_changed_by_later_steps():
    env = Maze2D("umaze")
    first = env.reset(seed=0)[0]
    kept = first.copy()
    env.step(np.ones(2))
    np.testing.assert_array_equal(first, kept)


def test_an_unknown_size_is_answered():
    with pytest.raises(UserError, match="size is 'huge', expected one of umaze, medium, large"):
        Maze2D("huge")


def test_render_without_a_mode_is_answered():
    with pytest.raises(UserError, match="render_mode"):
        Maze2D("umaze").render()


def test_registering_loads_neither_simulator_nor_jax_and_import_gac_does_not_register():
    script = (
        "import sys, gac; assert 'gymnasium' not in sys.modules\n"
        "import gac.envs, gymnasium\n"
        "loaded = {'mujoco', 'jax', 'gymnasium_robotics'} & set(sys.modules); assert not loaded, loaded\n"
        "print(gymnasium.make('maze2d-umaze-v1').spec.to_json())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"size": "umaze"' in done.stdout
    assert done.stderr == ""


def test_no_file_is_left_behind(tmp_path):
    script = "import gac.envs, gymnasium; gymnasium.make('maze2d-umaze-v1').reset()"
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_a_frame_shows_the_target_and_the_ball_where_they_are():
    script = (
        "import os, sys; os.environ['MUJOCO_GL'] = 'egl'\n"
        "try:\n"
        "    import mujoco; mujoco.GLContext(8, 8)\n"
        "except Exception: sys.exit(77)\n"
        "import gymnasium, numpy as np, gac.envs\n"
        "env = gymnasium.make('maze2d-medium-v1', render_mode='rgb_array'); env.reset(seed=0)\n"
        "env.unwrapped.set_state(np.array([1.0, 6.0, 0.0, 0.0]))\n"
        "frame = env.render().astype(int); env.close()\n"
        "red = np.argwhere(frame[..., 0] > frame[..., 1:].sum(-1) + 60).mean(0)\n"
        "green = np.argwhere(frame[..., 1] > frame[..., ::2].max(-1) + 20).mean(0)\n"
        "print(frame.shape, *(red < 240), *(green < 240))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("no EGL here")
    assert done.returncode == 0, done.stderr
    # x to the right, y up: rows of a frame count from the top.
    assert done.stdout.split(") ")[1].split() == ["True", "False", "True", "True"]
