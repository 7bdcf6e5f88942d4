"""z = f_alpha(s0, epsilon): everything meets here, and the base noise is left to its closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.model.prior import BaseNoise, Prior, bounded

LONGEST = 1e3


@pytest.fixture(scope="module")
def prior():
    return Prior(tiny.MODEL, LONGEST, tiny.OBSERVATION_DIM, jax.random.key(0))


@pytest.fixture(scope="module")
def inputs():
    return jax.random.normal(jax.random.key(1), (3, tiny.OBSERVATION_DIM)), jax.random.normal(
        jax.random.key(2), (3, 2, 16)
    )


def test_every_output_depends_on_the_state_and_on_every_noise_token(prior, inputs):
    s0, epsilon = inputs
    before = jnp.concatenate([prior(s0, epsilon)[0][:, None], prior(s0, epsilon)[1]], axis=1)
    for s0_new, epsilon_new in (
        (s0 + 1.0, epsilon),
        (s0, epsilon.at[:, 0].add(1.0)),
        (s0, epsilon.at[:, 1].add(1.0)),
    ):
        z_y, z_traj = prior(s0_new, epsilon_new)
        after = jnp.concatenate([z_y[:, None], z_traj], axis=1)
        assert bool((jnp.abs(after - before).max(axis=-1) > 1e-3).all())


def test_a_trajectory_is_mapped_alike_in_any_batch(prior, inputs):
    s0, epsilon = inputs
    for whole, alone in zip(prior(s0, epsilon), prior(s0[1:2], epsilon[1:2]), strict=True):
        np.testing.assert_allclose(whole[1:2], alone, atol=1e-5)


def test_the_base_noise_is_affine_and_takes_no_gradient(inputs):
    _, epsilon = inputs
    matrix, offset = jax.random.normal(jax.random.key(3), (32, 32)), jnp.arange(32.0)
    layer = eqx.tree_at(lambda x: (x.matrix, x.offset), BaseNoise(32), (matrix, offset))
    expected = np.asarray(epsilon).reshape(3, 32) @ np.asarray(matrix).T + np.arange(32.0)
    np.testing.assert_allclose(layer(epsilon).reshape(3, 32), expected, rtol=1e-4, atol=1e-4)
    gradient = jax.grad(lambda own: jnp.sum(own(epsilon) ** 2))(layer)
    assert not any(jnp.any(leaf) for leaf in jax.tree.leaves(gradient))
    np.testing.assert_array_equal(BaseNoise(32)(epsilon), epsilon)


def stretched(prior, factor):
    matrix = factor * prior.base.matrix
    return eqx.tree_at(lambda each: each.base.matrix, prior, matrix)


def test_tokens_are_as_they_are_up_to_a_length_and_cut_beyond(inputs):
    token = inputs[1]
    np.testing.assert_array_equal(bounded(token, LONGEST), token)
    np.testing.assert_array_equal(bounded(1e6 * token, 0.0), 1e6 * token)
    long = bounded(100.0 * LONGEST * token, LONGEST)
    rms = jnp.sqrt(jnp.mean(long**2, axis=-1))
    np.testing.assert_allclose(rms, LONGEST, rtol=1e-5)
    np.testing.assert_allclose(
        long / rms[..., None], token / jnp.sqrt(jnp.mean(token**2, -1))[..., None], atol=1e-5
    )


def test_noise_of_any_length_leaves_room_for_the_state(prior, inputs):
    s0, epsilon = inputs
    long, longer = stretched(prior, 1e5), stretched(prior, 1e9)
    for one, other in zip(long(s0, epsilon), longer(s0, epsilon), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    moved = jnp.abs(longer(s0 + 1.0, epsilon)[1] - longer(s0, epsilon)[1]).max(axis=-1)
    assert bool((moved > 3e-5).all())
