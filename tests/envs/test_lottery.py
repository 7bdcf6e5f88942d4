import math
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gac.envs
from gac.data.environment import action_bounds
from gac.envs.lottery import KINDS, Lottery, lottery_id, register_by_id
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.online.processes import Crew


def played(env, action, seed=None):
    """States (T + 1, 3) and rewards (T,) of an episode whose first action is given."""
    states, rewards, ends = [env.reset(seed=seed)[0]], [], []
    while not any(ends):
        state, reward, terminated, truncated, _ = env.step(np.array([0.3 if ends else action]))
        states.append(state)
        rewards.append(reward)
        ends += [terminated, truncated]
    assert terminated
    return np.array(states), np.array(rewards)


@pytest.mark.parametrize("env_id", ["gac/Lottery-v0", *(lottery_id(kind) for kind in KINDS)])
def test_the_environment_is_what_gymnasium_expects(env_id):
    env = gymnasium.make(env_id)
    check_env(env.unwrapped, skip_render_check=True)
    for seed in range(30):
        states, _ = played(env, 1.0, seed)
        assert all(env.observation_space.contains(state) for state in states)


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_pays_what_the_first_action_chose(kind):
    env = gymnasium.make("gac/Lottery-v0", kind=kind, p=0.5, win=6.0, steps=3)
    earned = [played(env, 0.01, seed)[1].sum() for seed in range(400)]
    assert set(np.round(earned, 9)) == {0.0, 6.0}
    assert np.mean(earned) == pytest.approx(3.0, abs=5 * 3 / math.sqrt(400))
    for action in (-1.0, -0.01, 0.0):
        states, rewards = played(env, action)
        assert rewards.sum() == pytest.approx(1.0)
        assert states.shape == (4, 3)
        np.testing.assert_allclose(states[:, 0], [1, 2 / 3, 1 / 3, 0], atol=1e-6)
        assert states[:, 1].tolist() == [0, -1, -1, -1]


def test_only_the_return_tells_of_a_hidden_draw():
    env = Lottery("hidden", p=0.5)
    episodes = [played(env, 1.0, seed) for seed in range(20)]
    assert {rewards.sum() for _, rewards in episodes} == {0.0, 10.0}
    assert len({states.tobytes() for states, _ in episodes}) == 1
    assert {rewards[:-1].any() for _, rewards in episodes} == {False}


def test_the_draw_comes_from_the_seed_whatever_was_decided():
    env = Lottery("seen", p=0.5)
    first = [played(env, 1.0, 7)[1].sum(), *(played(env, 1.0)[1].sum() for _ in range(20))]
    played(env, -1.0, 7)
    again = [played(env, 1.0)[1].sum() for _ in range(20)]
    assert first[1:] == again
    assert len(set(first)) == 2


@pytest.mark.parametrize(
    "parameters",
    [{"kind": "open"}, {"p": 0.0}, {"p": 1.5}, {"p": math.nan}, {"win": 0}, {"win": math.inf}, {"steps": 1}],
)
def test_a_parameter_out_of_range_is_answered(parameters):
    (key,) = parameters
    with pytest.raises(UserError, match=f"{key} of the lottery is .*, expected "):
        Lottery(**parameters)
    with pytest.raises(UserError, match=f"{key} of the lottery is .*, expected "):
        lottery_id(**parameters)


@pytest.mark.parametrize(
    "parameters", [("seen", 0.05, 10.0, 4), ("spread", 1e-5, 2.5e17, 700), ("hidden", 1.0, 0.125, 2)]
)
def test_an_id_alone_gives_the_environment_in_another_process(parameters):
    env_id = lottery_id(*parameters)
    del gymnasium.registry[env_id]
    register_by_id(env_id)
    env = gymnasium.make(env_id).unwrapped
    assert (env.kind, env.p, env.win, env.steps) == parameters
    assert action_bounds(env_id)[0].tolist() == [-1.0]


@pytest.mark.parametrize(
    "env_id",
    [None, "", "Hopper-v5", "gac/Lottery-v0", "gac/Lottery-open-p0.5-win1-steps4-v0",
     "gac/Lottery-seen-p2-win1-steps4-v0", "gac/Lottery-seen-pp-win1-steps4-v0"],
)  # fmt: skip
def test_other_ids_are_left_alone(env_id):
    before = dict(gymnasium.registry)
    register_by_id(env_id)
    assert dict(gymnasium.registry) == before


def test_processes_play_an_environment_that_only_its_id_describes():
    env_id = lottery_id("hidden", 1.0, 4.0, 2)
    del gymnasium.registry[env_id]
    with Crew(Environment(env_id), 3, 1, 60.0) as crew:
        assert crew.reset([0, 1]).tolist() == [[1.0, 0.0, 0.0]] * 2
        actions, everyone = np.array([[1.0], [-1.0]], np.float32), np.ones(2, bool)
        crew.step(actions, everyone)
        assert crew.step(actions, everyone).reward.tolist() == [4.0, 1.0]


def test_registering_loads_no_simulator():
    code = "import sys, gac.envs; print('mujoco' in sys.modules, gac.envs.lottery_id())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "gac/Lottery-seen-p0.05-win10-steps4-v0"]
    assert gac.envs.lottery_id() == "gac/Lottery-seen-p0.05-win10-steps4-v0"
