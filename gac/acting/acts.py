"""What acts: decided once, when training ends, from the data and the model; stored in the run."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.config import AddedConfig
from gac.data.standardise import Standardiser
from gac.inference.elites import short_of
from gac.inference.trust_region import Logged
from gac.model.joint import GAC
from gac.records import DataFacts

FIRST_STATES = 64
"""First states of the data, evenly spaced, from which it is decided what acts."""
ANYWHERE = 0.5
"""Spread of the first observations, as a share of that of all, from which on episodes begin anywhere."""


@dataclass(frozen=True)
class Acts:
    """What acts in a run, for every query that does not say otherwise."""

    plans: int = 1
    """Plans whose mean action exploit acts by."""
    guidance: float = 0.0
    """Guidance weight of every query that aims at a return."""
    rereads: bool = False
    """Guided plans are read again from each state at which an episode may begin."""

    def __str__(self) -> str:
        how = "one plan" if self.plans == 1 else f"{self.plans} plans by their mean action"
        if not self.guidance:
            return how
        where = ", read again from states at which an episode may begin" if self.rereads else ""
        return f"{how}, guidance weight {self.guidance:g}{where}"


def decide(
    model: GAC,
    logged: Logged,
    standardiser: Standardiser,
    added: AddedConfig,
    facts: DataFacts,
    first: Float[ndarray, "some obs"],
) -> Acts:
    """What acts after training.

    Guidance, where episodes begin anywhere and nothing was collected: an agent fine-tuned on guided episodes
    has absorbed it. Several plans, where episodes begin alike and from most first states the best logged plan
    is predicted to fall short of the best return of the data.

    Args:
        model: the weights that act.
        logged: plans of logged episodes.
        added: the additions that may act.
        facts: of the data.
        first: some first observations of the data, standardised.
    """
    if begins_anywhere(facts, standardiser):
        if facts.collected:
            return Acts()
        weight = added.guidance_on_ways if differ_in_length(facts) else added.guidance
        return Acts(guidance=weight, rereads=weight > 0.0 and differ_in_length(facts))
    if added.plans == 1:
        return Acts()
    returns = standardiser.standardise_return(np.asarray(facts.returns, np.float32))
    collected = returns[len(returns) - facts.collected :]
    played = jnp.float32(np.median(collected) if len(collected) else -np.inf)
    short = _short_of(model, jnp.asarray(first), logged, jnp.float32(returns.max()), played)
    return Acts(plans=added.plans if float(np.mean(np.asarray(short))) > 0.5 else 1)


def begins_anywhere(facts: DataFacts, standardiser: Standardiser) -> bool:
    """Whether each dimension varies over first observations at least half as much as over all."""
    std, first = standardiser.observation_std, np.asarray(facts.first_std)
    # A dimension that is the same in all the data has 1 for its standard deviation.
    varies = (first > 0.0) | (std != 1.0) if len(first) else np.zeros(0, bool)
    return bool(varies.any() and (first[varies] >= ANYWHERE * std[varies]).all())


def differ_in_length(facts: DataFacts) -> bool:
    """Whether the rest of a logged episode may be an episode too: not where all have one length."""
    return len(set(facts.lengths[: facts.episodes - facts.collected])) > 1


_short_of = eqx.filter_jit(short_of)
