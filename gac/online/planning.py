"""Plans to collect by: each with a return to aim at."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.agent import Agent, Plan
from gac.inference.queries import Target
from gac.inference.spread import predictive
from gac.online import targets as aiming
from gac.online.collected import Aims


class Known(NamedTuple):
    """What a stage knows of its buffer when it begins; plans do not depend on what is added since."""

    returns: Float[ndarray, "episodes"]
    """Raw."""
    share: Float[ndarray, "episodes"]
    """Of each episode in what is learned."""


def plans_to_collect(
    agent: Agent,
    targets: aiming.Targets,
    known: Known,
    first: Float[ndarray, "batch obs"],
    seed: np.random.SeedSequence,
) -> tuple[Plan, Aims]:
    """Plans for first observations, Eq. (3), and what they aim at.

    Args:
        targets: the rule of the aims.
        known: of the buffer.
        first: first observations, raw.
        seed: of all draws.
    """
    words = seed.generate_state(3) >> 1
    unit, rng = float(agent.standardiser.return_std), np.random.default_rng(int(words[0]))
    y_plus = aiming.draw(targets, known.returns, known.share, unit, len(first), rng)
    plan = agent.plan(first, Target(tuple(y_plus.tolist())), seed=int(words[1]))
    phi = plan.phi
    assert phi is not None  # a target query has one; for the type checker
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))
    _, spread = predictive(agent.model, s0, phi, jax.random.key(int(words[2])))
    q = (np.asarray(phi.mu), np.asarray(phi.log_sigma))
    return plan, Aims(y_plus, plan.predicted_returns, unit * np.asarray(spread), *q)
