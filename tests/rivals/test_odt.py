"""Online Decision Transformer: the squashed Gaussian, the entropy bound, what a token sees."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny_rivals import ODT as CONFIG

from gac.data.standardise import Standardiser
from gac.model.transformer import FEW_TOKENS, self_attention
from gac.rivals.episodes import prepare
from gac.rivals.odt.odt import ODT, Squashed, advance, init_state

DATA = tiny.make_episodes()
THETA = ODT(CONFIG, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))


@pytest.mark.parametrize("mean", [0.0, 1.2])
def test_the_density_integrates_to_one_and_the_entropy_is_that_of_it(mean):
    action = jnp.linspace(-0.99999, 0.99999, 200_001)[:, None]
    policy = Squashed(jnp.full_like(action, mean), jnp.full_like(action, -0.7))
    log_p = policy.log_prob(action)
    width = 2.0 * 0.99999 / 200_000
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_p)) * width, 1.0, atol=1e-3)
    many = Squashed(jnp.full((200_000, 1), mean), jnp.full((200_000, 1), -0.7))
    estimate = many.entropy(jax.random.key(0)).mean()
    np.testing.assert_allclose(estimate, -jnp.sum(jnp.exp(log_p) * log_p) * width, atol=0.01)


@pytest.mark.parametrize(("per_dim", "std"), [(-1.0, 0.06), (-0.2, 0.14)])
def test_the_dual_temperature_brings_the_entropy_to_its_bound(per_dim, std):
    # Likelihood alone would take the entropy below the bound, to that of the actions or less.
    actions = std * np.random.default_rng(0).normal(size=DATA.actions.shape)
    data = dataclasses.replace(DATA, actions=actions.astype(np.float32))
    config = dataclasses.replace(
        CONFIG, entropy_per_dim=per_dim, temperature_rate=0.01, learning_rate=3e-3, decay_updates=0
    )
    units = Standardiser.fit(DATA)
    state = init_state(config, tiny.OBSERVATION_DIM, tiny.ACTION_DIM)
    program = jax.jit(functools.partial(advance, config=config))
    on_device = prepare(data, units, config)
    state, _ = program(state, on_device, jnp.int32(1200))
    state, metrics = program(state, on_device, jnp.int32(400))
    np.testing.assert_allclose(metrics["entropy"], tiny.ACTION_DIM * per_dim, atol=0.15)
    assert metrics["temperature"] > 0.0


def test_a_policy_sees_the_return_and_the_past_but_not_its_own_action():
    keys = jax.random.split(jax.random.key(0), 2)
    states = jax.random.normal(keys[0], (4, 3, tiny.OBSERVATION_DIM))
    actions = jax.random.normal(keys[1], (4, 3, tiny.ACTION_DIM))
    g, valid = jnp.ones(4), jnp.ones((4, 3), bool)
    mean = THETA(g, states, actions, valid).mean
    np.testing.assert_array_equal(mean, THETA(g, states, actions.at[:, 2].add(1.0), valid).mean)
    other = THETA(g, states, actions.at[:, 1].add(1.0), valid).mean
    np.testing.assert_array_equal(mean[:, :2], other[:, :2])
    assert jnp.abs(mean - other)[:, 2].max() > 1e-4
    assert jnp.abs(mean - THETA(2.0 * g, states, actions, valid).mean).max() > 1e-4
    padded = valid.at[:, 0].set(False)
    shown, hidden = (THETA(g, each, actions, padded).mean for each in (states, states.at[:, 0].add(9.0)))
    np.testing.assert_array_equal(shown[:, 1:], hidden[:, 1:])


def test_attention_of_many_tokens_is_that_of_few(monkeypatch):
    qkv = jax.random.normal(jax.random.key(0), (2, FEW_TOKENS, 24))
    valid = jnp.arange(FEW_TOKENS)[None] > jnp.array([[0], [3]])
    few = [self_attention(qkv, 2), self_attention(qkv, 2, valid)]
    monkeypatch.setattr("gac.model.transformer.FEW_TOKENS", 1)
    many = [self_attention(qkv, 2), self_attention(qkv, 2, valid)]
    np.testing.assert_allclose(few, many, atol=1e-5)


@pytest.mark.parametrize("optimiser", ["adamw", "lamb"])
def test_both_optimisers_learn(optimiser):
    config = dataclasses.replace(CONFIG, optimiser=optimiser, learning_rate=1e-2)
    state = init_state(config, tiny.OBSERVATION_DIM, tiny.ACTION_DIM)
    on_device = prepare(DATA, Standardiser.fit(DATA), config)
    program = jax.jit(functools.partial(advance, config=config))
    state, before = program(state, on_device, jnp.int32(20))
    state, _ = program(state, on_device, jnp.int32(200))
    state, after = program(state, on_device, jnp.int32(20))
    assert after["loss_nll"] < before["loss_nll"] - 0.3
