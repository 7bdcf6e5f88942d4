"""Evaluation: episodes in which the policy samples an action at every step."""

import time
from importlib.metadata import version

import numpy as np

from gac.acting.evaluate import (
    MOST_ENVIRONMENTS,
    PACKAGES,
    check_fits,
    chosen_environment,
    shifted,
    told_from,
)
from gac.acting.rollout import OnStep, Progress, begin, play
from gac.acting.scores import normalized_score
from gac.config import LONGEST
from gac.envs.disturb import Disturbance
from gac.envs.rows import Rows
from gac.errors import UserError
from gac.gtp.agent import GTPAgent
from gac.records import Evaluation
from gac.version import __version__


def evaluate(
    agent: GTPAgent,
    env_id: str | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
    steps: int | None = None,
    disturb: Disturbance | None = None,
    longest: int = LONGEST,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Play episodes.

    Args:
        agent: a trained agent.
        env_id: Gymnasium id; unless given, the data's own environment, as the data were recorded.
        episodes: number of episodes; environment i, and the noise of its actions, begin at seed + i.
        seed: seed of the environments, of the noise and of what disturbs.
        steps: sampling steps K; the configuration's unless given.
        disturb: pushes, or noise on actions.
        longest: steps after which an episode counts as endless, where the environment has no time limit.
        on_step: told of every step of every episode, with the episode's number.
        progress: told how far it is, after every step.

    Returns:
        The record. It predicts no returns: the critics' values are discounted ones.

    Raises:
        UserError: what `gac.acting.evaluate.evaluate` refuses, and a number of steps that is none.
    """
    environment, steps = chosen_environment(env_id, agent.environment), agent.checked(steps)
    if episodes < 1:
        raise UserError(f"episodes is {episodes}, expected 1 or more")
    if seed < 0:
        raise UserError(f"seed is {seed}, expected 0 or more")
    limit = check_fits(environment, agent, disturb, longest)
    rows, groups = Rows(environment, agent.observation_dim, disturb), []
    try:
        began = time.perf_counter()
        for start in range(0, episodes, MOST_ENVIRONMENTS):
            first = begin(rows, [seed + i for i in range(start, min(start + MOST_ENVIRONMENTS, episodes))])
            told = None if on_step is None else shifted(on_step, start)
            tell = None if progress is None else told_from(progress, start)
            policy = agent.policy(seed + start, steps)
            groups.append(play(policy, rows, first, longest=limit, on_step=told, progress=tell))
        seconds = time.perf_counter() - began
    finally:
        rows.close()
    y, lengths = (np.concatenate([getattr(each, name) for each in groups]) for name in ("returns", "lengths"))
    scores = None if environment.spec is not None else normalized_score(environment.id, y)
    return Evaluation(
        query=f"steps-{steps}",
        steps=steps,
        env_id=environment.id,
        env_spec=environment.spec,
        seed=seed,
        returns=tuple(y.tolist()),
        lengths=tuple(lengths.tolist()),
        predicted_returns=(),
        mean=float(y.mean()),
        std=float(y.std()),
        normalized_mean=None if scores is None else float(scores.mean()),
        normalized_std=None if scores is None else float(scores.std()),
        plan_seconds=0.0,
        steps_per_second=float(lengths.sum() / seconds),
        trace=(),
        converged=None,
        query_steps=None,
        y_star=None,
        versions={"gac": __version__} | {package: version(package) for package in PACKAGES},
        disturb=None if disturb is None else str(disturb),
        ms_per_step=1e3 * sum(each.policy_seconds for each in groups) / float(lengths.sum()),
    )
