"""Training on episodes in memory: data and posteriors lie on the device."""

import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from numpy import ndarray

from gac.config import Config
from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.data.windows import DeviceEpisodes, to_device
from gac.training.scale.bank import filled, gathered, room
from gac.training.scale.devices import WHOLE, copied, everywhere, mesh_for
from gac.training.scale.storage import Storage
from gac.training.update import LAYOUT, TrainState, heldout_elbo, init_state, update
from gac.training.visits import Visits, make_visits


def in_memory(
    episodes: Episodes,
    standardiser: Standardiser,
    config: Config,
    train_index: Int[ndarray, "train"],
    heldout_index: Int[ndarray, "heldout"],
    share: Float[ndarray, "train"] | None = None,
    data: DeviceEpisodes | None = None,
) -> Storage:
    """Data and posteriors on the device: an update is one compiled program, with nothing left to the host.

    Args:
        share: of each training episode in what is learned, summing to 1; all the same unless given.
        data: the episodes where they are on the device already.
    """
    observation_dim, longest = episodes.observation_dim, int(episodes.lengths.max())
    lengths = episodes.lengths[train_index]
    scale = float(episodes.lengths.mean() if share is None else (share * lengths).sum())
    visits = make_visits(train_index, lengths, config, share)
    heldout = jnp.asarray(heldout_index)
    # Data that are on a device already belong to a program of many runs.
    mesh = None
    if data is None:
        data = to_device(episodes, standardiser)
        mesh = mesh_for(min(config.training.batch_size, len(train_index)), data.rows.nbytes)
        data = copied(data, mesh)

    # What a seed decides is handed to the programs, not built into them: other seeds find them on disk.
    arguments, given = (WHOLE, LAYOUT, WHOLE), (LAYOUT, WHOLE)

    def updated(visits: Visits, state: TrainState, data: DeviceEpisodes) -> tuple[TrainState, Any]:
        return update(state, data, visits, config, scale, observation_dim, mesh)

    def judged(index: Array, state: TrainState, data: DeviceEpisodes) -> Array:
        return heldout_elbo(state, data, index, config, longest, observation_dim, mesh)

    def placed(state: TrainState) -> TrainState:
        return copied(
            state._replace(bank=filled(state.bank, room(episodes.num_episodes, mesh))), mesh, LAYOUT
        )

    def portable(state: TrainState) -> TrainState:
        return state._replace(bank=gathered(state.bank, episodes.num_episodes, mesh))

    return Storage(
        data,
        placed(init_state(config, observation_dim, episodes.action_dim, episodes.num_episodes)),
        functools.partial(everywhere(updated, mesh, arguments, given), copied(visits, mesh)),
        functools.partial(everywhere(judged, mesh, arguments), copied(heldout, mesh)),
        placed,
        portable,
    )
