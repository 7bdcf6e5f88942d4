"""Gaussians with a diagonal covariance: densities, divergence, scale parameters."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_2PI = math.log(2.0 * math.pi)
SMALLEST_SIGMA = 0.01
"""Floor of learned ones, in the units of the model: the likelihood of a constant would have no bound."""


class Sigma(eqx.Module):
    """Standard deviations, one per dimension: fixed at their start, or learned from it."""

    log_value: Float[Array, "dim"]
    learned: bool = eqx.field(static=True)

    def __init__(self, dim: int, start: float, learned: bool) -> None:
        above = start**2 - SMALLEST_SIGMA**2 if learned else start**2
        self.log_value = jnp.full(dim, 0.5 * math.log(max(above, SMALLEST_SIGMA**4)), jnp.float32)
        self.learned = learned

    def __call__(self) -> Float[Array, "dim"]:
        if not self.learned:
            return jnp.exp(jax.lax.stop_gradient(self.log_value))
        # Smooth, so that a value at the floor still has a gradient that can raise it.
        return jnp.sqrt(SMALLEST_SIGMA**2 + jnp.exp(2.0 * self.log_value))


def gaussian_log_prob(
    x: Float[Array, "*batch dim"], mean: Float[Array, "*batch dim"], sigma: Float[Array, "*#batch dim"]
) -> Float[Array, "*batch"]:
    r"""$\log N(x; \text{mean}, \mathrm{diag}\,\sigma^2)$, summed over the last axis."""
    sigma = jax.lax.broadcast_to_rank(sigma, x.ndim)
    residual = (x - mean) / sigma
    return -0.5 * jnp.sum(residual * residual + LOG_2PI + 2.0 * jnp.log(sigma), axis=-1)


def kl_to_standard_normal(
    mu: Float[Array, "*batch dim"], log_sigma: Float[Array, "*batch dim"]
) -> Float[Array, "*batch dim"]:
    r"""$KL(N(\mu, \sigma^2) \| N(0, 1)) = (\mu^2 + \sigma^2 - 1)/2 - \log\sigma$ of every dimension."""
    return 0.5 * (mu * mu + jnp.exp(2.0 * log_sigma) - 1.0) - log_sigma
