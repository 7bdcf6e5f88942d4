"""Honesty from data to promise: the best episodes bought a ticket, and exploit does not."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac.acting.plans import read
from gac.acting.policy import Acting, Policy

CONFIG = tiny.replace(
    tiny.CONFIG,
    batch_size=50,
    inner_steps=10,
    inner_windows=4,
    outer_steps=10,
    outer_windows=4,
    heldout_fraction=0.0,
    members=8,
    critic_hidden=16,
    critic_steps=300,
    critic_batch=128,
    checkpoint_seconds=600.0,
)
STATES = 8


@pytest.mark.slow
def test_exploit_does_not_buy_a_poor_ticket_and_promises_what_is_paid(tmp_path):
    data = gac.load_data("lottery:kind=seen,p=0.05,win=10,steps=4,episodes=200")
    first, bought = data.observations[data.starts], data.actions[data.starts, 0] > 0.0
    assert data.returns[bought].max() == pytest.approx(10.0), "no ticket won: nothing lures"
    agent = gac.train(data, CONFIG, out=tmp_path / "run", updates=500)
    plan = agent.plan(first[:STATES])
    assert (agent.policy(plan)(first[:STATES]) < 0.0).all()
    np.testing.assert_allclose(plan.predicted_returns, 1.0, atol=0.5 * data.returns.std())
    # Plans that buy are there to be had: each logged plan does what its episode did.
    s0 = np.repeat(agent.standardiser.standardise_observation(first[:1]), len(first), axis=0)
    plans, _ = read(agent.model, jnp.asarray(s0), agent.logged)
    policy = Policy(Acting(agent.model.generator, agent.standardiser, plans), CONFIG.model.context, False)
    buys = policy(np.repeat(first[:1], len(first), axis=0))[:, 0] > 0.0
    assert np.mean(buys == bought) > 0.7
