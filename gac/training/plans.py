"""What an agent keeps of its episodes: plans of some of them, and critics that these taught."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy import ndarray

from gac.config import Config
from gac.data.blocks import evenly_spaced
from gac.data.windows import DeviceEpisodes
from gac.inference.added.logged import Logged
from gac.inference.posterior import fit_posterior, load_batch
from gac.model.added.critics import Critics, has_critics
from gac.model.joint import GAC, Phi
from gac.training.added.critics import fit_critics
from gac.training.devices import gather, keep_whole, on_first, share_out
from gac.training.update import TrainState

STEPS = 100
"""Of local inference from the stored posteriors, under the averaged weights."""
FOLD = 2
"""What the key is folded with: split in two, it serves the held-out ELBO of the same update."""


class Kept(NamedTuple):
    """What an agent keeps of its episodes."""

    logged: Logged
    """The plans that exploit chooses among."""
    critics: Critics | None
    """What judges plans; None: the one critic of the model."""

    @classmethod
    def unknown(cls, config: Config) -> "Kept":
        """Of a model that has learned nothing yet."""
        none = Logged.unknown(0, config.added.members, config.model)
        return cls(none, Critics(config, jax.random.key(0)) if has_critics(config.added) else None)


class Fitted(NamedTuple):
    """Plans of some episodes, with the first states and the returns that go with them."""

    phi: Phi
    s0: Float[Array, "part obs"]
    y: Float[Array, "part"]


def fit_part(
    state: TrainState,
    stored: Phi,
    data: DeviceEpisodes,
    index: Int[Array, "part"],
    number: Int[Array, ""],
    config: Config,
    observation_dim: int,
    mesh: Mesh | None = None,
) -> Fitted:
    """q(epsilon | tau) of some episodes under the averaged weights, which do not change.

    Args:
        stored: their posteriors, where the fit starts.
        index: their places in data.
        number: which part it is.
        mesh: devices that the trajectories are shared out to.
    """
    key = jax.random.fold_in(jax.random.fold_in(state.key, -1 - state.update), FOLD)
    every = keep_whole(load_batch(data, index, observation_dim), mesh)
    batch, start = share_out((every, stored), mesh)
    fit_key = jax.random.fold_in(key, number)
    phi, _ = fit_posterior(state.averaged, data, batch, start, config, fit_key, STEPS)
    return Fitted(gather(phi, mesh), every.s0, every.y)


def kept_plans(
    fit: Callable[[Int[ndarray, "part"], int], Fitted],
    state: TrainState,
    train_index: Int[ndarray, "train"],
    config: Config,
) -> Kept:
    """The plans and critics of an agent, fitted a batch at a time: no more may fit in memory.

    Args:
        fit: from the places in the data of a part's episodes, and the part's number.
        state: of training, with the weights that act.
        train_index: training episodes, of which `searched` are taken, evenly spaced.
    """
    if not has_critics(config.added):
        return Kept.unknown(config)
    index = train_index[evenly_spaced(len(train_index), config.added.searched)]
    # One program serves all parts: the last begins early enough to be as large.
    size = min(config.training.batch_size, len(index))
    parts: list[Fitted] = []
    for number, start in enumerate(range(0, len(index), size)):
        early = min(start, len(index) - size)
        fitted = on_first(fit(index[early : early + size], number))
        parts.append(jax.tree.map(lambda leaf, known=start - early: leaf[known:], fitted))
    fitted = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    averaged, key = on_first(state.averaged), jax.random.fold_in(on_first(state.key), FOLD)
    plan = _read(averaged, fitted)
    critics, left_out = fit_critics(plan, fitted.y, config, key)
    return Kept(Logged(fitted.phi.mu, left_out), critics)


@jax.jit
def _read(model: GAC, fitted: Fitted) -> Float[Array, "episodes n_z dim"]:
    """The plans as the generator reads them, each from its own first state."""
    return model.prior(fitted.s0, fitted.phi.mu)[1]
