"""Plans to collect by: each with a return to aim at and a weight of guidance, or several together."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gac.acting.agent import Agent, Plan
from gac.config import OnlineConfig
from gac.inference.queries import Exploit, Target
from gac.inference.solve import either
from gac.inference.spread import predictive
from gac.model.joint import Phi
from gac.online import targets as aiming
from gac.online.collected import Aims

EPISODES, EPISODES_ANYWHERE = 100, 500
"""Episodes of a stage unless told; where they begin anywhere, as in mazes, as many as the paper has there."""
GUIDANCE_UP_TO = 64.0
"""Largest weight of plans that collect unless told; 8 and more find what 1 never does (docs/research.md)."""


class Known(NamedTuple):
    """What a stage knows of its buffer when it begins; plans do not depend on what is added since."""

    returns: Float[ndarray, "episodes"]
    """Raw."""
    share: Float[ndarray, "episodes"]
    """Of each episode in what is learned."""


def episodes_of_a_stage(agent: Agent, config: OnlineConfig) -> int:
    """Number of episodes that a stage collects."""
    return config.episodes or (EPISODES_ANYWHERE if agent.begins_anywhere else EPISODES)


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
    query = Target(tuple(y_plus.tolist()), config.near, _guidance(agent, config, len(first), rng))
    plan = agent.plan(first, query, seed=int(words[1]))
    # Differs from the paper: where no single plan comes near the best, there is none to aim with yet.
    several = agent.acts_by_several(first) & (plan.guidance == 0.0) & (targets.rule == "auto")
    if several.any():
        plan = where(several, agent.plan(first, Exploit(plans="several"), seed=int(words[1])), plan)
        y_plus = np.where(several, np.nan, y_plus)
    assert plan.phi is not None  # a target query has one; for the type checker
    s0 = jnp.asarray(agent.standardiser.standardise_observation(first))
    _, spread = predictive(agent.model, s0, plan.phi, jax.random.key(int(words[2])))
    q = (np.asarray(plan.phi.mu), np.asarray(plan.phi.log_sigma))
    return plan, Aims(y_plus, plan.predicted_returns, unit * np.asarray(spread), *q)


def where(several: Bool[ndarray, "batch"], together: Plan, one: Plan) -> Plan:
    """`together` row by row where several plans are to act, else `one`, which then acts as so many alike.

    No one q explains what several do: theirs is N(0, I), from where a new posterior begins.
    """
    assert together.together is not None  # by their queries; for the type checker
    assert one.phi is not None
    count = jax.tree.leaves(together.together)[0].shape[1]
    alike = jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], count, axis=1), one.memory)
    choice = jnp.asarray(several)
    return one._replace(
        predicted_returns=np.where(several, together.predicted_returns, one.predicted_returns),
        phi=either(choice, Phi(*map(jnp.zeros_like, one.phi)), one.phi),
        together=either(choice, together.together, alike),
    )


def _guidance(
    agent: Agent, config: OnlineConfig, count: int, rng: np.random.Generator
) -> float | tuple[float, ...] | None:
    """Weights of guidance, each plan's own, evenly in the logarithm; as told where one is."""
    least = agent.usual_guidance
    if config.guidance is not None or least == 0.0:
        return config.guidance
    most = max(GUIDANCE_UP_TO, least) if config.guidance_up_to is None else config.guidance_up_to
    return tuple(np.exp(rng.uniform(math.log(least), math.log(most), count)).tolist())
