"""From a query to base noise: start, objective, the one inner loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy import ndarray

from gac.data.standardise import Standardiser
from gac.inference.library import Library
from gac.inference.loop import Info, Objective, infer
from gac.inference.objectives import exploit_objective, return_objective
from gac.inference.queries import Exploit, Explore, Prior, Query, Target
from gac.model.joint import GAC, Phi

MAX_STEPS = 1000
TOL = 1e-5
LEARNING_RATE = 0.05
TOP_SHARE = 0.05
"""Share of the library, by predicted return, where exploit starts."""


def solve(
    model: GAC,
    library: Library,
    standardiser: Standardiser,
    s0: Float[Array, "batch obs"],
    query: Query,
    key: PRNGKeyArray,
) -> tuple[Float[Array, "batch n_z dim"], Info | None, Float[ndarray, "steps"]]:
    """Infer the base noise of plans.

    Args:
        s0: current states, standardised.

    Returns:
        epsilon, the diagnostics (None for the prior), and the mean predicted return at each
        step, standardised.
    """
    noise_key, start_key, draw_key = jax.random.split(key, 3)
    noise = jax.random.normal(noise_key, (s0.shape[0], *library.phi.mu.shape[1:]))
    match query:
        case Prior():
            return noise, None, np.zeros(0, np.float32)
        case Exploit(budget=budget):
            phi, info = _exploit(model, library, s0, noise, start_key, budget)
            epsilon = phi.mu
        case Explore(quantile=quantile, delta_y=delta_y):
            high = library.buffer_y[int(quantile * library.buffer_y.shape[0]) :]
            y_plus = jax.random.choice(start_key, high, (s0.shape[0],)) + delta_y
            phi, info = _reach(model, s0, noise, y_plus)
            epsilon = phi.sample(draw_key)
        case Target(y_star=y_star):
            y = float(standardiser.standardise_return(np.float32(y_star)))
            phi, info = _reach(model, s0, noise, jnp.full(s0.shape[0], y))
            epsilon = phi.sample(draw_key)
    trace = np.asarray(info.trace)
    return epsilon, info, trace[np.isfinite(trace)]


def _optimise(objective: Objective, phi0: Phi, key: PRNGKeyArray) -> tuple[Phi, Info]:
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, MAX_STEPS))
    return infer(objective, phi0, optimiser, MAX_STEPS, TOL, key)


@eqx.filter_jit
def _exploit(
    model: GAC,
    library: Library,
    s0: Float[Array, "batch obs"],
    noise: Float[Array, "batch n_z dim"],
    key: PRNGKeyArray,
    budget: float,
) -> tuple[Phi, Info]:
    """Start at posteriors of training episodes that promise most, then ascend within the trust region."""
    components = library.y.shape[0]
    promise = model.predicted_return(jnp.broadcast_to(s0[:1], (components, s0.shape[1])), library.phi.mu)
    best = jax.lax.top_k(promise, max(1, int(TOP_SHARE * components)))[1]
    chosen = jax.random.choice(key, best, (s0.shape[0],))
    phi0 = jax.tree.map(lambda leaf: leaf[chosen], library.phi)
    return _optimise(exploit_objective(model, library, s0, noise, budget), phi0, key)


@eqx.filter_jit
def _reach(
    model: GAC, s0: Float[Array, "batch obs"], noise: Float[Array, "batch n_z dim"], y_plus: Float[Array, "batch"]
) -> tuple[Phi, Info]:
    """Start at the prior, aim at y_plus (standardised)."""
    phi0 = Phi(jnp.zeros_like(noise), jnp.zeros_like(noise))
    return _optimise(return_objective(model, s0, noise, y_plus), phi0, jax.random.key(0))
