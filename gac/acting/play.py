"""Episodes side by side: environments are stepped in turn while the policy decides for others."""

import functools
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gac.acting.agent import Agent, Plan
from gac.acting.policy import Policy
from gac.acting.replan import Replan
from gac.acting.replanning import ReplanningPolicy
from gac.errors import UserError, one_line

LEAST_HALVED = 16
"""Environments from which on one half is stepped while the policy decides for the other."""


@dataclass(frozen=True)
class Played:
    """Episodes that were played side by side."""

    returns: Float[ndarray, "batch"]
    """Raw and undiscounted."""
    lengths: Int[ndarray, "batch"]
    replans: Int[ndarray, "batch"]
    """New plans inferred within each episode."""
    policy_seconds: float
    """Wall-clock seconds of the policy, replanning included; environments may be stepped meanwhile."""
    replan_seconds: float


OnStep = Callable[[int, ndarray, ndarray, ndarray], None]
"""`(episode, observation, action, next observation)`, raw."""
Progress = Callable[[int, float], None]
"""`(episodes that are over, mean return so far of those played side by side)`."""


def play(
    agent: Agent,
    plan: Plan,
    environments: list[gymnasium.Env[Any, Any]],
    first: Float[ndarray, "batch obs"],
    replan: Replan | None = None,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Played:
    """One episode in every environment, which must just have been reset.

    There is no autoreset: an environment is stepped until its own end and never again, so that no
    reward of a following episode is counted. The batch keeps its shape; ended rows are padding.

    Where no plan changes, the batch is played in two halves: a thread decides for one while the other is
    stepped, in this thread and in the order of a single batch. Plans that may change are inferred while
    nothing else goes on, so that their time can be told.

    Args:
        replan: when to plan anew within an episode.
        on_step: told of every step.
        progress: told after every step of all.

    Raises:
        UserError: an environment that fails, or that gives what is not finite.
    """
    policy = agent.policy(plan, replan)
    observation, going = first.astype(np.float64), np.ones(len(environments), bool)
    returns, lengths = np.zeros(len(environments)), np.zeros(len(environments), np.int64)

    def step(row: int, action: Float[ndarray, "act"]) -> bool:
        """Whether the episode goes on."""
        try:
            observed, step_reward, terminated, truncated, _ = environments[row].step(action)
            observed, reward = np.asarray(observed, np.float64), float(step_reward)
        except Exception as error:
            raise UserError(
                f"episode {row} failed at step {lengths[row] + 1} ({type(error).__name__}: {one_line(error)})"
            ) from error
        if not math.isfinite(reward) or not np.isfinite(observed).all():
            raise UserError(
                f"episode {row} met a reward or observation that is not finite at step {lengths[row] + 1}"
            )
        if observed.shape != observation[row].shape:
            raise UserError(
                f"episode {row} met an observation of shape {observed.shape} at step {lengths[row] + 1}, "
                f"expected {observation[row].shape}"
            )
        if on_step is not None:
            on_step(row, observation[row].copy(), action, observed)
        observation[row] = observed
        returns[row] += reward
        lengths[row] += 1
        return not (terminated or truncated)

    with ThreadPoolExecutor(1, "policy") as thread:
        parts = _parts(policy, len(environments), thread)
        for part in parts:
            part.ask(observation, going)
        while going.any():
            for part in parts:
                if not going[part.rows].any():
                    continue
                action = part.answer()
                for row in np.flatnonzero(going[part.rows]) + part.rows.start:
                    going[row] = step(int(row), action[row - part.rows.start])
                part.ask(observation, going)
            if progress is not None:
                progress(int((~going).sum()), float(returns.mean()))
        seconds = sum(part.seconds for part in parts)
    return Played(returns, lengths, policy.replans, seconds, policy.replan_seconds)


class _Part:
    """Rows of the batch, and the policy that acts for them: asked first, answering later.

    Args:
        policy: for these rows alone.
        start: first row.
        stop: the one after the last.
        thread: where it decides from when it is asked; in the thread that wants the answer unless given.
    """

    def __init__(
        self, policy: Policy | ReplanningPolicy, start: int, stop: int, thread: Executor | None = None
    ) -> None:
        self._policy, self._thread = policy, thread
        self.rows, self.seconds = slice(start, stop), 0.0
        self.answer: Callable[[], Float[ndarray, "rows act"]]

    def ask(self, observation: Float[ndarray, "batch obs"], going: Bool[ndarray, "batch"]) -> None:
        """Have the policy decide what these rows do next, if any of them goes on."""
        if not going[self.rows].any():
            return
        decide = functools.partial(self._decide, observation[self.rows], going[self.rows])
        self.answer = decide if self._thread is None else self._thread.submit(decide).result

    def _decide(
        self, observation: Float[ndarray, "rows obs"], going: Bool[ndarray, "rows"]
    ) -> Float[ndarray, "rows act"]:
        began = time.perf_counter()
        action = self._policy(observation, going)
        self.seconds += time.perf_counter() - began
        return action


def _parts(policy: Policy | ReplanningPolicy, batch: int, thread: Executor) -> list[_Part]:
    if not isinstance(policy, Policy) or batch < LEAST_HALVED:
        return [_Part(policy, 0, batch)]
    one, two = policy.halves()
    return [_Part(one, 0, one.batch, thread), _Part(two, one.batch, batch, thread)]
