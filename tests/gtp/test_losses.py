"""The losses of actions whose map is known: their values, and that the map is what minimises them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_gtp import CONFIG, MEAN, STD, Exact, only_actions, ratio

from gac.gtp.losses import Sample, actor_loss, consistency_loss, flow_loss
from gac.gtp.sampling import sample
from gac.gtp.times import Drawn
from gac.gtp.update import advance, init_state

MANY = 100_000


def drawn(t, u, tau, rows=MANY, weight=None):
    """A large minibatch of Gaussian actions at fixed times."""
    a, z = (jax.random.normal(jax.random.key(i), (rows, 1)) for i in (0, 1))
    times = Drawn(*(jnp.full((rows, 1), each) for each in (t, u, tau)))
    weight = jnp.ones(rows) if weight is None else weight
    return Sample(jnp.zeros((rows, 1)), MEAN + STD * a, weight, z, times)


def best_factor(loss, low=0.2, high=1.4):
    """Where a loss that is quadratic in the factor has its least value."""
    factors = np.linspace(low, high, 5)
    quadratic, linear, _ = np.polyfit(factors, [float(loss(Exact(each))) for each in factors], 2)
    assert quadratic > 0.0
    return -linear / (2.0 * quadratic)


@pytest.mark.parametrize("t", [0.1, 0.5, 3.0])
def test_the_flow_loss_of_the_exact_denoiser_is_the_variance_that_noise_leaves(t):
    of = drawn(t, 0.05, 0.0)
    left = STD**2 * t**2 / (STD**2 + t**2)
    np.testing.assert_allclose(flow_loss(Exact(), of), left, rtol=0.02)
    assert abs(best_factor(lambda actor: flow_loss(actor, of)) - 1.0) < 0.02


@pytest.mark.parametrize(("intermediate", "most"), [("composition", 1e-8), ("solver", 1e-4)])
def test_the_exact_map_has_no_consistency_loss_where_the_point_at_u_is_on_its_path(intermediate, most):
    config = dataclasses.replace(CONFIG, intermediate=intermediate, solver_steps=30)
    of = drawn(1.0, 0.6, 0.2, 1000)
    assert float(consistency_loss(Exact(), Exact(), of, config)) < most
    assert float(consistency_loss(Exact(0.9), Exact(), of, config)) > 1e-3


def test_the_score_approximation_is_exact_for_times_that_are_close_and_shrinks_for_others():
    tau, t, config = 0.1, 1.0, dataclasses.replace(CONFIG, intermediate="score")

    def minimiser(u):
        of = drawn(t, u, tau)
        return best_factor(lambda actor: consistency_loss(actor, Exact(), of, config))

    def known(u):
        # E[x_u | x_t] of the same clean action and the same z, carried on by the exact map.
        slope = (STD**2 + u * t) / (STD**2 + t**2)
        return float(slope * ratio(u, tau) / ratio(t, tau))

    for u in (0.95, 0.5, 0.2):
        assert abs(minimiser(u) - known(u)) < 0.02
    assert abs(known(0.95) - 1.0) < 2e-3
    assert known(0.2) < 0.75  # The paper's loss with u far from t: samples draw together.


def test_weights_multiply_and_nothing_flows_through_the_target():
    weight = jnp.where(jnp.arange(MANY) < MANY // 2, 2.0, 0.0)
    plain, weighed = drawn(0.5, 0.3, 0.1), drawn(0.5, 0.3, 0.1, weight=weight)
    for loss in (
        lambda of: flow_loss(Exact(), of),
        lambda of: consistency_loss(Exact(), Exact(0.8), of, CONFIG),
    ):
        np.testing.assert_allclose(loss(plain), loss(weighed), rtol=0.03)
        assert float(loss(plain)) != float(loss(weighed))
    gradient = jax.grad(lambda target: consistency_loss(Exact(), target, plain, CONFIG))(Exact(0.8))
    assert float(gradient.factor) == 0.0


def test_terms_that_are_off_are_left_out():
    of = drawn(0.5, 0.3, 0.1, 100)
    both = actor_loss(Exact(0.9), Exact(), of, CONFIG)
    assert set(both[1]) == {"loss_consistency", "loss_flow"}
    for name, left in (("consistency", "loss_flow"), ("lambda_flow", "loss_consistency")):
        loss, terms = actor_loss(Exact(0.9), Exact(), of, dataclasses.replace(CONFIG, **{name: 0.0}))
        assert set(terms) == {left}
        np.testing.assert_allclose(loss, both[1][left], rtol=1e-6)


def learned(actions, updates, **fields):
    """A small map of these actions, and its configuration."""
    small = {"width": 32, "layers": 2, "eta": 0.0, "batch_size": 256, "learning_rate": 2e-3, "ema": 0.01}
    small |= {"sigma_max": 20.0, "levels_last": 160, "refine_every": 400, "lambda_flow": 0.1}
    small["decay_updates"] = updates
    config = dataclasses.replace(CONFIG, **(small | fields))
    state = init_state(config, 1, actions.shape[1])
    run = jax.jit(functools.partial(advance, config=config))
    return run(state, only_actions(actions), jnp.int32(updates))[0].averaged, config


def test_a_map_learned_from_gaussian_actions_is_their_exact_map_at_any_number_of_steps():
    actions = MEAN + STD * np.random.default_rng(0).standard_normal((5000, 1))
    actor, config = learned(actions, 4000)
    x, rows = jax.random.normal(jax.random.key(3), (400, 1)), jnp.zeros((400, 1))
    for t, s in ((1.0, 0.0), (1.0, 0.3), (0.3, 0.0)):
        begun = MEAN + (STD**2 + t**2) ** 0.5 * x
        found = actor.flow(rows, begun, *(jnp.full((400, 1), each) for each in (t, s)))
        wanted = MEAN + ratio(t, s) * (begun - MEAN)
        assert float(jnp.sqrt(jnp.mean((found - wanted) ** 2))) < 0.09, (t, s)
    one, five = (np.asarray(sample(actor, rows, x, config, steps)) for steps in (1, 5))
    for found in (one, five):
        assert abs(found.mean() - MEAN) < 0.08
        assert 0.85 < found.std() / STD < 1.15
    assert np.sqrt(np.mean((one - five) ** 2)) < 0.08


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_both_modes_are_kept(steps):
    rng = np.random.default_rng(0)
    actions = np.sign(rng.standard_normal((5000, 1))) * 0.6 + 0.05 * rng.standard_normal((5000, 1))
    actor, config = _two_modes(actions.tobytes())
    found = np.asarray(
        sample(actor, jnp.zeros((2000, 1)), jax.random.normal(jax.random.key(0), (2000, 1)), config, steps)
    )
    assert min((found > 0.4).mean(), (found < -0.4).mean()) > 0.3
    assert (np.abs(found) < 0.3).mean() < 0.25


@functools.cache
def _two_modes(actions):
    return learned(np.frombuffer(actions).reshape(-1, 1), 4000)
