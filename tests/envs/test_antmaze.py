import os
import subprocess
import sys

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gac.envs import ANT_LAYOUTS, LAYOUTS
from gac.envs.ant_layouts import ANT_TASKS, ant_layout, cell_of, draw_goal, draw_way, middle
from gac.envs.antmaze import AntMaze
from gac.errors import UserError

IDS = [f"antmaze-{name}-v2" for name in ANT_TASKS]
STANDING = np.array([0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1, *[0] * 14], np.float64)


def standing(x, y, vx=0.0, vy=0.0):
    state = STANDING.copy()
    state[:2], state[15:17] = (x, y), (vx, vy)
    return state


@pytest.mark.filterwarnings("ignore:.*A Box observation space .*infinity")
@pytest.mark.parametrize("env_id", IDS)
def test_the_environment_is_what_gymnasium_expects(env_id):
    env = gymnasium.make(env_id)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (29,)
    assert env.action_space.shape == (8,)
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()


def test_six_tasks_on_d4rls_limits():
    limits = {env_id: gymnasium.spec(env_id).max_episode_steps for env_id in IDS}
    assert limits == {
        "antmaze-umaze-v2": 700,
        "antmaze-umaze-diverse-v2": 700,
        "antmaze-medium-play-v2": 1000,
        "antmaze-medium-diverse-v2": 1000,
        "antmaze-large-play-v2": 1000,
        "antmaze-large-diverse-v2": 1000,
    }


def test_an_episode_that_does_not_arrive_is_truncated_at_the_limit():
    env = gymnasium.make("antmaze-umaze-v2")
    env.reset(seed=0)
    ends = [env.step(np.zeros(8, np.float32))[1:4] for _ in range(700)]
    assert ends[:-1] == [(0.0, False, False)] * 699
    assert ends[-1] == (0.0, False, True)


@pytest.mark.parametrize(("size", "goal"), [("umaze", (0, 8)), ("medium", (20, 20)), ("large", (32, 24))])
def test_the_frame_is_d4rls(size, goal):
    """The start's cell is at the origin, the goal is 0 to 1.5 beyond the far corner's cell."""
    env, goals = AntMaze(size), []
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        assert np.abs(observation[:2]).max() <= 0.1
        assert observation[2] == pytest.approx(0.75, abs=0.1)
        np.testing.assert_allclose(observation[3:7], [1, 0, 0, 0], atol=0.1)
        assert np.abs(observation[7:15]).max() <= 0.1
        goals.append(env.goal)
    off = np.array(goals) - goal
    assert off.min() >= 0.0
    assert off.max() <= 1.5
    assert off.std() > 0.1
    np.testing.assert_allclose(ANT_LAYOUTS[size].target, np.array(goal) + 0.75)


def test_a_seed_gives_the_same_start_and_goal():
    env, again = AntMaze("large"), AntMaze("large")
    np.testing.assert_array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])
    assert env.goal == again.goal
    env.reset()
    assert env.goal != again.goal


def test_the_observation_is_what_the_simulator_holds():
    """15 positions, then 14 velocities, and a step is a tenth of a second."""
    env = AntMaze("medium")
    env.reset(seed=0)
    state = np.arange(29.0) / 10
    state[3:7] = [1.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(env.set_state(state), state)
    np.testing.assert_allclose(env.data.qpos[2:], state[2:15])
    np.testing.assert_allclose(env.data.qvel, state[15:])
    flying = standing(0.0, 0.0, vx=2.0)
    flying[2] = 5.0
    env.set_state(flying)
    after = env.step(np.zeros(8, np.float32))[0]
    assert after[0] == pytest.approx(0.2, abs=0.02)
    assert after[2] == pytest.approx(5.0 - 9.81 * 0.1**2 / 2, abs=0.01)


@pytest.mark.parametrize(("x", "y", "reward"), [
    (4.0, 8.0, 1.0),
    (4.5, 8.0, 1.0),
    (4.0, 7.5, 1.0),
    (4.5 + 1e-9, 8.0, 0.0),
    (4.3, 8.4 - 1e-9, 1.0),
    (4.3, 8.4 + 1e-9, 0.0),
    (0.0, 0.0, 0.0),
])  # fmt: skip
def test_reward_is_given_within_half_a_metre_of_the_goal(x, y, reward):
    env = AntMaze("umaze")
    env.reset(seed=0, options={"goal": (4.0, 8.0)})
    assert env.reward(x, y) == reward


def test_the_goal_ends_the_episode_and_a_fall_does_not():
    env = AntMaze("umaze")
    env.reset(seed=0)
    still = np.zeros(8, np.float32)
    env.set_state(standing(*env.goal))
    assert env.step(still)[1:4] == (1.0, True, False)
    fallen = standing(0.0, 0.0)
    fallen[3:7] = [0, 1, 0, 0]
    env.set_state(fallen)
    assert env.step(still)[1:4] == (0.0, False, False)


def test_start_and_goal_can_be_chosen():
    env = AntMaze("medium")
    observation, _ = env.reset(seed=0, options={"position": (4.5, -0.5), "goal": (20.0, 19.0)})
    np.testing.assert_allclose(observation[:2], (4.5, -0.5))
    assert env.goal == (20.0, 19.0)


@pytest.mark.parametrize("options", [
    {"position": (-4.0, 0.0)},
    {"goal": (8.0, 0.0)},
    {"goal": (np.nan, 0.0)},
    {"position": 3.0},
    {"gaol": (0.0, 0.0)},
])  # fmt: skip
def test_a_place_in_a_wall_and_unknown_options_are_refused(options):
    with pytest.raises(UserError, match="expected"):
        AntMaze("medium").reset(seed=0, options=options)


def test_an_unknown_size_is_refused():
    with pytest.raises(UserError, match="size is 'huge', expected one of umaze, medium, large"):
        AntMaze("huge")


@pytest.mark.parametrize("size", list(ANT_LAYOUTS))
def test_walls_stand_where_the_map_says(size):
    """From the middle of every free cell, a ray along each axis meets the next wall and nothing before it."""
    layout, env = ANT_LAYOUTS[size], AntMaze(size)
    env.reset(seed=0)
    above = standing(0.0, 0.0)
    above[2] = 30.0
    env.set_state(above)
    hit = np.zeros(1, np.int32)
    for cell in layout.free_cells:
        start = np.array([*(np.array(middle(cell)) - env._body.origin), 0.5])
        for move in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            cells, (i, j) = 0, cell
            while layout.walls[i + move[0], j + move[1]] == 0:
                i, j, cells = i + move[0], j + move[1], cells + 1
            direction = np.array([*move, 0.0])
            distance = mujoco.mj_ray(env._body.model, env.data, start, direction, None, 1, -1, hit, None)
            assert distance == pytest.approx(4 * cells + 2)


def test_walls_stop_the_ant_and_open_cells_do_not():
    env = AntMaze("umaze")
    env.reset(seed=0)

    def furthest(vx, vy):
        env.set_state(standing(0.0, 0.0, vx, vy))
        return np.abs([env.step(np.zeros(8, np.float32))[0][:2] for _ in range(15)]).max()

    assert furthest(12.0, 0.0) > 3.0
    assert furthest(-12.0, 0.0) < 2.0
    assert furthest(0.0, 12.0) < 2.0
    assert furthest(0.0, -12.0) < 2.0


def test_the_ant_has_d4rls_strength():
    model = AntMaze("umaze")._body.model
    assert model.opt.timestep == 0.02
    assert (model.actuator_gear[:, 0] == 30.0).all()
    assert (model.actuator_ctrlrange == [-1.0, 1.0]).all()


def test_ants_of_one_maze_do_not_move_each_other():
    one, other = AntMaze("umaze"), AntMaze("umaze")
    one.reset(seed=0)
    before, _ = other.reset(seed=1)
    one.step(np.ones(8, np.float32))
    np.testing.assert_array_equal(other._body.state(), before)


@pytest.mark.parametrize("name", list(ANT_TASKS))
def test_starts_and_goals_of_the_data_are_in_free_cells_of_their_kind(name):
    task = ANT_TASKS[name]
    layout, rng = ANT_LAYOUTS[task.size], np.random.default_rng(0)
    ways = [draw_way(task, rng) for _ in range(500)]
    goals = {cell_of(*goal) for _, goal in ways}
    if task.ways == "fixed":
        assert {start for start, _ in ways} == {None}
        assert goals == {layout.goal}
        return
    starts = {cell_of(*start) for start, _ in ways}
    free = set(layout.free_cells)
    if task.ways == "play":
        assert goals == set(layout.hand_picked)
        assert starts == free - goals
    else:
        assert goals == starts == free


def test_the_mazes_are_those_of_maze2d_turned():
    for size, layout in ANT_LAYOUTS.items():
        np.testing.assert_array_equal(layout.walls, LAYOUTS[size].walls.T)
        assert {(1, 1), layout.goal, *layout.hand_picked} <= set(layout.free_cells)
    # The goals that D4RL's maps mark, row and column.
    assert {(j, i) for i, j in ANT_LAYOUTS["medium"].hand_picked} == {(2, 6), (5, 1), (6, 5)}
    assert {(j, i) for i, j in ANT_LAYOUTS["large"].hand_picked} == {
        (1, 6), (3, 5), (3, 10), (5, 2), (7, 4), (7, 6), (7, 9)
    }  # fmt: skip


def test_points_and_cells_agree():
    rng = np.random.default_rng(0)
    for layout in ANT_LAYOUTS.values():
        for cell in layout.free_cells:
            x, y = middle(cell)
            assert cell_of(x, y) == cell_of(x + 1.99, y - 1.99) == cell == cell_of(*draw_goal(cell, rng))


def test_d4rls_other_ids_have_the_same_map():
    assert ant_layout("antmaze-large-play-v0") is ant_layout("gac/AntMaze-Large-Diverse-v2")
    for other in (None, "", "antmaze-eval-umaze-v0", "antmaze-medium-v2", "AntMaze_UMaze-v5"):
        assert ant_layout(other) is None


def test_no_file_is_left_behind(tmp_path):
    script = "import gac.envs, gymnasium; gymnasium.make('antmaze-umaze-v2').reset()"
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_render_without_a_mode_is_answered():
    with pytest.raises(UserError, match="render_mode"):
        AntMaze("umaze").render()
