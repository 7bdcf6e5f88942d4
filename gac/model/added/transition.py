"""Transitions that read no plan, so that a plan cannot hold what only happened to an episode."""

# Differs from the paper: there the decoder predicts next states from the plan too, so that a plan tells the
# luck of an episode, and whoever plans for a high return plans to be lucky.

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.model.transformer import Linear


class Transition(eqx.Module):
    r"""The mean change of the state, from a state and an action alone: $E[s_{t+1} - s_t | s_t, a_t]$.

    Source of the condition: dichotomy of control, S. Yang, D. Schuurmans, P. Abbeel, O. Nachum, ICLR 2023.
    """

    hidden: list[Linear]
    out: Linear

    def __init__(self, observation_dim: int, action_dim: int, width: int, key: PRNGKeyArray) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        sizes = (observation_dim + action_dim, k1), (width, k2)
        self.hidden = [Linear(size, width, k, 2**0.5) for size, k in sizes]
        self.out = Linear(width, observation_dim, k3, 0.1)

    def __call__(
        self, states: Float[Array, "*batch obs"], actions: Float[Array, "*batch act"]
    ) -> Float[Array, "*batch obs"]:
        """Mean changes; states standardised, actions scaled to [-1, 1]."""
        x = jnp.concatenate([states, actions], axis=-1)
        for layer in self.hidden:
            x = jax.nn.relu(layer(x))
        return self.out(x)
