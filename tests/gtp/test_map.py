"""The map against what is known of it: its limit, its composition, the exact map of Gaussian actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_gtp import CONFIG, MEAN, STD, Exact, ratio

from gac.gtp.layers import mish
from gac.gtp.map import FlowMap, integrated, scaling, towards

ROWS = 32
STATE = jax.random.normal(jax.random.key(1), (ROWS, 3))
X = jax.random.normal(jax.random.key(2), (ROWS, 2))


def column(value, rows=ROWS):
    return jnp.full((rows, 1), value, jnp.float32)


@pytest.fixture(scope="module")
def actor():
    return FlowMap(CONFIG, 3, 2, jax.random.key(0))


def test_mish_is_mish():
    x = jnp.linspace(-30.0, 30.0, 601)
    np.testing.assert_allclose(mish(x), jax.nn.mish(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(mish))(x), jax.vmap(jax.grad(jax.nn.mish))(x), atol=1e-5)


def test_phi_inst_is_the_limit_of_phi(actor):
    t = column(0.7)
    limit = actor.phi_inst(STATE, X, t)
    errors = [
        float(jnp.abs(actor.phi(STATE, X, t, (1.0 - gap) * t) - limit).max()) for gap in (0.1, 0.01, 0.001)
    ]
    assert errors[0] > 3.0 * errors[1] > 9.0 * errors[2]
    assert errors[2] < 1e-2


def test_the_map_leads_nowhere_in_no_time_and_to_phi_at_time_zero(actor):
    t = column(0.7)
    np.testing.assert_allclose(actor.flow(STATE, X, t, t), X, atol=1e-6)
    np.testing.assert_array_equal(actor.flow(STATE, X, t, column(0.0)), actor.phi(STATE, X, t, column(0.0)))


def test_an_action_almost_without_noise_stays_as_it_is(actor):
    t = column(1e-5)
    np.testing.assert_allclose(actor.flow(STATE, X, t, column(0.0)), X, atol=1e-3)


def test_scaling_keeps_the_variance():
    t = jnp.array([[0.01], [0.5], [80.0]])
    skip, scale, scale_in = scaling(t, 0.5)
    # Of unit targets: Karras et al. choose them so that c_skip² (σ² + t²) + c_out² = σ² at σ = sigma_data.
    np.testing.assert_allclose(skip**2 * (0.25 + t**2) + scale**2, jnp.full((3, 1), 0.25), rtol=1e-5)
    np.testing.assert_allclose(scale_in**2 * (0.25 + t**2), jnp.ones((3, 1)), rtol=1e-5)


def test_one_time_for_all_rows_is_the_same_time_for_each(actor):
    one, each = (
        actor.flow(STATE, X, *(jnp.full((1, 1), v) for v in (0.9, 0.3))),
        actor.flow(STATE, X, column(0.9), column(0.3)),
    )
    np.testing.assert_allclose(one, each, atol=1e-6)


def test_of_gaussian_actions_the_map_is_linear_and_composes():
    t, u, s = column(2.0), column(0.8), column(0.1)
    x, exact = X[:, :1], Exact()
    wanted = MEAN + ratio(2.0, 0.1) * (x - MEAN)
    np.testing.assert_allclose(exact.flow(STATE, x, t, s), wanted, atol=1e-5)
    np.testing.assert_allclose(exact.flow(STATE, exact.flow(STATE, x, t, u), u, s), wanted, atol=1e-5)
    # A map that is not the solution of an ODE does not compose.
    other = Exact(0.9)
    wrong = other.flow(STATE, other.flow(STATE, x, t, u), u, s) - other.flow(STATE, x, t, s)
    assert float(jnp.abs(wrong).max()) > 0.01


def test_the_solver_finds_the_map_from_the_denoiser():
    t, s, x = column(2.0), column(0.1), X[:, :1]

    def step(state, x, t, s):
        denoised = MEAN + STD**2 / (STD**2 + t**2) * (x - MEAN)
        return towards(x, denoised, t, s)

    wanted = MEAN + ratio(2.0, 0.1) * (x - MEAN)
    errors = [
        float(jnp.abs(integrated(step, STATE, x, t, s, steps) - wanted).max()) for steps in (50, 100, 200)
    ]
    # A method of first order: twice the steps, half the error.
    assert errors[2] < 0.01
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert 1.8 < errors[1] / errors[2] < 2.2
    euler = integrated(Exact().euler, STATE, x, t, s, 100)
    np.testing.assert_allclose(euler, integrated(step, STATE, x, t, s, 100), atol=1e-5)
