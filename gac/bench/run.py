"""All measures of `gac bench`, one after the other."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gac import presets
from gac.acting.evaluate import check_fits
from gac.agent import Agent, load
from gac.bench import acting, limits, processes, training
from gac.bench.timing import LEAST_REPEATS, Effort, Row, Spread
from gac.bench.workload import ENV_ID, Workload, like_replay, make_workload, shrunk
from gac.errors import UserError

PRESETS = {"fast": presets.fast, "paper": presets.paper}
LIMITS, COMMAND = "machine", "gac train --updates 1"
"""What a measure is of, where it is not of a preset or a run."""
MOST_UPDATES_SECONDS = 120.0
"""Updates that take longer are not run for their memory."""


class Measure(NamedTuple):
    """One measure: of what (the limits, a preset, a run), its name, its figures."""

    of: str
    name: str
    row: Row


@dataclass(frozen=True)
class Sizes:
    """How much of everything is measured."""

    effort: Effort
    episodes: int = 1281
    products: tuple[int, ...] = limits.PRODUCT_SIZES
    memory_bytes: int = limits.MEMORY_BYTES
    environment_steps: int = limits.ENVIRONMENT_STEPS
    batch: int = 100
    """Plans at once, environments at once, episodes of an evaluation."""
    decisions: int = 1000
    """In a row, in each repetition."""
    trained_steps: int = 1_000_000
    """Steps of the data of the process whose memory is measured."""
    updates: int = 3
    starts: int = 3
    """Starts of a command with everything compiled."""


QUICK = Sizes(
    effort=Effort(repeats=2, seconds=1.0, call_seconds=0.001),
    episodes=20,
    products=(64,),
    memory_bytes=2**16,
    environment_steps=20,
    batch=3,
    decisions=5,
    trained_steps=2000,
    updates=1,
    starts=1,
)
"""To see that everything runs; its figures mean nothing."""

Announce = Callable[[str], AbstractContextManager[None]]


class Bench:
    """The measures taken so far.

    Args:
        sizes: how much of everything is measured.
        announce: entered with a few words around each measure.
    """

    def __init__(self, sizes: Sizes, announce: Announce) -> None:
        self.measures: list[Measure] = []
        self._sizes, self._effort, self._announce = sizes, sizes.effort, announce

    def take(self, of: str, name: str, function: Callable[..., Row], *args: Any) -> Row:
        """Take one measure and keep it."""
        with self._announce(f"{of}: {name}"):
            row = function(*args)
        self.measures.append(Measure(of, name, row))
        return row

    def machine_limits(self) -> float:
        """Measure what everything else is set beside; returns the greatest rate of products, in GFLOP/s."""
        product = self.take(
            LIMITS, "matrix product", limits.matrix_product, self._effort, self._sizes.products
        )
        self.take(LIMITS, "memory", limits.memory, self._effort, self._sizes.memory_bytes)
        return _greatest(product["gflops_per_second"])

    def stepping(self, env_id: str) -> float:
        """Steps per second of an environment without a policy, the greatest."""
        name, steps = f"environment {env_id}", self._sizes.environment_steps
        row = self.take(LIMITS, name, limits.environment, env_id, self._effort, steps)
        return _greatest(row["steps_per_second"])

    def learning(self, of: str, work: Workload, gflops: float) -> None:
        """Inner and outer steps, compilation and memory of a preset."""
        inner = self.take(of, "inner loop", training.inner_loop, work, gflops, self._effort)
        outer = self.take(of, "outer loop", training.outer_loop, work, gflops, self._effort)
        self.take(of, "compiling an update", training.compilation, work, self._effort)
        config, steps, updates = work.config, self._sizes.trained_steps, self._sizes.updates
        update_seconds = config.posterior.inner_steps / _greatest(inner["steps_per_second"])
        update_seconds += config.training.outer_steps / _greatest(outer["steps_per_second"])
        if update_seconds * updates <= MOST_UPDATES_SECONDS:
            self.take(of, "a training process", processes.peak_memory, config, steps, updates)

    def acting(self, of: str, agent: Agent, env_id: str, gflops: float, steps_per_second: float) -> None:
        """Plans, decisions and episodes of an agent, beside the rate of its environment."""
        effort, batch = self._effort, self._sizes.batch
        self.take(of, "plans", acting.plans, agent, gflops, effort, batch)
        self.take(of, "decisions", acting.decisions, agent, effort, batch, self._sizes.decisions)
        self.take(of, "evaluation", acting.evaluation, agent, env_id, steps_per_second, effort, batch)


def bench(
    names: Sequence[str] = tuple(PRESETS),
    *,
    repeats: int = 5,
    run: str | Path | None = None,
    quick: bool = False,
    announce: Announce = lambda words: nullcontext(),
) -> list[Measure]:
    """Measure the machine, then training and acting beside it.

    Args:
        names: presets to measure.
        repeats: timed calls of each measure; slow ones get fewer, but two.
        run: folder of a trained run to plan, act and evaluate with as well.
        quick: tiny sizes, to see that everything runs.
        announce: entered with a few words around each measure.

    Raises:
        UserError: no preset or an unknown one, fewer than two repeats, or a folder that holds no run.
    """
    if not names or set(names) - set(PRESETS):
        raise UserError(f"--presets is {' '.join(names)!r}, expected some of {', '.join(PRESETS)}")
    if repeats < LEAST_REPEATS:
        raise UserError(f"--repeats is {repeats}, expected {LEAST_REPEATS} or more: a spread needs them")
    trained = None if run is None else _load_playable(run)
    sizes = QUICK if quick else Sizes(Effort(repeats=repeats))
    taken = Bench(sizes, announce)
    gflops = taken.machine_limits()
    stepping = {ENV_ID: taken.stepping(ENV_ID)}
    episodes = like_replay(sizes.episodes)
    configs = {name: shrunk(PRESETS[name]()) if quick else PRESETS[name]() for name in names}
    for name, config in configs.items():
        work = make_workload(config, episodes)
        taken.learning(name, work, gflops)
        taken.acting(name, work.agent, ENV_ID, gflops, stepping[ENV_ID])
    if trained is not None:
        agent, env_id = trained
        if env_id not in stepping:
            stepping[env_id] = taken.stepping(env_id)
        taken.acting(str(run), agent, env_id, gflops, stepping[env_id])
    taken.take(
        COMMAND, f"start, {names[0]}", processes.start_seconds, configs[names[0]], episodes, sizes.starts
    )
    return taken.measures


def _load_playable(run: str | Path) -> tuple[Agent, str]:
    """A run and its environment, which must be one that can be made here, before minutes are spent."""
    agent = load(run)
    environment = agent.environment
    if environment is None or ":" in environment.id or environment.spec is not None:
        # The part before a colon is a module, which Gymnasium would import and which the data chose.
        raise UserError(
            f"{run} names no environment of Gymnasium's own to play in ({environment}); leave out --run"
        )
    check_fits(environment, agent)
    return agent, environment.id


def _greatest(figure: object) -> float:
    assert isinstance(figure, Spread)  # The names asked for are rates.
    return figure.maximum
