"""Where exploit looks: around the logged behaviour that promises most."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gac.model.joint import GAC, Phi

NEAREST = 20
"""Logged episodes that a region is made of; 10 to 40 act alike (docs/research.md)."""


def trust_region(model: GAC, s0: Float[Array, "batch obs"], logged: Phi) -> Phi:
    r"""The Gaussian around the logged plan that promises most from s0 and the NEAREST to it.

    Nearest is the least $KL(q_i \| q_j) + KL(q_j \| q_i)$. The region has the mean and the variance of their
    equal mixture, $N(\bar\mu, \overline{\sigma^2} + \mathrm{Var}\,\mu)$ in every dimension. Of one behaviour,
    then: between two there may be nothing that anyone ever did, whatever the critic says of it.

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
        most = jnp.argmax(model.predicted_return(states, logged.mu))
        centre = jax.tree.map(lambda leaf: leaf[most][None], logged)
        apart = jnp.sum(logged.kl_to(centre) + centre.kl_to(logged), axis=-1)
        _, near = jax.lax.top_k(-apart, min(NEAREST, logged.mu.shape[0]))
        mu, variance = logged.mu[near], jnp.exp(2.0 * logged.log_sigma[near])
        return Phi(jnp.mean(mu, axis=0), 0.5 * jnp.log(jnp.mean(variance, axis=0) + jnp.var(mu, axis=0)))

    region: Phi = jax.lax.map(around, s0)
    return region
