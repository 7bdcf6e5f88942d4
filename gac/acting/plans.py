"""A plan: a weighted set of base noises, as arrays."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from gac.model.generator import PlanMemory


class Plans(NamedTuple):
    r"""For each row base noises $\epsilon_k$ with weights $w_k$ that sum to 1.

    They act by $\mathrm{clip}(\sum_k w_k \bar a_\beta(s_t, z_k))$. A single noise of weight 1 is the paper's
    plan; several of equal weight act by their mean action; guidance has a plan of weight 1 + w and others of
    negative weights.
    """

    epsilon: Float[Array, "batch noises n_z dim"]
    """Base noise; the first of each row is the plan that the query inferred, or the best of several."""
    weight: Float[Array, "batch noises"]
    memory: list[PlanMemory]
    """The plans as the generator reads them, leaves `(batch, noises, ...)`."""

    @property
    def first(self) -> Float[Array, "batch n_z dim"]:
        """The first noise of each row."""
        return self.epsilon[:, 0]


def equal_weights(epsilon: Float[Array, "batch noises n_z dim"]) -> Float[Array, "batch noises"]:
    """Weights of the mean action."""
    batch, noises = epsilon.shape[:2]
    return jnp.full((batch, noises), 1.0 / noises)
