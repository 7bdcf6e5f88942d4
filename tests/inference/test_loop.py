"""The one inner loop finds a known optimum, stops item by item, and says what happened."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gac.inference.loop import LEAST_STEPS, infer
from gac.model.joint import Phi

SHAPE = (3, 2, 4)
CENTRE = jax.random.normal(jax.random.key(0), SHAPE)


def quadratic(phi, key):
    """Greatest at mu = CENTRE, log_sigma = -1; watches the distance in mu."""
    distance = jnp.sum((phi.mu - CENTRE) ** 2, axis=(1, 2))
    return -distance - jnp.sum((phi.log_sigma + 1.0) ** 2, axis=(1, 2)), distance


def start():
    return Phi(jnp.zeros(SHAPE), jnp.zeros(SHAPE))


def run(objective, max_steps, tol=1e-5, rate=0.1, phi0=None, key=0):
    program = jax.jit(lambda phi, key: infer(objective, phi, optax.adam(rate), max_steps, tol, key))
    return program(phi0 or start(), jax.random.key(key))


def test_a_quadratic_converges_to_its_optimum():
    phi, info = run(quadratic, 1000)
    np.testing.assert_allclose(phi.mu, CENTRE, atol=0.02)
    np.testing.assert_allclose(phi.log_sigma, -1.0, atol=0.02)
    np.testing.assert_allclose(info.value, 0.0, atol=1e-2)
    assert bool(info.converged.all())
    assert int(info.steps.max()) < 1000


def test_the_trace_is_nan_past_the_last_step():
    _, info = run(quadratic, 1000)
    trace, last = np.asarray(info.trace), int(info.steps.max())
    assert trace.shape == (len(CENTRE), 1000)
    assert np.isfinite(trace[:, :last]).all()
    assert np.isnan(trace[:, last:]).all()
    np.testing.assert_allclose(trace[:, 0], np.sum(np.asarray(CENTRE) ** 2, axis=(1, 2)), rtol=1e-5)
    assert (trace[:, last - 1] < 0.01 * trace[:, 0]).all()


@pytest.mark.parametrize("max_steps", [1, 7, 25])
def test_never_more_than_max_steps(max_steps):
    phi, info = run(quadratic, max_steps)
    np.testing.assert_array_equal(info.steps, max_steps)
    assert not bool(info.converged.any())
    assert np.isfinite(np.asarray(info.trace)).all()
    # Adam moves by its rate at the first step; every step that was counted was taken.
    assert float(jnp.abs(phi.mu).max()) <= 0.1 * max_steps + 1e-5
    assert float(jnp.abs(phi.mu).min()) > 0.0


def slow_and_fast(phi, key):
    """Item 0 gains too little per step to go on, though its gradient never vanishes; the others do gain."""
    slope = jnp.asarray([1e-7, 1.0, 3.0])
    gain = slope * jnp.sum(phi.mu, axis=(1, 2))
    return gain, gain


def test_an_item_that_has_converged_is_frozen_while_others_go_on():
    phi, info = run(slow_and_fast, 60)
    np.testing.assert_array_equal(info.steps, [LEAST_STEPS + 1, 60, 60])
    np.testing.assert_array_equal(info.converged, [True, False, False])
    shorter, _ = run(slow_and_fast, LEAST_STEPS + 1)
    np.testing.assert_array_equal(phi.mu[0], shorter.mu[0])
    np.testing.assert_array_equal(phi.log_sigma[0], shorter.log_sigma[0])
    assert float(jnp.abs(shorter.mu[0]).min()) > 0.0
    assert float((phi.mu[1:] - shorter.mu[1:]).min()) > 1.0


def test_items_do_not_touch_each_other():
    together, _ = run(quadratic, 40, tol=0.0)

    def alone(phi, key):
        value, watched = quadratic(Phi(*(jnp.broadcast_to(x, SHAPE) for x in phi)), key)
        return value[1:2], watched[1:2]

    single, _ = run(alone, 40, tol=0.0, phi0=Phi(jnp.zeros((1, 2, 4)), jnp.zeros((1, 2, 4))))
    np.testing.assert_allclose(single.mu[0], together.mu[1], atol=1e-5)


def test_every_step_has_randomness_of_its_own_and_the_key_repeats_it():
    def noise(phi, key):
        """Watches the noise; its value, and so phi, does not move."""
        return jnp.sum(0.0 * phi.mu, axis=(1, 2)), jax.random.normal(key, (3,))

    _, info = run(noise, 9)
    _, again = run(noise, 9)
    _, other = run(noise, 9, key=1)
    assert len(np.unique(info.trace)) == info.trace.size == 27
    np.testing.assert_array_equal(info.trace, again.trace)
    assert not np.array_equal(info.trace, other.trace)


def noisy(phi, key):
    """The quadratic with a random slope at every step: its values never stand still."""
    slope = 0.1 * jax.random.normal(key, SHAPE)
    value, watched = quadratic(phi, key)
    return value + jnp.sum(slope * phi.mu, axis=(1, 2)), watched


def test_an_objective_with_noise_converges_with_its_rate_and_not_before():
    program = jax.jit(
        lambda phi, rate, key: infer(noisy, phi, optax.adam(rate), 400, 1e-4, key), static_argnums=1
    )
    falling = optax.cosine_decay_schedule(0.1, 400)
    phi, info = program(start(), falling, jax.random.key(0))
    assert bool(info.converged.all())
    assert int(info.steps.min()) > 200
    np.testing.assert_allclose(phi.mu, CENTRE, atol=0.5)
    assert not bool(program(start(), lambda count: 0.1, jax.random.key(0))[1].converged.any())
