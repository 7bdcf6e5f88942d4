"""Evaluation of policies that need no first observation: the record of groups of episodes."""

import time
from collections.abc import Callable
from typing import Any

from gac.acting.evaluate import (
    MOST_ENVIRONMENTS,
    check_fits,
    chosen_environment,
    shifted,
    told_from,
)
from gac.acting.record import recorded
from gac.acting.rollout import Decides, OnStep, Progress, begin, play
from gac.config import LONGEST
from gac.envs.disturb import Disturbance
from gac.envs.rows import Rows
from gac.errors import UserError
from gac.records import Evaluation
from gac.trained import Trained

MakePolicy = Callable[[int, int], tuple[Decides, tuple[float, ...]]]
"""`(number of episodes, seed of the first) -> (policy, its predicted raw returns or none)`."""


def evaluated_by(
    make_policy: MakePolicy,
    agent: Trained,
    env_id: str | None,
    *,
    query: str,
    episodes: int = 100,
    seed: int = 0,
    disturb: Disturbance | None = None,
    longest: int = LONGEST,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
    **asked: Any,
) -> Evaluation:
    """Play episodes by policies that are made for each group of environments.

    Args:
        make_policy: makes them.
        agent: for its units and its data's environment.
        env_id: like what follows, as of `gac.acting.evaluate.evaluate`.
        query: name of the record.
        asked: fields of the record that say what was asked, such as y_star.

    Raises:
        UserError: what `gac.acting.evaluate.evaluate` refuses, and what `make_policy` does.
    """
    environment = chosen_environment(env_id, agent.environment)
    if episodes < 1:
        raise UserError(f"episodes is {episodes}, expected 1 or more")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more")
    limit = check_fits(environment, agent, disturb, longest)
    rows, groups = Rows(environment, agent.observation_dim, disturb), []
    predicted: tuple[float, ...] = ()
    plan_seconds, act_seconds = 0.0, 0.0
    try:
        for start in range(0, episodes, MOST_ENVIRONMENTS):
            seeds = [seed + i for i in range(start, min(start + MOST_ENVIRONMENTS, episodes))]
            first = begin(rows, seeds)
            told = None if on_step is None else shifted(on_step, start)
            tell = None if progress is None else told_from(progress, start)
            began = time.perf_counter()
            policy, promised = make_policy(len(seeds), seeds[0])
            made = time.perf_counter()
            groups.append(play(policy, rows, first, longest=limit, on_step=told, progress=tell))
            predicted += promised
            plan_seconds += made - began
            act_seconds += time.perf_counter() - made
    finally:
        rows.close()
    return recorded(
        query,
        environment,
        seed,
        groups,
        agent.config,
        act_seconds=act_seconds,
        plan_seconds=plan_seconds,
        predicted_returns=predicted,
        disturb=None if disturb is None else str(disturb),
        **asked,
    )
