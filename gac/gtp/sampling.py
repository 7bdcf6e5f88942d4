"""Sampling: from noise to an action in K steps along the map."""

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.gtp.config import GTPConfig
from gac.gtp.map import FlowMap
from gac.gtp.times import sampling_times


def sample(
    actor: FlowMap,
    state: Float[Array, "*#batch obs"],
    noise: Float[Array, "*#batch act"],
    config: GTPConfig,
    steps: int,
) -> Float[Array, "*batch act"]:
    r"""$a_T = T z$, $a_{t_{i+1}} = \Phi_\theta(s, a_{t_i}, t_i, t_{i+1})$, Eq. (15), clipped at the end.

    Args:
        actor: theta, or its average.
        state: standardised.
        noise: z.
        config: of the run.
        steps: K.
    """
    times = sampling_times(steps, config)
    move = actor.flow if config.sampler == "map" else actor.euler
    action = config.sigma_max * noise
    for t, s in itertools.pairwise(times):
        action = move(state, action, *(jnp.full((1,) * action.ndim, each) for each in (t, s)))
    return jnp.clip(action, -1.0, 1.0)


def sample_many(
    actor: FlowMap, config: GTPConfig, state: Float[Array, "batch obs"], key: PRNGKeyArray, count: int
) -> Float[Array, "count batch act"]:
    """So many actions for each state, in target_steps steps: a `Policy` of the critics."""
    noise = jax.random.normal(key, (count, len(state), actor.network.out.weight.shape[1]))
    return sample(actor, state[None], noise, config, config.target_steps)
