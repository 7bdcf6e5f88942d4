"""Acting: NumPy as JAX, one as many, the same again after a load."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import toy_env
from tiny_gtp import CONFIG, with_rewards

import gac
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.gtp.acting import Noise, Sampler
from gac.gtp.map import FlowMap
from gac.gtp.sampling import sample
from gac.records import DataFacts, read_evaluation

EPISODES = with_rewards(env_id=toy_env.ID.split(":")[1])


def agent_of(**fields):
    config = dataclasses.replace(CONFIG, **fields)
    actor = FlowMap(config, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))
    return gac.GTPAgent(actor, Standardiser.fit(EPISODES), config, DataFacts.of(EPISODES))


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("sampler", ["map", "euler"])
def test_numpy_and_jax_sample_the_same_actions(steps, sampler):
    agent, rng = agent_of(sampler=sampler), np.random.default_rng(0)
    # Actions are beyond the bounds in one dimension, where they are clipped.
    bias = jnp.array([0.0, 5.0])
    agent.actor = eqx.tree_at(lambda tree: tree.network.out.bias, agent.actor, bias)
    state, z = rng.standard_normal((7, 3), np.float32), rng.standard_normal((7, 2), np.float32)
    fast = Sampler(agent.actor, agent.config, steps)
    wanted = sample(agent.actor, jnp.asarray(state), jnp.asarray(z), agent.config, steps)
    np.testing.assert_allclose(fast(state, z), wanted, atol=2e-5)
    for row in range(7):
        np.testing.assert_allclose(fast(state[row], z[row]), wanted[row], atol=2e-5)
    np.testing.assert_allclose(fast(state, z), wanted, atol=2e-5)
    assert np.abs(np.asarray(wanted)).max() == 1.0


def test_a_row_acts_alike_whatever_else_is_in_the_batch():
    agent, seen = agent_of(), EPISODES.observations[:6]
    whole = agent.policy(seed=4)(seen)
    part = agent.policy(seed=6)(seen[2:4])
    np.testing.assert_allclose(whole[2:4], part, atol=1e-5)
    np.testing.assert_allclose(agent.policy(seed=5)(seen[1]), whole[1], atol=1e-5)
    policy = agent.policy(seed=4)
    gone = seen.copy()
    gone[0] = np.nan
    active = np.array([False] + [True] * 5)
    np.testing.assert_allclose(policy(gone, active)[1:], whole[1:], atol=1e-5)


def test_noise_goes_on_from_block_to_block_and_is_normal():
    noise = Noise(0, 2)
    drawn = np.stack([noise(3).copy() for _ in range(1000)])
    assert abs(drawn.mean()) < 0.05
    assert abs(drawn.std() - 1.0) < 0.05
    assert len(np.unique(drawn)) == drawn.size


def test_an_act_is_another_draw_within_the_range_of_the_data():
    agent = agent_of()
    first, second = (agent.act(EPISODES.observations[0]) for _ in range(2))
    assert first.shape == (tiny.ACTION_DIM,)
    assert not np.array_equal(first, second)
    many = agent.act(EPISODES.observations[:5])
    assert many.shape == (5, tiny.ACTION_DIM)
    assert (many >= EPISODES.actions.min(axis=0) - 1e-6).all()
    assert (many <= EPISODES.actions.max(axis=0) + 1e-6).all()


def test_what_is_saved_acts_the_same(tmp_path):
    agent = agent_of()
    agent.save(tmp_path / "run")
    again = gac.load(tmp_path / "run")
    assert isinstance(again, gac.GTPAgent)
    assert again.config == agent.config
    seen = EPISODES.observations[:5]
    np.testing.assert_array_equal(again.policy(seed=1)(seen), agent.policy(seed=1)(seen))


@pytest.mark.parametrize(
    ("observation", "said"),
    [(np.zeros(4), r"shape \(4,\)"), (np.zeros((1, 2, 3)), "shape"), ([0.0, np.nan, 0.0], "NaN")],
)
def test_what_is_no_observation_is_refused(observation, said):
    with pytest.raises(UserError, match=said):
        agent_of().act(observation)


@pytest.mark.parametrize("steps", [0, -1, 100_000])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    with pytest.raises(UserError, match=f"steps is {steps}"):
        agent_of().policy(steps=steps)


def test_episodes_are_played_and_recorded(tmp_path):
    agent = agent_of()
    record = gac.evaluate(agent, toy_env.ID, episodes=5, seed=3, steps=2)
    assert (record.query, record.steps, record.predicted_returns) == ("steps-2", 2, ())
    assert len(record.returns) == len(record.lengths) == 5
    again = gac.evaluate(agent, toy_env.ID, episodes=5, seed=3, steps=2)
    assert record.returns == again.returns
    part = gac.evaluate(agent, toy_env.ID, episodes=2, seed=5, steps=2)
    np.testing.assert_allclose(part.returns, record.returns[2:4], rtol=1e-5)
    assert read_evaluation(record.to_json(), "here", "eval-steps-2") == record
    raw = json.loads(record.to_json())
    assert {
        "env_id",
        "seed",
        "returns",
        "lengths",
        "mean",
        "std",
        "normalized_mean",
        "versions",
    } <= raw.keys()
    with pytest.raises(UserError, match="episodes is 0"):
        gac.evaluate(agent, toy_env.ID, episodes=0)
