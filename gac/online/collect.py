"""Episodes under plans, in a crew's environments; a batch that is cut short keeps what is over."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gac.acting.agent import Agent, Plan
from gac.acting.evaluate import MOST_ENVIRONMENTS, summarised
from gac.acting.play import Played
from gac.acting.policy import offset_of
from gac.data.episodes import SHORTEST, Episodes
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.inference.queries import Query
from gac.online.buffer import joined
from gac.online.collected import Aims, Collected, aims_together
from gac.online.crew import Crew
from gac.records import Evaluation

Tell = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""


class Rollout:
    """One episode in every environment of a crew, step by step, and all that was seen.

    An environment is stepped until its own end and never again. The batch keeps its shape, and no row
    depends on another: so the rows that are left of a batch can be played later, and come out the same.

    Args:
        first: first observations, raw.
        wanted: False for rows that are not to be played.
        longest: steps after which an episode counts as endless.
    """

    def __init__(
        self, first: Float[ndarray, "batch obs"], wanted: Bool[ndarray, "batch"], longest: int
    ) -> None:
        count = len(first)
        self._seen: list[ndarray] = [np.array(first, np.float64)]
        self._acted: list[ndarray] = []
        self._paid: list[ndarray] = []
        self._longest = longest
        self.active = wanted.copy()
        self.over = np.zeros(count, bool)
        """Rows whose episode is over and holds a transition; one of a single step has none to learn from."""
        self.lengths = np.zeros(count, np.int32)
        self.returns = np.zeros(count)
        self.terminated, self.truncated = np.zeros(count, bool), np.zeros(count, bool)

    def play(self, agent: Agent, plan: Plan, crew: Crew, tell: Tell) -> Played:
        """Play all active rows to their end; what there is to tell of them, inactive rows included.

        Raises:
            UserError: what the crew raises; a reward or observation that is not finite; an episode of more
                than the longest.
        """
        policy = agent.policy(plan)
        observation, policy_seconds = self._seen[0], 0.0
        if not np.isfinite(observation).all():
            raise UserError("an environment began with an observation that is not finite; mend it")
        while self.active.any():
            began = time.perf_counter()
            action = policy(observation, self.active)
            policy_seconds += time.perf_counter() - began
            steps = crew.step(action, self.active)
            self._check(steps.reward, steps.observation)
            observation = steps.observation
            self._acted.append(np.array(action, np.float32))
            self._paid.append(steps.reward)
            self._seen.append(observation)
            self.lengths += self.active
            self.returns += np.where(self.active, steps.reward, 0.0)
            ended = self.active & (steps.terminated | steps.truncated)
            if ended.any():
                self._end(ended, steps.terminated, steps.truncated)
                tell(float(self.over.mean()))
            if self.active.any() and len(self._acted) >= self._longest:
                raise UserError(
                    f"episode {np.argmax(self.active)} has not ended after {self._longest} steps; give "
                    "the environment a time limit (max_episode_steps), or allow more (longest)"
                )
        return Played(self.returns, self.lengths, policy.replans, policy_seconds, policy.replan_seconds)

    def _check(self, reward: ndarray, observation: ndarray) -> None:
        bad = self.active & ~(np.isfinite(reward) & np.isfinite(observation).all(axis=1))
        if bad.any():
            row = int(np.argmax(bad))
            what = "an observation" if np.isfinite(reward[row]) else f"reward {reward[row]}, a value"
            raise UserError(f"episode {row} met {what} that is not finite at step {self.lengths[row] + 1}")

    def _end(self, ended: ndarray, terminated: ndarray, truncated: ndarray) -> None:
        self.terminated |= ended & terminated
        self.truncated |= ended & truncated
        self.over |= ended & (self.lengths >= SHORTEST)
        self.active &= ~ended

    def episodes(self, name: str, env_id: str, standardiser: Standardiser) -> Episodes | None:
        """Those that are over, in the order of their rows, in an agent's units; None if none is."""
        rows = np.flatnonzero(self.over)
        if not len(rows):
            return None
        lengths = self.lengths[rows]
        return Episodes.from_arrays(
            [
                standardiser.less(np.stack([s[i] for s in self._seen[: n + 1]]))
                for i, n in zip(rows, lengths, strict=True)
            ],
            [np.stack([a[i] for a in self._acted[:n]]) for i, n in zip(rows, lengths, strict=True)],
            rewards=[np.array([r[i] for r in self._paid[:n]]) for i, n in zip(rows, lengths, strict=True)],
            returns=self.returns[rows],
            terminated=self.terminated[rows],
            truncated=self.truncated[rows],
            env_id=env_id,
            name=name,
            observation_offset=offset_of(standardiser),
        )


def collect(
    path: Path,
    agent: Agent,
    crew: Crew,
    seeds: list[int],
    aim: Callable[[Float[ndarray, "batch obs"]], tuple[Plan, Aims]],
    env_id: str,
    longest: int,
    tell: Tell,
) -> Collected:
    """A batch of episodes, written to a file; what the file already holds is not collected again.

    Episodes of a single step are played and left out: there is no transition to learn from.

    Args:
        path: the file. It is also written, with the episodes that are over, where collecting ends early.
        agent: plans and acts.
        crew: environments.
        seeds: of the environments, one for each episode; fixes the batch.
        aim: from first observations to plans and their aims; the same for the same observations.
        env_id: what the crew plays.
        longest: steps after which an episode counts as endless.
        tell: told the share that is done.

    Raises:
        UserError: what `Rollout.play` raises; a batch of nothing but single steps.
    """
    before = Collected.read(path) if path.exists() else None
    if before is not None and before.whole:
        return before
    began = time.monotonic()
    first = crew.reset(seeds)
    plan, aims = aim(first)
    wanted = np.ones(len(seeds), bool)
    if before is not None:
        wanted[before.rows] = False
    rollout = Rollout(first, wanted, longest)
    try:
        rollout.play(agent, plan, crew, tell)
    finally:
        episodes = rollout.episodes("collected", env_id, agent.standardiser)
        now = _with_before(before, rollout, episodes, aims, time.monotonic() - began)
        if now is not None:
            now.write(path)
    if now is None:
        raise UserError(
            f"every episode of the batch ended after one step, expected {SHORTEST} or more: there is no "
            f"transition to learn from; look at what {env_id} does at its first step"
        )
    return now


def _with_before(
    before: Collected | None, rollout: Rollout, episodes: Episodes | None, aims: Aims, seconds: float
) -> Collected | None:
    """What was there and what is over now, in the order of the batch."""
    if episodes is None:
        if before is None or rollout.active.any():
            return before
        return dataclasses.replace(before, planned=len(before.rows))
    rows = np.flatnonzero(rollout.over).astype(np.int32)
    own = aims.at(rows)
    all_rows = rows if before is None else np.concatenate([before.rows, rows])
    # Once all are played, those of a single step, which are in no file, are not waited for.
    planned = len(rollout.over) if rollout.active.any() else len(all_rows)
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


def evaluate(
    agent: Agent, crew: Crew, env_id: str, query: Query, episodes: int, seed: int, longest: int, tell: Tell
) -> Evaluation:
    """`gac.evaluate` in a crew's environments: the same episodes, and no hang or crash of theirs is ours."""
    plans: list[Plan] = []
    groups: list[Played] = []
    plan_seconds, act_seconds = 0.0, 0.0
    for start in range(0, episodes, MOST_ENVIRONMENTS):
        count = min(MOST_ENVIRONMENTS, episodes - start)
        first = crew.reset([seed + start + i for i in range(count)])
        began = time.perf_counter()
        plans.append(agent.plan(first, query, seed=seed + start))
        planned = time.perf_counter()
        rollout = Rollout(first, np.ones(count, bool), longest)
        told: Tell = lambda done: tell((start + count * done) / episodes)  # noqa: B023, E731
        groups.append(rollout.play(agent, plans[-1], crew, told))
        plan_seconds += planned - began
        act_seconds += time.perf_counter() - planned
    return summarised(query, env_id, seed, plans, groups, plan_seconds, act_seconds)
