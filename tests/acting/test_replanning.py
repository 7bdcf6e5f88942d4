"""New plans within an episode: for whom they are due and for no one else, whoever stands beside them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac import agent as agents
from gac.acting import replanning as module
from gac.acting.calibration import LIKE, Calibration
from gac.acting.policy import Acting, Context, act, empty_context
from gac.acting.watch import MEMORY_STEPS, act_and_expect, watch
from gac.errors import UserError
from gac.inference import solve

BATCH = 6
NOISE = tiny.MODEL.latent_tokens * tiny.MODEL.embed_dim


@pytest.fixture
def agent(trained):
    """The trained agent, calibrated so that only what is far from usual fires.

    It expects no change of the state: a learned transition would expect anything after a jump far away.
    """
    usual = tuple(np.linspace(1.0, 2.0, 20).tolist())
    calibration = Calibration(
        model="none",
        data="tiny",
        memory_steps=MEMORY_STEPS,
        scale=(1.0,) * tiny.OBSERVATION_DIM,
        surprise=usual,
        fall=usual,
        states=(1000,) * len(usual),
        mu=((0.0,) * NOISE,) * len(usual),
        log_sigma=((0.0,) * NOISE,) * len(usual),
        first_lowest=(-np.inf,) * tiny.OBSERVATION_DIM,
        first_highest=(np.inf,) * tiny.OBSERVATION_DIM,
    )
    own = trained.agent
    still = jax.tree.map(jnp.zeros_like, own.model.generator.change.out)
    model = eqx.tree_at(lambda model: model.generator.change.out, own.model, still)
    return gac.Agent(model, own.logged, own.standardiser, trained.config, own.facts, calibration=calibration)


@pytest.fixture
def first(trained):
    return trained.episodes.observations[trained.episodes.starts[:BATCH]]


def with_spread(agent, spread):
    """The agent with critics of another spread, which a promise must exceed."""
    model = eqx.tree_at(lambda model: model.critic.spread, agent.model, jnp.full(1, spread))
    parts = model, agent.logged, agent.standardiser, agent.config, agent.facts
    return gac.Agent(*parts, agent.calibration)


def walk(first, steps, jumps=(), size=1000.0):
    """Observations that barely move, with a jump to stay at step t of row i for each (t, i) of jumps."""
    drift = 0.001 * np.arange(steps, dtype=np.float32)[:, None, None]
    path = np.broadcast_to(first, (steps, *first.shape)) + drift
    for when, row in jumps:
        path[when:, row] += size
    return path.astype(np.float32)


def run(policy, path):
    """Actions, and the new plans that each row had after every step."""
    actions, counts = [], []
    for observation in path:
        actions.append(policy(observation))
        counts.append(policy.replans.copy())
    return np.stack(actions), np.stack(counts)


def rows_of(plan, rows):
    """The plans of some rows, as if these had been planned for alone."""
    rows = np.asarray(rows)
    plans = jax.tree.map(lambda leaf: leaf[rows], plan.plans)
    return plan._replace(plans=plans, seeds=plan.seeds[rows])


def test_never_is_the_policy_of_one_plan_to_the_bit(agent, first):
    plan, path = agent.plan(first, gac.Prior()), walk(first, 4)
    context = empty_context(BATCH, tiny.MODEL.context, *first.shape[1:], tiny.ACTION_DIM)
    expected = []
    for observation in path:
        acting = Acting(agent.model.generator, jax.tree.map(jnp.asarray, agent.standardiser), plan.plans)
        context, action = act(acting, context, jnp.asarray(observation))
        expected.append(action)
    for replan in (None, gac.Never()):
        actions, counts = run(agent.policy(plan, replan), path)
        np.testing.assert_array_equal(actions, expected)
        assert counts.sum() == 0


def test_a_trigger_that_does_not_fire_and_a_time_that_does_not_come_change_nothing(agent, first):
    plan, path = agent.plan(first, gac.Prior()), walk(first, MEMORY_STEPS + 3)
    never, _ = run(agent.policy(plan), path)
    for replan in (gac.Trigger(0.05), gac.Every(100)):
        actions, counts = run(agent.policy(plan, replan), path)
        np.testing.assert_allclose(actions, never, atol=1e-5)
        assert counts.sum() == 0


def test_a_plan_is_not_judged_beyond_what_the_data_tell_of(agent, first):
    """A jump is answered as long as held-out episodes go on, and a new plan has that long again."""
    plan, horizon, early = agent.plan(first, gac.Prior()), 4 * MEMORY_STEPS, MEMORY_STEPS + 2
    agent.calibration = dataclasses.replace(agent.calibration, states=(horizon,) * 20)
    jumps = [(early, 0), (horizon, 1), (early, 2), (horizon, 2)]
    _, counts = run(agent.policy(plan, gac.Trigger(0.05)), walk(first, horizon + 2, jumps))
    assert counts[-1].tolist() == [1, 0, 2, 0, 0, 0]


def test_a_plan_is_judged_as_far_as_the_held_out_episodes_most_like_it(agent, first):
    plan, early, late = agent.plan(first, gac.Prior()), MEMORY_STEPS + 2, 3 * MEMORY_STEPS
    short = np.broadcast_to(np.asarray(plan.epsilon[0]).ravel(), (LIKE, NOISE))
    long = np.broadcast_to(np.asarray(plan.epsilon[1]).ravel(), (20 - LIKE, NOISE))
    agent.calibration = dataclasses.replace(
        agent.calibration,
        states=(2 * MEMORY_STEPS,) * LIKE + (1000,) * (20 - LIKE),
        mu=tuple(map(tuple, np.concatenate([short, long]).tolist())),
    )
    jumps = [(late, 0), (late, 1)]
    path = walk(first, late + 2, jumps)
    policy = agent.policy(plan, gac.Trigger(0.5))
    assert run(policy, path)[1][-1].tolist()[:2] == [0, 1]
    policy.reset()
    assert run(policy, walk(first, early + 2, [(early, 0)]))[1][-1].tolist()[:2] == [1, 0]


def test_a_plan_that_is_kept_is_judged_no_further(agent, first):
    """A new one, not taken, gives it no time."""
    horizon, early = 4 * MEMORY_STEPS, MEMORY_STEPS + 2
    unsure = with_spread(agent, 50.0)
    unsure.calibration = dataclasses.replace(agent.calibration, states=(horizon,) * 20)
    policy = unsure.policy(unsure.plan(first), gac.Trigger(0.05))
    jumps = [(early, 0), (horizon - 2, 0), (early, 1), (horizon, 1)]
    _, counts = run(policy, walk(first, horizon + 2, jumps))
    assert counts[-1].tolist() == [2, 1, 0, 0, 0, 0]


def test_every_n_steps_is_every_n_steps(agent, first):
    plan = agent.plan(first, gac.Prior())
    policy = agent.policy(plan, gac.Every(3))
    actions, counts = run(policy, walk(first, 8))
    assert counts.tolist() == [[t // 3] * BATCH for t in range(8)]
    never, _ = run(agent.policy(plan), walk(first, 8))
    np.testing.assert_allclose(actions[:3], never[:3], atol=1e-5)
    assert np.abs(actions[3:] - never[3:]).max(axis=(1, 2)).min() > 1e-6
    policy.reset()
    again, _ = run(policy, walk(first, 8))
    np.testing.assert_array_equal(actions, again)


def test_a_new_plan_answers_the_query_at_the_state_it_is_made_in(agent, first):
    # From plans that promise less, so that every new one is taken.
    sure, path = with_spread(agent, 1e-3), walk(first, 2)
    policy = sure.policy(agent.plan(first, gac.Target(-1e3))._replace(query=gac.Exploit()), gac.Every(1))
    path[1] = path[1, ::-1]
    run(policy, path)
    np.testing.assert_array_equal(policy._plans.epsilon, agent.plan(path[1], gac.Exploit()).epsilon)
    state = jnp.asarray(agent.standardiser.standardise_observation(path[1]))
    memory = agent.model.generator.remember(agent.model.prior(state, policy._plans.epsilon)[1])
    np.testing.assert_allclose(policy._plans.memory[0].read, memory[0].read, atol=1e-4)


def test_exploit_keeps_a_plan_unless_more_is_promised_and_other_queries_take_the_new_one(agent, first):
    state = jnp.asarray(agent.standardiser.standardise_observation(first))
    plan = agent.plan(first, gac.Exploit())
    # Row 0 has a plan that promises far less than exploit's; the others promise about as much.
    mixed = (plan.epsilon + 1e-3).at[0].set(agent.plan(first, gac.Target(-1e3)).epsilon[0])
    memory = agent.model.generator.remember(agent.model.prior(state, mixed)[1])
    plans = plan.plans._replace(epsilon=mixed, memory=memory)
    promised = [np.asarray(agent.model.predicted_return(state, each)) for each in (plan.epsilon, mixed)]
    more = promised[0] - promised[1]
    spread = 0.5 * more[0]
    assert more[0] > 0.1
    assert (np.abs(more[1:]) < 0.1 * spread).all()
    for promise, query, expected in (
        (2.0 * more[0], gac.Exploit(), [False] * BATCH),
        (spread, gac.Exploit(), [True] + [False] * (BATCH - 1)),
        (spread, gac.Target(0.0), [True] * BATCH),
    ):
        own = with_spread(agent, promise)
        policy = own.policy(plan._replace(query=query, plans=plans), gac.Every(1))
        run(policy, np.stack([first, first]))
        assert policy.replans.tolist() == [1] * BATCH
        changed = (np.asarray(policy._plans.epsilon) != np.asarray(mixed)).any(axis=(1, 2))
        assert changed.tolist() == expected
        same = np.isclose(policy._plans.memory[0].read, memory[0].read, atol=1e-5).all(axis=(1, 2))
        assert same[~changed].all()


def test_batching_and_permuting_environments_change_nothing(agent, first, monkeypatch):
    """By the query that draws the most: returns to aim at, the ascent's noise, a sample of q."""
    monkeypatch.setattr(module, "GROUP", 2)
    jumps = [(MEMORY_STEPS + 1, 1), (MEMORY_STEPS + 2, 4), (MEMORY_STEPS + 2, 0), (MEMORY_STEPS + 2, 5)]
    plan, path = agent.plan(first, gac.Prior()), walk(first, MEMORY_STEPS + 5, jumps)
    plan = plan._replace(query=gac.Explore())
    whole = agent.policy(plan, gac.Trigger(0.05))
    actions, counts = run(whole, path)
    assert (counts[-1] > 0).tolist() == [True, True, False, False, True, True]
    for rows in ([5, 3, 0, 4, 2, 1], [4, 4, 4, 2, 2, 2]):
        own = agent.policy(rows_of(plan, rows), gac.Trigger(0.05))
        own_actions, own_counts = run(own, path[:, rows])
        np.testing.assert_array_equal(own_counts, counts[:, rows])
        np.testing.assert_allclose(own._plans.epsilon, np.asarray(whole._plans.epsilon)[rows], atol=0.02)
        np.testing.assert_allclose(own_actions, actions[:, rows], atol=1e-3)


def test_rows_draw_apart_and_each_new_plan_draws_anew(agent, first):
    same = np.broadcast_to(first[:1], first.shape)
    policy = agent.policy(agent.plan(same, gac.Prior()), gac.Every(1))
    drawn = []
    for _ in range(3):
        policy(same)
        drawn.append(np.asarray(policy._plans.epsilon))
    drawn = np.concatenate(drawn)
    assert all(np.abs(a - b).max() > 0.1 for i, a in enumerate(drawn) for b in drawn[:i])


def test_a_jump_fires_once_the_plan_may_be_judged_and_the_new_plan_starts_afresh(agent, first):
    plan, when = agent.plan(first, gac.Prior()), MEMORY_STEPS + 4
    _, counts = run(agent.policy(plan, gac.Trigger(0.05)), walk(first, when + 6, [(when, 2), (3, 4)]))
    # Row 2 fires at its jump. Row 4 jumped while its plan was too young, and fires as soon as it may.
    assert np.flatnonzero(counts[:, 2])[0] == when
    assert np.flatnonzero(counts[:, 4])[0] == MEMORY_STEPS
    # A new plan is not judged by what came before it, nor at once.
    assert counts[-1].tolist() == [0, 0, 1, 0, 1, 0]


def test_the_trigger_makes_no_plan_where_none_may_begin(agent, first):
    path, when = walk(first, MEMORY_STEPS + 9), MEMORY_STEPS + 3
    path[when:, 1:3] += 1000.0
    path[when + 2 :, 2] -= 1000.0
    states = agent.standardiser.standardise_observation(first)
    width = np.ptp(states, axis=0) + 1.0
    agent.calibration = dataclasses.replace(
        agent.calibration,
        first_lowest=tuple((states.min(axis=0) - width).tolist()),
        first_highest=tuple((states.max(axis=0) + width).tolist()),
    )
    _, counts = run(agent.policy(agent.plan(first, gac.Prior()), gac.Trigger(0.05)), path)
    # Row 1 stays far away, where no plan may begin. Row 2 comes back, and gets its new plan there.
    assert not counts[:, [0, 1, 3, 4, 5]].any()
    assert np.flatnonzero(counts[:, 2])[0] == when + 2


def test_a_trigger_that_will_not_be_still_has_to_wait_twice_as_long_each_time(agent, first):
    path = walk(first, 7 * MEMORY_STEPS + 2)
    path[::2, 1] += 1000.0
    _, counts = run(agent.policy(agent.plan(first, gac.Prior()), gac.Trigger(0.05)), path)
    fired = np.flatnonzero(np.diff(counts[:, 1], prepend=0))
    assert fired.tolist() == [MEMORY_STEPS, 3 * MEMORY_STEPS, 7 * MEMORY_STEPS]
    assert not counts[:, [0, 2, 3, 4, 5]].any()


def test_only_rows_that_go_on_get_new_plans(agent, first):
    policy = agent.policy(agent.plan(first, gac.Prior()), gac.Every(2))
    going = np.array([True, False, True, True, False, True])
    for observation in walk(first, 5):
        policy(observation, going)
    assert policy.replans.tolist() == [2, 0, 2, 2, 0, 2]


def test_however_many_are_due_nothing_is_compiled_again(agent, first, monkeypatch):
    monkeypatch.setattr(module, "GROUP", 4)
    plan, when = agent.plan(first, gac.Prior()), MEMORY_STEPS + 2
    jumps = [(when, 0), *((when + 1, i) for i in (1, 2, 3, 4, 5))]
    policy = agent.policy(plan, gac.Trigger(0.05))
    path = walk(first, when + 3, jumps)
    run(policy, path[:when])
    programs = watch.compiled, act_and_expect.compiled, module._put, solve._sample
    sizes = [program._cache_size() for program in programs]
    _, counts = run(policy, path[when:])
    assert np.diff(counts.sum(axis=1)).tolist() == [5, 0]
    assert counts[0].sum() == 1
    # One program at most for one due row and for five: none where a test before compiled for this size.
    more = np.subtract([program._cache_size() for program in programs], sizes)
    assert (more <= [0, 0, 1, 1]).all()


def test_a_new_plan_aims_at_the_return_of_its_own_row(agent, first, monkeypatch):
    monkeypatch.setattr(module, "GROUP", 5)
    plan = agent.plan(first, gac.Prior())
    asked, real = [], agents.solve

    def noted(model, s0, query, logged, returns, target, keys, config):
        asked.append(agent.standardiser.raw_return(target).tolist())
        return real(model, s0, gac.Prior(), logged, returns, target, keys, config)

    monkeypatch.setattr(agents, "solve", noted)
    aims = tuple(100.0 + row for row in range(BATCH))
    plan = plan._replace(query=gac.Target(aims))
    run(agent.policy(plan, gac.Every(1)), walk(first, 2))
    assert [pytest.approx(each) for each in asked] == [[100, 101, 102, 103, 104], [105] * 5]


def test_one_environment_replans_as_well(agent, first):
    policy = agent.policy(agent.plan(first[0], gac.Prior()), gac.Every(1))
    assert policy(first[0]).shape == policy(first[0]).shape == (tiny.ACTION_DIM,)
    assert policy.replans.tolist() == [1]
    assert policy.replan_seconds > 0
    with pytest.raises(UserError, match="as at planning"):
        policy(first)


def test_what_cannot_be_planned_from_is_refused(agent, first):
    policy = agent.policy(agent.plan(first, gac.Prior()), gac.Every(1))
    policy(first)
    first[2, 1] = np.nan
    with pytest.raises(UserError, match="NaN"):
        policy(first)


def test_a_trigger_needs_a_calibration_that_can_tell_its_rate(agent, trained, first):
    plan = agent.plan(first, gac.Prior())
    with pytest.raises(UserError, match="calibrat") as caught:
        trained.agent.policy(plan, gac.Trigger())
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"at least 0\.0476"):
        agent.policy(plan, gac.Trigger(0.01))
    assert dataclasses.astuple(gac.Trigger()) == (0.05, "either")
    assert isinstance(agent.policy(plan, gac.Trigger(0.05))._context, Context)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("replan", [None, gac.Every(2)])
def test_one_bad_reading_is_refused_and_the_episode_goes_on_as_if_it_had_not_been(agent, bad, replan):
    first = np.zeros(agent.observation_dim, np.float32)
    plan = agent.plan(first)
    policy, other = (agent.policy(plan) if replan is None else agent.policy(plan, replan) for _ in range(2))
    np.testing.assert_array_equal(policy(first), other(first))
    with pytest.raises(UserError, match="NaN or infinity"):
        policy(np.full_like(first, bad))
    with pytest.raises(UserError, match="NaN or infinity"):
        agent.plan(np.full_like(first, bad))
    np.testing.assert_array_equal(policy(first + 0.1), other(first + 0.1))


def test_what_rows_observe_whose_episode_is_over_need_not_be_finite(agent):
    first = np.zeros((2, agent.observation_dim), np.float32)
    policy = agent.policy(agent.plan(first))
    over = first.copy()
    over[1] = np.nan
    assert np.isfinite(policy(over, np.array([True, False]))[0]).all()
    policy(over, np.array([False, False]))
    with pytest.raises(UserError, match="NaN or infinity"):
        policy(over)
