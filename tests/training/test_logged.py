"""What an agent keeps of the logged episodes: plans of the best, and what the like of them returned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.inference.trust_region import Logged
from gac.model.joint import GAC, Phi
from gac.training import logged
from gac.training.bank import take
from gac.training.logged import (
    NEAREST,
    Compared,
    Fitted,
    beyond_promise,
    compared_episodes,
    fit_in_parts,
    fit_part,
    residuals,
    without_luck,
)


def test_the_best_are_of_the_training_episodes_alone_and_in_order(monkeypatch):
    monkeypatch.setattr(logged, "MOST", 3)
    returns = np.array([9.0, 1.0, 5.0, 7.0, 3.0, 8.0], np.float32)
    compared = compared_episodes(np.array([1, 2, 3, 5], np.int32), returns)
    np.testing.assert_array_equal(compared.index, [1, 2, 3, 5])
    np.testing.assert_array_equal(compared.index[compared.best], [2, 3, 5])
    np.testing.assert_array_equal(compared.weight, np.ones(4))
    few = compared_episodes(np.array([1, 4], np.int32), returns)
    np.testing.assert_array_equal(few.index[few.best], [1, 4])


@pytest.mark.parametrize("count", [9, 10, 30, 1000])
def test_the_others_stand_for_all_the_rest_evenly_by_rank(monkeypatch, count):
    monkeypatch.setattr(logged, "MOST", 3)
    monkeypatch.setattr(logged, "OTHERS", 7)
    returns = np.random.default_rng(count).permutation(count).astype(np.float32)
    compared = compared_episodes(np.arange(count, dtype=np.int32), returns)
    index, weight = np.asarray(compared.index), np.asarray(compared.weight)
    assert len(set(index)) == len(index) == min(count, 10)
    assert (np.diff(index) > 0).all()
    assert weight.sum() == pytest.approx(count)
    np.testing.assert_array_equal(np.sort(returns[index[compared.best]]), [count - 3, count - 2, count - 1])
    rest = np.delete(np.arange(len(index)), compared.best)
    np.testing.assert_allclose(weight[rest], (count - 3) / len(rest))
    # One from each of as many equal parts of the ranks.
    parts = np.sort(returns[index[rest]]) // ((count - 3) / len(rest))
    np.testing.assert_array_equal(parts, np.arange(len(rest)))


def first(count):
    index = jnp.arange(count, dtype=jnp.int32)
    return Compared(index, index, jnp.ones(count))


def test_returns_play_no_part_in_the_plans_and_episodes_do(trainer, trained):
    for _ in range(3):
        trainer.step()
    state, dim = trainer.state, trained.episodes.observation_dim

    def fitted(data):
        def fit(some, number):
            index = jnp.asarray(some)
            stored = take(state.bank, index, None)
            return fit_part(state, stored, data, index, jnp.int32(number), trained.config, dim)

        return fit_in_parts(fit, state.averaged, first(10), size=4, residuals=True)

    own, shifted = fitted(trainer.data), fitted(trainer.data._replace(y=trainer.data.y + 3.0))
    assert tiny.same(own.phi, shifted.phi)
    assert np.abs(own.residual).min() > 0.0
    np.testing.assert_allclose(shifted.residual, own.residual + 3.0, atol=1e-5)
    assert not tiny.same(own.phi, fitted(trainer.data._replace(rows=trainer.data.rows * 1.5)).phi)
    assert not np.allclose(own.phi.mu, trainer.state.bank.mu)


@pytest.fixture(scope="module")
def model():
    return GAC(tiny.MODEL, tiny.CONFIG.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))


def plans_near(places, key):
    """Sharp posteriors, a hundredth apart, around `places`, by one number each."""
    shape = (len(places), tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    mu = jnp.asarray(places)[:, None, None] + 0.01 * jax.random.normal(key, shape)
    return Phi(mu, jnp.full(shape, -2.0))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_every_episode_is_in_a_part_in_order_and_all_parts_are_alike(model, size):
    asked = []

    def fit(some, number):
        asked.append(len(some))
        assert number == len(asked) - 1
        places = jnp.asarray(some, jnp.float32)
        mu = jnp.broadcast_to(places[:, None, None], (len(some), *Phi.at_prior(1, tiny.MODEL).mu.shape[1:]))
        return Fitted(Phi(mu, -mu), jnp.zeros((len(some), tiny.OBSERVATION_DIM)), 10.0 * places)

    found = fit_in_parts(fit, model, first(5), size, residuals=True)
    np.testing.assert_array_equal(found.phi.mu[:, 0, 0], np.arange(5))
    np.testing.assert_array_equal(found.phi.log_sigma[:, 0, 0], -np.arange(5))
    assert asked == [min(size, 5)] * -(-5 // size)


def test_what_the_like_of_a_plan_returned_beyond_its_promise_and_how_sure_that_is(model):
    keys = jax.random.split(jax.random.key(1), 3)
    # Two behaviours, and of the first one an episode that was lucky.
    first, second = NEAREST + 1, 4 * NEAREST
    plans = plans_near([0.0] * first + [3.0] * second, keys[0])
    y = jnp.concatenate([jnp.array([9.0]), jax.random.normal(keys[1], (first - 1,)), jnp.full(second, 2.0)])
    s0 = jax.random.normal(keys[2], (first + second, tiny.OBSERVATION_DIM))
    weight = jnp.arange(1.0, first + second + 1.0)

    best = jnp.array([0, first + 3])
    (lucky, steady), (error, _) = map(
        np.asarray, beyond_promise(model, Fitted(plans, s0, y), Compared(best, best, weight), NEAREST)
    )
    like = np.arange(1, first)
    promised = model.predicted_return(s0[like], jnp.tile(plans.mu[:1], (len(like), 1, 1)))
    share = np.asarray(weight[like] / weight[like].sum())
    excess = np.asarray(y[like] - promised)
    assert lucky == pytest.approx(share @ excess, abs=1e-4)
    # As of a mean of so many alike: the variance over their number less one.
    assert error == pytest.approx(share @ (excess - lucky) ** 2 / (1.0 / (share @ share) - 1.0), rel=1e-3)
    # Whatever the nearest are, they returned 2; s0 is another for each, and little of the promise.
    all_promised = model.predicted_return(s0, jnp.tile(plans.mu[first + 3][None], (len(s0), 1, 1)))
    of_second = 2.0 - np.asarray(all_promised[first:])
    assert of_second.min() - 1e-4 <= steady <= of_second.max() + 1e-4


def test_of_luck_alone_nothing_is_left_and_of_more_what_is_more():
    rng = np.random.default_rng(0)
    for spread in (0.0, 1.0, 3.0):
        true = spread * rng.normal(size=4000)
        error = rng.uniform(0.5, 2.0, 4000)
        found = true + error * rng.normal(size=4000)
        left = np.asarray(without_luck(jnp.asarray(found, jnp.float32), jnp.asarray(error**2, jnp.float32)))
        off, was_off = np.std(left - true), np.std(found - true)
        if spread == 0.0:
            assert left.std() < 0.2
        else:
            # The least error that there is: each one's own mean given what was found.
            least = np.sqrt(np.mean(1.0 / (1.0 / spread**2 + 1.0 / error**2)))
            assert off == pytest.approx(least, rel=0.03)
            assert off < was_off
    np.testing.assert_array_equal(without_luck(jnp.array([1.0, 2.0]), jnp.zeros(2)), [1.0, 2.0])
    np.testing.assert_array_equal(without_luck(jnp.ones(2), jnp.zeros(2)), [1.0, 1.0])
    np.testing.assert_array_equal(without_luck(jnp.array([1.0, 3.0]), jnp.full(2, 9.0)), [2.0, 2.0])


@pytest.mark.parametrize("count", [1, 8])
def test_few_episodes_have_too_little_to_be_compared_with(model, count):
    index = jnp.arange(count, dtype=jnp.int32)
    s0 = jnp.zeros((count, tiny.OBSERVATION_DIM))
    plans = plans_near([float(place) for place in range(count)], jax.random.key(0))
    alone = residuals(
        model, Fitted(plans, s0, jnp.arange(1.0, count + 1.0)), Compared(index, index, jnp.ones(count))
    )
    np.testing.assert_array_equal(alone, np.zeros(count))


def test_an_agent_keeps_the_plans_of_its_update(trainer, trained):
    count = min(logged.MOST, len(trainer.train_index))
    untrained = trainer.agent().logged
    assert tiny.same(untrained, Logged.unknown(count, trained.config.model))
    trainer.step()
    first = trainer.agent().logged
    assert first.phi.mu.shape == untrained.phi.mu.shape
    assert first.residual.shape == (count,)
    assert np.isfinite(first.residual).all()
    assert not tiny.same(first.phi, untrained.phi)
    assert trainer.agent().logged is first
    trainer.step()
    assert not tiny.same(trainer.agent().logged, first)
