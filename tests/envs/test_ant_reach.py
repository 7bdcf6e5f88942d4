import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from gac.envs.ant_reach import AntReach, has_fallen, reach_observation


def states(seed, count=5):
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(count, 29))
    drawn[:, 3:7] /= np.linalg.norm(drawn[:, 3:7], axis=1, keepdims=True)
    return drawn, drawn[:, :2] + rng.normal(size=(count, 2)) * 3


def product(p, q):
    """Of two quaternions, w first."""
    (a, b), (u, v) = (p[0], p[1:]), (q[0], q[1:])
    return np.array([a * u - b @ v, *(a * v + u * b + np.cross(b, v))])


@pytest.mark.filterwarnings("ignore:.*A Box observation space .*infinity")
def test_the_environment_is_what_gymnasium_expects():
    env = gymnasium.make("gac/AntReach-v0")
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (30,)
    assert env.action_space.shape == (8,)


def test_what_is_seen_facing_along_x():
    state = np.zeros((1, 29))
    state[0, 2:7] = [0.5, 1, 0, 0, 0]
    state[0, 7:15] = np.arange(8)
    state[0, 15:] = np.arange(14) + 10
    seen = reach_observation(state, np.array([[1.8, 2.4]]))[0]
    expected = [0.5, 1, 0, 0, 0, *range(8), *range(10, 24), 0.6, 0.8, 0.6]
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert reach_observation(state, np.array([[30.0, 40.0]]))[0, -1] == 1.0


@given(st.integers(0, 2**31 - 1), st.floats(-np.pi, np.pi), st.floats(-50, 50), st.floats(-50, 50))
def test_place_and_direction_make_no_difference(seed, angle, x, y):
    before, points = states(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])
    after = before.copy()
    after[:, :2] = before[:, :2] @ turn.T + [x, y]
    after[:, 3:7] = [product(half, each) for each in before[:, 3:7]]
    after[:, 15:17] = before[:, 15:17] @ turn.T
    seen, turned = (
        reach_observation(before, points),
        reach_observation(after, points @ turn.T + [x, y]),
    )
    np.testing.assert_allclose(np.delete(turned, range(1, 5), 1), np.delete(seen, range(1, 5), 1), atol=2e-4)
    # A rotation's quaternion has two signs, which only here, near w = 0, can come out either way.
    same = np.abs((turned[:, 1:5] * seen[:, 1:5]).sum(axis=1))
    np.testing.assert_allclose(same, 1.0, atol=1e-4)


def test_reward_is_speed_towards_the_point_less_effort():
    env = AntReach()
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1, 1, 8).astype(np.float32)
        before, point = env._body.state()[:2], env._point
        _, reward, *_ = env.step(action)
        gone = np.hypot(*(point - before)) - np.hypot(*(point - env._body.state()[:2]))
        assert reward == pytest.approx(gone / 0.1 + 0.25 - 0.02 * (action**2).sum(), abs=1e-6)


def test_a_point_reached_gives_way_to_another():
    env = AntReach()
    env.reset(seed=0)
    assert 1.0 <= np.hypot(*(env._point - env._body.state()[:2])) <= 6.0
    env._point = env._body.state()[:2] + 0.2
    _, _, _, _, info = env.step(np.zeros(8, np.float32))
    assert info["reached"]
    assert 1.0 <= np.hypot(*(env._point - env._body.state()[:2])) <= 6.0
    assert not env.step(np.zeros(8, np.float32))[4]["reached"]


@pytest.mark.parametrize(("height", "rotation", "fallen"), [
    (0.5, (1, 0, 0, 0), False),
    (0.5, (0, 0, 0, 1), False),
    (0.5, (0.8, 0.6, 0, 0), False),
    (0.5, (0.6, 0.8, 0, 0), True),
    (0.5, (0, 1, 0, 0), True),
    (0.19, (1, 0, 0, 0), True),
    (1.01, (1, 0, 0, 0), True),
])  # fmt: skip
def test_a_fall_is_known(height, rotation, fallen):
    state = np.zeros(29)
    state[2], state[3:7] = height, rotation
    assert has_fallen(state) == fallen
