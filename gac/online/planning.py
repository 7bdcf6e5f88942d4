"""Plans to collect by: each with a return to aim at and a guidance weight."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.acting.acts import begins_anywhere
from gac.acting.agent import Agent, Plan
from gac.config import OnlineConfig
from gac.inference.queries import Target
from gac.inference.spread import predictive
from gac.online import targets as aiming
from gac.online.collected import Aims

EPISODES, EPISODES_ANYWHERE = 100, 500
"""Episodes of a stage unless told; where they begin anywhere, as in mazes, as many as the paper has there."""


class Known(NamedTuple):
    """What a stage knows of its buffer when it begins; plans do not depend on what is added since."""

    returns: Float[ndarray, "episodes"]
    """Raw."""
    share: Float[ndarray, "episodes"]
    """Of each episode in what is learned."""


def episodes_of_a_stage(agent: Agent, config: OnlineConfig) -> int:
    """Number of episodes that a stage collects."""
    return config.episodes or (
        EPISODES_ANYWHERE if begins_anywhere(agent.facts, agent.standardiser) else EPISODES
    )


def plans_to_collect(
    agent: Agent,
    config: OnlineConfig,
    targets: aiming.Targets,
    known: Known,
    first: Float[ndarray, "batch obs"],
    seed: np.random.SeedSequence,
) -> tuple[Plan, Aims]:
    """Plans for first observations, and what they aim at.

    Args:
        targets: the rule of the aims.
        known: of the buffer.
        first: first observations, raw.
        seed: of all draws.
    """
    words = seed.generate_state(3) >> 1
    unit, rng = float(agent.standardiser.return_std), np.random.default_rng(int(words[0]))
    y_plus = aiming.draw(targets, known.returns, known.share, unit, len(first), rng)
    # Differs from the paper: unless near is prior, plans may be held near logged ones, not near N(0, I).
    assert config.near is not None  # resolved; for the type checker
    query = Target(tuple(y_plus.tolist()), config.near, _guidance(agent, config, len(first), rng))
    plan = agent.plan(first, query, seed=int(words[1]))
    phi = plan.phi
    assert phi is not None  # a target query has one; for the type checker
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))
    _, spread = predictive(agent.model, s0, phi, jax.random.key(int(words[2])))
    q = (np.asarray(phi.mu), np.asarray(phi.log_sigma))
    return plan, Aims(y_plus, plan.predicted_returns, unit * np.asarray(spread), *q)


def _guidance(
    agent: Agent, config: OnlineConfig, count: int, rng: np.random.Generator
) -> float | tuple[float, ...] | None:
    """The guidance weight of each plan: as given, or drawn evenly in the logarithm."""
    least = agent.acts.guidance
    most = agent.config.added.guidance_up_to if config.guidance_up_to is None else config.guidance_up_to
    if config.guidance is not None or least == 0.0 or most <= least:
        return config.guidance
    return tuple(np.exp(rng.uniform(math.log(least), math.log(most), count)).tolist())
