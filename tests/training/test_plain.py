"""With every addition off, training and queries are the paper's algorithm, written out in a straight line."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import straight_line
import tiny

import gac
from gac.config import AddedConfig
from gac.presets import NOTHING_ADDED, fast, paper, plain
from gac.training.offline import Trainer

UPDATES = 3
CONFIG = tiny.replace(
    dataclasses.replace(tiny.CONFIG, added=NOTHING_ADDED), free_bits=0.0, weight_decay=0.1, query_steps=25
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trainer before and after some updates, with the batches that they visited and what they logged."""
    episodes = tiny.make_episodes(14)
    trainer = Trainer(episodes, CONFIG, tmp_path_factory.mktemp("plain"))
    start = trainer.state
    logged = [trainer.step() for _ in range(UPDATES)]
    return trainer, start, logged


@pytest.fixture(scope="module")
def straight(run):
    trainer, start, logged = run
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        scale = float(trainer.episodes.lengths.mean())
        batches = [jnp.asarray(line["index"]) for line in logged]
        theta = jax.tree.map(jnp.asarray, start.theta)
        key, dim = start.key, tiny.OBSERVATION_DIM
        return straight_line.train(theta, trainer.data, batches, key, CONFIG, dim, scale)


def test_training_is_algorithm_1(run, straight):
    trainer, start, logged = run
    theta, (mu, log_sigma), means = straight
    np.testing.assert_allclose([line["elbo"] for line in logged], means, rtol=1e-4)
    visited = np.unique(np.concatenate([line["index"] for line in logged]))
    assert float(jnp.abs(mu[visited]).min()) > 0.0
    np.testing.assert_allclose(trainer.state.bank.mu, mu, atol=2e-3)
    np.testing.assert_allclose(trainer.state.bank.log_sigma, log_sigma, atol=2e-3)
    # Weights that change nothing, such as the bias of keys, drift with rounding; predictions do not.
    s0, noise = trainer.data.rows[trainer.data.starts[:4], : tiny.OBSERVATION_DIM], mu[visited[:4]]
    ours = trainer.state.theta.predicted_return(s0, noise)
    np.testing.assert_allclose(ours, theta.predicted_return(s0, noise), atol=1e-3)
    assert float(jnp.abs(ours - start.theta.predicted_return(s0, noise)).max()) > 5e-3
    assert tiny.same(trainer.state.theta, trainer.state.averaged), "theta itself acts"


def test_queries_are_equations_2_and_3(run):
    trainer, _, _ = run
    agent, first = trainer.agent(), trainer.episodes.observations[0]
    theta, seed = agent.model, 5
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), jnp.uint32(seed)), jnp.uint32(0))
    infer_key, aim_key, draw_key = jax.random.split(key, 3)
    plan = agent.plan(first, gac.Exploit(), seed=seed)
    explored = agent.plan(first, gac.Explore(0.5, 0.25), seed=seed)
    y = agent.standardiser.standardise_return(np.asarray(agent.facts.returns, np.float32))
    y_plus = jax.random.choice(aim_key, jnp.asarray(y[y >= np.quantile(y, 0.5)])) + 0.25
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        best = straight_line.exploit(theta, s0, CONFIG, infer_key)
        aimed = straight_line.explore(theta, s0, y_plus, CONFIG, infer_key, draw_key)
    np.testing.assert_allclose(plan.epsilon[0], best, atol=2e-3)
    np.testing.assert_allclose(explored.epsilon[0], aimed, atol=2e-3)
    assert float(jnp.abs(best).max()) > 0.5


def test_the_presets_differ_in_their_additions_and_sizes_alone():
    assert fast().added == AddedConfig()
    assert plain().added == paper().added == NOTHING_ADDED
    on, off = dataclasses.asdict(AddedConfig()), dataclasses.asdict(NOTHING_ADDED)
    assert all(on[name] != off[name] for name in on), "every addition is on in fast and off in plain"
    assert all(getattr(plain(), part) == getattr(fast(), part) for part in ("model", "training", "critics"))
    assert dataclasses.replace(plain().posterior, free_bits=1.0) == fast().posterior
    assert plain().posterior.free_bits == paper().posterior.free_bits == 0.0
