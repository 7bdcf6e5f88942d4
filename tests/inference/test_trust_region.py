"""Regions: the logged plan that returns most from a state, or about what is asked for, and the nearest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.inference.trust_region import REGION, Logged, apart, nearest_of, region_of_return, trust_region
from gac.model.joint import GAC, Phi
from gac.training.logged import divergence

LOGGED = 20 * REGION


@pytest.fixture(scope="module")
def model():
    return GAC(tiny.MODEL, tiny.CONFIG.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))


@pytest.fixture(scope="module")
def logged():
    keys = jax.random.split(jax.random.key(1), 2)
    shape = (LOGGED, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    phi = Phi(jax.random.normal(keys[0], shape), 0.3 * jax.random.normal(keys[1], shape) - 0.5)
    return Logged(phi, 0.02 * jax.random.normal(jax.random.key(4), (LOGGED,)))


@pytest.fixture(scope="module")
def s0():
    return 3.0 * jax.random.normal(jax.random.key(2), (4, tiny.OBSERVATION_DIM))


def distance(plans, centre):
    """Mahalanobis, squared, by its definition: the covariance is the mean of the plans' own."""
    flat = np.asarray(plans.mu).reshape(len(plans.mu), -1)
    variance = np.exp(2.0 * np.asarray(plans.log_sigma)).reshape(len(flat), -1).mean(axis=0)
    difference = flat - flat[centre]
    return np.einsum("ij,jk,ik->i", difference, np.linalg.inv(np.diag(variance)), difference)


def test_it_has_the_moments_of_the_plans_around_the_one_that_returns_most_from_each_state(model, logged, s0):
    region = trust_region(model, s0, logged)
    chosen, plans = set(), logged.phi
    for row, state in enumerate(s0):
        promised = model.predicted_return(jnp.tile(state[None], (LOGGED, 1)), plans.mu)
        most = int(np.argmax(promised + logged.residual))
        best = np.argsort(distance(plans, most))[:REGION]
        chosen.add(tuple(sorted(best)))
        # Draws of the equal mixture of the best, against the one Gaussian.
        noise = np.random.default_rng(row).standard_normal((8000, REGION, *plans.mu.shape[1:]))
        draws = np.asarray(plans.mu)[best] + np.exp(np.asarray(plans.log_sigma)[best]) * noise
        np.testing.assert_allclose(region.mu[row], draws.mean(axis=(0, 1)), atol=0.03)
        np.testing.assert_allclose(np.exp(region.log_sigma[row]), draws.std(axis=(0, 1)), rtol=0.03)
    assert len(chosen) > 1, "every state chose the same plans: the test shows nothing of the state"


def test_the_nearest_to_a_narrow_plan_are_narrow_ones_of_its_behaviour_not_wide_ones_of_another():
    shape = (1, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    centre = Phi(jnp.zeros(shape), jnp.full(shape, -3.0))
    # The narrow one lies thirty of its own widths away, the wide one less than two of its.
    others = Phi(
        jnp.concatenate([centre.mu + 1.5, centre.mu + 1.8]),
        jnp.stack([centre.log_sigma[0], 0.0 * centre.mu[0]]),
    )
    like, unlike = apart(centre, others)
    assert like < 0.7 * unlike
    assert divergence(centre, others).argmin() == 1, "a divergence would say the same: the case shows nothing"


def test_of_few_plans_the_region_is_of_a_quarter_of_them(model, logged, s0):
    assert [nearest_of(count, 20) for count in (1, 3, 4, 8, 20, 79, 80, 128)] == [1, 1, 1, 2, 5, 19, 20, 20]
    # One in four of twelve is of the behaviour that returns most.
    places = jnp.repeat(jnp.array([-2.0, 0.0, 2.0, 4.0]), 3)[:, None, None]
    mu = jnp.broadcast_to(places, (12, *logged.phi.mu.shape[1:]))
    returned = jnp.where(places[:, 0, 0] == 2.0, 0.0, -100.0)
    region = trust_region(model, s0, Logged(Phi(mu, jnp.full_like(mu, -1.0)), returned))
    np.testing.assert_allclose(region.mu, 2.0, atol=1e-5)


def test_a_single_plan_is_its_own_region(model, logged, s0):
    alone = Phi(logged.phi.mu[:1], logged.phi.log_sigma[:1])
    region = trust_region(model, s0, Logged(alone, logged.residual[:1]))
    np.testing.assert_allclose(region.mu, jnp.tile(alone.mu, (len(s0), 1, 1)), rtol=1e-5)
    np.testing.assert_allclose(region.log_sigma, jnp.tile(alone.log_sigma, (len(s0), 1, 1)), atol=1e-5)


def test_it_lies_around_one_of_two_behaviours_not_between_them(model, s0):
    each = 8 * REGION
    shape = (each, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    shift = jnp.full(shape, 2.0)
    noise = 0.05 * jax.random.normal(jax.random.key(3), (2, *shape))
    two = Phi(jnp.concatenate([noise[0] - shift, noise[1] + shift]), jnp.full((2 * each, *shape[1:]), -1.0))
    region = trust_region(model, s0, Logged(two, jnp.zeros(2 * each)))
    np.testing.assert_allclose(np.abs(region.mu), 2.0, atol=0.1)
    np.testing.assert_allclose(region.log_sigma, -1.0, atol=0.05)


def test_a_promise_that_the_like_of_a_plan_did_not_keep_does_not_count(model, logged, s0):
    promised = jax.vmap(
        lambda state: model.predicted_return(jnp.tile(state[None], (LOGGED, 1)), logged.phi.mu)
    )(s0)
    luckiest = jnp.unique(jnp.argmax(promised, axis=1))
    plain = trust_region(model, s0, logged._replace(residual=jnp.zeros(LOGGED)))
    honest = jnp.zeros(LOGGED).at[luckiest].set(-100.0)
    assert (
        not np.isclose(trust_region(model, s0, logged._replace(residual=honest)).mu, plain.mu)
        .all(axis=(1, 2))
        .any()
    )


def test_what_the_like_of_a_plan_returned_adds_sigma_y_at_most(model, s0):
    shape = (2, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    mu = jnp.stack([jnp.full(shape[1:], -2.0), jnp.full(shape[1:], 2.0)])
    promised = model.predicted_return(jnp.tile(s0[:1], (2, 1)), mu)
    more, less = int(jnp.argmax(promised)), int(jnp.argmin(promised))
    gap, sigma_y = float(promised[more] - promised[less]), tiny.MODEL.sigma_y
    for of_more, of_less, chosen in (
        (0.0, gap + 0.1, less),
        (sigma_y - 0.5 * gap, 5.0, more),
        (sigma_y - 1.5 * gap, 5.0, less),
    ):
        residual = jnp.zeros(2).at[more].set(of_more).at[less].set(of_less)
        region = trust_region(model, s0[:1], Logged(Phi(mu, jnp.full(shape, -1.0)), residual))
        np.testing.assert_allclose(region.mu[0], mu[chosen], atol=1e-5)


def test_a_return_is_looked_for_around_the_plans_that_explain_it(model, s0):
    """Four plans far apart, of returns -20, -19, -19 and -17: draws are of the posterior over plans."""
    places = jnp.array([-3.0, -1.0, 1.0, 3.0])
    shape = (4, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    phi = Phi(jnp.broadcast_to(places[:, None, None], shape), jnp.full(shape, -2.0))
    promised = model.predicted_return(jnp.tile(s0[:1], (4, 1)), phi.mu)
    returned = jnp.array([0.0, 1.0, 1.0, 3.0]) - 20.0
    count, y_plus = 2000, 1.2 - 20.0
    state, keys = jnp.tile(s0[:1], (count, 1)), jax.random.split(jax.random.key(5), count)
    region = region_of_return(model, state, Logged(phi, returned - promised), jnp.full(count, y_plus), keys)
    drawn = np.asarray(region.mu).mean(axis=(1, 2))
    np.testing.assert_allclose(region.mu, drawn[:, None, None] * np.ones((1, *shape[1:])), atol=1e-5)
    likelihood = np.exp(-0.5 * ((y_plus - np.asarray(returned)) / tiny.MODEL.sigma_y) ** 2)
    for place, share in zip(np.asarray(places), likelihood / likelihood.sum(), strict=True):
        found = np.isclose(drawn, place, atol=1e-4).mean()
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / count) + 1e-9


def test_a_return_beyond_all_plans_is_looked_for_around_one_of_the_best(model, logged, s0):
    keys = jax.random.split(jax.random.key(6), len(s0))
    far = region_of_return(model, s0, logged, jnp.full(len(s0), 1e4), keys)
    np.testing.assert_allclose(far.mu, trust_region(model, s0, logged).mu, atol=1e-5)
