"""How sure the critic is of the return that a plan promises."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.inference.objectives import draw
from gac.model.joint import GAC, Phi

PAIRS = 8
"""Mirrored pairs of draws of q."""


@eqx.filter_jit
def predictive_spread(
    model: GAC, s0: Float[Array, "batch obs"], phi: Phi, key: PRNGKeyArray
) -> Float[Array, "batch"]:
    r"""$\sqrt{Var_q[\mu_\gamma(z_y)] + \sigma_y^2}$: spread of the return under q and sigma_y.

    Args:
        model: theta.
        s0: first states, standardised.
        phi: q of each plan.
        key: draws of q.

    Returns:
        Standard deviations, standardised.
    """
    s0_draws = jnp.tile(s0, (2 * PAIRS, 1))
    predicted = model.predicted_return(s0_draws, draw(phi, PAIRS, key)).reshape(2 * PAIRS, -1)
    return jnp.sqrt(jnp.var(predicted, axis=0) + model.critic.sigma_y() ** 2)
