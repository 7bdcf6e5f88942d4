"""Guidance moves an action away from other plans', and reads plans from where an episode may begin."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac.acting.agent import GUIDANCE, GUIDANCE_ON_WAYS
from gac.acting.guidance import OTHERS, Guide, choose_guided
from gac.acting.guidance import GuidedContext as Context
from gac.acting.policy import choose, empty_context
from gac.errors import UserError

BATCH = 3
EVERYWHERE = jnp.full(tiny.OBSERVATION_DIM, 1e9)


@pytest.fixture
def state():
    return jax.random.normal(jax.random.key(3), (BATCH, tiny.OBSERVATION_DIM))


@pytest.fixture
def epsilon():
    return 2.0 * jax.random.normal(jax.random.key(4), (BATCH, *plan_shape()))


def plan_shape():
    return tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim


def nothing_seen(begin=0.0):
    seen = empty_context(BATCH, tiny.MODEL.context, tiny.OBSERVATION_DIM, tiny.ACTION_DIM)
    return Context(seen, jnp.full((BATCH, tiny.OBSERVATION_DIM), begin))


def guide(weight, reach=EVERYWHERE):
    return Guide.new(np.broadcast_to(weight, BATCH), tiny.MODEL, -reach, reach)


def mean_of(model, noise, context, state, begin):
    memory = model.generator.remember(model.prior(begin, noise)[1])
    return choose(model.generator, memory, context.seen, state)[1]


def test_the_action_is_the_formula(trained, state, epsilon):
    model, context = trained.agent.model, nothing_seen()
    own = mean_of(model, epsilon, context, state, state)
    guided = guide(0.5)
    others = [
        mean_of(model, jnp.broadcast_to(one[None], epsilon.shape), context, state, state)
        for one in guided.others
    ]
    assert len(others) == OTHERS
    expected = own + 0.5 * (own - np.mean(others, axis=0))
    assert np.abs(expected).max() < 1.0  # nothing is clipped
    after, action = choose_guided(model, guided, epsilon, context, state)
    np.testing.assert_allclose(action, expected, atol=1e-5)
    assert np.abs(action - own).max() > 1e-3
    np.testing.assert_array_equal(after.begin, state)
    _, plain = choose_guided(model, guide(0.0), epsilon, context, state)
    np.testing.assert_allclose(plain, own, atol=1e-5)


def test_plans_are_read_from_the_last_state_at_which_an_episode_may_begin(trained, state, epsilon):
    model, nowhere = trained.agent.model, -EVERYWHERE
    after, _ = choose_guided(model, guide(1.0, nowhere), epsilon, nothing_seen(begin=7.0), state)
    np.testing.assert_array_equal(after.begin, state)  # the first is where this one began
    later, _ = choose_guided(model, guide(1.0, nowhere), epsilon, after, state + 1.0)
    np.testing.assert_array_equal(later.begin, state)
    later, _ = choose_guided(model, guide(1.0), epsilon, after, state + 1.0)
    np.testing.assert_array_equal(later.begin, state + 1.0)


def test_a_guided_policy_acts_alike_in_halves_and_under_a_trigger_that_is_not_due(trained):
    agent, first = trained.agent, trained.episodes.observations[trained.episodes.starts[:4]]
    guided, plain = (agent.plan(first, gac.Exploit(guidance=weight)) for weight in (2.0, 0.0))
    tiny.check_acts_alike(agent, first, guided, plain)


def with_facts(agent, **facts):
    facts = dataclasses.replace(agent.facts, **facts)
    return gac.Agent(agent.model, agent.logged, agent.standardiser, agent.config, facts)


def test_plans_are_guided_where_the_data_begin_anywhere_unless_told(trained):
    agent, first = trained.agent, trained.episodes.observations[0]
    spread = tuple(agent.standardiser.observation_std.astype(float))
    count = agent.facts.episodes

    def usual(**facts):
        other = with_facts(agent, **facts)
        queries = gac.Exploit(), gac.Target(110.0), gac.Prior()
        return [other.plan(first, query).guidance.item() for query in queries]

    assert len(set(agent.facts.lengths)) > 1
    assert usual(first_std=spread) == [GUIDANCE_ON_WAYS, GUIDANCE_ON_WAYS, 0.0]
    assert usual(first_std=spread, lengths=(9,) * count) == [GUIDANCE, GUIDANCE, 0.0]
    # An agent that has learned from guided episodes acts as they do.
    assert usual(first_std=spread, collected=2) == [0.0, 0.0, 0.0]
    assert usual(first_std=(0.3 * spread[0], *spread[1:])) == [0.0, 0.0, 0.0]
    assert usual(first_std=()) == [0.0, 0.0, 0.0]
    assert agent.plan(first, gac.Exploit(guidance=3.0)).guidance.item() == 3.0


def test_each_plan_may_have_a_weight_of_its_own(trained):
    """Whole and in halves, as plans of one weight each; 0 beside others is no guidance."""
    agent, first = trained.agent, trained.episodes.observations[trained.episodes.starts[:4]]
    weights = (0.0, 1.0, 4.0, 64.0)
    mixed = agent.plan(first, gac.Target(110.0, guidance=weights))
    np.testing.assert_array_equal(mixed.guidance, weights)
    acted = agent.policy(mixed)(first)
    halves = [half(part) for half, part in zip(agent.policy(mixed).halves(), np.split(first, 2), strict=True)]
    np.testing.assert_array_equal(np.concatenate(halves), acted)
    alone = [agent.policy(agent.plan(first, gac.Target(110.0, guidance=w)))(first) for w in weights]
    for row in range(4):
        np.testing.assert_allclose(acted[row], alone[row][row], atol=1e-5)
    assert np.abs(acted[2] - alone[0][2]).max() > 1e-3
    with pytest.raises(UserError, match="guidance has 2 values, expected one, or one for each of 4"):
        agent.plan(first, gac.Target(110.0, guidance=(1.0, 2.0)))
    with pytest.raises(UserError, match="guidance is -1"):
        gac.Target(110.0, guidance=(1.0, -1.0))


def test_a_plan_of_whole_episodes_of_one_length_is_read_from_the_first_state_alone(trained):
    """What is left of such an episode is shorter than any of the data's, and none of its kind."""
    agent, episodes = trained.agent, trained.episodes
    first = episodes.observations[episodes.starts[:4]]
    some, one = agent, with_facts(agent, lengths=(9,) * agent.facts.episodes)
    policies = [a.policy(a.plan(first, gac.Exploit(guidance=1e-6))) for a in (some, one)]
    plain = agent.policy(agent.plan(first, gac.Exploit(guidance=0.0)))
    for step in range(2):
        inside = 0.9 * first + 0.1 * first.mean(axis=0)
        acted = [np.asarray(policy(inside if step else first)) for policy in policies]
        expected = plain(inside if step else first)
        np.testing.assert_allclose(acted[1], expected, atol=1e-4)
    assert np.abs(acted[0] - expected).max() > 1e-3


def test_a_weight_that_is_none_is_refused():
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="guidance is"):
            gac.Exploit(guidance=wrong)
