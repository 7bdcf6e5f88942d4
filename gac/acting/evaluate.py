"""Vectorised evaluation: episodes under plans of a query, achieved beside predicted returns."""

import dataclasses
import time
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from numpy import ndarray

import gac.envs  # noqa: F401 - registers the mazes
from gac.acting.agent import Agent, Plan
from gac.acting.play import OnStep, Played, Progress, play
from gac.acting.replan import Never, Replan
from gac.acting.scores import normalized_score
from gac.data.goals import join
from gac.envs.disturb import Disturbance
from gac.errors import UserError, one_line
from gac.inference.queries import Exploit, Query
from gac.records import Evaluation
from gac.version import __version__

PACKAGES = ("jax", "gymnasium", "mujoco")
MOST_ENVIRONMENTS = 100
TRACE_POINTS = 100


def chosen_environment(env_id: str | None, of_data: str | None) -> str:
    """The environment to play in: the one that is asked for, else the data's.

    Raises:
        UserError: there is none; or the data chose one with a module (`module:Env-v0`), which Gymnasium
            would import.
    """
    if env_id is not None:
        return env_id
    if of_data is None:
        raise UserError("the data names no environment; give env_id, such as 'Hopper-v5'")
    if ":" in of_data:
        raise UserError(
            f"the data names the environment {of_data}, which would import a module that the data chose; "
            f"give env_id (--env-id {of_data}) if you trust it"
        )
    return of_data


def make_environments(
    env_id: str, count: int, agent: Agent, disturb: Disturbance | None = None
) -> list[gymnasium.Env[Any, Any]]:
    """Make `count` environments, Gymnasium's or those of `gac.envs`; check that their spaces fit the agent.

    Raises:
        UserError: an unknown id, a missing dependency, spaces of another kind or size, actions of
            the data beyond the environment's bounds.
    """
    try:
        environments = [gymnasium.make(env_id) for _ in range(count)]
    except Exception as error:  # its constructor may be the user's own
        raise UserError(f"environment {env_id!r} cannot be made ({one_line(error)})") from error
    environments = [join(env) for env in environments]
    spaces = environments[0].observation_space, environments[0].action_space
    wanted = ("observation", agent.observation_dim), ("action", agent.action_dim)
    for (what, size), space in zip(wanted, spaces, strict=True):
        if not isinstance(space, Box) or space.shape != (size,):
            raise UserError(
                f"{env_id} has {what} space {space}, the agent was trained on Box of shape ({size},)"
            )
    middle, half = agent.standardiser.action_middle, agent.standardiser.action_half_range
    action = spaces[1]
    assert isinstance(action, Box)  # checked above; for the type checker
    if (middle - half < action.low - 1e-4).any() or (middle + half > action.high + 1e-4).any():
        raise UserError(
            f"the data's actions reach [{(middle - half).min():g}, {(middle + half).max():g}], beyond "
            f"{env_id}'s bounds [{action.low.min():g}, {action.high.max():g}]; rescale the data's actions"
        )
    return environments if disturb is None else [disturb.wrap(env) for env in environments]


def evaluate(
    agent: Agent,
    env_id: str | None = None,
    *,
    query: Query | None = None,
    episodes: int = 100,
    seed: int = 0,
    replan: Replan | None = None,
    disturb: Disturbance | None = None,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Play episodes, each under a plan inferred from its own first observation.

    Args:
        agent: a trained agent.
        env_id: Gymnasium id; the data's own unless given.
        query: `Exploit()` unless given.
        episodes: number of episodes; environment i is reset with seed + i.
        seed: seed of the environments, of the query and of what disturbs.
        replan: when to infer a new plan within an episode; never unless given.
        disturb: pushes, or noise on actions, the same for every query and every way of replanning.
        on_step: told of every step of every episode.
        progress: told how far it is, after every step.

    Raises:
        UserError: an environment that cannot be made or does not fit the agent, or that the data chose
            with a module to import; a trigger of an agent that is not calibrated, an environment that
            cannot be disturbed so.
    """
    query, replan = query or Exploit(), replan or Never()
    env_id = chosen_environment(env_id, agent.env_id)
    if episodes < 1:
        raise UserError(f"episodes is {episodes}, expected 1 or more")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more")
    environments = make_environments(env_id, min(episodes, MOST_ENVIRONMENTS), agent, disturb)
    plans: list[Plan] = []
    groups: list[Played] = []
    plan_seconds, act_seconds = 0.0, 0.0
    for start in range(0, episodes, MOST_ENVIRONMENTS):
        group = environments[: episodes - start]
        first = np.stack([_first(env, seed + start + i) for i, env in enumerate(group)])
        began = time.perf_counter()
        plans.append(agent.plan(first, query, seed=seed + start))
        planned = time.perf_counter()
        told = None if on_step is None else _shifted(on_step, start)
        tell = None if progress is None else _from(progress, start)
        groups.append(play(agent, plans[-1], group, first, replan, told, tell))
        plan_seconds += planned - began
        act_seconds += time.perf_counter() - planned - groups[-1].replan_seconds
    for env in environments:
        env.close()
    return summarised(query, env_id, seed, plans, groups, plan_seconds, act_seconds, replan, disturb)


def _first(env: gymnasium.Env[Any, Any], seed: int) -> Float[ndarray, "obs"]:
    """The first observation of an episode, raw."""
    try:
        return np.asarray(env.reset(seed=seed)[0], np.float64)
    except Exception as error:
        raise UserError(
            f"the environment failed at reset with seed {seed} ({type(error).__name__}: {one_line(error)})"
        ) from error


def summarised(
    query: Query,
    env_id: str,
    seed: int,
    plans: list[Plan],
    groups: list[Played],
    plan_seconds: float,
    act_seconds: float,
    replan: Replan | None = None,
    disturb: Disturbance | None = None,
) -> Evaluation:
    """The record of groups of episodes that were played under plans of a query.

    Args:
        plans: those of each group.
        plan_seconds: wall-clock seconds of inferring them.
        act_seconds: wall-clock seconds of all steps, replanning left out.
    """
    y, steps, replans = (
        np.concatenate([getattr(played, name) for played in groups])
        for name in ("returns", "lengths", "replans")
    )
    asked = dataclasses.asdict(query)
    y_star = asked.get("y_star")
    infos = [plan.info for plan in plans if plan.info is not None]
    scores = normalized_score(env_id, y)
    return Evaluation(
        query=query.name,
        env_id=env_id,
        seed=seed,
        returns=tuple(y.tolist()),
        lengths=tuple(steps.tolist()),
        predicted_returns=tuple(np.concatenate([plan.predicted_returns for plan in plans]).tolist()),
        mean=float(y.mean()),
        std=float(y.std()),
        normalized_mean=None if scores is None else float(scores.mean()),
        normalized_std=None if scores is None else float(scores.std()),
        plan_seconds=plan_seconds,
        steps_per_second=float(steps.sum() / act_seconds),
        trace=_thinned(plans[0].trace),
        converged=float(np.mean(np.concatenate([info.converged for info in infos]))) if infos else None,
        query_steps=float(np.mean(np.concatenate([info.steps for info in infos]))) if infos else None,
        y_star=None if y_star is None or isinstance(y_star, tuple) else float(y_star),
        versions={"gac": __version__} | {package: version(package) for package in PACKAGES},
        replan=str(replan or Never()),
        disturb=None if disturb is None else str(disturb),
        replans=tuple(replans.tolist()),
        replan_seconds=sum(played.replan_seconds for played in groups),
        ms_per_step=1e3 * sum(played.policy_seconds for played in groups) / float(steps.sum()),
        guidance=None if isinstance(query.guidance, tuple) else float(plans[0].guidance[0]),
        plans=None if "plans" not in asked else "one" if plans[0].together is None else "several",
        **{name: asked.get(name) for name in ("kl_weight", "quantile", "delta_y", "near")},
    )


def _shifted(on_step: OnStep, start: int) -> OnStep:
    """For a group of environments whose first row is episode `start`."""
    return lambda row, *step: on_step(start + row, *step)


def _from(progress: Progress, start: int) -> Progress:
    """For a group of environments that follows `start` episodes."""
    return lambda over, mean: progress(start + over, mean)


def _thinned(trace: Float[ndarray, "steps"]) -> tuple[float, ...]:
    """At most TRACE_POINTS of the trace, evenly spaced, first and last included."""
    place = np.unique(np.linspace(0, len(trace) - 1, min(TRACE_POINTS, len(trace))).round().astype(int))
    return tuple(trace[place].tolist()) if len(trace) else ()
