"""Queries do what they promise: more return; a target; draws of the prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.errors import UserError
from gac.inference import solve as module
from gac.inference.added.logged import unknown
from gac.inference.objectives import return_objective
from gac.inference.queries import Exploit, Explore, Prior, Target
from gac.inference.solve import solve
from gac.model.joint import Phi

BATCH = 3
KEYS = jax.random.split(jax.random.key(0), BATCH)
NONE_LOGGED = unknown(0, tiny.MODEL)
"""So that exploit is Eq. (2)."""
QUERIES = [Exploit(), Explore(), Target(0.0), Prior()]


@pytest.fixture(scope="module")
def data_returns(trained):
    return trained.agent.standardiser.standardise_return(trained.episodes.returns)


@pytest.fixture(scope="module")
def ask(trained, data_returns):
    """`(query, target, seed) -> (epsilon, info, trace, predicted returns)` at three states of the data."""
    agent, episodes = trained.agent, trained.episodes
    first = episodes.observations[episodes.starts[:BATCH]]
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))

    def asked(query, target=0.0, seed=0):
        aims = np.full(BATCH, target, np.float32)
        keys = jax.random.split(jax.random.key(seed), BATCH)
        found = solve(agent.model, s0, query, NONE_LOGGED, data_returns, aims, keys, tiny.CONFIG)
        trace = np.zeros(0) if found.info is None else found.info.mean_trace()
        return found.epsilon, found.info, trace, agent.model.predicted_return(s0, found.epsilon)

    return asked


def test_exploit_raises_the_predicted_return_over_its_start(ask):
    _, info, trace, y = ask(Exploit())
    assert bool((y > info.trace[:, 0]).all())
    assert float(y.mean()) > trace[0] + 0.2
    assert trace[-1] > trace[0] + 0.2
    assert len(trace) == int(info.steps.max()) <= tiny.CONFIG.query.query_steps


def test_exploit_is_a_logged_plan_where_there_are_some(trained, data_returns):
    agent = trained.agent
    first = agent.standardiser.standardise_observation(trained.episodes.observations[:BATCH])
    aims, s0 = np.zeros(BATCH, np.float32), jnp.asarray(first)
    found = solve(agent.model, s0, Exploit(), agent.logged, data_returns, aims, KEYS, tiny.CONFIG)
    logged = np.asarray(agent.logged)
    assert all((np.asarray(each) == logged).all(axis=(1, 2)).any() for each in found.epsilon)
    assert (found.phi, found.info) == (None, None)
    assert found.value.shape == (BATCH,)


def test_plans_for_one_state_reach_the_same_value_whatever_their_draws(trained):
    """Each plan of a batch has draws of its own; where fixed draws decided, values differed by far more."""
    s0 = jnp.tile(
        jnp.asarray(trained.agent.standardiser.standardise_observation(trained.episodes.observations[:1])),
        (12, 1),
    )
    model, aims = trained.agent.model, jnp.full(12, 2.0)
    keys = jax.random.split(jax.random.key(0), 12)
    phi, _ = module._reach(model, s0, aims, keys, tiny.CONFIG.query, True)
    objective = return_objective(model, s0, aims, 500, keys)
    value, start = (objective(each, jnp.asarray(-1))[0] for each in (phi, Phi.at_prior(12, tiny.MODEL)))
    assert float(value.max() - value.min()) < 0.25 * float(jnp.mean(value - start))


def test_target_goes_where_it_is_sent(ask):
    # Far aims: critics of ten episodes are unsure, and the KL outweighs what is near.
    low, high = (ask(Target(0.0), target)[2] for target in (-8.0, 8.0))
    assert low[-1] < low[0]
    assert high[-1] > high[0]
    assert high[-1] > low[-1] + 0.2


def test_explore_aims_above_the_quantile_of_the_returns(ask, data_returns, monkeypatch):
    aims = []
    real = module._reach
    monkeypatch.setattr(module, "_reach", lambda *args: aims.append(args[2]) or real(*args))
    for seed in range(5):
        ask(Explore(quantile=0.6, delta_y=0.25), seed=seed)
    aims = np.concatenate(aims) - 0.25
    high = data_returns[data_returns >= np.quantile(data_returns, 0.6)]
    assert all(np.isclose(high, aim, atol=1e-6).any() for aim in aims)
    assert len(np.unique(aims)) > 1


def test_the_prior_is_standard_normal_and_nothing_is_optimised(ask):
    epsilon = np.stack([ask(Prior(), seed=seed)[0] for seed in range(40)])
    assert abs(epsilon.mean()) < 0.05
    assert abs(epsilon.std() - 1.0) < 0.05
    _, info, trace, _ = ask(Prior())
    assert info is None
    assert trace.shape == (0,)


def test_each_row_goes_to_its_own_target_and_other_targets_compile_nothing(trained, data_returns):
    model = trained.agent.model
    first = trained.agent.standardiser.standardise_observation(trained.episodes.observations[:1])
    s0 = jnp.tile(jnp.asarray(first), (2, 1))

    def promised(*target):
        aims = np.array(target, np.float32)
        keys = KEYS[jnp.zeros(2, int)]
        found = solve(model, s0, Target(target), NONE_LOGGED, data_returns, aims, keys, tiny.CONFIG)
        return np.asarray(model.predicted_return(s0, found.epsilon))

    low, high = promised(-2.0, 2.0)
    compiled = module._reach.compiled._cache_size()
    assert high > low + 0.2
    np.testing.assert_allclose(promised(2.0, -2.0), [high, low], atol=1e-3)
    assert module._reach.compiled._cache_size() == compiled


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_row_depends_on_no_other(query, trained, data_returns):
    agent, episodes = trained.agent, trained.episodes
    first = agent.standardiser.standardise_observation(episodes.observations[episodes.starts[:BATCH]])

    def solved(*rows):
        s0, keys = jnp.asarray(first[list(rows)]), KEYS[jnp.asarray(rows)]
        aims = np.linspace(-1.0, 1.0, BATCH, dtype=np.float32)[list(rows)]
        found = solve(agent.model, s0, query, NONE_LOGGED, data_returns, aims, keys, tiny.CONFIG)
        return np.asarray(found.epsilon)

    together = solved(0, 1, 2)
    np.testing.assert_allclose(solved(2, 0), together[[2, 0]], atol=1e-3)
    np.testing.assert_allclose(solved(1), together[1:2], atol=1e-3)
    assert np.abs(together[0] - together[1]).max() > 0.1


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_seed_repeats_a_query(query, ask):
    np.testing.assert_array_equal(ask(query, seed=3)[0], ask(query, seed=3)[0])
    assert not np.array_equal(ask(query, seed=3)[0], ask(query, seed=4)[0])


@pytest.mark.parametrize("quantile", [-0.1, 1.0, float("nan")])
def test_a_quantile_that_leaves_nothing_is_refused(quantile):
    with pytest.raises(UserError, match="quantile"):
        Explore(quantile=quantile)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_return_to_aim_at_is_finite(value):
    for query in (lambda: Target(value), lambda: Target((1.0, value)), lambda: Explore(delta_y=value)):
        with pytest.raises(UserError, match="finite"):
            query()
