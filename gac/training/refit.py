"""Closed-form M-step of the prior's first layer: move the prior to the aggregated posterior."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from gac.model.joint import Phi
from gac.model.prior import BaseNoise


def refit_base(base: BaseNoise, bank: Phi, train_index: Int[Array, "train"]) -> tuple[BaseNoise, Phi]:
    r"""Re-express base noise so that the aggregated posterior has mean 0 and second moment 1.

    Writes $\epsilon = \bar\mu + R S \epsilon'$: R holds the principal axes of the posterior means,
    S the standard deviation of $\frac1N \sum_i q_i$ along them. f_alpha is the same function of u,
    as A absorbs the change; every posterior is carried along. Among all affine maps with these axes
    this one has the least $\frac1N \sum_i KL(q_i \| N(0, I))$, hence the greatest ELBO.

    The axes are those of the means: where the means vary, the codes differ between trajectories and
    sigma is small; elsewhere sigma is about alike in all dimensions, and turning the axes costs the
    diagonal q nothing.

    Args:
        base: the layer now.
        bank: posteriors of all episodes, held-out ones included.
        train_index: the episodes whose posteriors are aggregated.

    Returns:
        The new layer and the bank in its coordinates.
    """
    shape = bank.mu.shape
    mu, variance = bank.mu.reshape(shape[0], -1), jnp.exp(2.0 * bank.log_sigma).reshape(shape[0], -1)
    centre = jnp.mean(mu[train_index], axis=0)
    centred = mu - centre[None]
    _, axes = jnp.linalg.eigh(centred[train_index].T @ centred[train_index])
    turned, variance = centred @ axes, variance @ (axes * axes)
    scale = jnp.sqrt(jnp.mean(turned[train_index] ** 2 + variance[train_index], axis=0))
    new_mu, new_log_sigma = turned / scale[None], 0.5 * jnp.log(variance) - jnp.log(scale)[None]
    matrix, offset = base.matrix @ (axes * scale[None]), base.offset + base.matrix @ centre
    new_base = eqx.tree_at(lambda layer: (layer.matrix, layer.offset), base, (matrix, offset))
    return new_base, Phi(new_mu.reshape(shape), new_log_sigma.reshape(shape))
