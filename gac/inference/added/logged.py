"""Exploit among logged plans: what was done is known to be possible."""

# Differs from the paper: an ascent from the prior ends at plans that nobody acted out, where the critic errs
# most. Among logged plans decides a lower bound of the expected return, by critics that left the episode out.

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gac.compilation import float32_products
from gac.config import ModelConfig
from gac.model.added.critics import Critics
from gac.model.joint import GAC


class Logged(NamedTuple):
    """Logged plans that exploit chooses among."""

    epsilon: Float[Array, "plans n_z dim"]
    """Means of q(epsilon | tau)."""
    left_out: Bool[Array, "members plans"]
    """Whether a critic learned without the episode of a plan."""

    @classmethod
    def unknown(cls, plans: int, members: int, config: ModelConfig) -> "Logged":
        """Of a model that has learned nothing yet."""
        return cls(
            jnp.zeros((plans, config.latent_tokens, config.embed_dim)), jnp.ones((members, plans), bool)
        )


@eqx.filter_jit
def best_logged(
    model: GAC, s0: Float[Array, "batch obs"], logged: Logged, errors: Float[Array, ""]
) -> tuple[Float[Array, "batch n_z dim"], Float[Array, "batch"]]:
    r"""The logged plan of the greatest lower bound at each state, and its expected return.

    $$\arg\max_i \bar\mu_i - c\,\mathrm{sd}(\mu_{ib}), \qquad z_i = f_\alpha(s_0, \epsilon_i)$$

    over the critics b that left episode i out: none of them was fitted to its return, which only had a say in
    when they stopped.

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
    # A plan that every critic learned from is judged by all.
    judges = (logged.left_out | ~jnp.any(logged.left_out, axis=0, keepdims=True)).astype(jnp.float32)
    share = judges / jnp.sum(judges, axis=0, keepdims=True)

    def best(state: Float[Array, "obs"]) -> tuple[Float[Array, "n_z dim"], Float[Array, ""]]:
        states = jnp.broadcast_to(state[None], (len(logged.epsilon), *state.shape))
        each, _ = critics.each(model.prior(states, logged.epsilon)[1])
        mean = jnp.sum(share * each, axis=0)
        error = jnp.sqrt(jnp.sum(share * (each - mean[None]) ** 2, axis=0))
        chosen = jnp.argmax(mean - errors * error)
        return logged.epsilon[chosen], mean[chosen]

    with float32_products():
        found: tuple[Float[Array, "batch n_z dim"], Float[Array, "batch"]] = jax.lax.map(best, s0)
    return found
