"""What an agent keeps of the episodes it learned from: posteriors of the best, given tau alone."""

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy import ndarray

from gac.config import Config
from gac.data.windows import DeviceEpisodes
from gac.inference.posterior import fit_posterior, load_batch
from gac.model.joint import Phi
from gac.training.devices import gather, share_out
from gac.training.update import TrainState

MOST = 128
"""Episodes kept. Exploit looks for the best behaviour among them, which their own returns need not show."""
STEPS = 100
FOLD = 2
"""What the key is folded with: split in two, it serves the held-out ELBO of the same update."""


def best_episodes(
    train_index: Int[ndarray, "train"], returns: Float[ndarray, "episodes"]
) -> Int[ndarray, "best"]:
    """The MOST training episodes of the highest returns, in the order of the data."""
    best = np.argsort(-returns[train_index], kind="stable")[:MOST]
    return np.sort(train_index[best])


def logged_posteriors(
    state: TrainState,
    stored: Phi,
    data: DeviceEpisodes,
    index: Int[Array, "best"],
    config: Config,
    observation_dim: int,
    mesh: Mesh | None = None,
) -> Phi:
    """q(epsilon | tau) of the trajectories at `index` under the averaged weights, which do not change.

    They start at the stored q(epsilon | tau, y) and unlearn the return.

    Args:
        mesh: devices that the trajectories are shared out to.
    """
    key = jax.random.fold_in(jax.random.fold_in(state.key, -1 - state.update), FOLD)
    batch = share_out(load_batch(data, index, observation_dim), mesh)
    start = share_out(stored, mesh)
    phi, _ = fit_posterior(
        state.averaged, data, batch, start, config.posterior, key, STEPS, given_return=False
    )
    return gather(phi, mesh)
