"""Several plans act by their mean action, from their own first plan to their last new one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
import gac.acting.agent as module
from gac.acting.mixture import Mixture
from gac.acting.policy import choose, empty_context
from gac.errors import UserError
from gac.inference.elites import ELITES

BATCH = 4


@pytest.fixture(scope="module")
def agent(trained):
    """Whose episodes begin alike and whose best return is out of reach: several plans act by default."""
    facts = trained.agent.facts
    returns = (max(facts.returns) + 100.0 * float(np.std(facts.returns)), *facts.returns[1:])
    facts = dataclasses.replace(facts, first_std=(0.0,) * tiny.OBSERVATION_DIM, returns=returns)
    old = trained.agent
    return gac.Agent(old.model, old.logged, old.standardiser, old.config, facts)


@pytest.fixture(scope="module")
def first(trained):
    return trained.episodes.observations[trained.episodes.starts[:BATCH]]


def test_the_action_is_the_mean_of_the_plans_actions(agent, first):
    plan = agent.plan(first, gac.Exploit())
    assert plan.together is not None
    mixture = Mixture(agent.model.generator, agent.standardiser, plan.together)
    assert (mixture.size, mixture.plans) == (BATCH, ELITES)
    context = mixture.start(tiny.MODEL.context)
    single = empty_context(BATCH, tiny.MODEL.context, tiny.OBSERVATION_DIM, tiny.ACTION_DIM)
    for step in range(3):
        state = jax.random.normal(jax.random.key(step), (BATCH, tiny.OBSERVATION_DIM))
        each = [
            choose(
                agent.model.generator,
                jax.tree.map(lambda leaf, k=k: leaf[:, k], plan.together),
                single,
                state,
            )[1]
            for k in range(ELITES)
        ]
        before = context
        context, action = mixture.choose(before, state)
        np.testing.assert_allclose(action, np.mean(each, axis=0), atol=1e-5)
        np.testing.assert_array_equal(context.actions[:, -1], action)
        # All go on from what they did together.
        single = context
    assert np.std(each, axis=0).max() > 1e-3, "the plans act alike: the test shows nothing"


def test_what_is_predicted_is_what_they_promise_in_the_mean(agent, first):
    several = agent.plan(first, gac.Exploit(plans="several"))
    one = agent.plan(first, gac.Exploit(plans="one"))
    assert one.together is None
    # The single plan is there as well, the same.
    assert tiny.same(one.epsilon, several.epsilon)
    assert np.abs(several.predicted_returns - one.predicted_returns).min() > 0.0
    again = agent.plan(first[1:2], gac.Exploit(), seed=1)
    np.testing.assert_allclose(again.predicted_returns, several.predicted_returns[1:2], rtol=1e-4)


def test_several_act_where_episodes_begin_alike_and_one_where_they_begin_anywhere_or_is_guided(agent, first):
    spread = tuple(agent.standardiser.observation_std.astype(float))
    facts = dataclasses.replace(agent.facts, first_std=spread)
    anywhere = gac.Agent(agent.model, agent.logged, agent.standardiser, agent.config, facts)
    assert (agent.usual_plans(), anywhere.usual_plans()) == ("several", "one")
    assert agent.usual_plans(guidance=1.0) == "one"
    assert agent.plan(first).together is not None
    assert anywhere.plan(first).together is None
    assert anywhere.plan(first, gac.Exploit(guidance=0.0)).together is None
    assert anywhere.plan(first, gac.Exploit(guidance=0.0, plans="several")).together is not None
    assert agent.plan(first, gac.Exploit(guidance=1.0)).together is None
    for query in (gac.Explore(), gac.Target(110.0), gac.Prior()):
        assert agent.plan(first, query).together is None


def test_one_plan_acts_where_what_was_collected_under_one_usually_returned_about_the_best(agent, first):
    """After fine-tuning two gaits have no mean, whatever logged plans promise then."""
    best = 1e4
    for usual, together in ((best, False), (-best, True)):
        returns = (best, *agent.facts.returns[1:-3], usual, usual, -best)
        facts = dataclasses.replace(agent.facts, returns=returns, collected=3)
        tuned = gac.Agent(agent.model, agent.logged, agent.standardiser, agent.config, facts)
        assert (tuned.plan(first).together is not None) == together
        assert tuned.plan(first, gac.Exploit(plans="several")).together is not None


def test_one_plan_acts_where_a_logged_one_returns_about_the_best_of_the_data(agent, first, monkeypatch):
    """Row by row: what the others need changes no action of it."""
    near = dataclasses.replace(agent.facts, returns=(-1e3,) * agent.facts.episodes)
    enough = gac.Agent(agent.model, agent.logged, agent.standardiser, agent.config, near)
    assert enough.plan(first).together is None
    assert enough.plan(first, gac.Exploit(plans="several")).together is not None
    monkeypatch.setattr(module, "_short_of", lambda *_: jnp.arange(BATCH) % 2 == 0)
    mixed, one = agent.plan(first), agent.plan(first, gac.Exploit(plans="one"))
    several = agent.plan(first, gac.Exploit(plans="several"))
    for plan, rows in ((one, slice(1, None, 2)), (several, slice(0, None, 2))):
        np.testing.assert_allclose(mixed.predicted_returns[rows], plan.predicted_returns[rows], rtol=1e-5)
    acted = [np.asarray(agent.policy(plan)(first)) for plan in (mixed, one)]
    np.testing.assert_allclose(acted[0][1::2], acted[1][1::2], atol=1e-5)
    assert np.abs(acted[0][::2] - acted[1][::2]).max() > 1e-3


def test_it_acts_alike_in_halves_and_where_no_new_plan_is_due(agent, first):
    tiny.check_acts_alike(agent, first, agent.plan(first), agent.plan(first, gac.Exploit(plans="one")))


def test_new_plans_within_an_episode_are_several_again(agent, first):
    plan = agent.plan(first)
    # A plan that promises far less, so that every new one is taken.
    poor = agent.plan(first, gac.Target(-1e3))
    policy = agent.policy(plan._replace(epsilon=poor.epsilon, memory=poor.memory), gac.Every(1))
    policy(first)
    policy(first[::-1])
    assert policy.replans.tolist() == [1] * BATCH
    fresh, now = agent.plan(first[::-1]), policy._plans.together
    assert now is not None
    assert now[0].read.shape == fresh.together[0].read.shape
    assert not np.allclose(now[0].read, plan.together[0].read, atol=1e-3)


def test_a_number_of_plans_that_is_none_and_a_guided_mixture_are_refused():
    with pytest.raises(UserError, match="plans is 'two', expected one of one, several"):
        gac.Exploit(plans="two")
    with pytest.raises(UserError, match="one plan is guided"):
        gac.Exploit(guidance=1.0, plans="several")
    assert gac.Exploit(guidance=0.0, plans="several").plans == "several"
