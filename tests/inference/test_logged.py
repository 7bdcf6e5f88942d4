"""Exploit among logged plans: the greatest lower bound of the expected return."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jaxtyping import Array

from gac.inference.added.logged import best_logged
from gac.model.added.critics import Critics
from gac.model.joint import GAC

PLANS = 3


class FirstTokens(eqx.Module):
    """z is the base noise plus the state's first entry: a plan says itself which it is."""

    def __call__(self, s0, epsilon):
        z = epsilon + s0[:, :1, None]
        return z[:, 0], z


class Table(Critics):
    """Critics that read a plan's number off its first entry: mean[b, number] + state."""

    table: Array

    def __init__(self, table):
        super().__init__(tiny.CONFIG, jax.random.key(0))
        self.table = jnp.asarray(table, jnp.float32)

    def each(self, z):
        number = jnp.round(z[:, 0, 0]).astype(jnp.int32)
        return self.table[:, number % self.table.shape[1]]


@pytest.fixture(scope="module")
def best():
    """`(table, errors, states) -> (numbers of the chosen plans, their values)`."""
    model = GAC(tiny.MODEL, tiny.CONFIG.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))
    model = eqx.tree_at(lambda m: m.prior, model, FirstTokens())

    def chosen(table, errors, states=(0.0,)):
        epsilon = jnp.zeros((PLANS, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim))
        epsilon = epsilon.at[:, 0, 0].set(jnp.arange(PLANS, dtype=jnp.float32))
        s0 = jnp.zeros((len(states), tiny.OBSERVATION_DIM)).at[:, 0].set(jnp.asarray(states))
        found, value = best_logged(model.judged_by(Table(table)), s0, epsilon, jnp.float32(errors))
        return np.asarray(found[:, 0, 0]).astype(int).tolist(), np.asarray(value).tolist()

    return chosen


# Plan 1 has the best mean, 2, and disagreement 2; plan 2 a mean of 1.5 and none.
MEANS = [[0.0, 4.0, 1.5], [0.0, 0.0, 1.5], [0.0, 4.0, 1.5], [0.0, 0.0, 1.5]]


def test_the_plan_of_the_best_bound_is_taken_and_its_mean_told(best):
    assert best(MEANS, 1.0) == ([2], [1.5])
    assert best(MEANS, 0.2) == ([1], [2.0])
    assert best(MEANS, 0.3) == ([2], [1.5])


def test_without_errors_the_best_mean_is_taken(best):
    assert best(MEANS, 0.0) == ([1], [2.0])


def test_each_state_has_its_own_best_plan_whatever_is_asked_beside_it(best):
    # At state s plan i is what plan i + s is at state 0.
    numbers, values = best(MEANS, 0.0, states=(0.0, 1.0, 2.0))
    assert numbers == [1, 0, 2]
    assert values == [2.0, 2.0, 2.0]
    for row, state in enumerate((0.0, 1.0, 2.0)):
        assert best(MEANS, 0.0, states=(state,)) == ([numbers[row]], [values[row]])


def test_rows_of_a_trained_agent_depend_on_no_other(trained):
    agent = trained.agent
    first = agent.standardiser.standardise_observation(trained.episodes.observations[:3])
    errors = jnp.float32(1.0)
    epsilon, value = best_logged(agent.model, jnp.asarray(first), agent.logged, errors)
    for row in range(3):
        alone = best_logged(agent.model, jnp.asarray(first[row : row + 1]), agent.logged, errors)
        np.testing.assert_array_equal(alone[0][0], epsilon[row])
        np.testing.assert_allclose(alone[1][0], value[row], rtol=1e-5)


def test_what_was_promised_is_the_mean_of_the_critics(trained):
    """Written out, with the members and the plans that the agent holds."""
    agent, first = trained.agent, trained.episodes.observations[:1]
    plan = agent.plan(first)
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))
    means = [
        np.asarray(agent.model.critic.each(agent.model.prior(s0, e[None])[1]))[:, 0] for e in agent.logged
    ]
    best = int(np.argmax([each.mean() - agent.config.added.errors * each.std() for each in means]))
    np.testing.assert_array_equal(plan.epsilon[0], agent.logged[best])
    expected = agent.standardiser.raw_return(np.asarray([means[best].mean()], np.float32))
    np.testing.assert_allclose(plan.predicted_returns, expected, rtol=1e-4)
