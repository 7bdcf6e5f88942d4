"""The one inner loop: gradient ascent on any objective in phi, with an early stop per item."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

from gac.model.joint import Phi

Values = tuple[Float[Array, "batch"], Float[Array, "batch"]]
"""What is maximised, item by item, and what is watched meanwhile."""
Objective = Callable[[Phi, Int[Array, ""]], Values]
"""`(phi, number of the step) -> values`; one that draws does so anew at every step."""

CHECK_EVERY = 10
"""Steps between two comparisons of an item's value with its best so far."""
PATIENCE = 3
"""Comparisons in a row without a gain, after which an item stops: Adam overshoots and comes back."""
FIXED_DRAWS = -1
"""The step whose draws all comparisons share: their noise cancels in the difference."""


def learning_rate(rate: float, steps: int, decays: bool) -> optax.ScalarOrSchedule:
    """The rate of an ascent of so many steps: constant, or a half cosine down to zero.

    # Differs from the paper where it decays: with new draws at every step a constant rate makes every
    # dimension wander, and the KL charges for it.
    """
    return optax.cosine_decay_schedule(rate, steps) if decays else rate


class State(NamedTuple):
    """What one step of the loop hands to the next."""

    phi: Phi
    optimiser_state: optax.OptState
    value: Float[Array, "batch"]
    best: Float[Array, "batch"]
    """Greatest value at the fixed draws."""
    without_gain: Int[Array, "batch"]
    """Comparisons since then."""
    steps: Int[Array, "batch"]
    converged: Bool[Array, "batch"]
    step: Int[Array, ""]
    trace: Float[Array, "batch max_steps"]


class Info(NamedTuple):
    """Diagnostics of a finished inference."""

    value: Float[Array, "batch"]
    """Objective at the last step taken by each item."""
    steps: Int[Array, "batch"]
    """Steps until each item converged, or max_steps."""
    converged: Bool[Array, "batch"]
    """Whether it stopped by itself."""
    trace: Float[Array, "batch max_steps"]
    """The watched quantity at each step; NaN past the last."""

    def mean_trace(self) -> Float[ndarray, "steps"]:
        """Means over the items at each step; an item that stopped counts with its last value."""
        watched = np.asarray(self.trace).T[: int(self.steps.max())]
        known = np.minimum(np.arange(len(watched))[:, None], np.isfinite(watched).sum(axis=0) - 1)
        mean: ndarray = np.take_along_axis(watched, known, axis=0).mean(axis=1)
        return mean


def init(phi: Phi, optimiser: optax.GradientTransformation, max_steps: int) -> State:
    """Start at phi, nothing known of the objective yet."""
    batch = phi.mu.shape[0]
    return State(
        phi=phi,
        optimiser_state=optimiser.init(phi),
        value=jnp.zeros(batch),
        best=jnp.full(batch, -jnp.inf),
        without_gain=jnp.zeros(batch, jnp.int32),
        steps=jnp.zeros(batch, jnp.int32),
        converged=jnp.zeros(batch, bool),
        step=jnp.zeros((), jnp.int32),
        trace=jnp.full((batch, max_steps), jnp.nan),
    )


def step(state: State, objective: Objective, optimiser: optax.GradientTransformation) -> State:
    """One ascent step for every item that has not converged."""

    def total(phi: Phi) -> tuple[Float[Array, ""], Values]:
        values, watched = objective(phi, state.step)
        return -jnp.sum(values), (values, watched)

    gradient, (value, watched) = jax.grad(total, has_aux=True)(state.phi)
    # Optax mixes int32 counts with floats, which strict promotion (on in the tests) forbids.
    with jax.numpy_dtype_promotion("standard"):
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.phi)
    frozen = state.converged[:, None, None]
    move = jax.tree.map(lambda update: jnp.where(frozen, 0.0, update), updates)
    return state._replace(
        phi=optax.apply_updates(state.phi, move),
        optimiser_state=optimiser_state,
        value=jnp.where(state.converged, state.value, value),
        steps=state.steps + jnp.where(state.converged, 0, 1),
        step=state.step + 1,
        trace=state.trace.at[:, state.step].set(jnp.where(state.converged, jnp.nan, watched)),
    )


def infer(
    objective: Objective,
    phi0: Phi,
    optimiser: optax.GradientTransformation,
    max_steps: int,
    tol: float,
    stops: bool,
) -> tuple[Phi, Info]:
    r"""Ascend `objective` in phi from phi0, at most `max_steps` steps.

    Where `stops`, an item converges, and its phi stays as it is, when PATIENCE times CHECK_EVERY steps have
    not raised its best value v by more than `tol` times $\max(1, |v|)$. A rate that decays gains until its
    end, so there all steps are taken, and an item has converged if the last CHECK_EVERY gained no more.

    # Differs from the paper, which compares the values of successive steps: these differ by their draws
    # alone. Here values are compared at the same draws, CHECK_EVERY steps apart.

    Runs inside a compiled program; the stop is a condition of the loop, not of the host.

    Args:
        objective: `(phi, step) -> (values, watched)`, each of shape (batch,): values are maximised item by
            item, watched goes into the trace.
        phi0: start.
        optimiser: any gradient transformation, applied to phi of the whole batch.
        max_steps: most steps.
        tol: relative threshold of convergence.
        stops: whether items that have converged stop early; False for a rate that decays.
    """

    def ascend(state: State, steps: int) -> State:
        last: State = jax.lax.fori_loop(0, steps, lambda _, state: step(state, objective, optimiser), state)
        return last

    def compared(state: State) -> State:
        now, _ = objective(state.phi, jnp.asarray(FIXED_DRAWS, jnp.int32))
        gained = now > state.best + tol * jnp.maximum(1.0, jnp.abs(now))
        return state._replace(
            best=jnp.maximum(state.best, now), without_gain=jnp.where(gained, 0, state.without_gain + 1)
        )

    def chunk(state: State) -> State:
        state = compared(ascend(state, CHECK_EVERY))
        return state._replace(converged=state.converged | (state.without_gain >= PATIENCE))

    state, last = init(phi0, optimiser, max_steps), min(CHECK_EVERY, max_steps)
    if not stops:
        state = compared(ascend(state, max_steps - last)) if max_steps > last else state
        state = ascend(state, last)
        if max_steps > last:
            state = compared(state)
            state = state._replace(converged=state.without_gain > 0)
        return state.phi, Info(state.value, state.steps, state.converged, state.trace)
    chunks = (max_steps - 1) // CHECK_EVERY
    if chunks >= PATIENCE:  # The last steps need no comparison after them.
        state = jax.lax.while_loop(
            lambda state: (state.step < chunks * CHECK_EVERY) & ~jnp.all(state.converged), chunk, state
        )
    else:
        chunks = 0
    rest = max_steps - chunks * CHECK_EVERY
    state = jax.lax.cond(
        jnp.all(state.converged), lambda state: state, lambda state: ascend(state, rest), state
    )
    return state.phi, Info(state.value, state.steps, state.converged, state.trace)
