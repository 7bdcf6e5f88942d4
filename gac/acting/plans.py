"""Plans as arrays, and what acts them out."""

from typing import NamedTuple

from jaxtyping import Array, Float

from gac.acting.guidance import Guide, Guided
from gac.acting.mixture import Mixture
from gac.acting.policy import Planned
from gac.data.standardise import Standardiser
from gac.model.generator import PlanMemory
from gac.model.joint import GAC


class Plans(NamedTuple):
    """A plan for each row, or several that act together; rows can be taken and put."""

    epsilon: Float[Array, "batch n_z dim"]
    """Base noise."""
    memory: list[PlanMemory]
    """The same as the generator reads it."""
    together: list[PlanMemory] | None
    """Plans that act by their mean action in its place, leaves `(batch, plans, ...)`; None for none."""

    def acting(
        self, model: GAC, standardiser: Standardiser, guide: Guide | None
    ) -> Planned | Guided | Mixture:
        """What acts them out; `guide` is for single plans."""
        if self.together is not None:
            return Mixture(model.generator, standardiser, self.together)
        if guide is not None:
            return Guided(model, standardiser, self.epsilon, guide)
        return Planned(model.generator, standardiser, self.memory)
