"""From a query to base noise: objective, start, the one inner loop."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key
from numpy import ndarray

from gac.compilation import JitSmall
from gac.config import Config, QueryConfig
from gac.inference.added.logged import LoggedPlans, best_logged
from gac.inference.loop import Info, Objective, infer, learning_rate
from gac.inference.objectives import exploit_objective, return_objective
from gac.inference.queries import Exploit, Explore, Prior, Query
from gac.model.added.critics import Critics
from gac.model.joint import GAC, Phi

PAIRS = 1
"""Mirrored pairs of draws per step: one is enough where every step draws anew."""


class Solution(NamedTuple):
    """What a query inferred, a row for each state."""

    epsilon: Float[Array, "batch n_z dim"]
    value: Float[Array, "batch"] | None = None
    """Expected returns that the query knows better than the model's critic, standardised."""
    phi: Phi | None = None
    """The q that it comes from; None where nothing was optimised."""
    info: Info | None = None
    """Diagnostics of the ascent; None where there was none."""


def solve(
    model: GAC,
    s0: Float[Array, "batch obs"],
    query: Query,
    logged: LoggedPlans,
    returns: Float[ndarray, "episodes"],
    target: Float[ndarray, "batch"],
    keys: Key[Array, "batch"],
    config: Config,
) -> Solution:
    """Infer the base noise of plans, row by row: none depends on what else is in the batch.

    So an episode has the same plan whichever others are played beside it, and a plan made within an episode
    does not hang on who else needs one.

    Args:
        s0: current states, standardised.
        logged: logged plans, which exploit chooses among; none for Eq. (2) alone.
        returns: those of the data, standardised; explore draws from them.
        target: y* of a target query for each plan, standardised; no other reads it.
        keys: of the draws of each plan.
        config: of the run: settings of the ascent, and what is added to the paper's queries.
    """
    infer_keys, aim_keys, draw_keys = _split(keys, 3)
    settings = config.query, config.added.inner_decay
    match query:
        case Prior():
            return Solution(_sample(Phi.at_prior(s0.shape[0], model.config), draw_keys))
        case Exploit():
            if isinstance(model.critic, Critics) and len(logged):
                return Solution(*best_logged(model, s0, logged, jnp.float32(config.added.errors)))
            phi, info = _exploit(model, s0, infer_keys, *settings)
            return Solution(phi.mu, phi=phi, info=info)
        case Explore(quantile=quantile, delta_y=delta_y):
            better = returns[returns >= np.quantile(returns, quantile)]
            y_plus = _choose(jnp.asarray(better), aim_keys) + delta_y
        case _:
            y_plus = jnp.asarray(target)
    phi, info = _reach(model, s0, y_plus, infer_keys, *settings)
    return Solution(_sample(phi, draw_keys), phi=phi, info=info)


@functools.partial(jax.jit, static_argnames="number")
def _split(keys: Key[Array, "batch"], number: int) -> Key[Array, "number batch"]:
    """So many keys for each row."""
    return jax.vmap(lambda key: jax.random.split(key, number), out_axes=1)(keys)


@jax.jit
def _choose(values: Float[Array, "values"], keys: Key[Array, "batch"]) -> Float[Array, "batch"]:
    """One of the values for each row, all alike likely."""
    return jax.vmap(lambda key: jax.random.choice(key, values))(keys)


@jax.jit
def _sample(phi: Phi, keys: Key[Array, "batch"]) -> Float[Array, "batch n_z dim"]:
    """A draw of each q."""
    noise = jax.vmap(lambda key: jax.random.normal(key, phi.mu.shape[1:]))(keys)
    return phi.mu + jnp.exp(phi.log_sigma) * noise


def _ascend(
    model: GAC, objective: Objective, batch: int, query: QueryConfig, decays: bool
) -> tuple[Phi, Info]:
    """From the prior to the objective's maximum: new draws at every step.

    With the same draws at every step, plans would end where just these draws are good.
    """
    optimiser = optax.adam(learning_rate(query.query_lr, query.query_steps, decays))
    start = Phi.at_prior(batch, model.config)
    return infer(objective, start, optimiser, query.query_steps, query.query_tol, stops=not decays)


@functools.partial(JitSmall, static_argnames=("query", "decays"))
def _exploit(
    model: GAC, s0: Float[Array, "batch obs"], keys: Key[Array, "batch"], query: QueryConfig, decays: bool
) -> tuple[Phi, Info]:
    """Plans of the highest expected return, Eq. (2)."""
    return _ascend(model, exploit_objective(model, s0, PAIRS, keys), len(s0), query, decays)


@functools.partial(JitSmall, static_argnames=("query", "decays"))
def _reach(
    model: GAC,
    s0: Float[Array, "batch obs"],
    y_plus: Float[Array, "batch"],
    keys: Key[Array, "batch"],
    query: QueryConfig,
    decays: bool,
) -> tuple[Phi, Info]:
    """Plans that explain the return y_plus (standardised), Eq. (3)."""
    return _ascend(model, return_objective(model, s0, y_plus, PAIRS, keys), len(s0), query, decays)
