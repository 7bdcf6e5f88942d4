"""Units go there and back, in NumPy and in JAX, and a constant is no division by zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser, warn_of_outlier


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
    assert {x.dtype for x in (states, actions, y, *standardiser)} == {np.dtype(np.float32)}


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


@pytest.mark.parametrize("outlier", [1e6, -1e6])
def test_one_return_far_from_all_others_is_named(recwarn, outlier):
    returns = np.random.default_rng(0).normal(size=100).astype(np.float32)
    warn_of_outlier(returns)
    warn_of_outlier(np.ones(5, np.float32))
    assert not recwarn
    returns[17] = outlier
    with pytest.warns(UserWarning, match="episode 17 has the return"):
        warn_of_outlier(returns)
