"""Objectives of the queries against Monte Carlo and against formulas written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.inference.objectives import draw, exploit_objective, mean_over_draws, return_objective
from gac.model.joint import GAC, Phi

BATCH, SHAPE = 3, (3, 2, 16)
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, BATCH)
STEP = jnp.asarray(5)
SIGMA_Y = tiny.MODEL.sigma_y


@pytest.fixture(scope="module")
def model():
    return GAC(tiny.MODEL, tiny.CONFIG.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, KEY)


@pytest.fixture(scope="module")
def q():
    keys = jax.random.split(jax.random.key(1), 2)
    return Phi(jax.random.normal(keys[0], SHAPE), 0.3 * jax.random.normal(keys[1], SHAPE) - 0.5)


@pytest.fixture(scope="module")
def s0():
    return jax.random.normal(jax.random.key(2), (BATCH, tiny.OBSERVATION_DIM))


@pytest.fixture(scope="module")
def kl(q):
    return np.asarray(0.5 * (q.mu**2 + jnp.exp(2 * q.log_sigma) - 1) - q.log_sigma).sum(axis=(1, 2))


@pytest.fixture(scope="module")
def sampled_returns(model, q, s0):
    """mu_gamma(z_y) at draws of q, made without the code under test: (draws, batch)."""
    noise = jax.random.normal(jax.random.key(3), (4000, *SHAPE))

    def one(noise):
        return model.predicted_return(s0, q.mu + jnp.exp(q.log_sigma) * noise)

    return np.asarray(jax.jit(jax.vmap(one))(noise), np.float64)


def standard_error(values):
    return values.std(axis=0) / np.sqrt(len(values))


def test_draws_are_mirrored_and_of_the_spread_of_q(q):
    draws = draw(q, 500, KEYS).reshape(2, 500, *SHAPE)
    np.testing.assert_allclose(draws.mean(axis=0), jnp.broadcast_to(q.mu[None], (500, *SHAPE)), atol=1e-5)
    spread = draws[0].std(axis=0) / jnp.exp(q.log_sigma)
    np.testing.assert_allclose(spread, 1.0, atol=0.2)


def test_means_are_taken_item_by_item():
    values = jnp.asarray([1.0, 2.0, 3.0, 5.0, 6.0, 7.0])
    np.testing.assert_allclose(mean_over_draws(values, 3), [3.0, 4.0, 5.0])


def test_exploit_is_the_expected_return(model, q, s0, sampled_returns):
    value, watched = exploit_objective(model, s0, 1000, KEYS)(q, STEP)
    np.testing.assert_array_equal(value, watched)
    off = np.abs(np.asarray(value) - sampled_returns.mean(axis=0))
    assert (off < 6 * standard_error(sampled_returns)).all()


def test_every_row_and_step_has_draws_of_its_own_whatever_the_batch(model, q, s0):
    for objective in (
        lambda s0, keys: exploit_objective(model, s0, 2, keys),
        lambda s0, keys: return_objective(model, s0, jnp.zeros(len(s0)), 2, keys),
    ):
        values = [np.asarray(objective(s0, KEYS)(q, jnp.asarray(step))[0]) for step in (5, 5, 6)]
        np.testing.assert_array_equal(values[0], values[1])
        assert (values[0] != values[2]).all()
        other = np.asarray(objective(s0, KEYS.at[0].set(jax.random.key(7)))(q, STEP)[0])
        assert (other != values[0]).tolist() == [True, False, False]
        alone = objective(s0[2:], KEYS[2:])(Phi(q.mu[2:], q.log_sigma[2:]), STEP)[0]
        np.testing.assert_allclose(alone, values[0][2:], rtol=1e-4)


def test_the_return_objective_is_eq_3(model, q, s0, kl, sampled_returns):
    y_plus = np.asarray([-1.0, 0.0, 2.0])
    log_p_y = -0.5 * (((y_plus - sampled_returns) / SIGMA_Y) ** 2 + np.log(2 * np.pi * SIGMA_Y**2))
    value, watched = return_objective(model, s0, jnp.asarray(y_plus, jnp.float32), 1000, KEYS)(q, STEP)
    off = np.abs(np.asarray(value) - (log_p_y.mean(axis=0) - kl))
    assert (off < 6 * standard_error(log_p_y)).all()
    assert (np.abs(watched - sampled_returns.mean(axis=0)) < 6 * standard_error(sampled_returns)).all()
