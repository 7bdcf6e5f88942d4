r"""What tells that a plan no longer holds: the generator's surprise, and the fall of the expected return.

Two signals at every step t of a plan that was inferred at $s_0$ and is carried out since:

- surprise: $x_t = \frac1S \sum_j ((s_{t,j} - \hat s_{t,j}) / \rho_j)^2$, with $\hat s_t$ the state that
  p_beta predicted from the context and the action, and $\rho_j$ the root mean square of the same residual
  on held-out episodes: 1 on average as long as the world is that of the data;
- fall: $x_t = \mu_\gamma(z_y(s_0, \epsilon)) - \mu_\gamma(z_y(s_t, \epsilon))$: what the same base noise
  promises less from here than it did at the start, in standard deviations of the data's returns.

Both are smoothed, $v_t = v_{t-1} + (x_t - v_{t-1}) / W$ from $v_0 = 1$ and $0$, what they are on average. A
plan is not judged before the average has seen W steps of it, the n-th new one of an episode not before
$2^n W$ steps: where plan after plan fails, the cause is none that a new plan mends.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gac.acting.policy import Acting, Context
from gac.compilation import JitSmall
from gac.model.generator import Generator, PlanMemory
from gac.model.joint import GAC

SIGNALS = ("surprise", "fall")
MEMORY_STEPS = 10
"""W. A push shows in one step and noise in all: ten steps average the noise and keep the push."""
START = (1.0, 0.0)


class Watch(NamedTuple):
    """What is remembered of a plan while it is carried out."""

    expected: Float[Array, "batch obs"]
    """The state predicted for the next step, standardised."""
    reference: Float[Array, "batch"]
    """mu_gamma where the plan was made."""
    average: Float[Array, "batch signals"]
    """Smoothed signals, in the order of SIGNALS."""
    seen: Int[Array, "batch"]
    """States seen under the plan, its first one included; 0 where a plan is new."""

    @classmethod
    def new(cls, batch: int, observation_dim: int) -> "Watch":
        """Nothing seen yet of any plan."""
        return cls(
            jnp.zeros((batch, observation_dim)),
            jnp.zeros(batch),
            jnp.zeros((batch, len(SIGNALS))),
            jnp.zeros(batch, jnp.int32),
        )


def surprise(
    observed: Float[Array, "batch obs"], expected: Float[Array, "batch obs"], scale: Float[Array, "obs"]
) -> Float[Array, "batch"]:
    """Mean squared residual of the predicted state, each dimension in units of its own scale."""
    return jnp.mean(jnp.square((observed - expected) / scale[None]), axis=1)


def smooth(
    average: Float[Array, "batch signals"], values: Float[Array, "batch signals"]
) -> Float[Array, "batch signals"]:
    """One step of the exponentially weighted average."""
    return average + (values - average) / MEMORY_STEPS


def judged(seen: Any, replans: Any = 0) -> Any:
    """Whether the average has seen enough of a plan: `seen` states are one transition fewer.

    Args:
        seen: states seen under the plan, its first one included; an integer array.
        replans: new plans that the episode had already; an integer array of the same shape, or one number.
    """
    return seen > MEMORY_STEPS * 2**replans


@JitSmall
def watch(
    model: GAC,
    epsilon: Float[Array, "batch n_z dim"],
    scale: Float[Array, "obs"],
    state: Watch,
    observed: Float[Array, "batch obs"],
) -> Watch:
    """Take in the next state; where a plan is new (`seen` is 0), begin with it.

    Args:
        epsilon: base noise of the plans.
        scale: rho, root mean square of the residuals, standardised units.
        observed: states, standardised.
    """
    promised = model.predicted_return(observed, epsilon)
    values = jnp.stack([surprise(observed, state.expected, scale), state.reference - promised], axis=1)
    new = state.seen == 0
    start = jnp.broadcast_to(jnp.asarray(START)[None], values.shape)
    return Watch(
        state.expected,
        jnp.where(new, promised, state.reference),
        jnp.where(new[:, None], start, smooth(state.average, values)),
        state.seen + 1,
    )


def expect(
    generator: Generator,
    memory: list[PlanMemory],
    before: Context,
    after: Context,
    action: Float[Array, "batch act"],
) -> Float[Array, "batch obs"]:
    """The mean next state under p_beta, standardised, `after` the state and `action` joined `before`."""
    actions = jnp.concatenate([before.actions, action[:, None]], axis=1)
    _, next_state = generator(memory, after.states[:, None], actions[:, None], after.valid[:, None])
    return next_state[:, 0, -1]


@JitSmall
def act_and_expect(
    acting: Acting,
    context: Any,
    state: Float[Array, "batch obs"],
) -> tuple[Any, Float[Array, "batch act"], Float[Array, "batch obs"]]:
    """The next context, the actions (raw), and the states that should follow (standardised)."""
    after, action = acting.choose(context, state)
    return (
        after,
        acting.standardiser.raw_action(action),
        expect(acting.generator, acting.plans.memory, context, after, action),
    )
