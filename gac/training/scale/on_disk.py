"""Training on episodes that stay on disk: a batch is read while the one before it is learned from.

The same programs run as in memory, on data and on a bank that hold one batch alone. Windows are drawn inside
them, as there: an update draws some eighty of each trajectory, which lie on nearly every page of it, so to
read an episode whole is the least that reading can cost, and in order.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray
from numpy import ndarray

from gac.config import Config, ModelConfig
from gac.data.blocks import release
from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.data.windows import DeviceEpisodes, to_device
from gac.errors import UserError
from gac.model.joint import Phi
from gac.training.added.refit import refit_on_host
from gac.training.scale.devices import copied, everywhere, mesh_for
from gac.training.scale.storage import Storage
from gac.training.update import (
    TrainState,
    all_finite,
    heldout_elbo,
    init_state,
    learn,
    with_base,
)
from gac.training.visits import Visit, Visits, make_visits, visited

_visited = jax.jit(visited, static_argnums=1)

Batch = tuple[Int[ndarray, "batch"], Visit, DeviceEpisodes]


class DiskEpisodes:
    """The episodes of each update, read from disk one update ahead.

    Args:
        episodes: with steps that stay on disk.
        visits: the episodes that may be drawn.
        batch_size: episodes of an update.
        key: the state's key, which with the update's number sets the batch, as in `visited`.
    """

    def __init__(
        self,
        episodes: Episodes,
        standardiser: Standardiser,
        visits: Visits,
        batch_size: int,
        key: PRNGKeyArray,
    ) -> None:
        self._episodes, self._standardiser = episodes, standardiser
        self._file = Path(cast(np.memmap, episodes.observations).filename or "")
        self._as_opened = _stamp(self._file)
        self._visits = visits
        self._batch_size = min(batch_size, len(visits.index))
        self._order_key, _ = jax.random.split(key)
        # A batch of the longest episodes sets the shape, or programs would be compiled for every batch.
        self.most_rows = int(
            np.sort(episodes.lengths[np.asarray(visits.index)] + 1)[-self._batch_size :].sum()
        )
        """Rows of the largest batch."""
        self._reader = ThreadPoolExecutor(1, "read-ahead")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def batch(self, update: int) -> Batch:
        """Places in the data of an update's episodes, their visit by places in the batch, and the batch.

        Raises:
            UserError: the file is no longer what it was.
        """
        if self._ahead is None or self._ahead[0] != update:
            self._ahead = update, self._reader.submit(self._batch, update)
        batch = self._ahead[1].result()
        self._ahead = update + 1, self._reader.submit(self._batch, update + 1)
        return batch

    def _batch(self, update: int) -> Batch:
        number = jnp.asarray(update, jnp.int32)
        visit = _visited(self._visits, self._batch_size, number, self._order_key)
        index = np.asarray(visit.index)
        places = jnp.arange(len(index), dtype=jnp.int32)
        return index, visit._replace(index=places), self.read(index, self.most_rows)

    def read(self, index: Int[ndarray, "batch"], rows: int | None = None) -> DeviceEpisodes:
        """The episodes at `index` alone, with room for so many rows."""
        self.check_unchanged()
        try:
            batch = to_device(self._episodes.select(index), self._standardiser, rows)
        finally:
            self.check_unchanged()
        for array in (self._episodes.observations, self._episodes.actions, self._episodes.rewards):
            if array is not None:
                release(array)
        return batch

    def check_unchanged(self) -> None:
        """Refuse a file that is no longer what it was.

        Raises:
            UserError: it has changed or vanished.
        """
        if _stamp(self._file) != self._as_opened:
            state = "changed" if self._file.exists() else "vanished"
            raise UserError(
                f"{self._file} has {state} since training began to read it, expected it as it was; "
                "put it back and go on with --resume"
            )


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def bank_on_host(num_episodes: int, config: ModelConfig) -> Phi:
    """Posteriors at the prior in the host's memory, where they change in place.

    A device holds those of a batch: all of them could be larger than its memory, and an update copies what it
    changes. Memory is taken as posteriors leave the prior.
    """
    shape = (num_episodes, config.latent_tokens, config.embed_dim)
    return Phi(*(cast(Array, np.zeros(shape, np.float32)) for _ in Phi._fields))


def _take(bank: Phi, index: Int[ndarray, "batch"]) -> Phi:
    return Phi(*(jnp.asarray(leaf[index]) for leaf in bank))


def _put(bank: Phi, index: Int[ndarray, "batch"], rows: Phi) -> None:
    for leaf, new in zip(bank, rows, strict=True):
        cast(ndarray, leaf)[index] = new


def _without_bank(state: TrainState) -> TrainState:
    """What of the state a device holds."""
    return state._replace(bank=None)  # type: ignore[arg-type]


def on_disk(
    episodes: Episodes,
    standardiser: Standardiser,
    config: Config,
    train_index: Int[ndarray, "train"],
    heldout_index: Int[ndarray, "heldout"],
) -> Storage:
    """Data on disk, posteriors in the host's memory: the device holds one batch of both, and theta.

    The programs change the state's bank in place.
    """
    observation_dim, longest = episodes.observation_dim, int(episodes.lengths.max())
    scale, batch_size = float(episodes.lengths.mean()), config.training.batch_size
    state = init_state(config, observation_dim, episodes.action_dim, num_episodes=0)
    state = state._replace(bank=bank_on_host(episodes.num_episodes, config.model))
    visits = make_visits(train_index, episodes.lengths[train_index], config)
    data = DiskEpisodes(episodes, standardiser, visits, batch_size, state.key)
    batch_bytes = data.most_rows * (observation_dim + episodes.action_dim) * np.float32().itemsize
    mesh = mesh_for(min(batch_size, len(train_index)), batch_bytes)
    learn_batch = everywhere(
        lambda state, stored, data, visit: learn(
            state, stored, data, visit, config, scale, observation_dim, mesh
        ),
        mesh,
    )

    def update(state: TrainState, data: DiskEpisodes) -> tuple[TrainState, dict[str, Any]]:
        number = int(state.update)
        index, visit, batch = data.batch(number)
        learned, phi, on_device = learn_batch(_without_bank(state), _take(state.bank, index), batch, visit)
        metrics = jax.device_get(on_device) | {"index": index}
        if not all_finite(metrics):
            return state, metrics
        _put(state.bank, index, phi)
        state = learned._replace(bank=state.bank)
        base = state.theta.prior.base
        refit_every = config.added.refit_every
        if refit_every and (number + 1) % refit_every == 0:
            base = refit_on_host(base, state.bank, train_index)
        return with_base(state, base), metrics

    places = jnp.arange(len(heldout_index), dtype=jnp.int32)
    fit_heldout = everywhere(
        lambda state, data: heldout_elbo(state, data, places, config, longest, observation_dim, mesh),
        mesh,
    )

    def heldout(state: TrainState, data: DiskEpisodes) -> Array:
        value: Array = fit_heldout(_without_bank(state), data.read(heldout_index))
        return value

    def placed(state: TrainState) -> TrainState:
        own = copied(_without_bank(state), mesh)
        # The bank stays on the host, where the programs change it in place.
        return own._replace(
            bank=Phi(*(cast(Array, np.require(leaf, requirements="W")) for leaf in state.bank))
        )

    return Storage(data, placed(state), update, heldout, placed, portable=lambda state: state)
