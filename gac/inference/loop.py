"""The one inner loop: gradient ascent on any objective in phi, with early stop per item."""

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

SMOOTHING = 0.9
LEAST_STEPS = 10


class State(NamedTuple):
    """What one step of the loop hands to the next."""

    phi: Phi
    optimiser_state: optax.OptState
    move: Phi
    value: Float[Array, "batch"]
    change: Float[Array, "batch"]
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
        """Means over the items until the last one rests; of an ascent that ended before, its last counts."""
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
        move=jax.tree.map(jnp.zeros_like, phi),
        value=jnp.zeros(batch),
        change=jnp.full(batch, jnp.inf),
        steps=jnp.zeros(batch, jnp.int32),
        converged=jnp.zeros(batch, bool),
        step=jnp.zeros((), jnp.int32),
        trace=jnp.full((batch, max_steps), jnp.nan),
    )


def step(state: State, objective: Objective, optimiser: optax.GradientTransformation, tol: float) -> State:
    r"""One ascent step for every item that has not converged.

    With $g_t$ the gradient and $\Delta_{t-1}$ the move before it, $g_t \cdot \Delta_{t-1}$ is what the
    last move changed, to first order. An item converges when the smoothed size of that change,
    $c_t = 0.9\,c_{t-1} + 0.1\,|g_t \cdot \Delta_{t-1}|$, is at most `tol` times $\max(1, |v_t|)$; its phi is
    frozen from then on.

    # Differs from the paper, which compares values: those of an objective with new draws at every step
    # never stand still, while this vanishes with the moves.
    """

    def total(phi: Phi) -> tuple[Float[Array, ""], Values]:
        values, watched = objective(phi, state.step)
        return -jnp.sum(values), (values, watched)

    gradient, (value, watched) = jax.grad(total, has_aux=True)(state.phi)
    # Optax mixes int32 counts with floats, which strict promotion (on in the tests) forbids.
    with jax.numpy_dtype_promotion("standard"):
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.phi)
    frozen = state.converged[:, None, None]
    move = jax.tree.map(lambda update: jnp.where(frozen, 0.0, update), updates)
    changed = jnp.abs(sum(jnp.sum(g * m, axis=(1, 2)) for g, m in zip(gradient, state.move, strict=True)))
    change = jnp.where(state.step <= 1, changed, SMOOTHING * state.change + (1.0 - SMOOTHING) * changed)
    settled = change <= tol * jnp.maximum(1.0, jnp.abs(value))
    return State(
        phi=optax.apply_updates(state.phi, move),
        optimiser_state=optimiser_state,
        move=move,
        value=jnp.where(state.converged, state.value, value),
        change=change,
        steps=state.steps + jnp.where(state.converged, 0, 1),
        converged=state.converged | (settled & (state.step >= LEAST_STEPS)),
        step=state.step + 1,
        trace=state.trace.at[:, state.step].set(watched),
    )


def infer(
    objective: Objective,
    phi0: Phi,
    optimiser: optax.GradientTransformation,
    max_steps: int,
    tol: float,
) -> tuple[Phi, Info]:
    """Ascend `objective` in phi from phi0 until every item converges, at most `max_steps` steps.

    Runs inside a compiled program; the stop is a condition of the loop, not of the host.

    Args:
        objective: `(phi, step) -> (values, watched)`, each of shape (batch,): values are maximised item by
            item, watched goes into the trace.
        phi0: start.
        optimiser: any gradient transformation, applied to phi of the whole batch.
        max_steps: most steps.
        tol: relative threshold of `step`.
    """
    final = jax.lax.while_loop(
        lambda state: (state.step < max_steps) & ~jnp.all(state.converged),
        lambda state: step(state, objective, optimiser, tol),
        init(phi0, optimiser, max_steps),
    )
    return final.phi, Info(final.value, final.steps, final.converged, final.trace)
