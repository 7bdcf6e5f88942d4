"""Critics on processes whose values are known, weights by their formula."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gac.gtp.critic import (
    Critic,
    Transitions,
    critic_loss,
    expectile_loss,
    mean_value,
    target_values,
    weights,
)
from gac.gtp.update import average

GAMMA = 0.9


def one_hot(*states):
    return jnp.eye(4)[jnp.array(states)]


def still(state, key, count):
    """A policy that always acts by 0."""
    return jnp.zeros((count, len(state), 1))


# 0 -> 1 pays 1; 1 -> 0 pays 0, a time limit cut the episode off there; 2 -> (end) pays 2, with state 0 as the
# garbage after it. Another action, 1, leads from 3 to the loop at 0.
MDP = Transitions(
    state=one_hot(0, 1, 2, 3),
    action=jnp.array([[0.0], [0.0], [0.0], [1.0]]),
    reward=jnp.array([1.0, 0.0, 2.0, -1.0]),
    following=one_hot(1, 0, 0, 0),
    terminated=jnp.array([False, False, True, False]),
)
LOOP = 1.0 / (1.0 - GAMMA**2)
KNOWN = [LOOP, GAMMA * LOOP, 2.0, -1.0 + GAMMA * LOOP]


@functools.cache
def converged():
    critic = Critic(4, 1, 32, 2, jax.random.key(0))
    optimiser = optax.adam(3e-3)

    def step(_, carry):
        critic, target, memory = carry
        wanted = target_values(target, MDP, still, jax.random.key(0), GAMMA)
        with jax.numpy_dtype_promotion("standard"):
            moved, memory = optimiser.update(jax.grad(critic_loss)(critic, MDP, wanted), memory)
        critic = optax.apply_updates(critic, moved)
        return critic, average(target, critic, 0.02), memory

    return jax.lax.fori_loop(0, 3000, step, (critic, critic, optimiser.init(critic)))[0]


def test_critics_converge_to_the_known_values():
    for each in converged()(MDP.state, MDP.action):
        np.testing.assert_allclose(each, KNOWN, atol=0.1)


def test_nothing_follows_an_end_and_a_time_limit_is_none():
    critic = converged()
    value = float(critic.least(one_hot(0), jnp.zeros((1, 1)))[0])
    found = target_values(critic, MDP, still, jax.random.key(0), GAMMA)
    assert float(found[2]) == 2.0
    np.testing.assert_allclose(float(found[1]), GAMMA * value, rtol=1e-5)


def test_the_lesser_of_the_twins_counts_and_with_samples_the_best_of_them():
    class Known(Critic):
        def __call__(self, state, action):
            return action[..., 0] + 0.0 * state[..., 0], 2.0 * action[..., 0] + 0.0 * state[..., 0]

    critic = Known(4, 1, 4, 1, jax.random.key(0))

    def several(state, key, count):
        return jnp.broadcast_to(jnp.array([-1.0, 3.0, 0.5])[:count, None, None], (count, len(state), 1))

    def value(count):
        return (target_values(critic, MDP, several, jax.random.key(0), 1.0, count) - MDP.reward)[0]

    assert float(value(1)) == -2.0
    assert float(value(3)) == 3.0
    np.testing.assert_allclose(
        mean_value(critic, MDP.state, several, jax.random.key(0), 3), (-2.0 + 3.0 + 0.5) / 3
    )


def test_weights_are_their_formula():
    advantage = jnp.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    np.testing.assert_array_equal(weights(advantage, 0.0, 100.0), jnp.ones(5))
    np.testing.assert_array_equal(weights(advantage, 0.0, 100.0, positive=False), jnp.ones(5))
    scaled = 2.0 * np.asarray(advantage) / np.std(advantage)
    np.testing.assert_allclose(weights(advantage, 2.0, 100.0), np.exp(np.maximum(scaled, 0.0)), rtol=1e-4)
    np.testing.assert_allclose(weights(advantage, 2.0, 100.0, positive=False), np.exp(scaled), rtol=1e-4)
    assert float(weights(advantage, 9.0, 7.0).max()) == 7.0
    assert float(weights(jnp.ones(5), 1.0, 100.0).max()) <= 100.0  # no spread: clipped, not infinite
    # The scale of the rewards plays no part.
    np.testing.assert_allclose(
        weights(50.0 * advantage, 2.0, 100.0), weights(advantage, 2.0, 100.0), rtol=1e-3
    )


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.9])
def test_the_expectile_is_where_its_loss_is_least(expectile):
    q = jax.random.normal(jax.random.key(0), (2000,))
    values = np.linspace(-1.0, 2.0, 301)
    losses = [float(expectile_loss(q - value, expectile)) for value in values]
    v = values[int(np.argmin(losses))]
    above, below = np.maximum(np.asarray(q) - v, 0.0).mean(), np.maximum(v - np.asarray(q), 0.0).mean()
    np.testing.assert_allclose(expectile * above, (1.0 - expectile) * below, rtol=0.05)
