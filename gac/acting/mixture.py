r"""Several plans act together, by their mean action: $\frac1K \sum_k \bar a_\beta(s_t, z_k)$.

The plans are fixed before the first step, so that each acts on from wherever the others have led. A policy
that imitates the same episodes without plans has a mean action, too, but weighs it by who was seen in a
state, and the worse the state, the more by those that fail there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gac.acting.policy import Context, advance, empty_context, see
from gac.data.standardise import Standardiser
from gac.model.generator import Generator, PlanMemory


class Mixture(NamedTuple):
    """Plans to act out together, so many for each row."""

    generator: Generator
    standardiser: Standardiser
    memory: list[PlanMemory]
    """Every leaf `(batch, plans, ...)`."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.memory[0].read.shape[0]

    @property
    def plans(self) -> int:
        """Number of plans that act together."""
        return self.memory[0].read.shape[1]

    def start(self, context: int) -> Context:
        """Nothing seen yet."""
        obs, act = len(self.standardiser.observation_mean), len(self.standardiser.action_middle)
        return empty_context(self.size, context, obs, act)

    def rows(self, some: slice) -> "Mixture":
        """The plans of some of the rows."""
        return self._replace(memory=jax.tree.map(lambda leaf: leaf[some], self.memory))

    def choose(
        self, context: Context, state: Float[Array, "batch obs"]
    ) -> tuple[Context, Float[Array, "batch act"]]:
        """Shift a state into the context and take the mean of the plans' actions, scaled."""
        states, valid = see(context, state)

        def for_each_plan(rows: Array) -> Array:
            return jnp.repeat(rows, self.plans, axis=0)

        memory = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), self.memory)
        each = self.generator.act(memory, *map(for_each_plan, (states, context.actions, valid)))
        each = jnp.clip(each, -1.0, 1.0).reshape(self.size, self.plans, -1)
        action = jnp.mean(each, axis=1)
        return advance(context, states, valid, action), action
