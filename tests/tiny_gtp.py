"""A tiny configuration of GTP, episodes with rewards, and the exact map of Gaussian actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from gac.data.episodes import Episodes
from gac.gtp.config import GTPConfig
from gac.gtp.critic import Transitions
from gac.gtp.map import FlowMap

CONFIG = GTPConfig(
    width=16,
    layers=2,
    time_features=4,
    levels_last=40,
    refine_every=20,
    critic_width=16,
    critic_layers=1,
    batch_size=8,
    value_samples=2,
    learning_rate=1e-3,
    checkpoint_seconds=0.0,
)
MEAN, STD = 0.1, 0.4
"""Of the actions whose map is known."""


def with_rewards(count=8, seed=0, final=True, env_id=None):
    """`tiny.make_episodes` with a reward at each step, and both kinds of ends."""
    plain = tiny.make_episodes(count, seed, final=True)
    rows = np.split(np.arange(plain.num_steps), np.cumsum(plain.lengths)[:-1])
    rng = np.random.default_rng(seed)
    last = plain.final_observations[:, None] if final else np.zeros((count, 0, tiny.OBSERVATION_DIM))
    return Episodes.from_arrays(
        [np.concatenate([plain.observations[r], last[i]]) for i, r in enumerate(rows)],
        [plain.actions[r] for r in rows],
        rewards=[rng.normal(size=len(r)) for r in rows],
        terminated=np.arange(count) % 2 == 0,
        env_id=env_id,
        name="tiny",
    )


def only_actions(actions):
    """Transitions of which nothing but the actions tells anything."""
    nothing = jnp.zeros((len(actions), 1))
    flat = nothing[:, 0]
    return Transitions(nothing, jnp.asarray(actions, jnp.float32), flat, nothing, flat > 0.0)


def ratio(t, s, std=STD):
    r"""Slope of the flow map of N(m, std²) from t to s: $\sqrt{(std² + s²) / (std² + t²)}$."""
    return jnp.sqrt((std**2 + s**2) / (std**2 + t**2))


class Exact(FlowMap):
    """The map of N(MEAN, STD²), whose slope may be multiplied by a factor to make it wrong."""

    factor: jax.Array

    def __init__(self, factor=1.0):
        super().__init__(dataclasses.replace(CONFIG, width=4), 1, 1, jax.random.key(0))
        self.factor = jnp.asarray(factor, jnp.float32)

    def phi(self, state, x, t, s):
        shrunk = STD**2 / (STD**2 + t**2)
        known = self.factor * ratio(t, s)
        same = jnp.abs(t - s) < 1e-6 * t
        # At s = t the limit; elsewhere Eq. (4) solved for phi.
        safe = jnp.where(same, 0.5 * t, s)
        slope = jnp.where(same, self.factor * shrunk, (known - safe / t) / (1.0 - safe / t))
        return MEAN + slope * (x - MEAN) + jnp.where(same, 0.0, 0.0 * x)
