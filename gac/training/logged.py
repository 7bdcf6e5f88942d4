r"""What an agent keeps of its episodes: plans of the best, and what the like of them returned.

The posterior of a lucky episode promises the luck, even given tau alone, as the critic learned from plans
that knew the return. But episodes of the same behaviour that had none of it lie near by. The residual of
plan i is what its nearest returned beyond its promise, each promised from its own first state:

$$c_i = \frac{\sum_{j \in N(i)} w_j\, (y_j - \mu_\gamma(z_y(s_0^j, \bar\epsilon_i)))}
    {\sum_{j \in N(i)} w_j}.$$

So $\mu_\gamma(z_y(s_0, \bar\epsilon_i)) + c_i$ is the mean return of the nearest, moved to s0 by the critic:
a regression by nearest neighbours in the space of plans. Episode i itself has no part in it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy import ndarray

from gac.config import Config
from gac.data.windows import DeviceEpisodes
from gac.inference.posterior import fit_posterior, load_batch
from gac.inference.trust_region import NEAREST, Logged, apart
from gac.model.joint import GAC, Phi
from gac.training.devices import gather, share_out
from gac.training.update import TrainState

MOST = 128
"""Episodes kept. Exploit looks for the best behaviour among them, which their own returns need not show."""
OTHERS = 512
"""Episodes beside them that may count as nearest, evenly from all others by rank of return."""
STEPS = 100
FOLD = 2
"""What the key is folded with: split in two, it serves the held-out ELBO of the same update."""


class Compared(NamedTuple):
    """Episodes whose plans are compared, in the order of the data."""

    index: Int[Array, "compared"]  # type: ignore[assignment]  # hides tuple.index
    best: Int[Array, "best"]
    """Places in `index` of those that are kept."""
    weight: Float[Array, "compared"]
    """How many training episodes each stands for."""


def compared_episodes(train_index: Int[ndarray, "train"], returns: Float[ndarray, "episodes"]) -> Compared:
    """The MOST training episodes of the highest returns, and OTHERS that stand for the rest."""
    order = train_index[np.argsort(-returns[train_index], kind="stable")]
    best, rest = order[:MOST], order[MOST:]
    count = min(OTHERS, len(rest))
    others = rest[(2 * np.arange(count) + 1) * len(rest) // max(2 * count, 1)]
    index = np.concatenate([best, others])
    weight = np.repeat(np.asarray([1.0, len(rest) / max(count, 1)], np.float32), [len(best), count])
    in_order = np.argsort(index)
    places = np.flatnonzero(in_order < len(best)).astype(np.int32)
    return Compared(jnp.asarray(index[in_order]), jnp.asarray(places), jnp.asarray(weight[in_order]))


def logged_posteriors(
    state: TrainState,
    stored: Phi,
    data: DeviceEpisodes,
    compared: Compared,
    config: Config,
    observation_dim: int,
    mesh: Mesh | None = None,
) -> Logged:
    """q(epsilon | tau) of the best episodes under the averaged weights, which do not change, and residuals.

    They start at the stored q(epsilon | tau, y) and unlearn the return.

    Args:
        stored: of the compared episodes.
        compared: by their places in data.
        mesh: devices that the trajectories are shared out to.
    """
    key = jax.random.fold_in(jax.random.fold_in(state.key, -1 - state.update), FOLD)
    every = load_batch(data, compared.index, observation_dim)
    batch, start = share_out((every, stored), mesh)
    phi, _ = fit_posterior(
        state.averaged, data, batch, start, config.posterior, key, STEPS, given_return=False
    )
    phi = gather(phi, mesh)
    found = residuals(state.averaged, phi, every.s0, every.y, compared.weight, compared.best)
    return Logged(jax.tree.map(lambda leaf: leaf[compared.best], phi), found)


def residuals(
    model: GAC,
    plans: Phi,
    s0: Float[Array, "compared obs"],
    y: Float[Array, "compared"],
    weight: Float[Array, "compared"],
    best: Int[Array, "best"],
) -> Float[Array, "best"]:
    """What the NEAREST to each of the best plans returned beyond its promise to them, standardised."""
    count = min(NEAREST, len(y) - 1)
    if count == 0:
        return jnp.zeros(1)

    def residual(place: Int[Array, ""]) -> Float[Array, ""]:
        plan = jax.tree.map(lambda leaf: leaf[place][None], plans)
        _, near = jax.lax.top_k(-apart(plan, plans).at[place].set(jnp.inf), count)
        promised = model.predicted_return(s0[near], jnp.broadcast_to(plan.mu, plans.mu[near].shape))
        return jnp.average(y[near] - promised, weights=weight[near])

    found: Float[Array, "best"] = jax.lax.map(residual, best)
    return found
