"""Queries do what they promise: more return, near good logged behaviour; a target; draws of the prior."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.errors import UserError
from gac.inference import solve as module
from gac.inference.objectives import exploit_objective
from gac.inference.queries import Exploit, Explore, Prior, Target
from gac.inference.solve import solve
from gac.inference.trust_region import Logged, trust_region
from gac.model.joint import Phi

BATCH = 3
KEYS = jax.random.split(jax.random.key(0), BATCH)
QUERIES = [
    Exploit(kl_weight=0.01),
    Explore(),
    Target(0.0),
    Target(0.0, near="logged"),
    Target(0.0, near="both"),
    Prior(),
]


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
        epsilon, _, info = solve(agent.model, s0, query, agent.logged, data_returns, aims, keys, tiny.CONFIG)
        trace = np.zeros(0) if info is None else info.mean_trace()
        return epsilon, info, trace, agent.model.predicted_return(s0, epsilon)

    return asked


def test_exploit_raises_the_predicted_return_over_its_start(ask):
    _, info, trace, y = ask(Exploit(kl_weight=0.01))
    assert bool((y > info.trace[:, 0]).all())
    assert float(y.mean()) > trace[0] + 0.2
    assert trace[-1] > trace[0] + 0.2
    assert len(trace) == int(info.steps.max()) <= tiny.CONFIG.query.query_steps


def test_a_dearer_nat_keeps_exploit_nearer_to_what_was_logged(ask, trained, monkeypatch):
    kept = []
    real = module._exploit
    agent, episodes = trained.agent, trained.episodes
    first = agent.standardiser.standardise_observation(episodes.observations[episodes.starts[:BATCH]])
    region = trust_region(agent.model, jnp.asarray(first), agent.logged)
    monkeypatch.setattr(module, "_exploit", lambda *args: kept.append(real(*args)) or kept[-1])
    for kl_weight in (0.01, 10.0):
        epsilon, _, _, _ = ask(Exploit(kl_weight=kl_weight))
        np.testing.assert_array_equal(epsilon, kept[-1][0].mu)
    nats = [float(phi.kl_to(region).sum(axis=1).mean()) for phi, _ in kept]
    promised = [float(info.mean_trace()[-1]) for _, info in kept]
    assert nats[0] > 1.0
    assert nats[1] < 0.05
    assert promised[0] > promised[1] + 0.2


@pytest.fixture(scope="module")
def held(trained):
    """`(aim, room, kl_weight, sigma_y) -> (phi, info, promised, logged plan, its promise)`.

    One plan was logged. It is what a target of `aim` finds, and so sure that nothing is gained around it; the
    best return of the data is `room` above what it promises, in sigma_y.
    """
    agent, episodes = trained.agent, trained.episodes
    first = episodes.observations[episodes.starts[:1]]
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))

    def exploit(aim, room, kl_weight, sigma_y=0.6):
        model = eqx.tree_at(
            lambda model: model.critic.sigma_y.log_value, agent.model, jnp.log(jnp.full(1, sigma_y))
        )
        plan = agent.plan(first, Target(aim)).epsilon
        logged = Logged(Phi(plan, jnp.full_like(plan, -6.0)), jnp.zeros(1))
        before = agent.model.predicted_return(s0, plan)[0]
        ceiling = before + room * sigma_y
        phi, info = module._exploit(
            model, s0, logged, jnp.float32(kl_weight), ceiling, KEYS[:1], tiny.CONFIG.query, tiny.CONFIG.added
        )
        return phi, info, float(agent.model.predicted_return(s0, phi.mu)[0]), plan, float(before)

    return exploit


def test_exploit_leaves_logged_plans_that_fall_short_for_what_the_prior_has(held):
    phi, info, promised, plan, before = held(aim=-1e3, room=100.0, kl_weight=0.01)
    assert promised > before + 0.6
    assert float(jnp.abs(phi.mu - plan).max()) > 0.1
    # What is told of the ascent is told of the one that was taken.
    last = float(info.trace[0, int(info.steps[0]) - 1])
    assert abs(last - promised) < abs(last - before)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param({"aim": -1e3, "room": 0.9, "kl_weight": 0.01}, id="no room"),
        pytest.param({"aim": 1e3, "room": 100.0, "kl_weight": 100.0}, id="less at the prior"),
        pytest.param({"aim": -1e3, "room": 2.0, "kl_weight": 0.01, "sigma_y": 50.0}, id="not by enough"),
    ],
)
def test_exploit_stays_where_no_more_is_promised_than_the_critic_tells_apart(case, held):
    phi, _, promised, plan, before = held(**case)
    np.testing.assert_allclose(phi.mu, plan, atol=0.05)
    assert promised == pytest.approx(before, abs=0.05)


def test_plans_for_one_state_reach_the_same_value_whatever_their_draws(trained, data_returns):
    """Each plan of a batch has draws of its own; where fixed draws decided, values differed by far more."""
    s0 = jnp.tile(
        jnp.asarray(trained.agent.standardiser.standardise_observation(trained.episodes.observations[:1])),
        (12, 1),
    )
    model, logged, ceiling = trained.agent.model, trained.agent.logged, jnp.asarray(data_returns.max())
    keys = jax.random.split(jax.random.key(0), 12)
    phi, info = module._exploit(
        model, s0, logged, jnp.float32(0.01), ceiling, keys, tiny.CONFIG.query, tiny.CONFIG.added
    )
    assert bool(info.converged.all())
    region = trust_region(model, s0, logged)
    objective = exploit_objective(model, s0, region, 0.01, ceiling, 500, keys)
    value, start = (objective(each, jnp.asarray(-1))[0] for each in (phi, region))
    assert float(value.max() - value.min()) < 0.1 * float(jnp.mean(value - start))


def test_target_goes_where_it_is_sent(ask):
    low, high = (ask(Target(0.0), target)[2] for target in (-1.5, 1.5))
    assert abs(low[-1] + 1.5) < abs(low[0] + 1.5)
    assert abs(high[-1] - 1.5) < abs(high[0] - 1.5)
    assert high[-1] > low[-1] + 0.2


def test_a_target_near_a_logged_plan_begins_there_and_goes_on(trained, data_returns):
    agent, first = trained.agent, trained.episodes.observations[:1]
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))
    shape = (1, *agent.logged.phi.mu.shape[1:])
    logged = Logged(Phi(jnp.full(shape, 3.0), jnp.full(shape, -2.0)), jnp.zeros(1))
    before = float(agent.model.predicted_return(s0, logged.phi.mu)[0])
    for more in (-0.5, 0.5):
        aim = np.array([before + more], np.float32)
        query = Target(0.0, near="logged")
        epsilon, phi, _ = solve(agent.model, s0, query, logged, data_returns, aim, KEYS[:1], tiny.CONFIG)
        assert float(jnp.abs(epsilon - logged.phi.mu).max()) < 1.5
        moved = float(agent.model.predicted_return(s0, phi.mu)[0]) - before
        assert 0.0 < moved / more < 1.0, "Eq. (3) goes towards the aim, and the hold keeps it back"


def test_a_target_near_both_is_near_one_or_the_other_by_a_coin(trained, data_returns):
    agent, count = trained.agent, 12
    first = agent.standardiser.standardise_observation(trained.episodes.observations[:1])
    s0, aims = jnp.tile(jnp.asarray(first), (count, 1)), np.ones(count, np.float32)
    keys = jax.random.split(jax.random.key(5), count)

    def solved(near):
        query = Target(1.0, near=near)
        return np.asarray(
            solve(agent.model, s0, query, agent.logged, data_returns, aims, keys, tiny.CONFIG)[0]
        )

    prior, logged, both = (solved(near).reshape(count, -1) for near in ("prior", "logged", "both"))
    from_logged, from_prior = (np.abs(both - one).max(axis=1) < 1e-3 for one in (logged, prior))
    np.testing.assert_array_equal(from_logged, ~from_prior)
    assert 2 <= from_logged.sum() <= 10


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
    model, logged = trained.agent.model, trained.agent.logged
    first = trained.agent.standardiser.standardise_observation(trained.episodes.observations[:1])
    s0 = jnp.tile(jnp.asarray(first), (2, 1))

    def promised(*target):
        aims = np.array(target, np.float32)
        epsilon, _, _ = solve(
            model, s0, Target(target), logged, data_returns, aims, KEYS[jnp.zeros(2, int)], tiny.CONFIG
        )
        return np.asarray(model.predicted_return(s0, epsilon))

    low, high = promised(-2.0, 2.0)
    compiled = module._reach.compiled._cache_size()
    assert high > low + 0.2
    np.testing.assert_allclose(promised(2.0, -2.0), [high, low], atol=1e-3)
    assert module._reach.compiled._cache_size() == compiled


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: getattr(query, "near", query.name))
def test_a_row_depends_on_no_other(query, trained, data_returns):
    agent, episodes = trained.agent, trained.episodes
    first = agent.standardiser.standardise_observation(episodes.observations[episodes.starts[:BATCH]])

    def solved(*rows):
        s0, keys = jnp.asarray(first[list(rows)]), KEYS[jnp.asarray(rows)]
        aims = np.linspace(-1.0, 1.0, BATCH, dtype=np.float32)[list(rows)]
        return np.asarray(
            solve(agent.model, s0, query, agent.logged, data_returns, aims, keys, tiny.CONFIG)[0]
        )

    together = solved(0, 1, 2)
    np.testing.assert_allclose(solved(2, 0), together[[2, 0]], atol=1e-3)
    np.testing.assert_allclose(solved(1), together[1:2], atol=1e-3)
    assert np.abs(together[0] - together[1]).max() > 0.1


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: getattr(query, "near", query.name))
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


def test_a_target_near_what_there_is_none_of_is_refused():
    with pytest.raises(UserError, match="near is 'posterior', expected one of prior, logged, both"):
        Target(1.0, near="posterior")


@pytest.mark.parametrize("kl_weight", [-0.1, float("inf"), float("nan")])
def test_a_weight_of_the_kl_is_finite_and_at_least_0(kl_weight):
    with pytest.raises(UserError, match="kl_weight"):
        Exploit(kl_weight=kl_weight)
