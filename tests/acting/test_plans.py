"""A plan is a weighted set of base noises: it acts by the weighted mean of what each of them does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac.acting.guidance import OTHERS, Reread, guided
from gac.acting.plans import Plans
from gac.acting.policy import Acting, empty_context, remember, see
from gac.errors import UserError

BATCH, COUNT = 4, 5


@pytest.fixture(scope="module")
def agent(trained):
    return trained.agent


@pytest.fixture(scope="module")
def first(trained):
    return trained.episodes.observations[trained.episodes.starts[:BATCH]]


@pytest.fixture(scope="module")
def s0(agent, first):
    return jnp.asarray(agent.standardiser.standardise_observation(first))


def noises(count=COUNT):
    shape = (BATCH, count, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    return 2.0 * jax.random.normal(jax.random.key(4), shape)


def acting(agent, s0, epsilon, weight, reread=None):
    memory = remember(agent.model.prior, agent.model.generator, s0, epsilon)[1]
    return Acting(agent.model.generator, agent.standardiser, Plans(epsilon, weight, memory), reread)


def each_alone(agent, begin, epsilon, context, state):
    """The mean action of every base noise by itself: (batch, noises, act)."""
    states, valid = see(context, state)
    act, found = agent.model.generator.act, []
    for k in range(epsilon.shape[1]):
        z_traj = agent.model.prior(begin, epsilon[:, k])[1]
        found.append(act(agent.model.generator.remember(z_traj), states, context.actions, valid))
    return np.stack(found, axis=1)


def nothing_seen():
    return empty_context(BATCH, tiny.MODEL.context, tiny.OBSERVATION_DIM, tiny.ACTION_DIM)


def test_the_action_is_the_clipped_weighted_sum(agent, s0):
    epsilon = noises()
    weight = jax.random.normal(jax.random.key(5), (BATCH, COUNT))
    plans, context = acting(agent, s0, epsilon, weight), nothing_seen()
    for step in range(3):
        state = s0 + 0.1 * step
        alone = each_alone(agent, s0, epsilon, context, state)
        context, action = plans.choose(context, state)
        expected = np.clip((np.asarray(weight)[:, :, None] * alone).sum(axis=1), -1.0, 1.0)
        np.testing.assert_allclose(action, expected, atol=1e-5)
        np.testing.assert_array_equal(context.actions[:, -1], action)
    assert np.std(alone, axis=1).max() > 1e-3, "the plans act alike: the test shows nothing"


def test_a_guided_plan_moves_away_from_what_others_do(agent, s0):
    own, w = noises(1)[:, 0], np.array([0.0, 0.5, 2.0, 8.0], np.float32)
    epsilon, weight = guided(own, w)
    assert epsilon.shape[1] == 1 + OTHERS
    np.testing.assert_allclose(weight.sum(axis=1), 1.0, atol=1e-6)
    alone = each_alone(agent, s0, epsilon, nothing_seen(), s0)
    expected = alone[:, 0] + w[:, None] * (alone[:, 0] - alone[:, 1:].mean(axis=1))
    _, action = acting(agent, s0, epsilon, weight).choose(nothing_seen(), s0)
    np.testing.assert_allclose(action, np.clip(expected, -1.0, 1.0), atol=1e-5)
    assert np.abs(np.asarray(action) - alone[:, 0])[1:].max() > 1e-3


@pytest.mark.parametrize("reach", [1e9, -1e9])
def test_plans_are_read_again_from_states_at_which_an_episode_may_begin(agent, s0, reach):
    epsilon, limit = noises(2), jnp.full(tiny.OBSERVATION_DIM, reach)
    reread = Reread(agent.model.prior, -limit, limit)
    plans = acting(agent, s0, epsilon, jnp.full((BATCH, 2), 0.5), reread)
    context, _ = plans.choose(plans.start(tiny.MODEL.context), s0)
    np.testing.assert_array_equal(context.begin, s0)  # the first state is where this one began
    begin = s0 + 1.0 if reach > 0.0 else s0
    expected = each_alone(agent, begin, epsilon, context, s0 + 1.0).mean(axis=1)
    context, action = plans.choose(context, s0 + 1.0)
    np.testing.assert_array_equal(context.begin, begin)
    np.testing.assert_allclose(action, np.clip(expected, -1.0, 1.0), atol=1e-5)


@pytest.mark.parametrize("query", [gac.Exploit(plans=6), gac.Exploit(guidance=2.0)], ids=["six", "guided"])
def test_sets_act_alike_in_halves_and_where_no_new_plan_is_due(agent, first, query):
    plain = agent.plan(first, gac.Exploit(plans=1, guidance=0.0))
    tiny.check_acts_alike(agent, first, agent.plan(first, query), plain)


def test_several_plans_have_equal_weights_and_promise_their_mean(agent, first, s0):
    plan = agent.plan(first, gac.Exploit(plans=6))
    np.testing.assert_allclose(plan.plans.weight, 1.0 / 6.0)
    each = [agent.model.predicted_return(s0, plan.plans.epsilon[:, k]) for k in range(6)]
    promised = agent.standardiser.raw_return(np.mean(each, axis=0))
    np.testing.assert_allclose(plan.predicted_returns, promised, rtol=1e-5)
    again = agent.plan(first[1:2], gac.Exploit(plans=6), seed=1)
    np.testing.assert_allclose(again.plans.epsilon, plan.plans.epsilon[1:2], atol=1e-6)


def test_each_plan_may_have_a_guidance_weight_of_its_own(agent, first):
    weights = (0.0, 1.0, 4.0, 64.0)
    mixed = agent.plan(first, gac.Target(110.0, guidance=weights))
    np.testing.assert_array_equal(mixed.guidance, weights)
    acted = agent.policy(mixed)(first)
    for row, w in enumerate(weights):
        alone = agent.policy(agent.plan(first, gac.Target(110.0, guidance=w)))(first)
        np.testing.assert_allclose(acted[row], alone[row], atol=1e-5)
    with pytest.raises(UserError, match="guidance has 2 values, expected one, or one for each of 4"):
        agent.plan(first, gac.Target(110.0, guidance=(1.0, 2.0)))


def test_new_plans_within_an_episode_are_as_many_again(agent, first):
    plan = agent.plan(first, gac.Exploit(plans=6))
    # Plans that promise far less, so that every new one is taken.
    poor = jnp.broadcast_to(agent.plan(first, gac.Target(-1e3)).epsilon[:, None], plan.plans.epsilon.shape)
    policy = agent.policy(plan._replace(plans=plan.plans._replace(epsilon=poor)), gac.Every(1))
    policy(first)
    policy(first[::-1])
    assert policy.replans.tolist() == [1] * BATCH
    assert policy._plans.weight.shape == (BATCH, 6)
    assert not np.allclose(policy._plans.epsilon, poor, atol=1e-3)


def test_what_cannot_act_is_refused():
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="guidance is"):
            gac.Exploit(guidance=wrong)
    with pytest.raises(UserError, match="guidance is -1"):
        gac.Target(110.0, guidance=(1.0, -1.0))
    with pytest.raises(UserError, match="plans is 0, expected 1 or more"):
        gac.Exploit(plans=0)
    with pytest.raises(UserError, match="only one plan can be guided"):
        gac.Exploit(guidance=1.0, plans=6)
