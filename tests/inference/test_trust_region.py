"""Exploit's region: the logged plans that promise most from a state, as one Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.inference.trust_region import BEST, trust_region
from gac.model.joint import GAC, Phi

LOGGED = 3 * BEST


@pytest.fixture(scope="module")
def model():
    return GAC(tiny.MODEL, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))


@pytest.fixture(scope="module")
def logged():
    keys = jax.random.split(jax.random.key(1), 2)
    shape = (LOGGED, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    return Phi(jax.random.normal(keys[0], shape), 0.3 * jax.random.normal(keys[1], shape) - 0.5)


@pytest.fixture(scope="module")
def s0():
    return 3.0 * jax.random.normal(jax.random.key(2), (4, tiny.OBSERVATION_DIM))


def test_it_has_the_moments_of_the_plans_that_promise_most_from_each_state(model, logged, s0):
    region = trust_region(model, s0, logged)
    chosen = set()
    for row, state in enumerate(s0):
        promised = model.predicted_return(jnp.tile(state[None], (LOGGED, 1)), logged.mu)
        best = np.argsort(-np.asarray(promised))[:BEST]
        chosen.add(tuple(sorted(best)))
        # Draws of the equal mixture of the best, against the one Gaussian.
        noise = np.random.default_rng(row).standard_normal((2000, BEST, *logged.mu.shape[1:]))
        draws = np.asarray(logged.mu)[best] + np.exp(np.asarray(logged.log_sigma)[best]) * noise
        np.testing.assert_allclose(region.mu[row], draws.mean(axis=(0, 1)), atol=0.03)
        np.testing.assert_allclose(np.exp(region.log_sigma[row]), draws.std(axis=(0, 1)), rtol=0.03)
    assert len(chosen) > 1, "every state chose the same plans: the test shows nothing of the state"


def test_a_single_plan_is_its_own_region(model, logged, s0):
    alone = Phi(logged.mu[:1], logged.log_sigma[:1])
    region = trust_region(model, s0, alone)
    np.testing.assert_allclose(region.mu, jnp.tile(alone.mu, (len(s0), 1, 1)), rtol=1e-5)
    np.testing.assert_allclose(region.log_sigma, jnp.tile(alone.log_sigma, (len(s0), 1, 1)), atol=1e-5)
