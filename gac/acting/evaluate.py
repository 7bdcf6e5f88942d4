"""Vectorised evaluation: episodes under plans of a query, achieved beside predicted returns."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from numpy import ndarray

from gac.acting.record import Episodes, recorded
from gac.acting.replan import Never, Replan
from gac.acting.rollout import Decides, OnStep, Played, Progress, Stepper, begin, longest_of, play
from gac.agent import Agent, Plan
from gac.config import LONGEST
from gac.data.environment import Reach, beyond_bounds, bounds_of
from gac.data.goals import join
from gac.envs.disturb import Disturbance
from gac.envs.rows import Rows
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.inference.queries import Exploit, Query
from gac.records import Evaluation
from gac.trained import Trained

MOST_ENVIRONMENTS = 100
TRACE_POINTS = 100


def chosen_environment(env_id: str | None, of_data: Environment | None) -> Environment:
    """The environment to play in: the one that is asked for, else the data's with all it was made with.

    Raises:
        UserError: there is none; or the data chose one with a module (`module:Env-v0`), which Gymnasium
            would import.
    """
    if env_id is not None:
        return Environment(env_id)
    if of_data is None:
        raise UserError("the data names no environment; give env_id, such as 'Hopper-v4'")
    if ":" in of_data.id:
        raise UserError(
            f"the data names the environment {of_data.id}, which would import a module that the data chose; "
            f"give env_id (--env-id {of_data.id}) if you trust it"
        )
    return of_data


def check_fits(
    environment: Environment, agent: Trained, disturb: Disturbance | None = None, longest: int = LONGEST
) -> int | None:
    """Refuse an environment that the agent was not trained for, before any work is done in it.

    Returns:
        Steps after which an episode counts as endless; None where the environment has a time limit.

    Raises:
        UserError: one that cannot be made or rebuilt, or cannot be disturbed so; spaces of another kind or
            size; actions of the data beyond its bounds; fewer steps than an episode has.
    """
    env = join(environment.make())
    wanted = ("observation", agent.observation_dim), ("action", agent.action_dim)
    for (what, size), space in zip(wanted, (env.observation_space, env.action_space), strict=True):
        if not isinstance(space, Box) or space.shape != (size,):
            raise UserError(
                f"{environment} has {what} space {space}, the agent was trained on Box of shape ({size},)"
            )
    scale = agent.standardiser
    middle, half = (np.asarray(each, np.float64) for each in (scale.action_middle, scale.action_half_range))
    reach = Reach(middle - half, middle + half, np.asarray(agent.facts.action_shape, np.float64))
    assert isinstance(env.action_space, Box)  # checked above; for the type checker
    beyond = beyond_bounds(reach, bounds_of(env.action_space), str(environment))
    if beyond is not None:
        raise UserError(beyond)
    if disturb is not None:
        disturb.wrap(env)
    limit = None if env.spec is None else env.spec.max_episode_steps
    env.close()
    return longest_of(limit, longest)


def evaluate(
    agent: Agent,
    env_id: str | None = None,
    *,
    query: Query | None = None,
    episodes: int = 100,
    seed: int = 0,
    replan: Replan | None = None,
    disturb: Disturbance | None = None,
    longest: int = LONGEST,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Play episodes, each under a plan inferred from its own first observation.

    Args:
        agent: a trained agent.
        env_id: Gymnasium id; unless given, the data's own environment, with the wrappers, arguments and time
            limit that the data were recorded with.
        query: `Exploit()` unless given.
        episodes: number of episodes; environment i is reset with seed + i.
        seed: seed of the environments, of the query and of what disturbs.
        replan: when to infer a new plan within an episode; never unless given.
        disturb: pushes, or noise on actions, the same for every query and every way of replanning.
        longest: steps after which an episode counts as endless, where the environment has no time limit.
        on_step: told of every step of every episode, with the episode's number.
        progress: told how far it is, after every step.

    Raises:
        UserError: an environment that cannot be made or does not fit the agent, or that the data chose
            with a module to import; one that fails, gives what is no data, or does not end; a trigger of an
            agent that is not calibrated, an environment that cannot be disturbed so.
    """
    with places(agent, env_id, episodes, seed, disturb, longest) as (environment, rows, limit):
        return evaluated(
            agent,
            rows,
            environment,
            query=query or Exploit(),
            episodes=episodes,
            seed=seed,
            replan=replan,
            disturb=disturb,
            longest=limit,
            on_step=on_step,
            progress=progress,
        )


@contextmanager
def places(
    agent: Trained, env_id: str | None, episodes: int, seed: int, disturb: Disturbance | None, longest: int
) -> Iterator[tuple[Environment, Rows, int | None]]:
    """The environment, its rows, and the steps after which an episode counts as endless; checks all first."""
    environment = chosen_environment(env_id, agent.environment)
    if episodes < 1:
        raise UserError(f"episodes is {episodes}, expected 1 or more")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more")
    limit = check_fits(environment, agent, disturb, longest)
    rows = Rows(environment, agent.observation_dim, disturb)
    try:
        yield environment, rows, limit
    finally:
        rows.close()


def evaluated(
    agent: Agent,
    stepper: Stepper,
    environment: Environment,
    *,
    query: Query,
    episodes: int,
    seed: int,
    longest: int | None,
    replan: Replan | None = None,
    disturb: Disturbance | None = None,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """`evaluate` in the environments of a stepper, which are those of `environment`, so disturbed."""
    plans: list[Plan] = []

    def make_policy(first: Float[ndarray, "batch obs"], seed: int) -> tuple[Decides, tuple[float, ...]]:
        plans.append(agent.plan(first, query, seed=seed))
        return agent.policy(plans[-1], replan), tuple(plans[-1].predicted_returns.tolist())

    played = play_all(
        make_policy, stepper, episodes, seed, longest=longest, on_step=on_step, progress=progress
    )
    asked = dataclasses.asdict(plans[0].query)
    y_star = asked.get("y_star")
    infos = [plan.info for plan in plans if plan.info is not None]
    return recorded(
        query.name,
        environment,
        seed,
        played,
        agent.config,
        trace=_thinned(plans[0].trace),
        converged=float(np.mean(np.concatenate([info.converged for info in infos]))) if infos else None,
        query_steps=float(np.mean(np.concatenate([info.steps for info in infos]))) if infos else None,
        y_star=None if y_star is None or isinstance(y_star, tuple) else float(y_star),
        replan=str(replan or Never()),
        disturb=None if disturb is None else str(disturb),
        quantile=asked.get("quantile"),
        delta_y=asked.get("delta_y"),
    )


MakePolicy = Callable[[Float[ndarray, "batch obs"], int], tuple[Decides, tuple[float, ...]]]
"""`(first observations, seed of the first episode) -> (policy, its predicted raw returns or none)`."""


def play_all(
    make_policy: MakePolicy,
    stepper: Stepper,
    episodes: int,
    seed: int,
    *,
    longest: int | None,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Episodes:
    """Play episodes in groups of at most MOST_ENVIRONMENTS, each by a policy that is made for it."""
    groups: list[Played] = []
    predicted: tuple[float, ...] = ()
    plan_seconds, act_seconds = 0.0, 0.0
    for start in range(0, episodes, MOST_ENVIRONMENTS):
        seeds = [seed + i for i in range(start, min(start + MOST_ENVIRONMENTS, episodes))]
        first = begin(stepper, seeds)
        began = time.perf_counter()
        policy, promised = make_policy(first, seeds[0])
        made = time.perf_counter()
        told = None if on_step is None else _shifted(on_step, start)
        tell = None if progress is None else _told_from(progress, start)
        groups.append(play(policy, stepper, first, longest=longest, on_step=told, progress=tell))
        predicted += promised
        plan_seconds += made - began
        act_seconds += time.perf_counter() - made - groups[-1].replan_seconds
    return Episodes(groups, act_seconds, plan_seconds, predicted)


def _shifted(on_step: OnStep, start: int) -> OnStep:
    """For a group of environments whose first row is episode `start`."""
    return lambda row, step: on_step(start + row, step)


def _told_from(progress: Progress, start: int) -> Progress:
    """For a group of environments that follows `start` episodes."""
    return lambda over, mean: progress(start + over, mean)


def _thinned(trace: Float[ndarray, "steps"]) -> tuple[float, ...]:
    """At most TRACE_POINTS of the trace, evenly spaced, first and last included."""
    place = np.unique(np.linspace(0, len(trace) - 1, min(TRACE_POINTS, len(trace))).round().astype(int))
    return tuple(trace[place].tolist()) if len(trace) else ()
