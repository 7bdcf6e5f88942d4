"""One update: averages by their rule, options that leave the others alone, transitions with true ends."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny_gtp import CONFIG, with_rewards

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.gtp.transitions import transitions
from gac.gtp.update import init_state, update

DATA = with_rewards()
UNITS = Standardiser.fit(DATA)


def first_update(**fields):
    config = dataclasses.replace(CONFIG, **fields)
    state = init_state(config, tiny.OBSERVATION_DIM, tiny.ACTION_DIM)
    return state, *jax.jit(functools.partial(update, config=config))(state, transitions(DATA, UNITS, config))


def test_both_averages_move_by_one_rate():
    before, after, _ = first_update(ema=0.25)
    pairs = (
        (before.averaged, after.actor, after.averaged),
        (
            before.critic_target,
            after.judge.critic,
            after.critic_target,
        ),
    )
    for old, new, averaged in pairs:
        assert not tiny.same(old, new)
        for a, b, c in zip(*map(jax.tree.leaves, (old, new, averaged)), strict=True):
            np.testing.assert_allclose(c, 0.75 * a + 0.25 * b, atol=1e-6)


def test_the_first_averages_are_the_weights_and_own_their_memory():
    state = init_state(CONFIG, 3, 2)
    assert tiny.same(state.actor, state.averaged)
    assert tiny.same(state.judge.critic, state.critic_target)


def test_without_eta_there_are_no_critics_and_every_weight_is_one():
    before, after, metrics = first_update(eta=0.0)
    assert before.judge is after.judge is after.critic_target is None
    assert set(metrics) == {"loss_actor", "loss_consistency", "loss_flow"}
    # eta so small that all weights are 1 gives the same actor: guidance is in the weights alone.
    _, weighted, others = first_update(eta=1e-12)
    np.testing.assert_allclose(others["w"], 1.0)
    for a, b in zip(jax.tree.leaves(after.actor), jax.tree.leaves(weighted.actor), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "fields",
    [
        {"value": "expectile"},
        {"weighting": "exponential"},
        {"backup_samples": 3},
        {"intermediate": "score"},
        {"intermediate": "solver", "solver_steps": 2},
        {"times_std": 20.0},
        {"sampler": "euler", "consistency": 0.0},
        {"lambda_flow": 0.0, "decay_updates": 0, "grad_clip": 0.0},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_every_option_learns_something_else(fields):
    _, usual, _ = first_update()
    _, other, metrics = first_update(**fields)
    assert all(np.isfinite(value) for value in metrics.values())
    assert not tiny.same((usual.actor, usual.judge), (other.actor, other.judge))


def test_transitions_end_where_the_environment_ended_them_and_go_on_at_a_time_limit():
    found = transitions(DATA, UNITS, CONFIG)
    ends = DATA.starts + DATA.lengths - 1
    assert len(found.reward) == DATA.num_steps
    np.testing.assert_array_equal(np.flatnonzero(found.terminated), ends[DATA.terminated])
    np.testing.assert_allclose(
        found.following[:-1][~np.isin(np.arange(DATA.num_steps - 1), ends)],
        found.state[1:][~np.isin(np.arange(DATA.num_steps - 1), ends)],
    )
    np.testing.assert_allclose(found.following[ends], UNITS.standardise_observation(DATA.final_observations))
    np.testing.assert_allclose(found.reward, DATA.rewards, rtol=1e-6)
    np.testing.assert_allclose(found.action, UNITS.standardise_action(DATA.actions))


def test_a_step_into_the_unknown_is_left_out():
    data = with_rewards(final=False)
    found = transitions(data, UNITS, CONFIG)
    assert len(found.reward) == data.num_steps - data.truncated.sum()
    assert int(found.terminated.sum()) == data.terminated.sum()


def test_rewards_are_shifted_then_scaled():
    config = dataclasses.replace(CONFIG, reward_shift=0.5, reward_scale=4.0)
    np.testing.assert_allclose(transitions(DATA, UNITS, config).reward, (DATA.rewards - 0.5) * 4.0, rtol=1e-5)


def test_data_that_cannot_be_learned_from_are_refused():
    plain = tiny.make_episodes()
    with pytest.raises(UserError, match="--rewards learned"):
        transitions(plain, Standardiser.fit(plain), CONFIG)
    transitions(plain, Standardiser.fit(plain), dataclasses.replace(CONFIG, eta=0.0))
    one = Episodes.from_arrays([np.eye(2)], [np.eye(2)[:, :1]], rewards=[[1.0, 2.0]], truncated=[True])
    with pytest.raises(UserError, match="1 transition,"):
        transitions(one, Standardiser.fit(one), CONFIG)
    assert jnp.isfinite(transitions(DATA, UNITS, CONFIG).state).all()
