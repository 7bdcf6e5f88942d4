"""Objectives of the queries, Eq. (2) and (3): each hands `infer` a function of phi."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gac.inference.loop import Objective, Values
from gac.model.joint import GAC, Phi


def mean_over_draws(values: Float[Array, "draws_batch"], batch: int) -> Float[Array, "batch"]:
    """E_q of a quantity computed at `draw`'s base noise."""
    return jnp.mean(values.reshape(-1, batch), axis=0)


def draw(phi: Phi, pairs: int, keys: Key[Array, "batch"]) -> Float[Array, "draws_batch n_z dim"]:
    """Mirrored draws of each q by its own key, all of the batch's first draws first."""
    shape = (pairs, *phi.mu.shape[1:])
    noise = jax.vmap(lambda key: jax.random.normal(key, shape), out_axes=1)(keys)
    noise = jnp.concatenate([noise, -noise])
    draws = phi.mu[None] + jnp.exp(phi.log_sigma)[None] * noise
    return draws.reshape(-1, *phi.mu.shape[1:])


def at_step(keys: Key[Array, "batch"], step: Int[Array, ""]) -> Key[Array, "batch"]:
    """Keys of the draws of one step."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, step)


def exploit_objective(
    model: GAC, s0: Float[Array, "batch obs"], pairs: int, keys: Key[Array, "batch"]
) -> Objective:
    r"""$E_q[\mu_\gamma(z_y)]$, Eq. (2).

    Args:
        s0: current states, standardised.
        pairs: mirrored pairs of draws, new at every step.
        keys: of each row's draws, so that no row depends on another.
    """
    batch = s0.shape[0]
    s0_draws = jnp.tile(s0, (2 * pairs, 1))

    def objective(phi: Phi, step: Int[Array, ""]) -> Values:
        y = mean_over_draws(model.predicted_return(s0_draws, draw(phi, pairs, at_step(keys, step))), batch)
        return y, y

    return objective


def return_objective(
    model: GAC,
    s0: Float[Array, "batch obs"],
    y_plus: Float[Array, "batch"],
    pairs: int,
    keys: Key[Array, "batch"],
) -> Objective:
    r"""$E_q[\log p_\gamma(y^+ | z_y)] - KL(q \| N(0, I))$, Eq. (3).

    Args:
        s0: current states, standardised.
        y_plus: return to be explained by each plan, standardised.
        pairs: mirrored pairs of draws, new at every step.
        keys: of each row's draws, so that no row depends on another.
    """
    batch = s0.shape[0]
    s0_draws, y_draws = jnp.tile(s0, (2 * pairs, 1)), jnp.tile(y_plus, 2 * pairs)

    def objective(phi: Phi, step: Int[Array, ""]) -> Values:
        z = model.prior(s0_draws, draw(phi, pairs, at_step(keys, step)))
        log_p_y = mean_over_draws(model.critic.log_prob(y_draws, *z), batch)
        return log_p_y - jnp.sum(phi.kl(), axis=-1), mean_over_draws(model.critic.mean(*z), batch)

    return objective
