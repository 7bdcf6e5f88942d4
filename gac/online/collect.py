"""Batches of episodes under plans, as files; a batch that is cut short keeps what is over."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.acting.rollout import Progress, Records, Stepper, begin, rollout
from gac.agent import Agent, Plan
from gac.data.episodes import SHORTEST, Episodes
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.online.buffer import joined
from gac.online.collected import Aims, Collected, aims_together

Tell = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""


def collect(
    path: Path,
    agent: Agent,
    stepper: Stepper,
    seeds: list[int],
    aim: Callable[[Float[ndarray, "batch obs"]], tuple[Plan, Aims]],
    environment: Environment,
    longest: int | None,
    tell: Tell,
) -> Collected:
    """A batch of episodes, written to a file; what the file already holds is not collected again.

    Episodes of a single step are played and left out: there is no transition to learn from.

    Args:
        path: the file. It is also written, with the episodes that are over, where collecting ends early.
        agent: plans and acts.
        stepper: the environments.
        seeds: of the environments, one for each episode; fixes the batch.
        aim: from first observations to plans and their aims; the same for the same observations.
        environment: what they are.
        longest: steps after which an episode counts as endless; None where the environment has a limit.
        tell: told the share that is done.

    Raises:
        UserError: what `begin` and `rollout` raise; a batch of nothing but single steps.
    """
    before = Collected.read(path) if path.exists() else None
    if before is not None and before.whole:
        return before
    began = time.monotonic()
    first = begin(stepper, seeds)
    plan, aims = aim(first)
    wanted = np.ones(len(seeds), bool)
    if before is not None:
        wanted[before.rows] = False
    records, whole = Records(len(seeds)), False
    # The episodes of an earlier call count as over from the start.
    done: Progress = lambda over, _: tell(over / len(seeds))  # noqa: E731
    try:
        rollout(
            agent,
            plan,
            stepper,
            first,
            wanted=wanted,
            longest=longest,
            on_step=records,
            progress=done,
        )
        whole = True
    finally:
        episodes = records.episodes("collected", environment, agent.standardiser)
        now = _with_before(before, records, episodes, aims, time.monotonic() - began, whole)
        if now is not None:
            now.write(path)
    if now is None:
        raise UserError(
            f"every episode of the batch ended after one step, expected {SHORTEST} or more: there is no "
            f"transition to learn from; look at what {environment} does at its first step"
        )
    return now


def _with_before(
    before: Collected | None,
    records: Records,
    episodes: Episodes | None,
    aims: Aims,
    seconds: float,
    whole: bool,
) -> Collected | None:
    """What was there and what is over now, in the order of the batch; `whole` once all of it is played."""
    if episodes is None:
        if before is None or not whole:
            return before
        return dataclasses.replace(before, planned=len(before.rows))
    rows = records.rows
    own = aims.at(rows)
    all_rows = rows if before is None else np.concatenate([before.rows, rows])
    # Once all are played, those of a single step, which are in no file, are not waited for.
    planned = len(all_rows) if whole else records.count
    if before is None:
        return Collected(episodes, own, rows, planned, seconds)
    order = np.argsort(all_rows)
    return Collected(
        joined([before.episodes, episodes]).select(order),
        aims_together([before.aims, own]).at(order),
        all_rows[order],
        planned,
        before.seconds + seconds,
    )
