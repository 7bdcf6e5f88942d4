"""Evaluation of policies that need no first observation: the record of groups of episodes."""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from gac.acting.evaluate import (
    MOST_ENVIRONMENTS,
    PACKAGES,
    check_fits,
    chosen_environment,
    shifted,
    told_from,
)
from gac.acting.rollout import Decides, OnStep, Progress, begin, play
from gac.acting.scores import normalized_score
from gac.acting.trained import Trained
from gac.config import LONGEST
from gac.envs.disturb import Disturbance
from gac.envs.rows import Rows
from gac.errors import UserError
from gac.records import Evaluation
from gac.version import __version__

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
    y, lengths = (np.concatenate([getattr(each, name) for each in groups]) for name in ("returns", "lengths"))
    scores = None if environment.spec is not None else normalized_score(environment.id, y)
    return Evaluation(
        query=query,
        env_id=environment.id,
        env_spec=environment.spec,
        seed=seed,
        returns=tuple(y.tolist()),
        lengths=tuple(lengths.tolist()),
        predicted_returns=predicted,
        mean=float(y.mean()),
        std=float(y.std()),
        normalized_mean=None if scores is None else float(scores.mean()),
        normalized_std=None if scores is None else float(scores.std()),
        plan_seconds=plan_seconds,
        steps_per_second=float(lengths.sum() / act_seconds),
        trace=(),
        converged=None,
        query_steps=None,
        versions={"gac": __version__} | {package: version(package) for package in PACKAGES},
        disturb=None if disturb is None else str(disturb),
        ms_per_step=1e3 * sum(each.policy_seconds for each in groups) / float(lengths.sum()),
        **{"y_star": None} | asked,
    )
