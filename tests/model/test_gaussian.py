"""Densities and divergences against SciPy and Monte Carlo."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gac.model.gaussian import SMALLEST_SIGMA, Sigma, gaussian_log_prob, kl_to_standard_normal


def test_log_prob_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(2, 4, 3)).astype(np.float32)
    sigma = np.asarray([0.3, 1.0, 4.0], np.float32)
    expected = [multivariate_normal.logpdf(a, m, np.diag(sigma**2)) for a, m in zip(x, mean, strict=True)]
    got = gaussian_log_prob(jnp.asarray(x), jnp.asarray(mean), jnp.asarray(sigma)[None])
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_kl_against_monte_carlo():
    mu, log_sigma = jnp.asarray([0.0, 1.5, -0.3]), jnp.asarray([0.0, -1.2, 0.4])
    draws = mu[None] + jnp.exp(log_sigma)[None] * jax.random.normal(jax.random.key(0), (200_000, 3))
    ratio = jax.scipy.stats.norm.logpdf(draws, mu[None], jnp.exp(log_sigma)[None])
    ratio = np.asarray(ratio - jax.scipy.stats.norm.logpdf(draws), np.float64)
    kl = np.asarray(kl_to_standard_normal(mu, log_sigma))
    assert (np.abs(ratio.mean(axis=0) - kl) <= 4 * ratio.std(axis=0) / np.sqrt(len(ratio)) + 1e-6).all()
    assert kl[0] == 0.0


@pytest.mark.parametrize("learned", [True, False])
def test_sigma_is_learned_only_on_request(learned):
    sigma = Sigma(2, 0.3, learned)
    np.testing.assert_allclose(sigma(), 0.3, rtol=1e-6)
    gradient = jax.grad(lambda own: jnp.sum(own()))(sigma)
    assert bool((gradient.log_value != 0.0).all()) is learned
    sigma = eqx.tree_at(lambda own: own.log_value, sigma, jnp.array([-9.0, 0.0]))
    np.testing.assert_allclose(sigma(), [SMALLEST_SIGMA, 1.0] if learned else np.exp([-9.0, 0.0]), rtol=1e-4)
    at_floor = jax.grad(lambda own: jnp.sum(own()))(sigma).log_value[0]
    assert (at_floor > 0.0) == learned, "a value at the floor can be raised"
    # A weak type would compile every program twice.
    assert not sigma.log_value.weak_type
