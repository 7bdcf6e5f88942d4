"""Recent and high returns count more, by as much as the formula says, in everything that learns."""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from gac.config import OnlineConfig
from gac.data.split import split_episodes
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.model.joint import Phi
from gac.model.prior import BaseNoise
from gac.online.buffer import joined, ranks, shares, split_buffer
from gac.training.added.refit import refit_base
from gac.training.visits import make_visits, visited


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40),
    st.integers(0, 40),
    st.floats(0.0, 4.0),
    st.floats(0.0, 0.9),
)
@settings(max_examples=100)
def test_shares_are_a_distribution_that_keeps_its_promises(returns, newest, power, new_share):
    returns = np.asarray(returns)
    new = np.arange(len(returns)) >= len(returns) - newest
    share = shares(returns, new, power, new_share)
    assert share.sum() == pytest.approx(1.0)
    assert (share > 0.0).all()
    if new.any():
        assert share[new].sum() >= new_share - 1e-9
    old = np.flatnonzero(~new)
    for i, j in pairwise(old):
        if returns[i] >= returns[j]:
            assert share[i] >= share[j] - 1e-15


def test_the_mean_rank_of_what_is_learned_follows_from_the_power():
    returns, none = np.random.default_rng(0).normal(size=5000), np.zeros(5000, bool)
    for power in (0.0, 1.0, 2.0):
        mean = shares(returns, none, power, 0.25) @ ranks(returns)
        assert mean == pytest.approx((power + 1.0) / (power + 2.0), abs=1e-3)
    np.testing.assert_allclose(shares(returns, none, 0.0, 0.0), 1 / 5000)


def test_equal_returns_have_equal_ranks_and_scale_does_not_matter():
    np.testing.assert_allclose(ranks(np.array([3.0, 1.0, 3.0, 0.0])), [0.75, 0.375, 0.75, 0.125])
    returns, new = np.random.default_rng(0).normal(size=30), np.arange(30) > 25
    one, scaled = (shares(scale * returns - 3.0, new, 2.0, 0.2) for scale in (1.0, 7.0))
    np.testing.assert_allclose(one, scaled)


def test_what_is_visited_estimates_the_mean_by_share_whatever_the_lengths():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 200, 40).astype(np.int32)
    x = rng.normal(5.0, 1.0, 40)
    share = shares(x, np.arange(40) >= 34, 2.0, 0.25)
    config = tiny.replace(tiny.CONFIG, batch_size=6)
    visits = make_visits(np.arange(40, dtype=np.int32), lengths, config, share)
    one = jax.jit(lambda update: visited(visits, 6, update, jax.random.key(0)))
    found = [one(jnp.int32(update)) for update in range(2000)]
    drawn, weight = (np.stack(part) for part in list(zip(*found, strict=True))[:2])
    estimates = (weight * x[drawn]).mean(axis=1)
    error = estimates.std() / np.sqrt(len(estimates))
    assert abs(estimates.mean() - share @ x) < 5.0 * error
    assert abs(estimates.mean() - x.mean()) > 5.0 * error


def test_the_prior_moves_to_the_aggregated_posterior_by_share():
    rng = np.random.default_rng(0)
    phi = Phi(jnp.asarray(rng.normal(2.0, 1.5, (12, 2, 3)), jnp.float32), jnp.full((12, 2, 3), -1.0))
    index = jnp.arange(10, dtype=jnp.int32)
    share = rng.uniform(0.1, 1.0, 10)
    share /= share.sum()
    _, bank = refit_base(BaseNoise(6), phi, index, jnp.asarray(10.0 * share, jnp.float32))
    mu, variance = bank.mu.reshape(12, -1)[:10], jnp.exp(2.0 * bank.log_sigma).reshape(12, -1)[:10]
    np.testing.assert_allclose(share @ mu, 0.0, atol=1e-5)
    np.testing.assert_allclose(share @ (mu**2 + variance), 1.0, rtol=1e-5)
    alike = refit_base(BaseNoise(6), phi, index, jnp.ones(10))
    assert tiny.same(alike, refit_base(BaseNoise(6), phi, index))


def test_joining_keeps_every_episode_and_only_what_all_have():
    one, two = tiny.make_episodes(4), tiny.make_episodes(3, seed=1)
    both = joined([one, two])
    assert both.num_episodes == 7
    np.testing.assert_array_equal(both[5].observations, two[1].observations)
    np.testing.assert_array_equal(both[5].final_observation, two[1].final_observation)
    assert both.name == one.name
    assert joined([one, tiny.make_episodes(3, final=False)]).final_observations is None
    wide = dataclasses.replace(
        two, observations=np.zeros((two.num_steps, 5), np.float32), final_observations=None
    )
    with pytest.raises(UserError, match="widths 5 and 2"):
        joined([one, wide])


def test_what_was_held_out_offline_stays_so_and_all_that_is_new_is_learned_from():
    offline = tiny.make_episodes()
    buffer = joined([offline, tiny.make_episodes(3, seed=1)])
    how, share = split_buffer(buffer, 10, 3, Standardiser.fit(offline), tiny.CONFIG, OnlineConfig())
    train_index, heldout = split_episodes(10, tiny.CONFIG)
    assert how.train_index.tolist() == [*train_index, 10, 11, 12]
    assert how.heldout_index.tolist() == heldout.tolist()
    assert how.collected == 3
    assert how.share.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(how.share / how.share[0], share[how.train_index] / share[how.train_index[0]])
