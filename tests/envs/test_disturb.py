"""Disturbances follow from the seed alone, so that policies which are compared meet the same."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from gac.envs.disturb import PUSH_CHANCE, Disturbance, parse_disturbance
from gac.errors import UserError

STEPS = 3000


class Body(gymnasium.Env):
    """Keeps what it is told; its velocity changes by pushes alone."""

    def __init__(self, joints=6, in_plane=False):
        self.observation_space = Box(-np.inf, np.inf, (joints,), np.float64)
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.data = SimpleNamespace(qvel=np.zeros(joints))
        self.moves_in_plane = in_plane
        self.done = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.data.qvel[:] = 0.0
        return self.data.qvel.copy(), {}

    def step(self, action):
        self.done.append(action)
        return self.data.qvel.copy(), 0.0, False, False, {}


def velocities(env, seed, action=0.0):
    env.reset(seed=seed)
    return np.stack([env.step(np.full(2, action, np.float32))[0] for _ in range(STEPS)])


def test_pushes_are_the_same_whatever_is_done():
    one, same, other = (
        velocities(Disturbance("push", 0.5).wrap(Body()), seed, action)
        for seed, action in ((3, 0.0), (3, 1.0), (4, 0.0))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    pushes = np.diff(one[:, 0], prepend=0.0)
    assert set(np.abs(pushes).round(6)) == {0.0, 0.5}
    assert set(np.sign(pushes)) == {-1.0, 0.0, 1.0}
    expected = PUSH_CHANCE * STEPS
    assert abs(np.count_nonzero(pushes) - expected) < 4 * expected**0.5
    assert not one[:, 1:].any()


def test_a_cart_with_a_pole_is_pushed_along_its_rail():
    """Two velocities are not yet a plane: the second may be an angle's."""
    cart = velocities(Disturbance("push", 0.5).wrap(Body(joints=2)), 0)
    assert np.abs(cart[:, 0]).max() > 0
    assert not cart[:, 1].any()


def test_a_push_in_the_plane_goes_anywhere():
    pushes = np.diff(velocities(Disturbance("push", 2.0).wrap(Body(joints=2, in_plane=True)), 0), axis=0)
    sizes = np.hypot(*pushes.T)
    np.testing.assert_allclose(sizes[sizes > 0], 2.0)
    assert len(np.unique(np.arctan2(*pushes[sizes > 0].T).round(3))) > 10


def test_noise_shakes_every_action_within_its_space():
    body = Body()
    env = Disturbance("noise", 0.3).wrap(body)
    velocities(env, 7)
    first = np.stack(body.done)
    body.done.clear()
    velocities(env, 7)
    np.testing.assert_array_equal(first, body.done)
    assert abs(first.std() - 0.3) < 0.01
    body.done.clear()
    velocities(env, 7, action=1.0)
    shaken = np.stack(body.done)
    assert shaken.max() == 1.0
    assert shaken.dtype == np.float32
    inside = (shaken < 1.0) & (first > -1.0)
    np.testing.assert_allclose(shaken[inside], 1.0 + first[inside], atol=1e-6)


@pytest.mark.parametrize("env_id", ["Hopper-v5", "maze2d-umaze-v1"])
def test_real_bodies_are_pushed(env_id):
    env = Disturbance("push", 3.0).wrap(gymnasium.make(env_id))
    env.reset(seed=0)
    before = env.unwrapped.data.qvel[:2].copy()
    chances = iter([0.5, 0.0])
    env._random = SimpleNamespace(random=lambda size: (next(chances), 0.0))
    env.step(np.zeros(env.action_space.shape, np.float32))
    calm = env.unwrapped.data.qvel[:2].copy()
    env.step(np.zeros(env.action_space.shape, np.float32))
    assert np.abs(calm - before).max() < 0.5
    assert env.unwrapped.data.qvel[0] - calm[0] > 1.5
    env.close()


def test_words_and_objects_mean_the_same():
    for words in ("push:1.5", "noise:0.2"):
        assert str(parse_disturbance(words)) == words


@pytest.mark.parametrize(
    "words", ["", "push", "push:", "push:0", "push:-1", "noise:inf", "noise:nan", "wind:3"]
)
def test_other_words_are_refused_in_one_line(words):
    with pytest.raises(UserError, match="noise:STD") as caught:
        parse_disturbance(words)
    assert "\n" not in str(caught.value)


def test_what_has_no_body_cannot_be_pushed():
    with pytest.raises(UserError, match="no MuJoCo environment"):
        Disturbance("push", 1.0).wrap(gymnasium.make("CartPole-v1"))
