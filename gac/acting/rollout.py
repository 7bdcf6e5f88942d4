"""Episodes under plans: the one loop that plays them, in this process or in a crew of others."""

import functools
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gac.acting.policy import Policy, offset_of
from gac.acting.replan import Replan
from gac.agent import Agent, Plan
from gac.config import LONGEST
from gac.data.blocks import usable
from gac.data.episodes import SHORTEST, Episodes
from gac.data.standardise import Standardiser
from gac.envs.rows import RowError, Steps
from gac.envs.specification import Environment
from gac.errors import UserError

LEAST_HALVED = 16
"""Environments from which on one half is stepped while the policy decides for the other."""


@runtime_checkable
class Stepper(Protocol):
    """A batch of environments: `gac.envs.rows.Rows` here, `gac.online.processes.Crew` in other processes."""

    @property
    def steps_here(self) -> bool:
        """Whether the thread that asks does the stepping."""

    def reset(self, seeds: list[int]) -> Float[ndarray, "batch obs"]:
        """New environments, one for each seed; their first observations, raw."""

    def step(self, action: Float[ndarray, "batch act"], active: Bool[ndarray, "batch"]) -> Steps:
        """Step the active rows."""


class Step(NamedTuple):
    """One step of one episode, raw."""

    observation: Float[ndarray, "obs"]
    action: Float[ndarray, "act"]
    following: Float[ndarray, "obs"]
    """The observation after it."""
    reward: float
    terminated: bool
    truncated: bool


OnStep = Callable[[int, Step], None]
"""Told of every step, with the row of its episode."""
Progress = Callable[[int, float], None]
"""`(episodes that are over, mean return so far of those played side by side)`."""


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


class Records:
    """Everything that was seen and done in so many episodes; what `on_step` of a rollout tells is kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._seen: list[list[ndarray]] = [[] for _ in range(count)]
        self._acted: list[list[ndarray]] = [[] for _ in range(count)]
        self._paid: list[list[float]] = [[] for _ in range(count)]
        self._terminated, self._truncated = np.zeros((2, count), bool)

    def __call__(self, row: int, step: Step) -> None:
        """Keep a step."""
        self._seen[row] += [step.following] if self._seen[row] else [step.observation, step.following]
        self._acted[row].append(step.action)
        self._paid[row].append(step.reward)
        self._terminated[row], self._truncated[row] = step.terminated, step.truncated

    @property
    def rows(self) -> Int[ndarray, "episodes"]:
        """Rows whose episode is over and holds a transition; one of a single step has none to learn from."""
        long = np.array([len(paid) >= SHORTEST for paid in self._paid], bool)
        return np.flatnonzero((self._terminated | self._truncated) & long).astype(np.int32)

    def episodes(self, name: str, environment: Environment, units: Standardiser) -> Episodes | None:
        """Those of `rows`, in this order, held as the episodes behind an agent's units; None if none is."""
        rows = self.rows
        if not len(rows):
            return None
        return Episodes.from_arrays(
            [units.less(np.stack(self._seen[row])) for row in rows],
            [np.stack(self._acted[row]) for row in rows],
            rewards=[np.array(self._paid[row]) for row in rows],
            returns=np.array([sum(self._paid[row]) for row in rows]),
            terminated=self._terminated[rows],
            truncated=self._truncated[rows],
            env_id=environment.id,
            env_spec=environment.spec,
            name=name,
            observation_offset=offset_of(units),
        )


def begin(stepper: Stepper, seeds: list[int]) -> Float[ndarray, "batch obs"]:
    """The first observation of an episode for each seed, raw.

    Raises:
        UserError: an environment that fails, or observes what is no data.
    """
    try:
        first = stepper.reset(seeds)
    except RowError as error:
        raise UserError(f"the environment failed at reset with seed {seeds[error.row]} ({error})") from error
    bad = ~usable(first).all(axis=1)
    if bad.any():
        seed = seeds[int(np.argmax(bad))]
        raise UserError(
            f"the environment began with seed {seed} at an observation that is not finite, or too large; "
            "mend it"
        )
    return first


@runtime_checkable
class Decides(Protocol):
    """A policy of any method, for a batch of episodes played side by side."""

    replans: Int[ndarray, "batch"]
    """New plans that each row got."""
    replan_seconds: float

    def __call__(self, observation: Any, active: Any = None) -> Float[ndarray, "*batch act"]: ...


def rollout(
    agent: Agent,
    plan: Plan,
    stepper: Stepper,
    first: Float[ndarray, "batch obs"],
    *,
    replan: Replan | None = None,
    wanted: Bool[ndarray, "batch"] | None = None,
    longest: int | None = LONGEST,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Played:
    """`play` under plans.

    Args:
        agent: acts out the plans.
        plan: of the episodes' first observations.
        replan: when to plan anew within an episode.
        stepper: like the arguments below, as of `play`.
    """
    return play(
        agent.policy(plan, replan),
        stepper,
        first,
        wanted=wanted,
        longest=longest,
        on_step=on_step,
        progress=progress,
    )


def play(
    policy: Decides,
    stepper: Stepper,
    first: Float[ndarray, "batch obs"],
    *,
    wanted: Bool[ndarray, "batch"] | None = None,
    longest: int | None = LONGEST,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
) -> Played:
    """One episode in every environment of a stepper, which must just have begun at `first`.

    There is no autoreset: an environment is stepped until its own end and never again, so that no
    reward of a following episode is counted. The batch keeps its shape, and ended rows are padding. No
    row depends on another: the rows that are left of a batch can be played later, and come out the same.

    Where no plan changes and this thread does the stepping, the batch is played in two halves: a thread
    decides for one while the other is stepped, in the order of a single batch. Plans that may change are
    inferred while nothing else goes on, so that their time can be told.

    Args:
        policy: decides; it begins at the start of an episode.
        stepper: the environments.
        first: their first observations, raw.
        wanted: False for rows that are not to be played; all are unless given.
        longest: steps after which an episode counts as endless; None where the environment has a limit.
        on_step: told of every step.
        progress: told after every step of all.

    Raises:
        UserError: an environment that fails, one that gives what is no data, an endless episode.
    """
    batch = len(first)
    observation = np.array(first, np.float64)
    going = np.ones(batch, bool) if wanted is None else wanted.copy()
    returns, lengths = np.zeros(batch), np.zeros(batch, np.int64)

    def step(action: Float[ndarray, "batch act"], rows: Bool[ndarray, "batch"]) -> None:
        """Step some rows, and take in what they gave."""
        try:
            seen = stepper.step(action, rows)
        except RowError as error:
            at = lengths[error.row] + 1
            raise UserError(f"episode {error.row} failed at step {at} ({error})") from error
        _check(seen, rows, lengths)
        over = rows & (seen.terminated | seen.truncated)
        for row in map(int, np.flatnonzero(rows) if on_step is not None else ()):
            before, after = observation[row].copy(), seen.observation[row].copy()
            ended = bool(seen.terminated[row]), bool(seen.truncated[row])
            on_step(row, Step(before, action[row].copy(), after, float(seen.reward[row]), *ended))  # type: ignore[misc]
        observation[rows] = seen.observation[rows]
        returns[rows] += seen.reward[rows]
        lengths[rows] += 1
        going[over] = False
        if longest is not None and (endless := going & (lengths >= longest)).any():
            raise UserError(
                f"episode {np.argmax(endless)} has not ended after {longest} steps, and the environment has "
                "no time limit; register it with one (max_episode_steps), or allow more steps (--longest)"
            )

    with ThreadPoolExecutor(1, "policy") as thread:
        parts = _parts(policy, batch, thread if stepper.steps_here else None)
        for part in parts:
            part.ask(observation, going)
        while going.any():
            for part in parts:
                rows = going & part.mask
                if not rows.any():
                    continue
                step(part.answer(), rows)
                part.ask(observation, going)
            if progress is not None:
                progress(int((~going).sum()), float(returns.mean()))
        seconds = sum(part.seconds for part in parts)
    return Played(returns, lengths, policy.replans, seconds, policy.replan_seconds)


def longest_of(environment_limit: int | None, longest: int) -> int | None:
    """Steps after which an episode counts as endless: of an environment with a limit of its own, none.

    Raises:
        UserError: fewer steps than an episode has.
    """
    if longest < SHORTEST:
        raise UserError(f"longest is {longest}, expected {SHORTEST} or more; try {LONGEST}")
    return longest if environment_limit is None else None


def _check(seen: Steps, rows: Bool[ndarray, "batch"], lengths: Int[ndarray, "batch"]) -> None:
    """Refuse a reward or observation that is no data."""
    paid, shown = usable(seen.reward), usable(seen.observation).all(axis=1)
    bad = rows & ~(paid & shown)
    if bad.any():
        row = int(np.argmax(bad))
        what = "an observation" if paid[row] else f"reward {seen.reward[row]}, a value"
        finite = math.isfinite(seen.reward[row]) and np.isfinite(seen.observation[row]).all()
        fault = "too large" if finite else "not finite"
        raise UserError(f"episode {row} met {what} that is {fault} at step {lengths[row] + 1}")


class _Part:
    """Rows of the batch, and the policy that acts for them: asked first, answering later.

    Args:
        policy: for these rows alone.
        batch: number of all rows.
        start: first row.
        stop: the one after the last.
        thread: where it decides from when it is asked; in the thread that wants the answer unless given.
    """

    def __init__(
        self,
        policy: Decides,
        batch: int,
        start: int,
        stop: int,
        thread: Executor | None = None,
    ) -> None:
        self._policy, self._thread = policy, thread
        self._batch, self._rows, self.seconds = batch, slice(start, stop), 0.0
        self.mask = np.zeros(batch, bool)
        self.mask[self._rows] = True
        self._decided: Callable[[], Float[ndarray, "rows act"]]

    def ask(self, observation: Float[ndarray, "batch obs"], going: Bool[ndarray, "batch"]) -> None:
        """Have the policy decide what these rows do next, if any of them goes on."""
        if not going[self._rows].any():
            return
        decide = functools.partial(self._decide, observation[self._rows].copy(), going[self._rows].copy())
        self._decided = decide if self._thread is None else self._thread.submit(decide).result

    def answer(self) -> Float[ndarray, "batch act"]:
        """What was decided, in the place of its rows among all."""
        decided = self._decided()
        action = np.zeros((self._batch, decided.shape[1]), decided.dtype)
        action[self._rows] = decided
        return action

    def _decide(
        self, observation: Float[ndarray, "rows obs"], going: Bool[ndarray, "rows"]
    ) -> Float[ndarray, "rows act"]:
        began = time.perf_counter()
        action = self._policy(observation, going)
        self.seconds += time.perf_counter() - began
        return action


def _parts(policy: Decides, batch: int, thread: Executor | None) -> list[_Part]:
    if thread is None or not isinstance(policy, Policy) or batch < LEAST_HALVED:
        return [_Part(policy, batch, 0, batch)]
    one, two = policy.halves()
    return [_Part(one, batch, 0, one.batch, thread), _Part(two, batch, one.batch, batch, thread)]
