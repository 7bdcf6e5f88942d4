"""The smallest model, data and environment that can show whether something holds."""

import dataclasses

import numpy as np

from gac.config import AddedConfig, Config, CriticsConfig, ModelConfig, PosteriorConfig, TrainingConfig
from gac.data.episodes import Episodes

OBSERVATION_DIM, ACTION_DIM = 3, 2
READS_COMPILED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}
"""For processes that are killed: should there be a cache of compiled programs, they leave no half of one."""
UPDATES = 12
MODEL = ModelConfig(
    embed_dim=16,
    latent_tokens=2,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    context=2,
    sigma_y=0.3,
)
CONFIG = Config(
    preset="tiny",
    model=MODEL,
    posterior=PosteriorConfig(inner_steps=4, inner_windows=2),
    training=TrainingConfig(
        batch_size=4,
        outer_steps=2,
        outer_windows=2,
        outer_lr=3e-3,
        warmup_steps=5,
        heldout_fraction=0.2,
        heldout_every=4,
        checkpoint_seconds=0.0,
    ),
    critics=CriticsConfig(critic_hidden=8, critic_steps=50, critic_batch=8, critic_lr=3e-3),
    added=AddedConfig(actor_width=16, transition_width=16, members=4, averaging=0.9, refit_every=3),
)


def replace(config, **fields):
    """The configuration with some fields replaced, whichever part they are in."""
    for part in ("model", "posterior", "training", "query", "critics", "added"):
        old = getattr(config, part)
        own = {name: value for name, value in fields.items() if hasattr(old, name)}
        config = dataclasses.replace(config, **{part: dataclasses.replace(old, **own)})
    return config


def make_episodes(count=10, seed=0, shortest=3, longest=9, final=True, env_id=None):
    """Episodes in which one hidden number sets both what is done and what is earned."""
    rng = np.random.default_rng(seed)
    skill = rng.uniform(-1.0, 1.0, count)
    observations, actions = [], []
    for one in skill:
        length = int(rng.integers(shortest, longest + 1))
        observations.append(rng.normal(size=(length + final, OBSERVATION_DIM)).cumsum(axis=0))
        actions.append(np.clip(one + 0.1 * rng.normal(size=(length, ACTION_DIM)), -1.0, 1.0))
    return Episodes.from_arrays(
        observations, actions, returns=100.0 + 50.0 * skill, env_id=env_id, name="tiny"
    )


def same(a, b):
    """Whether two trees hold the same arrays, to the bit."""
    import jax

    leaves = [
        [jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in side]
        for side in (jax.tree.leaves(a), jax.tree.leaves(b))
    ]
    return len(leaves[0]) == len(leaves[1]) and all(
        np.asarray(x).dtype == np.asarray(y).dtype and np.array_equal(x, y)
        for x, y in zip(*leaves, strict=True)
    )


def learned(model):
    """What training and acting share of a model: an agent's plans may be judged by critics of its own."""
    return model.prior, model.generator


def check_acts_alike(agent, first, plan, other):
    """Whole, in halves, and where no new plan is due: the same actions, and not those of another plan."""
    import gac

    middle = len(first) // 2
    whole, (one, two) = agent.policy(plan), agent.policy(plan).halves()
    every, different = agent.policy(plan, gac.Every(100)), agent.policy(other)
    apart = 0.0
    for step in range(4):
        seen = first + 0.1 * step
        action = whole(seen)
        parts = np.concatenate([one(seen[:middle]), two(seen[middle:])])
        np.testing.assert_allclose(action, parts, atol=1e-5)
        np.testing.assert_allclose(action, every(seen), atol=1e-5)
        apart = max(apart, np.abs(action - different(seen)).max())
    assert apart > 1e-3
