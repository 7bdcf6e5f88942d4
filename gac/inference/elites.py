r"""Elites: the several best plans instead of the one best, to act by together.

The predicted return does not show which plans the policy can execute, and optimisation would bet on one.
Logged behaviours fail at different moments, so the mean of their actions may fail less often than each of
them: the policies that made a Walker2d data set do much better together than alone.

The draws and their best eighth are those of the cross-entropy method: R. Rubinstein, Methodology and
Computing in Applied Probability 1999.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from gac.inference.trust_region import Logged, returns_from
from gac.model.joint import GAC

DRAWS_PER_PLAN = 8
"""Plans of the prior, for each of those that act, that they are the best of."""
APART = 3.0
"""Standard deviations of the critic by which one thing promises surely more than another."""


class Elites(NamedTuple):
    """Plans to act by together."""

    epsilon: Float[Array, "batch plans n_z dim"]
    promise: Float[Array, "batch plans"]
    """What each returns by the critic, standardised."""


def elites(
    model: GAC, s0: Float[Array, "batch obs"], logged: Logged, keys: Key[Array, "batch"], count: int
) -> Elites:
    r"""The `count` best of DRAWS_PER_PLAN times as many plans of N(0, I), or of the logged ones, by state.

    Plans of the prior are the more varied: the kept ones are of the episodes that returned most, which may be
    of a single behaviour. They are taken unless the critic is sure that logged plans are better,

    $$\frac1K \sum_{k \in \text{logged}} y_k > \frac1K \sum_{k \in \text{prior}} y_k + 3 \sigma_\gamma.$$

    Row by row: none depends on what else is in the batch.

    Args:
        model: theta.
        s0: current states, standardised.
        logged: plans of logged episodes, at least one.
        keys: of each row's draws.
        count: plans that act.
    """
    draws = DRAWS_PER_PLAN * count

    def one(row: tuple[Float[Array, "obs"], Key[Array, ""]]) -> Elites:
        state, key = row
        kept = best_of(logged.phi.mu, returns_from(model, state, logged), count)
        drawn = jax.random.normal(key, (draws, *logged.phi.mu.shape[1:]))
        states = jnp.broadcast_to(state[None], (draws, *state.shape))
        varied = best_of(drawn, model.predicted_return(states, drawn), count)
        sure = jnp.mean(kept.promise) > jnp.mean(varied.promise) + APART * model.critic.sigma_y()[0]
        chosen: Elites = jax.tree.map(lambda a, b: jnp.where(sure, a, b), kept, varied)
        return chosen

    found: Elites = jax.lax.map(one, (s0, keys))
    return found


def short_of(
    model: GAC,
    s0: Float[Array, "batch obs"],
    logged: Logged,
    ceiling: Float[Array, ""],
    played: Float[Array, ""],
) -> Bool[Array, "batch"]:
    """Whether one plan surely returns less than the ceiling from a state: by more than 3 sigma_y.

    Where it does not, its behaviour is known to go as far as any was seen to, and to mix others into it is a
    risk for nothing: on Hopper the best of the prior's plans are of two gaits, and between them it falls. One
    plan is known to return what a logged one does, or what collected episodes usually did.

    Args:
        model: theta.
        s0: current states, standardised.
        logged: plans of logged episodes, at least one.
        ceiling: the best return of the data, standardised; infinity where that does not matter.
        played: the median return of episodes that were collected, standardised; minus infinity for none.
    """

    def one(state: Float[Array, "obs"]) -> Bool[Array, ""]:
        most = jnp.maximum(jnp.max(returns_from(model, state, logged)), played)
        short: Bool[Array, ""] = most + APART * model.critic.sigma_y()[0] < ceiling
        return short

    found: Bool[Array, "batch"] = jax.lax.map(one, s0)
    return found


def best_of(
    epsilon: Float[Array, "candidates n_z dim"], promise: Float[Array, "candidates"], count: int
) -> Elites:
    """The `count` candidates that promise most, best first; of fewer, each as often as it takes."""
    found = promise.shape[0]
    most, place = jax.lax.top_k(promise, min(count, found))
    again = jnp.arange(count) % found
    return Elites(epsilon[place][again], most[again])
