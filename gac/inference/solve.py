"""From a query to base noise: objective, start, the one inner loop."""

import functools
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray
from numpy import ndarray

from gac.compilation import JitSmall
from gac.inference.loop import Info, Objective, infer
from gac.inference.objectives import exploit_objective, return_objective
from gac.inference.queries import Exploit, Explore, Prior, Query, Target
from gac.inference.trust_region import Logged, trust_region
from gac.model.joint import GAC, Phi

# Differs from the paper (1000 steps): with the rate below, twice as many steps gain a thousandth of a
# standard deviation of return (docs/research.md).
MAX_STEPS = 500
TOL = 1e-5
LEARNING_RATE = 0.1
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
    key: PRNGKeyArray,
) -> tuple[Float[Array, "batch n_z dim"], Phi | None, Info | None, Float[ndarray, "steps"]]:
    """Infer the base noise of plans.

    Args:
        s0: current states, standardised.
        logged: plans of logged episodes; exploit stays near the best of them.
        returns: those of the data, standardised; explore draws from them, exploit is capped at the best.
        target: y* of a target query for each plan, standardised; no other reads it.

    Returns:
        epsilon, the q that it comes from and the diagnostics (both None for the prior), and the mean
        predicted return at each step, standardised.
    """
    epsilon, phi, info = _plan(model, s0, query, logged, _aims(query, returns), jnp.asarray(target), key)
    return epsilon, phi, info, np.zeros(0, np.float32) if info is None else _mean_trace(info)


def _mean_trace(info: Info) -> Float[ndarray, "steps"]:
    """The mean over plans of what was watched, as long as the last one moves; a plan that rests stays."""
    watched = np.asarray(info.trace).T[: int(info.steps.max())]
    known = np.minimum(np.arange(len(watched))[:, None], np.isfinite(watched).sum(axis=0) - 1)
    mean: ndarray = np.take_along_axis(watched, known, axis=0).mean(axis=1)
    return mean


def solve_each(
    model: GAC,
    s0: Float[Array, "batch obs"],
    query: Query,
    logged: Logged,
    returns: Float[ndarray, "episodes"],
    target: Float[ndarray, "batch"],
    keys: Key[Array, "batch"],
) -> Float[Array, "batch n_z dim"]:
    """Infer the base noise of plans, each with draws of its own key: a row depends on no other.

    `solve` draws for the whole batch at once, so there a plan depends on its place. Here the same state,
    target and key give the same plan in any batch, which replanning needs: who triggers together is chance.

    Args:
        keys: one per row; the others are those of `solve`.
    """
    if isinstance(query, Target):
        query = Target(0.0)  # `target` holds it; another value of it must not compile anew
    epsilon: Float[Array, "batch n_z dim"] = _plan_each(
        model, s0, query, logged, _aims(query, returns), jnp.asarray(target), keys
    )
    return epsilon


def _aims(query: Query, returns: Float[ndarray, "episodes"]) -> Float[Array, "*aims"]:
    """What a query takes of the returns, standardised: the ceiling of exploit, those explore draws from."""
    match query:
        case Exploit():
            return jnp.asarray(returns.max())
        case Explore(quantile=quantile, delta_y=delta_y):
            return jnp.asarray(returns[returns >= np.quantile(returns, quantile)]) + delta_y
        case Target() | Prior():
            return jnp.zeros(0)


def _plan(
    model: GAC,
    s0: Float[Array, "batch obs"],
    query: Query,
    logged: Logged,
    aims: Float[Array, "*aims"],
    target: Float[Array, "batch"],
    key: PRNGKeyArray,
    traced: bool = False,
) -> tuple[Float[Array, "batch n_z dim"], Phi | None, Info | None]:
    """Base noise, its q and diagnostics, the latter two None for the prior; `traced` within a program."""
    infer_key, choice_key, draw_key = jax.random.split(key, 3)
    shape = (s0.shape[0], model.config.latent_tokens, model.config.embed_dim)
    match query:
        case Prior():
            return jax.random.normal(draw_key, shape), None, None
        case Exploit(kl_weight=kl_weight):
            exploit = _exploit.function if traced else _exploit
            phi, info = exploit(model, s0, logged, jnp.float32(kl_weight), aims, infer_key)
            return phi.mu, phi, info
        case Explore():
            target = jax.random.choice(choice_key, aims, shape[:1])
    phi, info = (_reach.function if traced else _reach)(model, s0, target, infer_key)
    return phi.sample(draw_key), phi, info


@functools.partial(JitSmall, static_argnames="query")
def _plan_each(
    model: GAC,
    s0: Float[Array, "batch obs"],
    query: Query,
    logged: Logged,
    aims: Float[Array, "*aims"],
    target: Float[Array, "batch"],
    keys: Key[Array, "batch"],
) -> Float[Array, "batch n_z dim"]:
    def alone(state: Array, y: Array, key: PRNGKeyArray) -> Float[Array, "1 n_z dim"]:
        return _plan(model, state[None], query, logged, aims, y[None], key, traced=True)[0]

    return jax.vmap(alone)(s0, target, keys)[:, 0]


def either(choice: Bool[Array, "batch"], one: T, other: T) -> T:
    """Row by row `one` where chosen, else the `other`; the leading axis of every array is that of rows."""
    rows: T = jax.tree.map(lambda a, b: jnp.where(choice.reshape(-1, *[1] * (a.ndim - 1)), a, b), one, other)
    return rows


def _ascend(objective: Objective, start: Phi, key: PRNGKeyArray) -> tuple[Phi, Info]:
    """From a start to the objective's maximum: new draws at every step, a rate that falls to zero.

    With draws that stay the same, plans end where just these draws are good, far below the maximum of
    the expectation (docs/research.md).
    """
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, MAX_STEPS))
    return infer(objective, start, optimiser, MAX_STEPS, TOL, key)


@JitSmall
def _exploit(
    model: GAC,
    s0: Float[Array, "batch obs"],
    logged: Logged,
    kl_weight: Float[Array, ""],
    ceiling: Float[Array, ""],
    key: PRNGKeyArray,
) -> tuple[Phi, Info]:
    """The highest return expected near the best of what was logged, or near the prior if that is more.

    More by sigma_y, the critic's own spread: less than that it cannot tell apart, and what was done before
    is the surer. So where logged plans promise nearly the ceiling, nothing else is looked for.
    """

    def ascend(hold: Phi, key: PRNGKeyArray) -> tuple[tuple[Phi, Info], Float[Array, "batch"]]:
        objective = exploit_objective(model, s0, hold, kl_weight, ceiling, PAIRS)
        phi, info = _ascend(objective, hold, key)
        return (phi, info), jnp.minimum(model.predicted_return(s0, phi.mu), ceiling)

    def look_beyond() -> tuple[Phi, Info]:
        beyond, promise = ascend(Phi.at_prior(s0.shape[0], model.config), jax.random.fold_in(key, 1))
        return either(promise > enough, beyond, near)

    near, promised = ascend(trust_region(model, s0, logged), key)
    enough = promised + model.critic.sigma_y()
    found: tuple[Phi, Info] = jax.lax.cond(jnp.any(enough < ceiling), look_beyond, lambda: near)
    return found


@JitSmall
def _reach(
    model: GAC, s0: Float[Array, "batch obs"], y_plus: Float[Array, "batch"], key: PRNGKeyArray
) -> tuple[Phi, Info]:
    """Plans that explain the return y_plus (standardised)."""
    start = Phi.at_prior(s0.shape[0], model.config)
    return _ascend(return_objective(model, s0, y_plus, PAIRS), start, key)
