"""From a query to base noise: objective, start, the one inner loop."""

import functools
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key
from numpy import ndarray

from gac.compilation import JitSmall
from gac.config import AddedConfig, Config, QueryConfig
from gac.inference.loop import Info, Objective, infer, learning_rate
from gac.inference.objectives import exploit_objective, return_objective
from gac.inference.queries import Exploit, Explore, Prior, Query, Target
from gac.inference.trust_region import Logged, region_of_return, trust_region
from gac.model.joint import GAC, Phi

PAIRS = 1
"""Mirrored pairs of draws per step: one is enough where every step draws anew."""

T = TypeVar("T")


def solve(
    model: GAC,
    s0: Float[Array, "batch obs"],
    query: Query,
    logged: Logged,
    returns: Float[ndarray, "episodes"],
    target: Float[ndarray, "batch"],
    keys: Key[Array, "batch"],
    config: Config,
) -> tuple[Float[Array, "batch n_z dim"], Phi | None, Info | None]:
    """Infer the base noise of plans, row by row: none depends on what else is in the batch.

    So an episode has the same plan whichever others are played beside it, and a plan made within an episode
    does not hang on who else needs one.

    Args:
        s0: current states, standardised.
        logged: plans of logged episodes; exploit stays near the best of them, a target near one if told so.
        returns: those of the data, standardised; explore draws from them, exploit is capped at the best.
        target: y* of a target query for each plan, standardised; no other reads it.
        keys: of the draws of each plan.
        config: of the run: settings of the ascent, and what is added to the paper's queries.

    Returns:
        epsilon, the q that it comes from and the diagnostics (both None for the prior).
    """
    infer_keys, aim_keys, draw_keys, toss_keys = _split(keys, 4)
    query_config, added = config.query, config.added
    hold = Phi.at_prior(s0.shape[0], model.config)
    match query:
        case Prior():
            return _sample(hold, draw_keys), None, None
        case Exploit(kl_weight=kl_weight):
            weight = jnp.float32(added.kl_weight if kl_weight is None else kl_weight)
            ceiling = jnp.float32(returns.max() if added.ceiling else np.inf)
            phi, info = _exploit(model, s0, logged, weight, ceiling, infer_keys, query_config, added)
            return phi.mu, phi, info
        case Explore(quantile=quantile, delta_y=delta_y):
            better = returns[returns >= np.quantile(returns, quantile)]
            y_plus = _choose(jnp.asarray(better), aim_keys) + delta_y
        case Target(near=near):
            y_plus = jnp.asarray(target)
            if near != "prior":
                of_logged = _near_logged(model, s0, logged, y_plus, aim_keys)
                hold = of_logged if near == "logged" else either(_toss(toss_keys), of_logged, hold)
    phi, info = _reach(model, s0, y_plus, hold, infer_keys, query_config, added)
    return _sample(phi, draw_keys), phi, info


@functools.partial(jax.jit, static_argnames="number")
def _split(keys: Key[Array, "batch"], number: int) -> Key[Array, "number batch"]:
    """So many keys for each row."""
    return jax.vmap(lambda key: jax.random.split(key, number), out_axes=1)(keys)


@jax.jit
def _choose(values: Float[Array, "values"], keys: Key[Array, "batch"]) -> Float[Array, "batch"]:
    """One of the values for each row, all alike likely."""
    return jax.vmap(lambda key: jax.random.choice(key, values))(keys)


@jax.jit
def _toss(keys: Key[Array, "batch"]) -> Bool[Array, "batch"]:
    """A fair coin for each row."""
    return jax.vmap(jax.random.bernoulli)(keys)


@jax.jit
def _sample(phi: Phi, keys: Key[Array, "batch"]) -> Float[Array, "batch n_z dim"]:
    """A draw of each q."""
    noise = jax.vmap(lambda key: jax.random.normal(key, phi.mu.shape[1:]))(keys)
    return phi.mu + jnp.exp(phi.log_sigma) * noise


def either(choice: Bool[Array, "batch"], one: T, other: T) -> T:
    """Row by row `one` where chosen, else the `other`; the leading axis of every array is that of rows."""
    rows: T = jax.tree.map(lambda a, b: jnp.where(choice.reshape(-1, *[1] * (a.ndim - 1)), a, b), one, other)
    return rows


def _ascend(objective: Objective, start: Phi, query: QueryConfig, decays: bool) -> tuple[Phi, Info]:
    """From a start to the objective's maximum: new draws at every step.

    With the same draws at every step, plans would end where just these draws are good.
    """
    optimiser = optax.adam(learning_rate(query.query_lr, query.query_steps, decays))
    return infer(objective, start, optimiser, query.query_steps, query.query_tol, stops=not decays)


@functools.partial(JitSmall, static_argnames=("query", "added"))
def _exploit(
    model: GAC,
    s0: Float[Array, "batch obs"],
    logged: Logged,
    kl_weight: Float[Array, ""],
    ceiling: Float[Array, ""],
    keys: Key[Array, "batch"],
    query: QueryConfig,
    added: AddedConfig,
) -> tuple[Phi, Info]:
    """Eq. (2) from the prior; or near logged plans (`near_logged`), unless the prior predicts more by sigma_y
    (`leave_region`)."""

    def ascend(hold: Phi, keys: Key[Array, "batch"]) -> tuple[tuple[Phi, Info], Float[Array, "batch"]]:
        objective = exploit_objective(model, s0, hold, kl_weight, ceiling, PAIRS, keys)
        phi, info = _ascend(objective, hold, query, added.inner_decay)
        return (phi, info), jnp.minimum(model.predicted_return(s0, phi.mu), ceiling)

    prior = Phi.at_prior(s0.shape[0], model.config)
    near_keys, beyond_keys = _split(keys, 2)
    if not added.near_logged:
        return ascend(prior, near_keys)[0]
    near, promised = ascend(trust_region(model, s0, logged), near_keys)
    if not added.leave_region:
        return near
    enough = promised + model.critic.sigma_y()

    def look_beyond() -> tuple[Phi, Info]:
        beyond, promise = ascend(prior, beyond_keys)
        return either(promise > enough, beyond, near)

    found: tuple[Phi, Info] = jax.lax.cond(jnp.any(enough < ceiling), look_beyond, lambda: near)
    return found


_near_logged = JitSmall(region_of_return)


@functools.partial(JitSmall, static_argnames=("query", "added"))
def _reach(
    model: GAC,
    s0: Float[Array, "batch obs"],
    y_plus: Float[Array, "batch"],
    hold: Phi,
    keys: Key[Array, "batch"],
    query: QueryConfig,
    added: AddedConfig,
) -> tuple[Phi, Info]:
    """Plans that explain the return y_plus (standardised), held near others, Eq. (3)."""
    objective = return_objective(model, s0, y_plus, hold, PAIRS, keys)
    return _ascend(objective, hold, query, added.inner_decay)
