"""Many seeds at once: their states side by side, moved forward by one program over the same data."""

import dataclasses
import json
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

from gac.agent import Agent
from gac.compilation import large_products
from gac.config import Config
from gac.data.episodes import Episodes
from gac.data.problems import warn_of_problems
from gac.data.standardise import Standardiser
from gac.data.windows import DeviceEpisodes, to_device
from gac.errors import UserError
from gac.training.checkpoint import check_config, claim_folder
from gac.training.interrupt import interrupt_later
from gac.training.offline import DEFAULT_MINUTES, LOG_EVERY, Trainer, check_extent
from gac.training.update import TrainState, all_finite, heldout_elbo, update
from gac.training.visits import Visits, make_visits

SEEDS = "seeds"
"""Name of the axis, in the mesh of devices."""
# All seeds are at the same update: were its number batched, the refit of the prior, which is due at some
# updates only, would be computed at every one.
_MAPPED = TrainState(theta=0, averaged=0, optimiser_state=0, bank=0, update=None, key=0)  # type: ignore[arg-type]
_own, _common = PartitionSpec(SEEDS), PartitionSpec()  # type: ignore[no-untyped-call]
_SHARDED = TrainState(_own, _own, _own, _own, _common, _own)  # type: ignore[arg-type]

Program = Callable[[TrainState, Any, DeviceEpisodes], tuple[TrainState, Any]]
"""`(states side by side, what differs by seed, data) -> (states, what came of them)`."""


def side_by_side(one: Program, devices: int) -> Program:
    """The program of one run, mapped over many; sharded, if there are several devices.

    The devices do not wait for each other within an update: a loop ends when the seeds of its own have
    converged.

    Args:
        devices: devices to use; divides the number of seeds.
    """

    def mapped(states: TrainState, own: Any, data: DeviceEpisodes) -> tuple[TrainState, Any]:
        together: tuple[TrainState, Any] = jax.vmap(
            lambda state, own: one(state, own, data), in_axes=(_MAPPED, 0), out_axes=(_MAPPED, 0)
        )(states, own)
        return together

    if devices == 1:
        return jax.jit(mapped, compiler_options=large_products())
    mesh = Mesh(np.array(jax.devices()[:devices]), (SEEDS,))
    sharded = jax.shard_map(
        mapped,
        mesh=mesh,
        in_specs=(_SHARDED, _own, _common),
        out_specs=(_SHARDED, _own),
        check_vma=False,
    )
    return jax.jit(sharded, compiler_options=large_products())


def usable_devices(seeds: int, devices: int) -> int:
    """The most devices that seeds can be shared out to evenly."""
    return max(count for count in range(1, min(seeds, devices) + 1) if seeds % count == 0)


@jax.jit
def _stack(states: Sequence[TrainState]) -> TrainState:
    stacked: TrainState = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return stacked._replace(update=states[0].update)


@jax.jit
def _unstack(states: TrainState) -> list[TrainState]:
    batched = states._replace(update=None)  # type: ignore[arg-type]
    each = [jax.tree.map(operator.itemgetter(i), batched) for i in range(states.bank.mu.shape[0])]
    return [state._replace(update=states.update) for state in each]


class Seeds:
    """Runs that differ in their seed alone; `run` moves all of them forward.

    Each is an ordinary run, in a folder of its own. Between updates the states lie side by side;
    `hand_out` gives each run its own.
    """

    def __init__(self, episodes: Episodes, config: Config, out: Path, count: int) -> None:
        self.config = config
        standardiser = Standardiser.fit(episodes)
        data = to_device(episodes, standardiser)
        self.runs = [
            Trainer(episodes, dataclasses.replace(config, seed=seed), folder(out, seed), data=data)
            for seed in range(config.seed, config.seed + count)
        ]
        self.data = data
        self.states: TrainState
        scale, longest = float(episodes.lengths.mean()), int(episodes.lengths.max())
        dim, devices = episodes.observation_dim, usable_devices(count, jax.device_count())
        self._visits: Visits = jax.tree.map(
            lambda *leaves: jnp.stack(leaves),
            *(make_visits(run.train_index, episodes.lengths[run.train_index], config) for run in self.runs),
        )
        self._heldout_index = jnp.stack([jnp.asarray(run.heldout_index) for run in self.runs])
        self._update = side_by_side(
            lambda state, visits, data: update(state, data, visits, config, scale, dim), devices
        )

        def judged(state: TrainState, index: Array, data: DeviceEpisodes) -> tuple[TrainState, Array]:
            return state, heldout_elbo(state, data, index, config, longest, dim)

        self._heldout = side_by_side(judged, devices)
        self.gather()

    def gather(self) -> None:
        """Lay the states of the runs side by side; those behind first catch up, each by itself."""
        last = max(int(run.state.update) for run in self.runs)
        for run in self.runs:
            # A kill between two checkpoints of the same update leaves runs at different ones.
            if int(run.state.update) < last:
                run.run(minutes=DEFAULT_MINUTES, updates=last, report=lambda *_: None)
        self.states = _stack([run.state for run in self.runs])

    def hand_out(self) -> None:
        """Give every run its state."""
        for run, state in zip(self.runs, _unstack(self.states), strict=True):
            run.state = state

    def step(self) -> list[dict[str, Any]]:
        """One update of every run; the states move only if all stayed finite.

        Raises:
            UserError: NaN or infinity in a run, which is named; the last good states are written.
        """
        states, on_device = self._update(self.states, self._visits, self.data)
        metrics: dict[str, Any] = jax.device_get(on_device)
        each = [{name: value[i] for name, value in metrics.items()} for i in range(len(self.runs))]
        for run, own in zip(self.runs, each, strict=True):
            if not all_finite(own):
                self.save()
                raise UserError(
                    f"training met a value that is not finite in {run.bad(own)} of seed {run.config.seed} at "
                    f"update {int(self.states.update) + 1}; the last good states are in {run.out.parent}; "
                    "lower --outer-lr or --inner-lr, or leave out this seed"
                )
        self.states = states
        return each

    def record(self, metrics: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
        """A line of metrics.jsonl of every run."""
        heldout = None
        if int(self.states.update) % self.config.training.heldout_every == 0 and self._heldout_index.size:
            self.states, values = self._heldout(self.states, self._heldout_index, self.data)
            heldout = np.asarray(values).tolist()
        self.hand_out()
        lines = [run.line(own, seconds) for run, own in zip(self.runs, metrics, strict=True)]
        if heldout is not None:
            lines = [line | {"heldout_elbo": value} for line, value in zip(lines, heldout, strict=True)]
        return lines

    def save(self) -> None:
        """Write the folder of every run."""
        self.hand_out()
        for run in self.runs:
            run.save()

    def run(
        self, minutes: float, updates: int | None, report: Callable[[dict[str, Any], float], None]
    ) -> None:
        """Train until `updates` of the whole runs are done, or else for `minutes` from now; then save."""
        training, began, saved = self.config.training, time.monotonic(), time.monotonic()
        while True:
            started = time.monotonic()
            # An update and what is recorded of it are one: Ctrl-C comes before or after both.
            with interrupt_later():
                metrics = self.step()
                now = time.monotonic()
                for run in self.runs:
                    run.progress = run.progress._replace(seconds=run.progress.seconds + now - started)
                number = int(self.states.update)
                done = number / updates if updates is not None else (now - began) / (60.0 * minutes)
                due = number % LOG_EVERY == 0 or number % training.heldout_every == 0
                lines = []
                if due or done >= 1.0 or number == 1:
                    lines = self.record(metrics, now - started)
                    for run, line in zip(self.runs, lines, strict=True):
                        with open(run.out / "metrics.jsonl", "a") as log:
                            log.write(json.dumps(line) + "\n")
            if lines:
                report(mean_line(lines), min(done, 1.0))
            if done >= 1.0:
                break
            if time.monotonic() - saved > training.checkpoint_seconds:
                self.hand_out()
                for run in self.runs:
                    run.checkpoint()
                saved = time.monotonic()
        self.save()


def mean_line(lines: Sequence[dict[str, Any]], rate: str = "trajectories_per_second") -> dict[str, Any]:
    """What is shown while training: means over the seeds, and the rate of all of them together."""
    numbers = [key for key, value in lines[0].items() if isinstance(value, (int, float))]
    means: dict[str, Any] = {key: float(np.mean([line[key] for line in lines])) for key in numbers}
    return means | {"update": lines[0]["update"], rate: means[rate] * len(lines)}


def folder(out: Path, seed: int) -> Path:
    """Where the run of a seed is."""
    return out / f"seed-{seed}"


def claim_seeds(out: Path, seeds: range, *, resume: bool, overwrite: bool) -> None:
    """`claim_folder` for the runs of seeds and for the folder that they are in."""
    if not resume:
        claim_folder(out, resume=False, overwrite=overwrite)
        # Also those of seeds that are not trained now: whoever reads all of them would mix old and new.
        for left in out.glob("seed-*"):
            claim_folder(left, resume=False, overwrite=True)
            if not any(left.iterdir()):
                left.rmdir()
    for seed in seeds:
        claim_folder(folder(out, seed), resume=resume, overwrite=overwrite)


def train_seeds(
    data: Episodes,
    config: Config,
    *,
    seeds: int,
    out: str | Path,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[dict[str, Any], float], None] | None = None,
) -> list[Agent]:
    """`train` for `config.seed` and the seeds that follow it, in one program.

    The results are those of single runs up to rounding, which training amplifies from update to update.
    With several devices the seeds are shared out to as many as divide their number.

    Args:
        seeds: number of models.
        out: folder that gets a run's folder for each, `seed-0` and so on; each can be gone on with by itself.
        minutes: wall-clock minutes of training in this call; 15 where neither is given.
        updates: number of updates of the whole runs, instead.
        resume: go on from the runs in `out`.
        overwrite: replace what `out` holds.
        progress: called with means over the seeds and the share done at every logged update.

    Returns:
        The agents, which are also saved.

    Raises:
        UserError: as `train`; data that stay on disk; several processes.
        KeyboardInterrupt: after everything is saved.
    """
    out = Path(out)
    if seeds < 1:
        raise UserError(f"seeds is {seeds}, expected 1 or more")
    check_extent(minutes, updates)
    if jax.process_count() > 1:
        raise UserError("many seeds at once are trained by one process; start each process on its own seeds")
    if data.on_disk:
        raise UserError(
            f"{data.name} stays on disk, and many seeds at once need it in memory; train them one by one"
        )
    check_config(config, data.num_episodes)
    claim_seeds(out, range(config.seed, config.seed + seeds), resume=resume, overwrite=overwrite)
    warn_of_problems(data)
    together = Seeds(data, config, out, seeds)
    if resume:
        for run in together.runs:
            run.resume()
        together.gather()
    else:
        together.save()
    if updates is None or updates > int(together.states.update):
        try:
            together.run(
                DEFAULT_MINUTES if minutes is None else minutes, updates, progress or (lambda *_: None)
            )
        except (KeyboardInterrupt, UserError):
            together.save()
            raise
    together.hand_out()
    return [run.agent() for run in together.runs]
