"""What a token sees: never the action it predicts, nothing later, nothing beyond the context, no padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.data.standardise import Standardiser
from gac.data.windows import gather_windows, to_device
from gac.model.generator import Generator

STEPS = 4


@pytest.fixture(scope="module")
def generator():
    """A generator whose biases are not zero, as after training."""
    return noisy_generator(transition_width=0)


def noisy_generator(transition_width):
    config = tiny.replace(tiny.CONFIG, heads=4, transition_width=transition_width)
    fresh = Generator(config.model, config.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))
    leaves, structure = jax.tree.flatten(fresh)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, noisy)


@pytest.fixture(scope="module")
def window(generator):
    """Memory, states, actions and valid of three trajectories, two windows each."""
    keys = jax.random.split(jax.random.key(2), 3)
    z_traj = jax.random.normal(keys[0], (3, 2, 16))
    states = jax.random.normal(keys[1], (3, 2, STEPS, tiny.OBSERVATION_DIM))
    actions = jax.random.uniform(keys[2], (3, 2, STEPS, tiny.ACTION_DIM), minval=-1.0)
    return generator.remember(z_traj), states, actions, jnp.ones((3, 2, STEPS), bool)


def moved(before, after):
    """Which steps' predictions changed at all."""
    return np.asarray(jnp.abs(before - after).max(axis=(0, 1, 3)) > 1e-6)


@pytest.mark.parametrize("step", range(STEPS))
def test_an_action_reaches_neither_its_own_prediction_nor_an_earlier_one(step, generator, window):
    memory, states, actions, valid = window
    a, s = generator(memory, states, actions, valid)
    a_new, s_new = generator(memory, states, actions.at[:, :, step].add(0.5), valid)
    np.testing.assert_array_equal(moved(a, a_new), np.arange(STEPS) > step)
    np.testing.assert_array_equal(moved(s, s_new), np.arange(STEPS) >= step)


@pytest.mark.parametrize("step", range(STEPS))
def test_a_state_reaches_only_predictions_from_its_step_on(step, generator, window):
    memory, states, actions, valid = window
    a, s = generator(memory, states, actions, valid)
    a_new, s_new = generator(memory, states.at[:, :, step].add(0.5), actions, valid)
    np.testing.assert_array_equal(moved(a, a_new), np.arange(STEPS) >= step)
    np.testing.assert_array_equal(moved(s, s_new), np.arange(STEPS) >= step)


def test_the_plan_reaches_every_prediction(generator, window):
    memory, states, actions, valid = window
    other = generator.remember(jnp.ones((3, 2, 16)))
    before, after = generator(memory, states, actions, valid), generator(other, states, actions, valid)
    assert all(moved(x, y).all() for x, y in zip(before, after, strict=True))


def test_a_transition_sees_its_own_state_and_action_alone(window):
    generator = noisy_generator(transition_width=16)
    _, states, actions, valid = window
    memory, other = (generator.remember(jnp.full((3, 2, 16), value)) for value in (1.0, -1.0))
    a, s = generator(memory, states, actions, valid)
    a_new, s_new = generator(other, states, actions, valid)
    assert moved(a, a_new).all()
    np.testing.assert_array_equal(s, s_new)
    for step in range(STEPS):
        here = np.arange(STEPS) == step
        _, s_new = generator(memory, states, actions.at[:, :, step].add(0.5), valid)
        np.testing.assert_array_equal(moved(s, s_new), here)
        _, s_new = generator(memory, states.at[:, :, step].add(0.5), actions, valid)
        np.testing.assert_array_equal(moved(s, s_new), here)


def test_padding_is_never_attended_to(generator, window):
    memory, states, actions, valid = window
    valid = valid.at[:, :, :2].set(False)
    before = generator(memory, states, actions, valid)
    after = generator(memory, states.at[:, :, :2].set(9.0), actions.at[:, :, :2].set(-9.0), valid)
    alone = generator(memory, states[:, :, 2:], actions[:, :, 2:], valid[:, :, 2:])
    for x, y, z in zip(before, after, alone, strict=True):
        np.testing.assert_allclose(x[:, :, 2:], y[:, :, 2:], atol=1e-6)
        np.testing.assert_allclose(x[:, :, 2:], z, atol=1e-5)


@pytest.mark.parametrize("context", [1, 2])
def test_steps_older_than_the_context_have_no_influence(context, generator):
    episodes = tiny.make_episodes(2, shortest=8)
    data = to_device(episodes, Standardiser.fit(episodes))
    memory, step = generator.remember(jnp.ones((1, 2, 16))), 6

    def predicted(changed):
        """The action at `step`, the last of its window, when the row of step `changed` is another."""
        rows = data.rows.at[data.starts[0] + changed].add(1.0)
        first = jnp.full((1, 1), step - context + 1, jnp.int32)
        w = gather_windows(
            data._replace(rows=rows),
            jnp.zeros(1, jnp.int32),
            first,
            jnp.ones((1, 1)),
            context,
            tiny.OBSERVATION_DIM,
        )
        return generator(memory, w.states, w.actions, w.valid)[0][0, 0, -1]

    untouched = predicted(step + 2)
    for age in range(step + 1):
        assert bool(jnp.any(predicted(step - age) != untouched)) is (age < context)


def test_the_folded_plan_is_plain_multi_head_attention(generator, window):
    block, heads = generator.blocks[0], generator.blocks[0].heads
    z = jax.random.normal(jax.random.key(3), (3, 2, 16))
    x = jax.random.normal(jax.random.key(4), (3, 2, 5, 16))
    width = 16 // heads
    key, value = np.split(
        np.asarray(z @ block.plan_key_value.weight + block.plan_key_value.bias[None, None]), 2, axis=-1
    )
    query = np.asarray(x @ block.plan_query.weight + block.plan_query.bias[None, None, None])
    out = np.zeros(x.shape)
    for b in range(3):
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = query[b][..., part] @ key[b][:, part].T / np.sqrt(width)
            weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
            out[b][..., part] = weights @ value[b][:, part]
    expected = out @ np.asarray(block.plan_out.weight) + np.asarray(block.plan_out.bias)
    np.testing.assert_allclose(block.read_plan(x, block.remember(z)), expected, rtol=2e-4, atol=2e-4)


def test_acting_takes_the_action_that_training_predicts(generator, window):
    memory, states, actions, valid = window
    for first in range(STEPS):  # as at the beginning of an episode, when part of the context is empty
        seen = valid.at[:, :, :first].set(False)
        expected, _ = generator(memory, states, actions, seen)
        action = generator.act(memory, states[:, 0], actions[:, 0, :-1], seen[:, 0])
        np.testing.assert_allclose(action, expected[:, 0, -1], atol=1e-5)
