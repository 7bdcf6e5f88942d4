import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gac.envs  # noqa: F401 - registers them
from gac.data.scores import normalized_score
from gac.errors import UserError

IDS = ["gac/NoisyHopper-v4", "gac/NoisyMaze2d-umaze-v1"]
LIMITS = {"gac/NoisyHopper-v4": 1000, "gac/NoisyMaze2d-umaze-v1": 300}


def path(env, noise, steps=15):
    """Positions from one start, under the noise of a seed and no action."""
    env.reset(seed=0)
    env.unwrapped.np_random = np.random.default_rng(noise)
    still = np.zeros(env.action_space.shape, np.float32)
    return np.array([env.step(still)[0] for _ in range(steps)])


@pytest.mark.filterwarnings("ignore:.*A Box observation space .*infinity")
@pytest.mark.parametrize("env_id", IDS)
def test_the_environment_is_what_gymnasium_expects(env_id):
    env = gymnasium.make(env_id)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec.max_episode_steps == LIMITS[env_id]


@pytest.mark.parametrize("env_id", IDS)
def test_the_same_start_and_actions_lead_elsewhere_and_the_same_seed_does_not(env_id):
    env = gymnasium.make(env_id)
    one, again, other = path(env, 1), path(env, 1), path(env, 2)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-2


@pytest.mark.parametrize(("env_id", "calm"), list(zip(IDS, ["Hopper-v4", "maze2d-umaze-v1"], strict=True)))
@pytest.mark.filterwarnings("ignore:.*is out of date")
def test_without_noise_it_is_the_usual_environment(env_id, calm):
    one, other = path(gymnasium.make(env_id, std=0.0), 1), path(gymnasium.make(calm), 2)
    np.testing.assert_array_equal(one, other)


def test_the_force_on_the_ball_has_the_standard_deviation_that_was_asked_for():
    env = gymnasium.make("gac/NoisyMaze2d-umaze-v1", std=5.0)
    env.reset(seed=0)
    forces = []
    for _ in range(300):
        env.step(np.zeros(2, np.float32))
        forces.append(env.unwrapped.data.qfrc_applied.copy())
    # Five standard errors of 600 draws.
    assert np.std(forces) == pytest.approx(5.0, rel=5 / np.sqrt(2 * 600))


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("std", [-1.0, np.inf, np.nan])
def test_a_noise_that_is_none_is_answered(env_id, std):
    with pytest.raises(UserError, match=r"std is .*, expected a finite number of newtons, 0 or more"):
        gymnasium.make(env_id, std=std)


@pytest.mark.parametrize("env_id", IDS)
def test_no_reference_score_is_pretended(env_id):
    assert normalized_score(env_id, 1000.0) is None
