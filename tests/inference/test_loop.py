"""The one inner loop finds a known optimum, stops item by item, and says what happened."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gac.inference.loop import CHECK_EVERY, PATIENCE, Info, infer, learning_rate
from gac.model.joint import Phi

SHAPE = (3, 2, 4)
CENTRE = jax.random.normal(jax.random.key(0), SHAPE)


def quadratic(phi, step):
    """Greatest at mu = CENTRE, log_sigma = -1; watches the distance in mu."""
    distance = jnp.sum((phi.mu - CENTRE) ** 2, axis=(1, 2))
    return -distance - jnp.sum((phi.log_sigma + 1.0) ** 2, axis=(1, 2)), distance


def start():
    return Phi(jnp.zeros(SHAPE), jnp.zeros(SHAPE))


def run(objective, max_steps, tol=1e-5, rate=0.1, phi0=None):
    program = jax.jit(lambda phi: infer(objective, phi, optax.adam(rate), max_steps, tol))
    return program(phi0 or start())


def test_a_quadratic_converges_to_its_optimum():
    phi, info = run(quadratic, 1000)
    np.testing.assert_allclose(phi.mu, CENTRE, atol=0.02)
    np.testing.assert_allclose(phi.log_sigma, -1.0, atol=0.02)
    np.testing.assert_allclose(info.value, 0.0, atol=1e-2)
    assert bool(info.converged.all())
    assert int(info.steps.max()) < 1000


def test_the_trace_is_nan_past_the_last_step():
    _, info = run(quadratic, 1000)
    trace, steps = np.asarray(info.trace), np.asarray(info.steps)
    assert trace.shape == (len(CENTRE), 1000)
    np.testing.assert_array_equal(np.isfinite(trace), np.arange(1000)[None] < steps[:, None])
    np.testing.assert_allclose(trace[:, 0], np.sum(np.asarray(CENTRE) ** 2, axis=(1, 2)), rtol=1e-5)
    assert (trace[np.arange(len(steps)), steps - 1] < 0.01 * trace[:, 0]).all()


@pytest.mark.parametrize("max_steps", [1, 7, 25])
def test_never_more_than_max_steps(max_steps):
    phi, info = run(quadratic, max_steps)
    np.testing.assert_array_equal(info.steps, max_steps)
    assert not bool(info.converged.any())
    assert np.isfinite(np.asarray(info.trace)).all()
    # Adam moves by its rate at the first step; every step that was counted was taken.
    assert float(jnp.abs(phi.mu).max()) <= 0.1 * max_steps + 1e-5
    assert float(jnp.abs(phi.mu).min()) > 0.0


def slow_and_fast(phi, step):
    """Item 0 gains too little per step to go on, though its gradient never vanishes; the others do gain."""
    slope = jnp.asarray([1e-7, 1.0, 3.0])
    gain = slope * jnp.sum(phi.mu, axis=(1, 2))
    return gain, gain


def test_an_item_that_has_converged_is_frozen_while_others_go_on():
    phi, info = run(slow_and_fast, 60)
    np.testing.assert_array_equal(info.steps, [(1 + PATIENCE) * CHECK_EVERY, 60, 60])
    np.testing.assert_array_equal(info.converged, [True, False, False])
    shorter, _ = run(slow_and_fast, (1 + PATIENCE) * CHECK_EVERY)
    np.testing.assert_array_equal(phi.mu[0], shorter.mu[0])
    np.testing.assert_array_equal(phi.log_sigma[0], shorter.log_sigma[0])
    assert float(jnp.abs(shorter.mu[0]).min()) > 0.0
    assert float((phi.mu[1:] - shorter.mu[1:]).min()) > 1.0


def test_items_do_not_touch_each_other():
    together, _ = run(quadratic, 40, tol=0.0)

    def alone(phi, step):
        value, watched = quadratic(Phi(*(jnp.broadcast_to(x, SHAPE) for x in phi)), step)
        return value[1:2], watched[1:2]

    single, _ = run(alone, 40, tol=0.0, phi0=Phi(jnp.zeros((1, 2, 4)), jnp.zeros((1, 2, 4))))
    np.testing.assert_allclose(single.mu[0], together.mu[1], atol=1e-5)


def test_the_objective_is_told_the_number_of_every_step():
    def number(phi, step):
        """Watches the number; its value, and so phi, does not move."""
        return jnp.sum(0.0 * phi.mu, axis=(1, 2)), step.astype(jnp.float32) + jnp.arange(3.0)

    _, info = run(number, 9)
    np.testing.assert_array_equal(info.trace, np.arange(9.0) + np.arange(3.0)[:, None])


def test_the_mean_trace_goes_on_with_where_a_shorter_ascent_ended():
    """As after exploit, whose rows come from two ascents."""
    trace = jnp.asarray([[1.0, 2.0, 3.0, 4.0, np.nan], [5.0, 6.0, np.nan, np.nan, np.nan]])
    info = Info(jnp.zeros(2), jnp.asarray([4, 2]), jnp.ones(2, bool), trace)
    np.testing.assert_allclose(info.mean_trace(), [3.0, 4.0, 4.5, 5.0])


def noisy(phi, step):
    """The quadratic with a random slope at every step: its values never stand still."""
    slope = 0.1 * jax.random.normal(jax.random.fold_in(jax.random.key(0), step), SHAPE)
    value, watched = quadratic(phi, step)
    return value + jnp.sum(slope * phi.mu, axis=(1, 2)), watched


@pytest.mark.parametrize("decays", [True, False])
def test_an_objective_with_noise_converges_near_its_optimum(decays):
    """Values of successive steps differ by their draws; at the same draws they stand still at the optimum."""
    phi, info = run(noisy, 400, tol=1e-4, rate=learning_rate(0.1, 400, decays))
    assert bool(info.converged.all())
    assert int(info.steps.min()) >= 2 * CHECK_EVERY
    assert int(info.steps.max()) < 400
    np.testing.assert_allclose(phi.mu, CENTRE, atol=0.5)


def test_a_rate_that_decays_ends_at_zero_and_any_other_is_constant():
    rate = learning_rate(0.3, 50, True)
    np.testing.assert_allclose([rate(0), rate(25), rate(50)], [0.3, 0.15, 0.0], atol=1e-6)
    assert learning_rate(0.3, 50, False) == 0.3
