"""The closed-form step changes coordinates, nothing else, and only ever lowers the KL."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.model.joint import Phi
from gac.model.prior import BaseNoise, Prior
from gac.training.added.refit import LARGEST_BASE, refit_base

EPISODES, SHAPE, LATENT = 60, (2, 4), 8
TRAIN = jnp.arange(0, EPISODES, 2, dtype=jnp.int32)


@pytest.fixture(scope="module")
def before():
    """A layer and posteriors far from N(0, I): shifted, correlated, narrow."""
    keys = jax.random.split(jax.random.key(0), 5)
    mix = jax.random.normal(keys[0], (LATENT, LATENT))
    mu = 0.7 * jax.random.normal(keys[1], (EPISODES, LATENT)) @ mix + 2.0
    log_sigma = 0.2 * jax.random.normal(keys[2], (EPISODES, *SHAPE)) - 1.0
    layer = eqx.tree_at(
        lambda x: (x.matrix, x.offset),
        BaseNoise(LATENT),
        (jnp.eye(LATENT) + 0.3 * jax.random.normal(keys[3], (LATENT, LATENT)), jnp.arange(float(LATENT))),
    )
    return layer, Phi(mu.reshape(EPISODES, *SHAPE), log_sigma)


@pytest.fixture(scope="module")
def after(before):
    return refit_base(*before, TRAIN)


def mean_kl(bank):
    return float(jnp.mean(jnp.sum(bank.kl()[TRAIN], axis=1)))


def second_moment(bank):
    return np.asarray(jnp.mean((bank.mu**2 + jnp.exp(2 * bank.log_sigma))[TRAIN], axis=0)).ravel()


def test_every_posterior_mean_is_read_as_before(before, after):
    (layer, bank), (new_layer, new_bank) = before, after
    np.testing.assert_allclose(new_layer(new_bank.mu), layer(bank.mu), rtol=1e-3, atol=1e-3)
    assert float(jnp.abs(new_bank.mu - bank.mu).max()) > 0.5


def test_every_posterior_keeps_its_variances_in_the_new_coordinates(before, after):
    (layer, bank), (new_layer, new_bank) = before, after
    to_new = np.linalg.inv(new_layer.matrix) @ np.asarray(layer.matrix)
    old = np.exp(2 * np.asarray(bank.log_sigma)).reshape(EPISODES, -1)
    expected = old @ (to_new**2).T  # the diagonal of the covariance there
    new = np.exp(2 * np.asarray(new_bank.log_sigma)).reshape(EPISODES, -1)
    np.testing.assert_allclose(new, expected, rtol=1e-2)


def test_the_aggregated_posterior_of_training_episodes_is_standard(before, after):
    _, bank = after
    np.testing.assert_allclose(second_moment(bank), 1.0, rtol=1e-3)
    np.testing.assert_allclose(jnp.mean(bank.mu[TRAIN], axis=0), 0.0, atol=1e-4)
    assert np.abs(second_moment(before[1]) - 1.0).max() > 0.5


def test_the_mean_kl_falls_and_a_second_refit_finds_nothing_to_do(before, after):
    _, bank = before
    layer, once = after
    _, twice = refit_base(layer, once, TRAIN)
    assert mean_kl(once) < mean_kl(bank) - 1.0
    assert abs(mean_kl(twice) - mean_kl(once)) < 1e-3 * mean_kl(once)
    np.testing.assert_allclose(second_moment(twice), 1.0, rtol=1e-3)


def test_posteriors_at_the_prior_stay_there():
    layer, bank = refit_base(BaseNoise(LATENT), Phi(*(jnp.zeros((EPISODES, *SHAPE)),) * 2), TRAIN)
    np.testing.assert_allclose(bank.mu, 0.0, atol=1e-6)
    np.testing.assert_allclose(bank.log_sigma, 0.0, atol=1e-5)
    np.testing.assert_allclose(layer.matrix.T @ layer.matrix, jnp.eye(LATENT), atol=1e-5)


def test_products_of_training_may_be_rounded_but_not_those_of_a_refit(before):
    base, bank = before
    rounded = "lhs_precision_type = bf16"
    with jax.default_matmul_precision("BF16_BF16_F32"):
        refit = jax.jit(refit_base).lower(base, bank, TRAIN).as_text()
        layer = jax.jit(BaseNoise.__call__).lower(base, bank.mu).as_text()
    assert "dot_general" in refit
    assert rounded not in refit
    assert rounded in layer


def test_codes_that_drift_apart_for_ever_do_not_overflow():
    size = tiny.MODEL.latent_tokens * tiny.MODEL.embed_dim
    shape = (EPISODES, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    prior = Prior(tiny.MODEL, 1e3, tiny.OBSERVATION_DIM, jax.random.key(0))
    widths = jnp.full(shape, -3.0)
    bank = Phi(jax.random.normal(jax.random.key(1), shape), widths)
    every = jnp.arange(EPISODES, dtype=jnp.int32)
    s0 = jax.random.normal(jax.random.key(2), (EPISODES, tiny.OBSERVATION_DIM))
    layer, refit = prior.base, jax.jit(refit_base)
    for _ in range(60):
        layer, bank = refit(layer, Phi(10.0 * bank.mu, widths), every)
    rms = float(jnp.sqrt((jnp.sum(layer.matrix**2) + jnp.sum(layer.offset**2)) / size))
    assert 0.9 * LARGEST_BASE < rms <= 1.001 * LARGEST_BASE
    apart = Phi(10.0 * bank.mu, widths)
    shortened, again = refit(layer, apart, every)
    read = [
        eqx.tree_at(lambda each: each.base, prior, base)(s0, epsilon)
        for base, epsilon in ((layer, apart.mu), (shortened, again.mu))
    ]
    for one, other in zip(*read, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
