"""Closed-form M-step of the prior's first layer: move the prior to the aggregated posterior."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy import ndarray

from gac.data.blocks import row_blocks
from gac.model.joint import Phi
from gac.model.prior import BaseNoise

LARGEST_BASE = 1e6
"""Root mean square of u: of longer ones f_alpha only reads the direction (`gac.model.prior.bounded`)."""
WHOLE_BYTES = 2**26
"""Size of a bank up to which the step is taken at once: that needs several times its memory."""


def refit_base(
    base: BaseNoise,
    bank: Phi,
    train_index: Int[Array, "train"],
    emphasis: Float[Array, "train"] | None = None,
) -> tuple[BaseNoise, Phi]:
    r"""Re-express base noise so that the aggregated posterior has mean 0 and second moment 1.

    Writes $\epsilon = \bar\mu + R S \epsilon'$: R holds the principal axes of the posterior means,
    S the standard deviation of $\frac1N \sum_i q_i$ along them. f_alpha is the same function of u,
    as A absorbs the change; every posterior is carried along. Among all affine maps with these axes
    this one has the least $\frac1N \sum_i KL(q_i \| N(0, I))$. The turned posteriors have covariances off
    the diagonal, which q cannot hold: dropping them widens q, so the ELBO itself may fall a little.

    The axes are those of the means: where the means vary, the codes differ between trajectories and
    sigma is small; elsewhere sigma is about alike in all dimensions, and turning the axes costs the
    diagonal q nothing.

    Its products are in float32, whatever precision JAX is set to: the axes must stay orthogonal, and f_alpha
    must undo what the map changes in the posteriors.

    Args:
        base: the layer now.
        bank: posteriors of all episodes, held-out ones included; perhaps cut over devices.
        train_index: the episodes whose posteriors are aggregated.
        emphasis: N times the share w_i of each of them: then $\sum_i w_i q_i$ is aggregated.

    Returns:
        The new layer and the bank in its coordinates.
    """
    with jax.default_matmul_precision("float32"):
        shape = bank.mu.shape
        mu, variance = bank.mu.reshape(shape[0], -1), jnp.exp(2.0 * bank.log_sigma).reshape(shape[0], -1)
        # A share of every row, 0 for those that are not aggregated: a bank may be cut over devices, and so
        # every device adds up its own.
        each = jnp.ones(len(train_index)) if emphasis is None else emphasis
        share = jnp.zeros(shape[0]).at[train_index].set(each / len(train_index))[:, None]

        centre = jnp.sum(share * mu, axis=0)
        centred = mu - centre[None]
        _, axes = jnp.linalg.eigh(centred.T @ (share * centred))
        turned, variance = centred @ axes, variance @ (axes * axes)
        scale = jnp.sqrt(jnp.sum(share * (turned**2 + variance), axis=0))
        new_mu, new_log_sigma = turned / scale[None], 0.5 * jnp.log(variance) - jnp.log(scale)[None]
        matrix, offset = base.matrix @ (axes * scale[None]), base.offset + base.matrix @ centre
        return _layer(matrix, offset), Phi(new_mu.reshape(shape), new_log_sigma.reshape(shape))


_refit_at_once = eqx.filter_jit(refit_base)


def refit_on_host(base: BaseNoise, bank: Phi, train_index: Int[ndarray, "train"]) -> BaseNoise:
    """`refit_base` for a bank of NumPy arrays, which is carried along in place.

    Up to WHOLE_BYTES it is the same computation, to the bit; beyond, sums run block by block, and the result
    is the same but for rounding and the signs of the axes.
    """
    mu, log_sigma = (np.asarray(leaf).reshape(len(leaf), -1) for leaf in bank)
    if mu.nbytes + log_sigma.nbytes <= WHOLE_BYTES:
        on_device = Phi(jnp.asarray(bank.mu), jnp.asarray(bank.log_sigma))
        base, carried = _refit_at_once(base, on_device, jnp.asarray(train_index))
        mu[:], log_sigma[:] = (np.asarray(leaf).reshape(mu.shape) for leaf in carried)
        return base
    centre, axes, scale = _aggregated(mu, log_sigma, train_index)
    for rows in row_blocks(len(mu), mu[:1].nbytes):
        variance = np.exp(2.0 * log_sigma[rows]) @ (axes * axes)
        mu[rows] = (mu[rows] - centre) @ axes / scale
        log_sigma[rows] = 0.5 * np.log(variance) - np.log(scale)
    return _layer(base.matrix @ (axes * scale), base.offset + base.matrix @ centre)


def _layer(matrix: Float[Array, "latent latent"], offset: Float[Array, "latent"]) -> BaseNoise:
    """The layer, u shortened to LARGEST_BASE, which f_alpha does not see, before floats overflow."""
    size = len(offset)
    longer = jnp.sqrt((jnp.sum(matrix**2) + jnp.sum(offset**2)) / size) / LARGEST_BASE
    shorter = 1.0 / jnp.maximum(longer, 1.0)
    arrays = matrix * shorter, offset * shorter
    layer: BaseNoise = eqx.tree_at(lambda each: (each.matrix, each.offset), BaseNoise(size), arrays)
    return layer


def _aggregated(mu: ndarray, log_sigma: ndarray, train_index: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Centre, axes and standard deviations along them of the aggregated posterior, block by block."""
    latent, count, drawn = mu.shape[1], len(train_index), np.zeros(len(mu), bool)
    drawn[train_index] = True
    centre, variance, scatter = np.zeros(latent), np.zeros(latent), np.zeros((latent, latent))
    for rows in row_blocks(len(mu), mu[:1].nbytes):
        centre += mu[rows][drawn[rows]].sum(axis=0, dtype=np.float64) / count
    for rows in row_blocks(len(mu), mu[:1].nbytes):
        centred = mu[rows][drawn[rows]] - centre.astype(np.float32)
        scatter += centred.T @ centred / count
        variance += np.exp(2.0 * log_sigma[rows][drawn[rows]]).sum(axis=0, dtype=np.float64) / count
    second_moments, axes = np.linalg.eigh(scatter)
    scale = np.sqrt(second_moments + variance @ (axes * axes))
    return centre.astype(np.float32), axes.astype(np.float32), scale.astype(np.float32)
