"""Episodes as device arrays, and a sampler of windows that runs inside the compiled program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser, held_less


class Windows(NamedTuple):
    """Windows of M consecutive steps of each trajectory of a batch.

    `weight` makes `sum_k weight * f(window_k)` an unbiased estimate of the sum of f over all steps
    of the trajectory (exact when every window is drawn once).
    """

    states: Float[Array, "batch windows steps obs"]
    actions: Float[Array, "batch windows steps act"]
    next_states: Float[Array, "batch windows steps obs"]
    valid: Bool[Array, "batch windows steps"]
    next_valid: Bool[Array, "batch windows steps"]
    weight: Float[Array, "batch windows"]


class DeviceEpisodes(NamedTuple):
    """All episodes, standardised, flat: T + 1 rows of each (s_t, a_t), the last with no action."""

    rows: Float[Array, "rows features"]
    starts: Int[Array, "episodes"]
    lengths: Int[Array, "episodes"]
    has_final: Bool[Array, ""]
    y: Float[Array, "episodes"]

    @property
    def num_episodes(self) -> int:
        """Number E of episodes."""
        return self.starts.shape[0]


def to_device(
    episodes: Episodes, standardiser: Standardiser, rows_in_all: int | None = None
) -> DeviceEpisodes:
    """Standardise episodes and lay them out for gathering; more rows, if asked for, follow empty."""
    observation_dim = episodes.observation_dim
    offset = standardiser.observation_offset
    episodes = held_less(episodes, None if offset is None else np.asarray(offset, np.float64))
    starts = np.asarray(episodes.starts) + np.arange(episodes.num_episodes)
    used = episodes.num_steps + episodes.num_episodes
    rows = np.zeros((rows_in_all or used, observation_dim + episodes.action_dim), np.float32)
    ends = starts + episodes.lengths
    is_step = np.arange(len(rows)) < used
    is_step[ends] = False
    rows[is_step, :observation_dim] = standardiser.standardise_observation(episodes.observations)
    rows[is_step, observation_dim:] = standardiser.standardise_action(episodes.actions)
    if episodes.final_observations is not None:
        rows[ends, :observation_dim] = standardiser.standardise_observation(episodes.final_observations)
    return DeviceEpisodes(
        rows=jnp.asarray(rows),
        starts=jnp.asarray(starts, jnp.int32),
        lengths=jnp.asarray(episodes.lengths, jnp.int32),
        has_final=jnp.asarray(episodes.final_observations is not None),
        y=jnp.asarray(standardiser.standardise_return(episodes.returns), jnp.float32),
    )


def gather_windows(
    data: DeviceEpisodes,
    index: Int[Array, "batch"],
    first: Int[Array, "batch windows"],
    weight: Float[Array, "batch windows"],
    context: int,
    observation_dim: int,
) -> Windows:
    """The windows that begin at step `first` (which may lie before step 0 or run past the end)."""
    length = data.lengths[index][:, None, None]
    step = first[:, :, None] + jnp.arange(context + 1)[None, None, :]
    rows = data.rows[data.starts[index][:, None, None] + jnp.clip(step, 0, length)]
    states, actions = rows[..., :observation_dim], rows[..., observation_dim:]
    step = step[..., :-1]
    valid = (step >= 0) & (step < length)
    return Windows(
        states=states[:, :, :-1],
        actions=actions[:, :, :-1],
        next_states=states[:, :, 1:],
        valid=valid,
        next_valid=valid & (data.has_final | (step < length - 1)),
        weight=weight,
    )


def sample_windows(
    data: DeviceEpisodes,
    index: Int[Array, "batch"],
    key: PRNGKeyArray,
    windows: int,
    context: int,
    observation_dim: int,
) -> Windows:
    r"""Draw K windows of M steps from each trajectory by systematic sampling.

    The T + M - 1 windows that touch a trajectory cover each of its steps M times, once at every
    place of the context. One random phase per trajectory spreads the K draws evenly over them, so
    $\frac{T + M - 1}{K M} \sum_k$ is unbiased, with less variance than independent draws.
    """
    total = data.lengths[index][:, None].astype(jnp.float32) + (context - 1)
    phase = jax.random.uniform(key, (index.shape[0], 1))
    place = (jnp.arange(windows, dtype=jnp.float32)[None] + phase) * (total / windows)
    # Rounding in float32 could reach `total` itself, which is one past the last window.
    first = jnp.minimum(place, total - 1.0).astype(jnp.int32) - (context - 1)
    weight = jnp.broadcast_to(total / (windows * context), first.shape)
    return gather_windows(data, index, first, weight, context, observation_dim)


def chunk_of_all_windows(
    data: DeviceEpisodes,
    index: Int[Array, "batch"],
    chunk: Int[Array, ""],
    windows: int,
    context: int,
    observation_dim: int,
) -> Windows:
    """Windows `chunk * windows …` of the complete enumeration; those past the end weigh nothing."""
    place = (chunk * windows + jnp.arange(windows, dtype=jnp.int32))[None]
    total = data.lengths[index][:, None] + (context - 1)
    weight = jnp.where(place < total, 1.0 / context, 0.0)
    first = jnp.minimum(place, total - 1) - (context - 1)
    return gather_windows(data, index, first, weight, context, observation_dim)
