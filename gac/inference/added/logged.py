"""Exploit among logged plans: what was done is known to be possible."""

# Differs from the paper: an ascent from the prior ends at plans that nobody acted out, where the critic errs
# most. Among logged plans decides a lower bound of the expected return.

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gac.compilation import float32_products
from gac.config import ModelConfig
from gac.model.added.critics import Critics
from gac.model.joint import GAC

LoggedPlans = Float[Array, "plans n_z dim"]
"""Base noise of logged plans: the means of q(epsilon | tau)."""


def unknown(plans: int, config: ModelConfig) -> LoggedPlans:
    """Of a model that has learned nothing yet."""
    return jnp.zeros((plans, config.latent_tokens, config.embed_dim))


@eqx.filter_jit
def best_logged(
    model: GAC, s0: Float[Array, "batch obs"], logged: LoggedPlans, errors: Float[Array, ""]
) -> tuple[Float[Array, "batch n_z dim"], Float[Array, "batch"]]:
    r"""The logged plan of the greatest lower bound at each state, and its expected return.

    $$\arg\max_i \bar\mu_i - c\,\mathrm{sd}_b(\mu_{ib}), \qquad z_i = f_\alpha(s_0, \epsilon_i)$$

    over the critics b. Those that drew an episode and those that did not disagree on what its luck is worth.

    Args:
        model: theta, with critics in place of the one critic.
        s0: current states, standardised.
        logged: at least one plan.
        errors: c, standard errors of the expected return.

    Returns:
        Base noise, and expected returns, standardised.
    """
    critics = model.critic
    assert isinstance(critics, Critics)  # `solve` asks; for the type checker

    def best(state: Float[Array, "obs"]) -> tuple[Float[Array, "n_z dim"], Float[Array, ""]]:
        states = jnp.broadcast_to(state[None], (len(logged), *state.shape))
        each = critics.each(model.prior(states, logged)[1])
        mean = jnp.mean(each, axis=0)
        chosen = jnp.argmax(mean - errors * jnp.std(each, axis=0))
        return logged[chosen], mean[chosen]

    with float32_products():
        found: tuple[Float[Array, "batch n_z dim"], Float[Array, "batch"]] = jax.lax.map(best, s0)
    return found
