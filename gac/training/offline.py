"""Offline training: batches of logged trajectories until the time or the updates are spent."""

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from gac.agent import Agent
from gac.config import Config
from gac.data.environment import warn_beyond_bounds
from gac.data.episodes import Episodes
from gac.data.problems import warn_of_problems
from gac.data.sentinels import warn_of_far_values
from gac.data.split import split_episodes
from gac.data.standardise import Standardiser
from gac.data.windows import DeviceEpisodes
from gac.errors import UserError
from gac.identity import check_same
from gac.records import DataFacts
from gac.training.checkpoint import (
    Progress,
    check_config,
    claim_folder,
    fingerprint,
    read_state,
    saved_arrays,
    write_state,
)
from gac.training.interrupt import interrupt_later
from gac.training.plans import Kept, kept_plans
from gac.training.scale.devices import on_first
from gac.training.scale.in_memory import in_memory
from gac.training.scale.on_disk import DiskEpisodes, on_disk
from gac.training.scale.processes import Together, all_or_none, check_alike, is_first, of_first
from gac.training.update import TrainState, all_finite

LOG_EVERY = 10
DEFAULT_MINUTES = 15.0
AGENT_EVERY = 3
"""Checkpoints of the state for one of the agent, beginning with the first."""
NOT_LOGGED = ("finite", "finite_theta", "index")


class TrainingSplit(NamedTuple):
    """Units, split and shares of the episodes, where they do not follow from episodes and configuration."""

    standardiser: Standardiser
    train_index: Int[ndarray, "train"]
    heldout_index: Int[ndarray, "heldout"]
    share: Float[ndarray, "train"]
    """Of each training episode in what is learned; they sum to 1."""
    collected: int = 0
    """How many of the episodes, the last ones, were collected in fine-tuning."""
    added: int = 0
    """How many of those before them, the last ones, are new to the run that fine-tuning began with."""


class Trainer:
    """One run: the data on the device, the compiled programs, the state; `run` moves it forward.

    Args:
        episodes: what to learn from.
        config: the run's configuration.
        out: folder of the run.
        split: of episodes in memory; else both are made here, and all episodes have the same share.
        data: the episodes where they are on the device already.
    """

    def __init__(
        self,
        episodes: Episodes,
        config: Config,
        out: Path,
        split: TrainingSplit | None = None,
        data: DeviceEpisodes | None = None,
    ) -> None:
        self.episodes, self.config, self.out = episodes, config, out
        self.data: Any
        self.state: TrainState
        self.collected = self.added = 0
        if split is not None:
            self.standardiser, self.train_index, self.heldout_index, share, *new = split
            self.collected, self.added = new
            place = in_memory(
                episodes, self.standardiser, config, self.train_index, self.heldout_index, share
            )
        else:
            self.standardiser = Standardiser.fit(episodes)
            warn_of_far_values(episodes)
            warn_beyond_bounds(episodes)
            self.train_index, self.heldout_index = split_episodes(episodes.num_episodes, config)
            # Two places for the data and the posteriors, the same results: see each for what it keeps where.
            kind = on_disk if episodes.on_disk else functools.partial(in_memory, data=data)
            place = kind(episodes, self.standardiser, config, self.train_index, self.heldout_index)
        self.data, self.state, self._update, self._heldout, self._placed, self._portable = place
        self.progress = Progress(seconds=0.0, data=fingerprint(episodes))
        self.checkpoints = 0
        self.kept = 0, Kept.unknown(config)
        """What an agent keeps of the episodes, and the update that it was fitted at."""

    @functools.cached_property
    def facts(self) -> DataFacts:
        """What the run tells of its data."""
        return DataFacts.of(self.episodes, self.collected, self.added)

    def step(self) -> dict[str, Any]:
        """One update; the state moves only if everything stayed finite.

        Raises:
            UserError: NaN or infinity, with the trajectory named; the last good state is written.
        """
        # Posteriors on the host change in place: Ctrl-C must not leave them half changed.
        with interrupt_later():
            state, on_device = self._update(self.state, self.data)
            metrics: dict[str, Any] = jax.device_get(on_device)
            if finite := all_finite(metrics):
                self.state = state
        if not finite:
            self.save()
            bad = self.bad(metrics)
            raise UserError(
                f"training met a value that is not finite in {bad} at update {int(self.state.update) + 1}; "
                f"the last good state is in {self.out}; lower --outer-lr or --inner-lr, or look at {bad}"
            )
        return metrics

    def bad(self, metrics: dict[str, Any]) -> str:
        """What was not finite: a trajectory, or the weights if the whole batch was."""
        bad = metrics["index"][~metrics["finite"]]
        if len(bad) in (0, len(metrics["index"])):
            return "the weights"
        return f"trajectory {bad[0]} (return {self.episodes.returns[bad[0]]:g})"

    def line(self, metrics: dict[str, Any], seconds: float) -> dict[str, Any]:
        """A line of metrics.jsonl, the held-out ELBO aside."""
        line: dict[str, Any] = {
            "update": int(self.state.update),
            "seconds": round(self.progress.seconds, 3),
        }
        line |= {
            name: np.asarray(value).tolist() for name, value in metrics.items() if name not in NOT_LOGGED
        }
        batch_size = min(self.config.training.batch_size, len(self.train_index))
        return line | {"trajectories_per_second": batch_size / seconds}

    def record(self, metrics: dict[str, Any], seconds: float) -> dict[str, Any]:
        """A line of metrics.jsonl."""
        line, training = self.line(metrics, seconds), self.config.training
        if line["update"] % training.heldout_every == 0 and len(self.heldout_index):
            line["heldout_elbo"] = self.heldout_elbo()
        return line

    def heldout_elbo(self) -> float | None:
        """Mean exact ELBO of the held-out episodes; None where none is held out."""
        if not len(self.heldout_index):
            return None
        return float(self._heldout(self.state, self.data))

    def agent(self) -> Agent:
        """The averaged weights with all that acting needs."""
        if self.kept[0] != (number := int(self.state.update)):
            self.kept = number, self._plans()
        model, (logged, critics) = on_first(self.state.averaged), self.kept[1]
        model = model if critics is None else model.judged_by(critics)
        return Agent(model, logged, self.standardiser, self.config, self.facts, run=self.out)

    def _plans(self) -> Kept:
        """Plans and critics of the state as it is now."""
        if isinstance(self.data, DiskEpisodes):
            self.data.check_unchanged()
        state, own = self.portable_state(), (self.episodes, self.standardiser, self.train_index, self.config)
        return kept_plans(on_first(state.averaged), state.bank, *own, on_first(state.key))

    def portable_state(self) -> TrainState:
        """The state with a posterior for each episode, wherever they lie now."""
        return self._portable(self.state)

    def begin_from(self, state: TrainState, progress: Progress) -> None:
        """Go on from a portable state."""
        self.state, self.progress = self._placed(state), progress

    def resume(self) -> None:
        """Go on from what the run's folder holds, which the first process reads.

        Raises:
            UserError: as `read_state` and `check_same`.
        """
        state, progress = self.portable_state(), self.progress
        with all_or_none("go on with the run"):
            if is_first():
                check_same(self.out, self.episodes, progress.data)
                state, progress = read_state(self.out, state, progress, self.config)
        arrays, seconds = of_first((saved_arrays(state), np.float64(progress.seconds)))
        self.begin_from(eqx.combine(arrays, state), progress._replace(seconds=float(seconds)))

    def save(self) -> None:
        """Write the run's folder; the state last, as everything else follows from it."""
        agent = self.agent()
        if is_first():
            agent.save(self.out)
        self.save_state()

    def checkpoint(self) -> None:
        """Write the state, and every AGENT_EVERY times the agent, whose critics take seconds to fit."""
        self.checkpoints += 1
        if self.checkpoints % AGENT_EVERY == 1:
            self.save()
        else:
            self.save_state()

    def save_state(self) -> None:
        """Write what training goes on from, and leave the model as it was saved last: nothing is read of
        the episodes."""
        state = self.portable_state()
        if is_first():
            write_state(self.out, state, self.progress)

    def run(
        self,
        minutes: float,
        updates: int | None,
        report: Callable[[dict[str, Any], float], None],
        first: int = 0,
    ) -> None:
        """Train until `updates` of the whole run are done, or else for `minutes` from now.

        `first` is the update at which what is reported as done began.
        """
        training, path = self.config.training, self.out / "metrics.jsonl"
        with open(path if is_first() else os.devnull, "a") as log, Together() as together:
            now = began = saved = together.now()
            while True:
                started = now
                # An update and what is recorded of it are one: Ctrl-C comes before or after both.
                with interrupt_later():
                    metrics = self.step()
                    now = together.now()
                    self.progress = self.progress._replace(seconds=self.progress.seconds + now - started)
                    number = int(self.state.update)
                    done = (now - began) / (60.0 * minutes)
                    if updates is not None:
                        done = (number - first) / (updates - first)
                    due = number % LOG_EVERY == 0 or number % training.heldout_every == 0
                    line = None
                    if due or done >= 1.0 or number == 1:
                        line = self.record(metrics, now - started)
                        log.write(json.dumps(line) + "\n")
                        log.flush()
                if line is not None:
                    report(line, min(done, 1.0))
                if done >= 1.0:
                    break
                together.stop_if_asked()
                now = together.now()  # What was recorded took time that is no update's.
                if now - saved > training.checkpoint_seconds:
                    self.checkpoint()
                    now = saved = together.now()
        self.save()


def check_extent(minutes: float | None, updates: int | None) -> None:
    """Refuse to train for no time, or for no updates."""
    if minutes is not None and not minutes > 0.0:
        raise UserError(f"minutes is {minutes}, expected more than 0")
    if updates is not None and updates < 1:
        raise UserError(f"updates is {updates}, expected 1 or more")


def train(
    data: Episodes,
    config: Config,
    *,
    out: str | Path,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[dict[str, Any], float], None] | None = None,
) -> Agent:
    """Learn the joint distribution of trajectories and returns, section 2 of the method.

    Warns of what `gac.data.findings` calls a problem, before anything is learned.

    Args:
        data: episodes, each with one return; steps that are on disk stay there, with the same result.
        config: a preset, perhaps with fields replaced.
        out: folder of the run.
        minutes: wall-clock minutes of this call, compilation included; 15 when neither is given.
        updates: instead of minutes, number of updates of the whole run.
        resume: go on from the state in `out`; its configuration and data must be the same.
        overwrite: replace what is in `out`.
        progress: called with the line of metrics and the share done at every logged update.

    Returns:
        The agent, which is also saved in `out`.

    Raises:
        UserError: a folder in use, a state of another configuration or data set, too few
            episodes, minutes or updates that are not positive, a value that is not
            finite during training.
        KeyboardInterrupt: after everything is saved.
    """
    out = Path(out)
    check_extent(minutes, updates)
    check_config(config, data.num_episodes)
    with all_or_none("begin the run"):
        if is_first():
            claim_folder(out, resume=resume, overwrite=overwrite)
            warn_of_problems(data)
    trainer = Trainer(data, config, out)
    alike = config.to_json() + trainer.progress.data
    check_alike("settings or episodes", hashlib.sha256(alike.encode()).hexdigest())
    if resume:
        trainer.resume()
    else:
        # A run can be resumed from its first moment on, compilation included.
        trainer.save()
    if updates is not None and updates <= int(trainer.state.update):
        trainer.save()  # a kill leaves the agent of an earlier checkpoint than the state
        return trainer.agent()
    try:
        trainer.run(DEFAULT_MINUTES if minutes is None else minutes, updates, progress or (lambda *_: None))
    except KeyboardInterrupt:
        trainer.save()
        raise
    except UserError:
        trainer.save_state()  # what failed may be the episodes' file
        raise
    return trainer.agent()
