"""What the critic makes of a plan that is known up to q: the return, and how sure it is of that."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.inference.objectives import draw
from gac.model.joint import GAC, Phi

PAIRS = 8
"""Mirrored pairs of draws of q."""


@eqx.filter_jit
def predictive(
    model: GAC, s0: Float[Array, "batch obs"], phi: Phi, key: PRNGKeyArray
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    r"""Mean and standard deviation of $E_q[p_\gamma(y | z_y)]$.

    $$E_q[\mu_\gamma(z_y)], \qquad \sqrt{Var_q[\mu_\gamma(z_y)] + \sigma_y^2}$$

    Args:
        model: theta.
        s0: first states, standardised.
        phi: q of each plan: of a query, or of a trajectory.
        key: draws of q.

    Returns:
        Means and standard deviations, standardised.
    """
    keys = jax.random.split(key, s0.shape[0])
    s0_draws = jnp.tile(s0, (2 * PAIRS, 1))
    predicted = model.predicted_return(s0_draws, draw(phi, PAIRS, keys)).reshape(2 * PAIRS, -1)
    spread = jnp.sqrt(jnp.var(predicted, axis=0) + model.critic.sigma_y() ** 2)
    return jnp.mean(predicted, axis=0), spread
