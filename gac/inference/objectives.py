"""Objectives of the queries, Eq. (2) and (3): each hands `infer` a function of phi."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.inference.library import Library
from gac.inference.loop import Objective
from gac.model.joint import GAC, Phi
PENALTY = 0.25
"""Standard deviations of return per nat beyond the budget: more than the return ever gains per nat,
so that the penalty is exact."""


def antithetic(phi: Phi, noise: Float[Array, "batch n_z dim"]) -> Float[Array, "draws n_z dim"]:
    """Two mirrored draws of each q, from noise fixed for the whole query: the objective stays deterministic."""
    spread = jnp.exp(phi.log_sigma) * noise
    return jnp.concatenate([phi.mu + spread, phi.mu - spread])


def kl_to_library(phi: Phi, library: Library) -> Float[Array, "batch"]:
    r"""Upper bound on KL(q || aggregated posterior), in nats, with no sampling.

    $$KL(q \| \tfrac1N \sum_i q_i) \le \log N - \log \sum_i e^{-KL(q \| q_i)}$$

    (Hershey and Olsen 2007, the variational bound). It is at most log N where q is one of the q_i.
    """
    return jnp.log(jnp.float32(library.y.shape[0])) - jax.nn.logsumexp(-library.kl_to_each(phi), axis=1)


def exploit_objective(
    model: GAC, library: Library, s0: Float[Array, "batch obs"], noise: Float[Array, "batch n_z dim"], budget: float
) -> Objective:
    r"""$\max_\phi E_q[\mu_\gamma(z_y)]$ subject to $KL(q \| m) \le$ budget, Eq. (2).

    # Differs from the paper: m is the aggregated posterior of the data, not N(0, I). Where the two
    # differ, N(0, I) holds plans that no episode ever had, and the critic's word on them is worth little.
    """
    s0_twice = jnp.concatenate([s0, s0])

    def objective(phi: Phi, key: PRNGKeyArray) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
        del key
        epsilon = antithetic(phi, noise)
        y = jnp.mean(model.predicted_return(s0_twice, epsilon).reshape(2, -1), axis=0)
        return y - PENALTY * jax.nn.relu(kl_to_library(phi, library) - budget), y

    return objective


def return_objective(
    model: GAC, s0: Float[Array, "batch obs"], noise: Float[Array, "batch n_z dim"], y_plus: Float[Array, "batch"]
) -> Objective:
    r"""$E_q[\log p_\gamma(y^+ | z_y)] - KL(q \| N(0, I))$, Eq. (3); `y_plus` standardised."""
    s0_twice, y_twice = jnp.concatenate([s0, s0]), jnp.concatenate([y_plus, y_plus])

    def objective(phi: Phi, key: PRNGKeyArray) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
        del key
        z_y, _ = model.prior(s0_twice, antithetic(phi, noise))
        log_p_y = jnp.mean(model.critic.log_prob(y_twice, z_y).reshape(2, -1), axis=0)
        y = jnp.mean(model.critic.mean(z_y).reshape(2, -1), axis=0)
        return log_p_y - jnp.sum(phi.kl(), axis=-1), y

    return objective
