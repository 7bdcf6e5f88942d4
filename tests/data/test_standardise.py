"""Units go there and back, in NumPy and in JAX, whatever the data's own unit, and a constant stays one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser, held_less


def test_the_data_has_mean_0_and_std_1_and_actions_from_minus_1_to_1():
    episodes = tiny.make_episodes(20)
    standardiser = Standardiser.fit(episodes)
    states = standardiser.standardise_observation(episodes.observations)
    actions = standardiser.standardise_action(episodes.actions)
    y = standardiser.standardise_return(episodes.returns)
    np.testing.assert_allclose(states.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(states.std(axis=0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(actions.min(axis=0), -1.0, atol=1e-6)
    np.testing.assert_allclose(actions.max(axis=0), 1.0, atol=1e-6)
    np.testing.assert_allclose([y.mean(), y.std()], [0.0, 1.0], atol=1e-5)
    assert {x.dtype for x in (states, actions, y, *standardiser[:6])} == {np.dtype(np.float32)}
    assert standardiser.observation_offset is None


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_there_and_back(kind):
    episodes = tiny.make_episodes()
    standardiser = Standardiser.fit(episodes)
    actions, returns = kind(episodes.actions), kind(episodes.returns)
    back = standardiser.raw_action(standardiser.standardise_action(actions))
    assert isinstance(back, type(actions))
    np.testing.assert_allclose(back, actions, atol=1e-6)
    again = standardiser.raw_return(standardiser.standardise_return(returns))
    np.testing.assert_allclose(again, returns, rtol=1e-5)


def test_statistics_of_jax_work_inside_a_compiled_program():
    episodes = tiny.make_episodes()
    standardiser = Standardiser.fit(episodes)
    compiled = jax.jit(lambda own, x: own.standardise_observation(x))
    states = compiled(jax.tree.map(jnp.asarray, standardiser), jnp.asarray(episodes.observations))
    np.testing.assert_allclose(
        states, standardiser.standardise_observation(episodes.observations), rtol=1e-5, atol=1e-6
    )


def test_raw_actions_never_leave_the_range_of_the_data():
    episodes = tiny.make_episodes()
    raw = Standardiser.fit(episodes).raw_action(np.asarray([[-50.0, 50.0]], np.float32))
    np.testing.assert_allclose(raw[0, 0], episodes.actions[:, 0].min(), rtol=1e-5)
    np.testing.assert_allclose(raw[0, 1], episodes.actions[:, 1].max(), rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_no_rounding_leads_out_of_the_range_of_the_data(compiled):
    rng, dims = np.random.default_rng(0), 500
    size, varies = 10.0 ** rng.integers(-3, 4, dims), rng.random(dims) < 0.8
    low = (rng.uniform(-3.0, 3.0, dims) * size).astype(np.float32)
    high = low + (rng.uniform(0.0, 2.0, dims) * varies).astype(np.float32)
    ends = Episodes.from_arrays([np.zeros((2, 1))], [np.stack([low, high])], returns=[1.0])
    standardiser = Standardiser.fit(ends)
    scaled = np.linspace(-1.0, 1.0, 101, dtype=np.float32)[:, None].repeat(dims, axis=1)
    raw = np.asarray((jax.jit if compiled else lambda f: f)(standardiser.raw_action)(scaled))
    assert ((raw >= low) & (raw <= high)).all()
    np.testing.assert_allclose(raw[[0, -1]], [low, high], rtol=1e-6, atol=1e-6)


def test_constants_stay_finite_and_a_constant_action_stays_itself():
    still = Episodes.from_arrays([np.full((3, 2), 7.0)] * 4, [np.full((3, 2), 0.9)] * 4, returns=[5.0] * 4)
    standardiser = Standardiser.fit(still)
    for value in (
        standardiser.standardise_observation(still.observations),
        standardiser.standardise_action(still.actions),
        standardiser.standardise_return(still.returns),
    ):
        assert (value == 0.0).all()
    # Anything else could lie beyond the environment's bounds.
    assert (standardiser.raw_action(np.asarray([[-1.0, 1.0]], np.float32)) == np.float32(0.9)).all()


def in_units(episodes, states, actions, returns):
    """The same episodes, each quantity in another unit."""
    return dataclasses.replace(
        episodes,
        observations=episodes.observations * np.float32(states),
        final_observations=episodes.final_observations * np.float32(states),
        actions=episodes.actions * np.float32(actions),
        returns=episodes.returns * np.float32(returns),
    )


def in_model_units(episodes):
    """What training sees."""
    own = Standardiser.fit(episodes)
    states = [own.standardise_observation(x) for x in (episodes.observations, episodes.final_observations)]
    return [
        *states,
        own.standardise_action(episodes.actions),
        own.standardise_return(episodes.returns),
    ]


EXPONENTS = st.integers(-30, 30)


@given(EXPONENTS, EXPONENTS, EXPONENTS)
def test_a_power_of_two_as_unit_changes_no_bit(states, actions, returns):
    episodes = tiny.make_episodes()
    other = in_model_units(in_units(episodes, 2.0**states, 2.0**actions, 2.0**returns))
    for a, b in zip(in_model_units(episodes), other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e-7, 1e9, 1e16])
def test_any_unit_changes_rounding_alone_and_leads_back(unit):
    episodes = tiny.make_episodes()
    scaled = in_units(episodes, unit, unit, unit)
    for a, b in zip(in_model_units(episodes), in_model_units(scaled), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    own = Standardiser.fit(scaled)
    actions = own.raw_action(own.standardise_action(scaled.actions))
    np.testing.assert_allclose(actions, scaled.actions, rtol=1e-5, atol=1e-6 * unit)
    returns = own.raw_return(own.standardise_return(scaled.returns))
    np.testing.assert_allclose(returns, scaled.returns, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_rounding_of_a_columns_size_is_no_variation(size):
    one = np.float32(size)
    flicker = np.where(np.arange(6)[:, None] % 2, one, np.nextafter(one, np.float32(np.inf)))
    own = Standardiser.fit(Episodes.from_arrays([flicker] * 4, [flicker] * 4, returns=[size] * 4))
    assert (own.observation_std, own.return_std, own.action_half_range) == (1.0, 1.0, 0.0)
    varied = flicker + np.float32(0.001 * size) * np.arange(6, dtype=np.float32)[:, None]
    own = Standardiser.fit(Episodes.from_arrays([varied] * 4, [varied] * 4, returns=varied[:4, 0]))
    assert own.observation_std < 0.01 * size
    assert own.action_half_range > 0.001 * size
    assert own.return_std < 0.01 * size


def test_states_held_less_a_constant_are_standardised_by_the_standardisers_own():
    rng = np.random.default_rng(0)
    far = [1.7e9 + rng.normal(size=(5, 2)) * [1.0, 1e9] for _ in range(4)]
    with pytest.warns(UserWarning, match="state dimension 0 varies by too little"):
        episodes = Episodes.from_arrays(far, [np.zeros((4, 1))] * 4, returns=np.arange(4.0))
    own, exact = Standardiser.fit(episodes), np.concatenate([x[:4] for x in far])
    states = own.standardise_observation(own.less(exact))
    np.testing.assert_allclose(states, (exact - exact.mean(axis=0)) / exact.std(axis=0), atol=1e-5)
    np.testing.assert_allclose(states, own.standardise_observation(episodes.observations), atol=1e-6)
    moved = held_less(episodes, episodes.observation_offset + np.array([100.0, 0.0]))
    np.testing.assert_allclose(moved.raw(moved.observations)[:, 0], exact[:, 0], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(moved.observations[:, 1], episodes.observations[:, 1])
    back = held_less(moved, episodes.observation_offset)
    np.testing.assert_allclose(back.observations, episodes.observations, rtol=1e-6, atol=1e-4)
    assert held_less(episodes, episodes.observation_offset.copy()) is episodes


def test_returns_that_float32_cannot_tell_apart_keep_their_spread():
    returns = 1e9 + np.random.default_rng(0).normal(size=50)
    own = Standardiser.fit(Episodes.from_arrays([np.eye(2)] * 50, [np.eye(2)] * 50, returns=returns))
    y = own.standardise_return(returns)
    np.testing.assert_allclose(y, (returns - returns.mean()) / returns.std(), atol=1e-5)
    np.testing.assert_allclose(own.raw_return(y), returns, rtol=0, atol=1e-6)
