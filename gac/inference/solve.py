"""From a query to base noise: objective, start, the one inner loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy import ndarray

from gac.inference.loop import Info, infer
from gac.inference.objectives import exploit_objective, return_objective
from gac.inference.queries import Exploit, Explore, Prior, Query, Target
from gac.model.joint import GAC, Phi

MAX_STEPS = 1000
TOL = 1e-5
LEARNING_RATE = 0.05
EXPLOIT_PAIRS, REACH_PAIRS = 1, 2
"""Mirrored pairs of draws per step: one is enough where every step draws anew."""
SEARCH_STEPS = 300


def solve(
    model: GAC,
    s0: Float[Array, "batch obs"],
    query: Query,
    returns: Float[ndarray, "episodes"],
    target: float,
    key: PRNGKeyArray,
) -> tuple[Float[Array, "batch n_z dim"], Info | None, Float[ndarray, "steps"]]:
    """Infer the base noise of plans.

    Args:
        s0: current states, standardised.
        returns: those of the data, standardised; explore draws from them, exploit is capped at the best.
        target: y* of a target query, standardised; no other reads it.

    Returns:
        epsilon, the diagnostics (None for the prior), and the mean predicted return at each
        step, standardised.
    """
    infer_key, choice_key, draw_key = jax.random.split(key, 3)
    shape = (s0.shape[0], model.config.latent_tokens, model.config.embed_dim)
    match query:
        case Prior():
            return jax.random.normal(draw_key, shape), None, np.zeros(0, np.float32)
        case Exploit(kl_weight=kl_weight):
            phi, info, trace = _exploit(
                model, s0, jnp.float32(kl_weight), jnp.asarray(returns.max()), infer_key
            )
            epsilon = phi.mu
        case Explore(quantile=quantile, delta_y=delta_y):
            high = jnp.asarray(returns[returns >= np.quantile(returns, quantile)])
            y_plus = jax.random.choice(choice_key, high, shape[:1]) + delta_y
            phi, info, trace = _reach(model, s0, y_plus, infer_key)
            epsilon = phi.sample(draw_key)
        case Target():
            phi, info, trace = _reach(model, s0, jnp.full(shape[:1], target), infer_key)
            epsilon = phi.sample(draw_key)
    watched = np.asarray(trace)
    return epsilon, info, watched[np.isfinite(watched)]


@eqx.filter_jit
def _exploit(
    model: GAC,
    s0: Float[Array, "batch obs"],
    kl_weight: Float[Array, ""],
    ceiling: Float[Array, ""],
    key: PRNGKeyArray,
) -> tuple[Phi, Info, Float[Array, "steps"]]:
    """Search with new draws at every step, then settle with fixed ones until it converges.

    With fixed draws alone plans end where just these draws are good (docs/research.md). New ones make
    the ascent follow the expectation itself, but never stand still.
    """
    search_key, settle_key = jax.random.split(key)
    phi = Phi.at_prior(s0.shape[0], model.config)
    search = exploit_objective(model, s0, kl_weight, ceiling, EXPLOIT_PAIRS, None)
    phi, found = infer(search, phi, optax.adam(LEARNING_RATE), SEARCH_STEPS, 0.0, search_key)
    settle = exploit_objective(model, s0, kl_weight, ceiling, EXPLOIT_PAIRS, settle_key)
    rest = MAX_STEPS - SEARCH_STEPS
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE / 2, rest))
    phi, info = infer(settle, phi, optimiser, rest, TOL, settle_key)
    trace = jnp.concatenate([found.trace, info.trace])
    return phi, info._replace(steps=info.steps + found.steps), trace


@eqx.filter_jit
def _reach(
    model: GAC, s0: Float[Array, "batch obs"], y_plus: Float[Array, "batch"], key: PRNGKeyArray
) -> tuple[Phi, Info, Float[Array, "steps"]]:
    """Aim at y_plus (standardised), from the prior."""
    objective = return_objective(model, s0, y_plus, REACH_PAIRS, key)
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, MAX_STEPS))
    phi, info = infer(objective, Phi.at_prior(s0.shape[0], model.config), optimiser, MAX_STEPS, TOL, key)
    return phi, info, info.trace
