"""Training the rivals of d3rlpy, each to what plays: offline for a budget, then online for some episodes."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
from algorithms import Q_LEARNING, Domain, decision_transformer
from d3rlpy.dataset import (
    BasicTrajectorySlicer,
    Episode,
    MixedReplayBuffer,
    PartialTrajectory,
    ReplayBuffer,
    create_fifo_replay_buffer,
    create_infinite_replay_buffer,
)
from playing import Greedy, Transformer, target_of
from steps import Steps, as_sequence, as_transitions, relabelled, window_to_go

from gac.data.episodes import Episode as GacEpisode
from gac.data.episodes import Episodes
from gac.errors import UserError

EVERY = 100
"""Updates between looks at the clock."""
SAID = 10.0
"""Seconds between lines of metrics.jsonl."""
KEPT = 1_000_000
"""Transitions that an online buffer holds."""
OFFLINE_SHARE = 0.5
"""Of a batch of Cal-QL while it learns online."""
QDT_SHARE = 0.5
"""Of QDT's minutes for the values that it relabels with."""
QDT_ACTIONS = 10
"""Actions that a state's value is the mean over."""
VALUED = 10_000
"""States whose values are asked for at once."""


@dataclass(frozen=True)
class Budget:
    """Minutes or a number of updates."""

    minutes: float | None
    updates: int | None

    def share(self, part: float) -> "Budget":
        """A part of the minutes; a number of updates is one of each model."""
        return self if self.minutes is None else replace(self, minutes=part * self.minutes)

    def less(self, seconds: float) -> "Budget":
        """What is left after so many seconds; a number of updates stays."""
        return self if self.minutes is None else replace(self, minutes=self.minutes - seconds / 60)

    def spent(self, update: int, seconds: float) -> bool:
        return seconds >= 60 * self.minutes if self.minutes is not None else update >= (self.updates or 0)


class Log:
    """metrics.jsonl: the update, the seconds of training so far, and the last losses."""

    def __init__(self, out: Path) -> None:
        self._path = out / "metrics.jsonl"
        self._before, self._began, self._said = 0.0, 0.0, 0.0
        self.update, self.losses = 0, dict[str, float]()

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was started."""
        return time.perf_counter() - self._began

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Start the clock for a block; the seconds of all blocks count."""
        self._began = self._said = time.perf_counter()
        try:
            yield
        finally:
            self._write()
            self._before += self.elapsed

    def due(self) -> None:
        """Write a line if the last one is long ago."""
        if time.perf_counter() - self._said >= SAID:
            self._said = time.perf_counter()
            self._write()

    def _write(self) -> None:
        losses = {name: float(value) for name, value in self.losses.items()}
        line = {"update": self.update, "seconds": self._before + self.elapsed} | losses
        with open(self._path, "a", encoding="utf-8") as file:
            print(json.dumps(line), file=file)


def learn(algo: Any, sample: Callable[[], Any], budget: Budget, log: Log) -> None:
    """Update an algorithm on batches until the budget is spent."""
    done = 0
    with log.timed():
        while not budget.spent(done, log.elapsed):
            count = EVERY if budget.updates is None else min(EVERY, budget.updates - done)
            for _ in range(count):
                log.losses = algo.update(sample())
            done += count
            log.update += count
            log.due()


def train(
    method: str, episodes: Episodes, rewards: str, budget: Budget, online: int, seed: int, out: Path
) -> tuple[Any, dict[str, Any]]:
    """Train a method.

    Returns:
        What plays, and its settings.

    Raises:
        UserError: online episodes of a method that learns from none, rewards that the data lacks.
    """
    d3rlpy.seed(seed)
    domain, log = Domain.of(episodes), Log(out)
    if method in Q_LEARNING:
        algo, buffer = _values(method, domain, episodes, rewards, budget, log)
        if online:
            from online import explore

            explore(method, algo, buffer, episodes, rewards, online, seed, log)
        return Greedy(algo.predict), algo.config.serialize_to_dict()
    if online:
        raise UserError(f"{method} learns from no online episodes here; leave out --online")
    slicer = None
    if method == "qdt":
        critic, _ = _values("cql", domain, episodes, rewards, budget.share(QDT_SHARE), log)
        budget, slicer = budget.share(1 - QDT_SHARE), Relabelled(critic)
    algo = decision_transformer(domain).create(device=False)
    sequences = [_held(as_sequence(episodes[i], rewards)) for i in range(len(episodes))]
    buffer = create_infinite_replay_buffer(sequences, trajectory_slicer=slicer)
    algo.build_with_dataset(buffer)
    if slicer is not None:
        with log.timed():
            slicer.relabel(sequences)
            budget = budget.less(log.elapsed)
    config = algo.config
    learn(
        algo,
        lambda: buffer.sample_trajectory_batch(config.batch_size, length=config.context_size),
        budget,
        log,
    )
    aim = target_of(domain.env_id, float(episodes.returns.max()))
    return Transformer(algo, aim, rewards), config.serialize_to_dict() | {"target_return": aim}


def _values(
    method: str, domain: Domain, episodes: Episodes, rewards: str, budget: Budget, log: Log
) -> tuple[Any, ReplayBuffer]:
    algo = Q_LEARNING[method](domain).create(device=False)
    held = [_held(as_transitions(episodes[i], rewards)) for i in range(len(episodes))]
    buffer = create_infinite_replay_buffer(held)
    algo.build_with_dataset(buffer)
    learn(algo, lambda: buffer.sample_transition_batch(algo.config.batch_size), budget, log)
    return algo, buffer


def _held(steps: Steps) -> Episode:
    return Episode(steps.observations, steps.actions, steps.rewards, steps.terminated)


class Relabelled(BasicTrajectorySlicer):
    """Windows whose returns-to-go are QDT's, by the values of a critic in the units of the rewards."""

    def __init__(self, critic: Any) -> None:
        self._critic = critic
        self._to_go: dict[int, np.ndarray] = {}

    def relabel(self, episodes: list[Episode]) -> None:
        """Find the returns-to-go of all episodes, which must live as long as this does."""
        for episode in episodes:
            values = np.mean([self._value(episode.observations) for _ in range(QDT_ACTIONS)], axis=0)
            self._to_go[id(episode)] = relabelled(episode.rewards, values)

    def _value(self, states: np.ndarray) -> np.ndarray:
        parts = [states[i : i + VALUED] for i in range(0, len(states), VALUED)]
        return np.concatenate([self._critic.predict_value(x, self._critic.sample_action(x)) for x in parts])

    def __call__(self, episode: Any, end_index: int, size: int) -> PartialTrajectory:
        window = super().__call__(episode, end_index, size)
        end = end_index + 1
        to_go = window_to_go(episode.rewards, self._to_go[id(episode)], max(end - size, 0), end)
        padded = np.concatenate([np.zeros((size - len(to_go), 1), np.float32), to_go])
        return replace(window, returns_to_go=padded)


def online_buffer(method: str, offline: ReplayBuffer) -> tuple[ReplayBuffer, Any]:
    """Where new episodes go, and what batches are drawn from: for Cal-QL half of each is offline data."""
    if method != "cal-ql":
        return offline, offline
    # A buffer learns from its first episode what shapes it holds.
    fresh = create_fifo_replay_buffer(KEPT, episodes=offline.episodes[:1])
    return fresh, MixedReplayBuffer(fresh, offline, OFFLINE_SHARE)


def held_episode(episode: GacEpisode, rewards: str) -> Episode:
    """A new episode as the buffers take it."""
    return _held(as_transitions(episode, rewards))
