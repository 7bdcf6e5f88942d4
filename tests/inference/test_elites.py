"""Elites: the best of many plans of the prior, or of the logged ones where these are surely better."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.inference.elites import APART, DRAWS_PER_PLAN, best_of, elites, short_of
from gac.inference.trust_region import Logged, returns_from
from gac.model.joint import GAC, Phi

ROWS = 3
ELITES = 32
DRAWS = DRAWS_PER_PLAN * ELITES


@pytest.fixture(scope="module")
def model():
    return GAC(tiny.MODEL, tiny.CONFIG.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))


@pytest.fixture(scope="module")
def s0():
    return 3.0 * jax.random.normal(jax.random.key(2), (ROWS, tiny.OBSERVATION_DIM))


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(3), ROWS)


def logged_plans(count, residual):
    shape = (count, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    phi = Phi(jax.random.normal(jax.random.key(1), shape), jnp.full(shape, -1.0))
    return Logged(phi, jnp.full(count, residual))


def test_they_are_the_best_of_the_priors_plans(model, s0, keys):
    # Logged plans that fall short by far are none of them.
    found = elites(model, s0, logged_plans(40, -100.0), keys, ELITES)
    assert found.epsilon.shape == (ROWS, ELITES, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    for row in range(ROWS):
        states = jnp.tile(s0[row][None], (ELITES, 1))
        promised = np.asarray(model.predicted_return(states, found.epsilon[row]))
        np.testing.assert_allclose(found.promise[row], promised, atol=1e-5)
        # Best first, and above what the share of them leaves below: draws of another generator tell where.
        assert (np.diff(promised) <= 1e-6).all()
        others = jax.random.normal(jax.random.key(50 + row), (20 * DRAWS, *found.epsilon.shape[2:]))
        everywhere = model.predicted_return(jnp.tile(s0[row][None], (len(others), 1)), others)
        share = np.mean(np.asarray(everywhere) >= promised[-1])
        assert 0.5 * ELITES / DRAWS < share < 2.0 * ELITES / DRAWS
    assert len(np.unique(np.asarray(found.epsilon[:, :, 0, 0]))) == ROWS * ELITES


def test_logged_plans_are_taken_where_they_promise_more_by_three_standard_deviations(model, s0, keys):
    state, key = s0[:1], keys[:1]
    many = jax.random.normal(jax.random.key(7), (50 * DRAWS, *logged_plans(1, 0.0).phi.mu.shape[1:]))
    promise = model.predicted_return(jnp.tile(state, (len(many), 1)), many)
    best = many[jax.lax.top_k(promise, ELITES)[1]]
    logged = Logged(Phi(best, jnp.full_like(best, -1.0)), jnp.zeros(ELITES))
    varied = elites(model, state, logged_plans(1, -100.0), key, ELITES)
    gap = float(jnp.mean(returns_from(model, state[0], logged)) - jnp.mean(varied.promise))
    assert gap > 0.0
    for share, expected in ((1.05, varied.epsilon[0]), (0.95, best)):
        # A critic whose spread puts the line on either side of the gap.
        log_sigma = jnp.log(jnp.full(1, share * gap / APART))
        found = elites(
            eqx.tree_at(lambda m: m.critic.sigma_y.log_value, model, log_sigma), state, logged, key, ELITES
        )
        np.testing.assert_allclose(found.epsilon[0], expected, atol=1e-6)


def test_all_logged_plans_fall_short_where_the_best_is_surely_below_the_ceiling(model, s0):
    logged, sigma_y = logged_plans(40, 0.0), float(model.critic.sigma_y()[0])
    best = np.array([np.max(returns_from(model, state, logged)) for state in s0])
    order = np.argsort(best)
    assert np.diff(best[order]).min() > 1e-3, "the states tell nothing apart"
    line = best + APART * sigma_y
    between = 0.5 * (line[order[0]] + line[order[1]])
    nothing = jnp.float32(-jnp.inf)
    assert (
        short_of(model, s0, logged, jnp.float32(between), nothing).tolist() == (best == best.min()).tolist()
    )
    assert short_of(model, s0, logged, jnp.float32(jnp.inf), nothing).all()
    assert not short_of(model, s0, logged, jnp.float32(best.min()), nothing).any()
    # What was played under one plan each is known as well as what is promised.
    above = jnp.float32(best.max() + 1.0) + APART * model.critic.sigma_y()[0]
    assert short_of(model, s0, logged, above, above - 1.01 * APART * model.critic.sigma_y()[0]).all()
    assert not short_of(model, s0, logged, above, above - 0.99 * APART * model.critic.sigma_y()[0]).any()


def test_no_row_depends_on_the_others(model, s0, keys):
    logged = logged_plans(40, 0.0)
    whole = elites(model, s0, logged, keys, ELITES)
    turned = elites(model, s0[::-1], logged, keys[::-1], ELITES)
    np.testing.assert_array_equal(whole.epsilon, turned.epsilon[::-1])
    alone = elites(model, s0[1:2], logged, keys[1:2], ELITES)
    np.testing.assert_array_equal(whole.epsilon[1], alone.epsilon[0])


def test_of_few_each_is_taken_as_often_as_it_takes():
    epsilon = jnp.arange(3.0)[:, None, None]
    found = best_of(epsilon, jnp.array([1.0, 3.0, 2.0]), ELITES)
    np.testing.assert_array_equal(found.promise[:4], [3.0, 2.0, 1.0, 3.0])
    np.testing.assert_array_equal(found.epsilon[:4, 0, 0], [1.0, 2.0, 0.0, 1.0])
    assert found.promise.shape == (ELITES,)
