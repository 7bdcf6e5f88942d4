"""The rolling context is what training shows: the last M steps, and nothing before the first."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac.acting.plans import Plans
from gac.acting.policy import Acting, Policy
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.model.generator import Generator

STEPS, BATCH = 5, 3


@pytest.fixture(scope="module")
def standardiser():
    return Standardiser.fit(tiny.make_episodes())


@pytest.fixture(scope="module")
def generator():
    generator = Generator(
        tiny.MODEL, tiny.CONFIG.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0)
    )
    # Actions that depend clearly on what is seen.
    return jax.tree.map(lambda leaf: 1.5 * leaf, generator)


@pytest.fixture(scope="module")
def memory(generator):
    return generator.remember(jax.random.normal(jax.random.key(1), (BATCH, 2, 16)))


@pytest.fixture(scope="module")
def observations():
    return np.random.default_rng(0).normal(size=(STEPS, BATCH, tiny.OBSERVATION_DIM)).astype(np.float32)


def acting(generator, standardiser, memory):
    """One plan for each row, of which the generator reads this."""
    return Acting(generator, standardiser, Plans(jnp.zeros((BATCH, 2, 16)), memory))


@pytest.mark.parametrize("context", [1, 3])
def test_the_rolling_context_is_the_window_of_training(
    context, generator, memory, standardiser, observations
):
    policy = Policy(acting(generator, standardiser, memory), context, single=False)
    taken = np.stack([policy(observation) for observation in observations])
    predict = eqx.filter_jit(generator)
    states = jnp.asarray(standardiser.standardise_observation(observations)).transpose(1, 0, 2)
    scaled = jnp.asarray(standardiser.standardise_action(taken)).transpose(1, 0, 2)
    for t in range(STEPS):
        window = slice(max(0, t + 1 - context), t + 1)
        shape = (BATCH, 1, window.stop - window.start)
        # The action at t is masked from its own prediction: what stands there does not matter.
        mean, _ = predict(
            memory,
            states[:, None, window],
            scaled[:, None, window].at[:, :, -1].set(0.3),
            jnp.ones(shape, bool),
        )
        expected = standardiser.raw_action(jnp.clip(mean[:, 0, -1], -1.0, 1.0))
        np.testing.assert_allclose(taken[t], expected, atol=1e-4)


def test_a_reset_forgets_and_rows_do_not_mix(generator, memory, standardiser, observations):
    policy = Policy(acting(generator, standardiser, memory), 2, single=False)
    first = [policy(observation) for observation in observations[:3]]
    assert not np.allclose(policy(observations[0]), first[0], atol=1e-4)
    policy.reset()
    again = [policy(observation) for observation in observations[:3]]
    np.testing.assert_array_equal(first, again)
    policy.reset()
    changed = observations[:3].copy()
    changed[:, 1] += 1.0
    other = np.stack([policy(observation) for observation in changed])
    np.testing.assert_allclose(other[:, [0, 2]], np.stack(first)[:, [0, 2]], atol=1e-5)
    assert not np.allclose(other[:, 1], np.stack(first)[:, 1], atol=1e-3)


def test_actions_stay_in_the_range_of_the_data(generator, memory, standardiser):
    policy = Policy(acting(generator, standardiser, memory), 2, single=False)
    actions = policy(np.full((BATCH, tiny.OBSERVATION_DIM), 1e4, np.float32))
    assert (np.abs(standardiser.standardise_action(actions)) <= 1.0 + 1e-5).all()


def test_one_observation_gives_one_action(trained):
    first = trained.episodes.observations[0]
    plan = trained.agent.plan(first, gac.Prior())
    single = trained.agent.policy(plan)(first)
    batch = trained.agent.policy(plan._replace(single=False))(first[None])
    assert single.shape == (tiny.ACTION_DIM,)
    np.testing.assert_array_equal(single, batch[0])


def test_an_observation_of_another_shape_is_refused(generator, memory, standardiser):
    policy = Policy(acting(generator, standardiser, memory), 2, single=False)
    for shape in ((BATCH - 1, 3), (BATCH, 4), (3,)):
        with pytest.raises(UserError, match="as at planning"):
            policy(np.zeros(shape, np.float32))
