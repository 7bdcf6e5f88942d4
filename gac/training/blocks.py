"""Training in blocks of updates, of one run or of seeds side by side: what methods of one step share.

A method hands over an `Algorithm`; folders, checkpoints, resuming, metrics and Ctrl-C are done here.
"""

import dataclasses
import hashlib
import json
import operator
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from gac.data.environment import warn_beyond_bounds
from gac.data.episodes import Episodes
from gac.data.reset_rows import reset_rows_of
from gac.data.sentinels import warn_of_far_values
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.records import DataFacts
from gac.training.checkpoint import Progress, claim_folder, fingerprint, read_state, write_state
from gac.training.interrupt import interrupt_later
from gac.training.offline import DEFAULT_MINUTES, check_extent
from gac.training.scale.seeds import claim_seeds, folder, mean_line

RATE = "updates_per_second"

Report = Callable[[dict[str, Any], float], None]
"""Told the line of metrics and the share done."""
Metrics = dict[str, Array]


@dataclass(frozen=True)
class Algorithm:
    """What a method is made of. A state is a NamedTuple with `update` and `key` among its fields."""

    check: Callable[[Any], None]
    """Refuses a configuration that cannot work."""
    prepare: Callable[[Episodes, Standardiser, Any], Any]
    """The data on the device, from the episodes and the configuration; refuses data it cannot learn from."""
    begin: Callable[[Any, Episodes], Any]
    """The state before the first update, from the configuration and the episodes."""
    advance: Callable[[Any, Any, Int[Array, ""], Any], tuple[Any, Metrics]]
    """`(state, data, number of updates, configuration) -> (state, mean metrics)`, within a program."""
    agent: Callable[[Any, Standardiser, Any, DataFacts, Path], Any]
    """`(state, units, configuration, facts, folder of the run) -> agent`."""
    advice: str
    """What to change where a value is not finite."""
    block: int = 100
    """Updates between lines of metrics.jsonl; Ctrl-C waits for the end of so many."""
    rewards: bool = False
    """Whether training reads the reward of each step."""


class Run(NamedTuple):
    """One seed: its folder, its configuration, its state and the seconds of its updates."""

    out: Path
    config: Any
    state: Any
    progress: Progress


class Trainer:
    """Runs that differ in their seed alone, over the same data on the device."""

    def __init__(
        self,
        algorithm: Algorithm,
        episodes: Episodes,
        units: Standardiser,
        data: Any,
        config: Any,
        folders: dict[int, Path],
    ) -> None:
        self.algorithm, self.config = algorithm, config
        self.standardiser, self.data = units, data
        self.facts = DataFacts.of(episodes)
        progress = Progress(0.0, _fingerprint(episodes, algorithm.rewards))
        self.runs = []
        for seed, out in folders.items():
            own = dataclasses.replace(config, seed=seed)
            self.runs.append(Run(out, own, algorithm.begin(own, episodes), progress))
        self._one, self._many = program(algorithm, config), program(algorithm, config, many=True)

    def update(self) -> int:
        """Updates that every run has done."""
        return min(int(run.state.update) for run in self.runs)

    def agent(self, run: Run) -> Any:
        """The weights that act, with all that acting needs."""
        return self.algorithm.agent(run.state, self.standardiser, run.config, self.facts, run.out)

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
        """Move all runs on, to the next multiple of a block's updates or to `until`.

        Returns:
            A line of metrics.jsonl of each, which is written.

        Raises:
            UserError: NaN or infinity; the runs stay as they were, and are written.
        """
        began, number = time.monotonic(), self.update()
        count = self.algorithm.block - number % self.algorithm.block
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
                    f"{count} updates after {number}; the last good state is in {run.out}; "
                    f"{self.algorithm.advice}"
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


def program(algorithm: Algorithm, config: Any, *, many: bool = False) -> Callable[..., tuple[Any, Metrics]]:
    """`(state, data, number of updates) -> (state, mean metrics)`, compiled; of many states side by side."""

    def one(state: Any, data: Any, count: Int[Array, ""]) -> tuple[Any, Metrics]:
        return algorithm.advance(state, data, count, config)

    return jax.jit(jax.vmap(one, in_axes=(0, None, None)) if many else one)


def repeated(
    update: Callable[[Any, Any], tuple[Any, Metrics]], state: Any, data: Any, count: Int[Array, ""]
) -> tuple[Any, Metrics]:
    """So many updates within a program, and the means of their metrics."""

    def one(_: Array, carry: tuple[Any, Metrics]) -> tuple[Any, Metrics]:
        state, metrics = update(carry[0], data)
        return state, jax.tree.map(jnp.add, carry[1], metrics)

    shapes = jax.eval_shape(lambda state: update(state, data)[1], state)
    sums = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
    state, sums = jax.lax.fori_loop(0, count, one, (state, sums))
    metrics: Metrics = jax.tree.map(lambda each: each / count.astype(each.dtype), sums)
    return state, metrics


def norm_of(weights: Any) -> Array:
    """The norm of all weights, which is not finite where any of them is not."""
    return jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(weights)])))


@jax.jit
def _stack(states: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def _unstack(states: Any, count: int) -> list[Any]:
    return [jax.tree.map(operator.itemgetter(i), states) for i in range(count)]


def _fingerprint(episodes: Episodes, rewards: bool) -> str:
    """SHA-256 of everything that training reads of the episodes."""
    if not rewards:
        return fingerprint(episodes)
    digest = hashlib.sha256(fingerprint(episodes).encode())
    for array in (episodes.rewards, episodes.terminated):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _warn(episodes: Episodes) -> None:
    """Warn of what harms training: actions beyond their bounds, far values, rows that are no steps."""
    warn_of_far_values(episodes)
    warn_beyond_bounds(episodes)
    if rows := len(reset_rows_of(episodes).episodes):
        warnings.warn(
            f"{episodes.name}: {rows:,} episodes begin with a reset row; drop them with --drop-reset-rows",
            stacklevel=4,
        )


def train_runs(
    algorithm: Algorithm,
    data: Episodes,
    config: Any,
    *,
    out: str | Path,
    seeds: int | None = None,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
    begun: Callable[[Path], None] = lambda _: None,
) -> list[Any]:
    """The agents of one run in `out`, or of so many seeds in `out/seed-0` and so on; see `gac.gtp.train`.

    `begun` is called with the folder of each run before anything else is written there.
    """
    out = Path(out)
    if seeds is not None and seeds < 1:
        raise UserError(f"seeds is {seeds}, expected 1 or more")
    check_extent(minutes, updates)
    algorithm.check(config)
    # Before a folder is made: data that cannot be learned from is refused here.
    units = Standardiser.fit(data)
    prepared = algorithm.prepare(data, units, config)
    folders = {config.seed: out}
    if seeds is None:
        claim_folder(out, resume=resume, overwrite=overwrite)
    else:
        numbers = range(config.seed, config.seed + seeds)
        claim_seeds(out, numbers, resume=resume, overwrite=overwrite)
        folders = {seed: folder(out, seed) for seed in numbers}
    for each in folders.values():
        begun(each)
    _warn(data)
    trainer = Trainer(algorithm, data, units, prepared, config, folders)
    if resume:
        trainer.resume()
    else:
        # A run can be resumed from its first moment on, compilation included.
        trainer.save()
    try:
        trainer.run(DEFAULT_MINUTES if minutes is None else minutes, updates, progress or (lambda *_: None))
    except KeyboardInterrupt:
        trainer.save()
        raise
    return [trainer.agent(run) for run in trainer.runs]
