r"""What an agent keeps of its episodes: plans of the best, and what the like of them returned.

The posterior of a lucky episode promises the luck, even given tau alone, as the critic learned from plans
that knew the return. But episodes of the same behaviour that had none of it lie near by. The residual of
plan i is what its nearest returned beyond its promise, each promised from its own first state:

$$c_i = \frac{\sum_{j \in N(i)} w_j\, (y_j - \mu_\gamma(z_y(s_0^j, \bar\epsilon_i)))}
    {\sum_{j \in N(i)} w_j}.$$

So $\mu_\gamma(z_y(s_0, \bar\epsilon_i)) + c_i$ is the mean return of the nearest, moved to s0 by the critic:
a regression by nearest neighbours in the space of plans. Episode i itself has no part in it.

Twenty returns have luck of their own, and the largest of many such sums would be a choice by luck. So each
$c_i$ is drawn towards the mean of all and keeps the share $v / (v + e_i^2)$ of its distance that is not luck,
with its standard error $e_i$ and $v = \max(0, \mathrm{Var}(c) - \overline{e^2})$ over the kept plans. Where
nothing but luck sets them apart, promises alone decide.

Source of the last: empirical Bayes as in B. Efron and C. Morris, JASA 1975, for unequal errors.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy import ndarray

from gac.config import Config
from gac.data.windows import DeviceEpisodes
from gac.inference.posterior import fit_posterior, load_batch
from gac.inference.trust_region import Logged, nearest_of
from gac.model.joint import GAC, Phi
from gac.training.devices import gather, keep_whole, on_first, share_out
from gac.training.update import TrainState

MOST = 128
"""Episodes kept. Exploit looks for the best behaviour among them, which their own returns need not show."""
OTHERS = 512
"""Episodes beside them that may count as nearest, evenly from all others by rank of return."""
NEAREST = 20
"""Episodes that tell what the like of a plan returned, at most."""
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


class Fitted(NamedTuple):
    """Plans of some episodes, with what their residuals are made of."""

    phi: Phi
    """q(epsilon | tau)."""
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

    They start at the stored q(epsilon | tau, y) and unlearn the return.

    Args:
        stored: of these episodes.
        index: their places in data.
        number: which part it is.
        mesh: devices that the trajectories are shared out to.
    """
    key = jax.random.fold_in(jax.random.fold_in(state.key, -1 - state.update), FOLD)
    every = keep_whole(load_batch(data, index, observation_dim), mesh)
    batch, start = share_out((every, stored), mesh)
    phi, _ = fit_posterior(
        state.averaged,
        data,
        batch,
        start,
        config,
        jax.random.fold_in(key, number),
        STEPS,
        given_return=False,
    )
    return Fitted(gather(phi, mesh), every.s0, every.y)


def fit_in_parts(
    fit: Callable[[Int[ndarray, "part"], int], Fitted],
    averaged: GAC,
    compared: Compared,
    size: int,
    residuals: bool,
) -> Logged:
    """The plans that an agent keeps, fitted a batch at a time: of episodes on disk, no more fit in memory.

    Args:
        fit: from the places in the data of a part's episodes, and the part's number.
        averaged: the weights that act.
        size: episodes of a part. The last one begins early enough to be as large: one program serves all.
        residuals: whether predicted returns are corrected by those of similar episodes.
    """
    index = np.asarray(compared.index)
    size = min(size, len(index))
    parts: list[Fitted] = []
    for number, start in enumerate(range(0, len(index), size)):
        early = min(start, len(index) - size)
        fitted = on_first(fit(index[early : early + size], number))
        parts.append(jax.tree.map(lambda leaf, known=start - early: leaf[known:], fitted))
    fitted, compared = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts), on_first(compared)
    found = jnp.zeros(len(compared.best))
    if residuals:
        found = _residuals(on_first(averaged), fitted, compared)
    return Logged(jax.tree.map(lambda leaf: leaf[compared.best], fitted.phi), found)


def residuals(model: GAC, fitted: Fitted, compared: Compared) -> Float[Array, "best"]:
    """$c_i$ of the best plans, standardised; 0 if the nearest are less than two and tell nothing of luck."""
    if (count := nearest_of(len(fitted.y) - 1, NEAREST)) < 2:
        return jnp.zeros(len(compared.best))
    return without_luck(*beyond_promise(model, fitted, compared, count))


def beyond_promise(
    model: GAC, fitted: Fitted, compared: Compared, count: int
) -> tuple[Float[Array, "best"], Float[Array, "best"]]:
    """What the `count` nearest to each of the best plans returned beyond its promise to them.

    Returns:
        Their weighted mean and its squared standard error.
    """
    (plans, s0, y), weight = fitted, compared.weight

    def beyond(place: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        plan = jax.tree.map(lambda leaf: leaf[place][None], plans)
        _, near = jax.lax.top_k(-divergence(plan, plans).at[place].set(jnp.inf), count)
        promised = model.predicted_return(s0[near], jnp.broadcast_to(plan.mu, plans.mu[near].shape))
        excess, share = y[near] - promised, weight[near] / jnp.sum(weight[near])
        mean, effective = jnp.sum(share * excess), 1.0 / jnp.sum(share**2)
        return mean, jnp.sum(share * (excess - mean) ** 2) / (effective - 1.0)

    found: tuple[Float[Array, "best"], Float[Array, "best"]] = jax.lax.map(beyond, compared.best)
    return found


def divergence(plan: Phi, others: Phi) -> Float[Array, "episodes"]:
    r"""$KL(q \| q_j) + KL(q_j \| q)$ of one plan, a row by itself, and each of the others.

    Regions go by another measure, `gac.inference.trust_region.apart`. With residuals by that one, exploit
    chose plans in a maze that start far away and never arrive.
    """
    return jnp.sum(others.kl_to(plan) + plan.kl_to(others), axis=-1)


def without_luck(found: Float[Array, "best"], squared_error: Float[Array, "best"]) -> Float[Array, "best"]:
    """Estimates drawn towards their mean by the share of their variance that their errors explain."""
    mean, variance = jnp.mean(found), jnp.var(found) - jnp.mean(squared_error)
    share = jnp.where(variance > 0.0, variance / (variance + squared_error), 0.0)
    return mean + share * (found - mean)


_residuals = eqx.filter_jit(residuals)
