"""What is measured on: noise in the shapes of Hopper, and a model that has learned nothing.

Speed depends on the shapes alone; how long plans take to converge and episodes last also depends on what the
model has learned, for which `gac bench --run` measures a trained one.
"""

import dataclasses
import shlex
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from gac.agent import Agent
from gac.config import Config
from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.data.windows import DeviceEpisodes, to_device
from gac.inference.added.logged import unknown
from gac.inference.posterior import Batch, load_batch
from gac.model.added.critics import Critics, has_critics
from gac.records import DataFacts
from gac.report.provenance import changed_flags
from gac.training.update import TrainState, init_state

OBSERVATION_DIM, ACTION_DIM = 11, 3
ENV_ID = "Hopper-v4"
EPISODES = 1281
"""As many as hopper-medium-replay has."""


class Workload(NamedTuple):
    """A batch of a run's first update, and all that its steps read."""

    config: Config
    episodes: Episodes
    data: DeviceEpisodes
    state: TrainState
    batch: Batch
    agent: Agent


def synthetic(lengths: Int[ndarray, "episodes"]) -> Episodes:
    """Noise in Hopper's shapes."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((lengths.sum() + len(lengths), OBSERVATION_DIM), np.float32)
    actions = rng.uniform(-1.0, 1.0, (lengths.sum(), ACTION_DIM)).astype(np.float32)
    rows, ends = np.cumsum(lengths + 1)[:-1], np.cumsum(lengths)[:-1]
    return Episodes.from_arrays(
        np.split(states, rows),
        np.split(actions, ends),
        returns=lengths.astype(np.float32),
        env_id=ENV_ID,
        name="noise",
    )


def like_replay(count: int = EPISODES) -> Episodes:
    """Episodes of about the lengths of hopper-medium-replay: 29 to 1000, mean about 170."""
    lengths = 29 + np.random.default_rng(0).exponential(140.0, count)
    return synthetic(np.minimum(lengths, 1000).astype(int))


def make_workload(config: Config, episodes: Episodes) -> Workload:
    """The first update of a run on these episodes."""
    standardiser = Standardiser.fit(episodes)
    data = to_device(episodes, standardiser)
    state = init_state(config, OBSERVATION_DIM, ACTION_DIM, episodes.num_episodes)
    index = jnp.arange(config.training.batch_size, dtype=jnp.int32) % episodes.num_episodes
    model, added = state.averaged, config.added
    logged = unknown(min(added.searched, episodes.num_episodes), config.model)
    if has_critics(added):
        model = model.judged_by(Critics(config, jax.random.key(0)))
    return Workload(
        config=config,
        episodes=episodes,
        data=data,
        state=state,
        batch=load_batch(data, index, OBSERVATION_DIM),
        agent=Agent(model, logged, standardiser, config, DataFacts.of(episodes)),
    )


def first_observations(agent: Agent, count: int) -> Float[ndarray, "count obs"]:
    """First observations in the likeness of the data's: its mean, and a tenth of its spread."""
    s = agent.standardiser
    noise = np.random.default_rng(0).standard_normal((count, agent.observation_dim), np.float32)
    observations: ndarray = np.asarray(s.observation_mean + np.float32(0.1) * s.observation_std * noise)
    return observations


def shrunk(config: Config) -> Config:
    """The preset with the smallest sizes that still run every line: for trying out, not for figures."""
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            config.model, embed_dim=16, latent_tokens=2, heads=2, encoder_layers=1, decoder_layers=1
        ),
        posterior=dataclasses.replace(config.posterior, inner_steps=4, inner_windows=2),
        training=dataclasses.replace(config.training, batch_size=8, outer_steps=2, outer_windows=2),
    )


def flags(config: Config) -> list[str]:
    """The words after `gac train` that give this configuration."""
    return ["--preset", config.preset, "--seed", str(config.seed), *shlex.split(changed_flags(config))]
