"""Plans as they are acted out."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from gac.model.generator import PlanMemory
from gac.model.joint import GAC


class Plans(NamedTuple):
    """A plan for each row: its base noise, and what the generator reads of it."""

    epsilon: Float[Array, "batch n_z dim"]
    memory: list[PlanMemory]


def read(
    model: GAC, s0: Float[Array, "batch obs"], epsilon: Float[Array, "batch n_z dim"]
) -> tuple[Plans, Float[Array, "batch"]]:
    """Plans at given states (standardised), and their predicted returns, standardised."""
    z_y, z_traj = model.prior(s0, epsilon)
    return Plans(epsilon, model.generator.remember(z_traj)), model.critic.mean(z_y, z_traj)


def rows(plans: Plans, some: slice) -> Plans:
    """The plans of some of the rows."""
    part: Plans = jax.tree.map(lambda leaf: leaf[some], plans)
    return part
