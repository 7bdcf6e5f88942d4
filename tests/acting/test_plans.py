"""A plan is its base noise, and what the generator reads of it at a state."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac.acting.plans import read, rows

BATCH = 4


@pytest.fixture(scope="module")
def first(trained):
    return trained.episodes.observations[trained.episodes.starts[:BATCH]]


def test_a_plan_is_read_at_its_state(trained, first):
    model, s0 = (
        trained.agent.model,
        jnp.asarray(trained.agent.standardiser.standardise_observation(first)),
    )
    plan = trained.agent.plan(first, gac.Prior())
    plans, predicted = read(model, s0, plan.epsilon)
    assert tiny.same(plans.epsilon, plan.epsilon)
    np.testing.assert_allclose(plan.plans.memory[0].read, plans.memory[0].read, atol=1e-5)
    np.testing.assert_allclose(predicted, model.predicted_return(s0, plan.epsilon), atol=1e-5)
    elsewhere, _ = read(model, s0 + 1.0, plan.epsilon)
    assert np.abs(elsewhere.memory[0].read - plans.memory[0].read).max() > 1e-3
    some = rows(plans, slice(1, 3))
    assert tiny.same(some.epsilon, plans.epsilon[1:3])
    assert tiny.same(some.memory[0].write, plans.memory[0].write[1:3])


def test_plans_act_alike_in_halves_and_where_no_new_plan_is_due(trained, first):
    plan, other = (trained.agent.plan(first, query) for query in (gac.Prior(), gac.Target(1e3)))
    tiny.check_acts_alike(trained.agent, first, plan, other)
