"""Where exploit looks: around what the logged episodes did that promise most."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gac.model.joint import GAC, Phi

BEST = 20
"""Logged episodes that a region is made of; 10 to 40 act alike (docs/research.md)."""


def trust_region(model: GAC, s0: Float[Array, "batch obs"], logged: Phi) -> Phi:
    r"""The Gaussian around the BEST of the logged plans, by what the critic predicts of each from s0.

    It has the mean and the variance of their equal mixture, the aggregated posterior of these episodes:
    $N(\bar\mu, \overline{\sigma^2} + \mathrm{Var}\,\mu)$ in every dimension.

    The posteriors must be those of tau alone, $q(\epsilon | \tau)$: the prediction is then the generative
    critic's, $p(y | \tau)$. Given its return too, a posterior explains a lucky episode by a plan that
    promises luck, and the luckiest episodes of a middling behaviour rank above a better one.

    Args:
        model: theta.
        s0: current states, standardised.
        logged: posteriors of logged episodes, at least one.
    """

    def around(state: Float[Array, "obs"]) -> Phi:
        states = jnp.broadcast_to(state[None], (logged.mu.shape[0], *state.shape))
        _, best = jax.lax.top_k(model.predicted_return(states, logged.mu), min(BEST, logged.mu.shape[0]))
        mu, variance = logged.mu[best], jnp.exp(2.0 * logged.log_sigma[best])
        return Phi(jnp.mean(mu, axis=0), 0.5 * jnp.log(jnp.mean(variance, axis=0) + jnp.var(mu, axis=0)))

    region: Phi = jax.lax.map(around, s0)
    return region
