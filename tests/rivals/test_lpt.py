"""Latent Plan Transformer: Langevin dynamics with a known answer, windows, plans."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny_rivals import LPT as CONFIG

from gac.data.standardise import Standardiser
from gac.data.windows import chunk_of_all_windows, gather_windows, sample_windows, to_device
from gac.rivals.lpt.lpt import LPT, langevin, learning_loss, log_plan, log_posterior, log_prior, make_plans
from gac.rivals.lpt.unet import UNet, neighbours

DATA = tiny.make_episodes()
EPISODES = to_device(DATA, Standardiser.fit(DATA))
EVERY = jnp.arange(DATA.num_episodes, dtype=jnp.int32)
THETA = LPT(CONFIG, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))
Z = jax.random.normal(jax.random.key(1), (DATA.num_episodes, 2, 8))


def test_langevin_samples_a_gaussian_posterior():
    # z ~ N(0, 1) and y | z ~ N(z, 0.5²): the posterior has precision 5, mean 0.8 y. At step s the chain has
    # a variance of 1 / (P (1 - s P / 2)), P the precision.
    y, step, chains = 1.5, 0.05, (4000, 2, 2)

    def log_density(z0, _):
        return log_prior(z0) - jnp.sum((y - z0) ** 2, axis=(1, 2)) / (2.0 * 0.5**2)

    z0, ratio = jax.jit(
        lambda keys: langevin(
            log_density, jnp.zeros(chains), keys, step, lambda key: jax.random.normal(key, chains)
        )
    )(jax.random.split(jax.random.key(0), 60))
    np.testing.assert_allclose(z0.mean(), 0.8 * y, atol=0.02)
    np.testing.assert_allclose(z0.var(), 1.0 / (5.0 * (1.0 - step * 5.0 / 2.0)), rtol=0.05)
    assert 0.1 < ratio < 2.0


def test_the_posterior_is_prior_and_both_likelihoods():
    windows = chunk_of_all_windows(EPISODES, EVERY, jnp.int32(0), 12, CONFIG.context, tiny.OBSERVATION_DIM)
    y = jnp.ones(DATA.num_episodes)
    z = THETA.prior(Z)
    missed = (y - THETA.returns(z)) ** 2
    wanted = -0.5 * jnp.sum(Z**2, axis=(1, 2)) - THETA.action_error(z, windows) / (2 * 0.3**2)
    wanted = wanted - missed / (2 * 0.2**2)
    config = dataclasses.replace(CONFIG, sigma_a=0.3, sigma_y=0.2)
    np.testing.assert_allclose(log_posterior(THETA, Z, windows, y, config), wanted, rtol=1e-4)
    np.testing.assert_allclose(
        log_plan(THETA, Z, y, 3.0, config), log_prior(Z) - 3.0 * missed / (2 * 0.2**2), rtol=1e-4
    )


def test_sums_over_time_are_estimated_without_bias_and_padding_weighs_nothing():
    sizes = CONFIG.context, tiny.OBSERVATION_DIM
    z = THETA.prior(Z)
    exact = THETA.action_error(z, chunk_of_all_windows(EPISODES, EVERY, jnp.int32(0), 12, *sizes))
    one = jax.jit(lambda key: THETA.action_error(z, sample_windows(EPISODES, EVERY, key, 2, *sizes)))
    drawn = jax.lax.map(one, jax.random.split(jax.random.key(0), 2000))
    error = drawn.std(axis=0) / 2000**0.5
    assert (jnp.abs(drawn.mean(axis=0) - exact) < 4.0 * error + 1e-4).all()
    outside = gather_windows(EPISODES, EVERY, jnp.full((10, 1), 50), jnp.ones((10, 1)), *sizes)
    assert not THETA.action_error(z, outside).any()


def test_an_action_is_predicted_without_seeing_it():
    windows = chunk_of_all_windows(EPISODES, EVERY, jnp.int32(0), 4, CONFIG.context, tiny.OBSERVATION_DIM)
    memory = THETA.generator.remember(Z)

    def predicted(actions):
        return THETA.generator(memory, windows.states, actions, jnp.ones_like(windows.valid))[0]

    before = predicted(windows.actions)
    changed = predicted(windows.actions.at[:, :, 1].add(1.0))
    np.testing.assert_array_equal(before, changed)
    assert jnp.abs(predicted(windows.actions.at[:, :, 0].add(1.0)) - before)[:, :, 1].max() > 1e-4


def test_the_loss_is_the_mean_error_of_all_actions_and_the_weighted_one_of_returns():
    windows = chunk_of_all_windows(EPISODES, EVERY, jnp.int32(0), 12, CONFIG.context, tiny.OBSERVATION_DIM)
    steps, y = EPISODES.lengths.astype(jnp.float32), EPISODES.y
    config = dataclasses.replace(CONFIG, dropout=0.0)
    loss, terms = learning_loss(THETA, Z, windows, steps, y, jax.random.key(0), config)
    z = THETA.prior(Z)
    mean = THETA.action_error(z, windows).sum() / (DATA.num_steps * tiny.ACTION_DIM)
    np.testing.assert_allclose(terms["loss_action"], mean, rtol=1e-5)
    np.testing.assert_allclose(loss, mean + 0.25 * jnp.mean((y - THETA.returns(z)) ** 2), rtol=1e-5)


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    z = jnp.broadcast_to(Z[:1], (4000, 2, 8))
    plain = THETA.returns(z[:1])[0]
    dropped = THETA.returns(z, (0.3, jax.random.key(0)))
    assert dropped.std() > 0.05
    last = THETA.returns.hidden[0]
    np.testing.assert_allclose(dropped.mean(), plain, atol=0.2)
    assert last.weight.shape == (16, 8)


def test_plans_do_not_depend_on_the_rows_beside_them_and_aim_where_they_are_told():
    config = dataclasses.replace(CONFIG, act_steps=200)
    keys = jax.vmap(jax.random.key)(jnp.arange(6))
    best, y = Z[0], jnp.full(6, 0.4)
    z, predicted = make_plans(THETA, best, y, keys, 1.0, config)
    alone, _ = make_plans(THETA, best, y[2:3], keys[2:3], 1.0, config)
    np.testing.assert_allclose(alone[0], z[2], atol=1e-4)
    _, inclined = make_plans(THETA, best, y, keys, 30.0, config)
    assert jnp.abs(inclined - 0.4).mean() < 0.5 * jnp.abs(predicted - 0.4).mean()


@pytest.mark.parametrize(("patch", "levels"), [(1, 3), (4, 2), (4, 1)])
def test_the_unet_keeps_the_shape_and_mixes_all_places(patch, levels):
    unet = UNet(patch, 4, levels, jax.random.key(0))
    z0 = jax.random.normal(jax.random.key(1), (1, 2, 256))
    first, last = (jnp.zeros_like(z0).at[0, i, j].set(1.0) for i, j in ((0, 0), (1, 255)))
    assert unet(z0).shape == z0.shape
    # The ends are farther apart than convolutions reach.
    assert jnp.abs(jnp.sum(last * jax.jvp(unet, (z0,), (first,))[1])) > 0.0


def test_neighbours_are_what_a_convolution_of_three_reads():
    x = jax.random.normal(jax.random.key(0), (2, 5, 3))
    kernel = jax.random.normal(jax.random.key(1), (9, 4))
    wanted = jax.lax.conv_general_dilated(
        x, kernel.reshape(3, 3, 4), (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )
    np.testing.assert_allclose(neighbours(x) @ kernel, wanted, atol=1e-5)
