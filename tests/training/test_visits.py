"""Episodes are visited as often as their rate says, none twice in an update, and the weights undo it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gac.training.visits import Visits, stride, visit_rates, visited

KEY = jax.random.key(0)


def wanted(lengths, by_length):
    return np.asarray(lengths, np.float64) if by_length else np.ones(len(lengths))


@given(st.lists(st.integers(2, 1000), min_size=1, max_size=60), st.integers(1, 60), st.booleans())
@settings(max_examples=200, deadline=None)
def test_rates_sum_to_the_batch_and_none_is_above_one(lengths, batch_size, by_length):
    batch_size = min(batch_size, len(lengths))
    rates = visit_rates(wanted(lengths, by_length), batch_size)
    assert rates.shape == (len(lengths),)
    np.testing.assert_allclose(rates.sum(), batch_size, rtol=1e-5)
    assert (rates > 0.0).all()
    assert (rates <= 1.0).all()
    below = rates < 1.0
    shares = rates[below] / (np.asarray(lengths)[below] if by_length else 1.0)
    if below.any():
        np.testing.assert_allclose(shares, shares[0], rtol=1e-5)


def draws(lengths, batch_size, updates, by_length=True):
    """(updates, batch) episodes and weights."""
    index = jnp.arange(len(lengths), dtype=jnp.int32) + 10
    rates = visit_rates(wanted(lengths, by_length), batch_size)
    visits = Visits(index, jnp.asarray(rates))
    one = jax.jit(lambda update: visited(visits, batch_size, update, KEY))
    found = [one(jnp.int32(update)) for update in range(updates)]
    return np.stack([visit.index for visit in found]) - 10, np.stack([visit.weight for visit in found])


LENGTHS = np.asarray([2, 5, 10, 10, 20, 40, 100, 200, 400, 1000] * 4)


def test_no_episode_is_drawn_twice_in_an_update():
    drawn, _ = draws(LENGTHS, 12, 300)
    assert all(len(set(batch)) == 12 for batch in drawn.tolist())


@pytest.mark.parametrize("by_length", [True, False])
def test_episodes_are_visited_at_their_rates(by_length):
    updates = 3000
    drawn, _ = draws(LENGTHS, 12, updates, by_length)
    found = np.bincount(drawn.ravel(), minlength=len(LENGTHS)) / updates
    np.testing.assert_allclose(found, visit_rates(wanted(LENGTHS, by_length), 12), atol=0.02)


def test_the_weights_make_the_mean_unbiased():
    drawn, weight = draws(LENGTHS, 12, 3000)
    x = np.random.default_rng(0).normal(5.0, 1.0, len(LENGTHS))
    estimates = (weight * x[drawn]).mean(axis=1)
    error = estimates.std() / np.sqrt(len(estimates))
    assert abs(estimates.mean() - x.mean()) < 5.0 * error
    np.testing.assert_allclose(draws(LENGTHS, 12, 3, by_length=False)[1], 1.0, rtol=1e-5)


def test_at_equal_rates_an_epoch_visits_every_episode_once_in_an_order_of_its_own():
    drawn, _ = draws(LENGTHS, 10, 12, by_length=False)
    epochs = drawn.reshape(3, -1)
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3


def test_a_batch_of_all_episodes_takes_them_all():
    drawn, weight = draws([7, 3, 900], 3, 5)
    assert all(sorted(batch) == [0, 1, 2] for batch in drawn.tolist())
    np.testing.assert_allclose(weight, 1.0)


@given(st.integers(1, 500))
def test_a_stride_meets_every_place_once(length):
    assert len({place * stride(length) % length for place in range(length)}) == length
