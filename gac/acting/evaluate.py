"""Vectorised evaluation: episodes under plans of a query, achieved beside predicted returns."""

import dataclasses
import time

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from numpy import ndarray

from gac.acting.record import recorded
from gac.acting.replan import Never, Replan
from gac.acting.rollout import OnStep, Played, Progress, Stepper, begin, longest_of, rollout
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
    environment = chosen_environment(env_id, agent.environment)
    if episodes < 1:
        raise UserError(f"episodes is {episodes}, expected 1 or more")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more")
    limit = check_fits(environment, agent, disturb, longest)
    rows = Rows(environment, agent.observation_dim, disturb)
    try:
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
    groups: list[Played] = []
    plan_seconds, act_seconds = 0.0, 0.0
    for start in range(0, episodes, MOST_ENVIRONMENTS):
        count = min(MOST_ENVIRONMENTS, episodes - start)
        first = begin(stepper, [seed + start + i for i in range(count)])
        began = time.perf_counter()
        plans.append(agent.plan(first, query, seed=seed + start))
        planned = time.perf_counter()
        told = None if on_step is None else shifted(on_step, start)
        tell = None if progress is None else told_from(progress, start)
        groups.append(
            rollout(
                agent,
                plans[-1],
                stepper,
                first,
                replan=replan,
                longest=longest,
                on_step=told,
                progress=tell,
            )
        )
        plan_seconds += planned - began
        act_seconds += time.perf_counter() - planned - groups[-1].replan_seconds
    asked = dataclasses.asdict(plans[0].query)
    y_star = asked.get("y_star")
    infos = [plan.info for plan in plans if plan.info is not None]
    return recorded(
        query.name,
        environment,
        seed,
        groups,
        agent.config,
        act_seconds=act_seconds,
        plan_seconds=plan_seconds,
        predicted_returns=tuple(np.concatenate([plan.predicted_returns for plan in plans]).tolist()),
        trace=_thinned(plans[0].trace),
        converged=float(np.mean(np.concatenate([info.converged for info in infos]))) if infos else None,
        query_steps=float(np.mean(np.concatenate([info.steps for info in infos]))) if infos else None,
        y_star=None if y_star is None or isinstance(y_star, tuple) else float(y_star),
        replan=str(replan or Never()),
        disturb=None if disturb is None else str(disturb),
        replans=tuple(np.concatenate([played.replans for played in groups]).tolist()),
        replan_seconds=sum(played.replan_seconds for played in groups),
        quantile=asked.get("quantile"),
        delta_y=asked.get("delta_y"),
    )


def shifted(on_step: OnStep, start: int) -> OnStep:
    """For a group of environments whose first row is episode `start`."""
    return lambda row, step: on_step(start + row, step)


def told_from(progress: Progress, start: int) -> Progress:
    """For a group of environments that follows `start` episodes."""
    return lambda over, mean: progress(start + over, mean)


def _thinned(trace: Float[ndarray, "steps"]) -> tuple[float, ...]:
    """At most TRACE_POINTS of the trace, evenly spaced, first and last included."""
    place = np.unique(np.linspace(0, len(trace) - 1, min(TRACE_POINTS, len(trace))).round().astype(int))
    return tuple(trace[place].tolist()) if len(trace) else ()
