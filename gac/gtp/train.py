"""Training: blocks of updates, of one run or of seeds side by side, until time or updates are spent."""

import dataclasses
import functools
import hashlib
import json
import operator
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gac.credit.record import CreditRecord, write_credit
from gac.credit.rewards import rewarded
from gac.data.environment import warn_beyond_bounds
from gac.data.episodes import Episodes
from gac.data.reset_rows import reset_rows_of
from gac.data.sentinels import warn_of_far_values
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.gtp.agent import GTPAgent
from gac.gtp.config import GTPConfig, check_config
from gac.gtp.transitions import transitions
from gac.gtp.update import TrainState, advance, init_state
from gac.records import DataFacts
from gac.training.checkpoint import Progress, claim_folder, fingerprint, read_state, write_state
from gac.training.interrupt import interrupt_later
from gac.training.offline import DEFAULT_MINUTES, check_extent
from gac.training.seeds import claim_seeds, folder, mean_line

BLOCK = 100
"""Updates between lines of metrics.jsonl; Ctrl-C waits for the end of so many."""
RATE = "updates_per_second"

Report = Callable[[dict[str, Any], float], None]
"""Told the line of metrics and the share done."""


class Run(NamedTuple):
    """One seed: its folder, its configuration, its state and the seconds of its updates."""

    out: Path
    config: GTPConfig
    state: TrainState
    progress: Progress


class Trainer:
    """Runs that differ in their seed alone, over the same transitions on the device."""

    def __init__(self, episodes: Episodes, config: GTPConfig, folders: dict[int, Path]) -> None:
        self.standardiser = Standardiser.fit(episodes)
        self.data = transitions(episodes, self.standardiser, config)
        self.config, self.facts = config, DataFacts.of(episodes)
        progress = Progress(0.0, fingerprint_of(episodes))
        self.runs = []
        for seed, out in folders.items():
            own = dataclasses.replace(config, seed=seed)
            state = init_state(own, episodes.observation_dim, episodes.action_dim)
            self.runs.append(Run(out, own, state, progress))
        self._one, self._many = program(config), program(config, many=True)

    def update(self) -> int:
        """Updates that every run has done."""
        return min(int(run.state.update) for run in self.runs)

    def agent(self, run: Run) -> GTPAgent:
        """The averaged weights of a run with all that acting needs."""
        return GTPAgent(run.state.averaged, self.standardiser, run.config, self.facts, run=run.out)

    def save(self) -> None:
        """Write the folders; the state last, as everything else follows from it."""
        for run in self.runs:
            self.agent(run).save(run.out)
            write_state(run.out, run.state, run.progress)

    def resume(self) -> None:
        """Go on from what the folders hold; seeds that a kill left behind the others catch up.

        Raises:
            UserError: as `read_state`.
        """
        for place, run in enumerate(self.runs):
            state, progress = read_state(run.out, run.state, run.progress, run.config)
            self.runs[place] = run._replace(state=state, progress=progress)
        last = max(int(run.state.update) for run in self.runs)
        caught_up = []
        for run in self.runs:
            self.runs = [run]
            while self.update() < last:
                self.block(last)
            caught_up += self.runs
        self.runs = caught_up

    def block(self, until: int | None) -> list[dict[str, Any]]:
        """Move all runs on, to the next multiple of BLOCK updates or to `until`.

        Returns:
            A line of metrics.jsonl of each, which is written.

        Raises:
            UserError: NaN or infinity; the runs stay as they were, and are written.
        """
        began, number = time.monotonic(), self.update()
        count = BLOCK - number % BLOCK
        count = count if until is None else min(count, until - number)
        states = [run.state for run in self.runs]
        if len(states) == 1:
            state, metrics = self._one(states[0], self.data, jnp.int32(count))
            states, each = [state], [jax.device_get(metrics)]
        else:
            together, metrics = self._many(_stack(states), self.data, jnp.int32(count))
            states, found = _unstack(together, len(states)), jax.device_get(metrics)
            each = [{name: values[i] for name, values in found.items()} for i in range(len(states))]
        for run, found in zip(self.runs, each, strict=True):
            if bad := [name for name, value in found.items() if not np.isfinite(value)]:
                self.save()
                raise UserError(
                    f"training met a value that is not finite ({bad[0]}) of seed {run.config.seed} within "
                    f"{count} updates after {number}; the last good state is in {run.out}; lower "
                    "--learning-rate or --eta, or scale the rewards with --reward-scale"
                )
        seconds = time.monotonic() - began
        lines = []
        for place, (run, state, found) in enumerate(zip(self.runs, states, each, strict=True)):
            progress = run.progress._replace(seconds=run.progress.seconds + seconds)
            self.runs[place] = run._replace(state=state, progress=progress)
            line: dict[str, Any] = {"update": number + count, "seconds": round(progress.seconds, 3)}
            lines.append(
                line | {name: float(value) for name, value in found.items()} | {RATE: count / seconds}
            )
            with open(run.out / "metrics.jsonl", "a") as log:
                log.write(json.dumps(lines[-1]) + "\n")
        return lines

    def run(self, minutes: float, updates: int | None, report: Report) -> None:
        """Train until `updates` of the whole runs are done, or else for `minutes` from now; then save."""
        began = saved = time.monotonic()
        done = 0.0 if updates is None else self.update() / updates
        while done < 1.0:
            # A block and what is recorded of it are one: Ctrl-C comes before or after both.
            with interrupt_later():
                lines = self.block(updates)
                now = time.monotonic()
                done = (now - began) / (60.0 * minutes) if updates is None else self.update() / updates
            report(mean_line(lines, RATE), min(done, 1.0))
            if done < 1.0 and now - saved > self.config.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        self.save()


def program(
    config: GTPConfig, *, many: bool = False
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """`(state, data, number of updates) -> (state, mean metrics)`, compiled; of many states side by side."""
    one = functools.partial(advance, config=config)
    return jax.jit(jax.vmap(one, in_axes=(0, None, None)) if many else one)


@jax.jit
def _stack(states: Sequence[TrainState]) -> TrainState:
    stacked: TrainState = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return stacked


def _unstack(states: TrainState, count: int) -> list[TrainState]:
    return [jax.tree.map(operator.itemgetter(i), states) for i in range(count)]


def fingerprint_of(episodes: Episodes) -> str:
    """SHA-256 of everything that training reads of the episodes."""
    digest = hashlib.sha256(fingerprint(episodes).encode())
    for array in (episodes.rewards, episodes.terminated):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def warn(episodes: Episodes) -> None:
    """Warn of what harms training: actions beyond their bounds, far values, rows that are no steps."""
    warn_of_far_values(episodes)
    warn_beyond_bounds(episodes)
    if rows := len(reset_rows_of(episodes).episodes):
        warnings.warn(
            f"{episodes.name}: {rows:,} episodes begin with a reset row; drop them with --drop-reset-rows",
            stacklevel=3,
        )


def trained(
    episodes: Episodes,
    config: GTPConfig,
    folders: dict[int, Path],
    minutes: float | None,
    updates: int | None,
    resume: bool,
    report: Report | None,
    credit: CreditRecord | None,
) -> list[GTPAgent]:
    """The agents of runs whose folders are claimed already."""
    warn(episodes)
    if credit is not None:
        for out in folders.values():
            write_credit(out, credit)
    trainer = Trainer(episodes, config, folders)
    if resume:
        trainer.resume()
    else:
        # A run can be resumed from its first moment on, compilation included.
        trainer.save()
    try:
        trainer.run(DEFAULT_MINUTES if minutes is None else minutes, updates, report or (lambda *_: None))
    except KeyboardInterrupt:
        trainer.save()
        raise
    return [trainer.agent(run) for run in trainer.runs]


def train(
    data: Episodes,
    config: GTPConfig,
    *,
    out: str | Path,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> GTPAgent:
    """Learn the map of noise to actions, weighted by the critics' advantages: Algorithm 1.

    Args:
        data: episodes in memory, with a reward at each step unless `config.credit` says to learn these.
        config: `gac.presets.gtp()`, perhaps with fields replaced.
        out: folder of the run.
        minutes: wall-clock minutes of this call, compilation included; 15 when neither is given.
        updates: instead of minutes, number of updates of the whole run.
        resume: go on from the state in `out`; its configuration and data must be the same.
        overwrite: replace what is in `out`.
        progress: called with the line of metrics and the share done after every block of updates.

    Returns:
        The agent, which is also saved in `out`.

    Raises:
        UserError: a folder in use, a state of another configuration or data set, data without rewards or
            with fewer than two transitions, credit that does not explain the returns, settings that cannot
            work, a value that is not finite.
        KeyboardInterrupt: after everything is saved.
    """
    out = Path(out)
    check_extent(minutes, updates)
    check_config(config)
    data, credit = rewarded(data, config.credit)
    transitions(data, Standardiser.fit(data), config)
    claim_folder(out, resume=resume, overwrite=overwrite)
    return trained(data, config, {config.seed: out}, minutes, updates, resume, progress, credit)[0]


def train_seeds(
    data: Episodes,
    config: GTPConfig,
    *,
    seeds: int,
    out: str | Path,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> list[GTPAgent]:
    """`train` for `config.seed` and the seeds that follow it, in one program.

    The results are those of single runs up to rounding. Each is an ordinary run, in `out/seed-0` and so on.

    Raises:
        UserError: as `train`.
        KeyboardInterrupt: after everything is saved.
    """
    out = Path(out)
    if seeds < 1:
        raise UserError(f"seeds is {seeds}, expected 1 or more")
    check_extent(minutes, updates)
    check_config(config)
    data, credit = rewarded(data, config.credit)
    transitions(data, Standardiser.fit(data), config)
    numbers = range(config.seed, config.seed + seeds)
    claim_seeds(out, numbers, resume=resume, overwrite=overwrite)
    folders = {seed: folder(out, seed) for seed in numbers}
    return trained(data, config, folders, minutes, updates, resume, progress, credit)
