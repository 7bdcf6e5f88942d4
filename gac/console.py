"""What a person sees: a progress bar on a terminal while something runs, plain lines elsewhere; tables."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

PLAIN_SECONDS = 15.0
"""Seconds between lines where there is no terminal."""

FIGURES = {
    "elbo": ("elbo", "{:.1f}"),
    "kl": ("kl", "{:.1f}"),
    "prior_return_mean": ("prior return mean", "{:+.2f}"),
    "trajectories_per_second": ("trajectories/s", "{:.0f}"),
    "loss_consistency": ("consistency", "{:.4f}"),
    "loss_flow": ("flow", "{:.4f}"),
    "loss_critic": ("critic", "{:.3g}"),
    "q": ("Q", "{:.1f}"),
    "updates_per_second": ("updates/s", "{:.0f}"),
}
"""Key of metrics.jsonl: (words, format). The prior return mean is in standardised units: the data has 0."""


def stderr_console() -> Console:
    """Progress goes to stderr, so that stdout holds only results."""
    return Console(stderr=True, highlight=False)


def figures(metrics: Mapping[str, Any]) -> str:
    """The metrics that matter while training, in a line; what is not there yet is left out."""
    shown = [
        (words, form.format(float(metrics[key]))) for key, (words, form) in FIGURES.items() if key in metrics
    ]
    return "  ".join(f"{words} {value}" for words, value in shown)


def remaining(seconds: float, done: float) -> str:
    """Time left as `m:ss`, from the seconds spent on the share `done` in [0, 1]."""
    if done <= 0:
        return "-:--"
    left = round(seconds * (1 - min(done, 1.0)) / done)
    minutes, rest = divmod(left, 60)
    return f"{minutes}:{rest:02d}"


@contextmanager
def training_progress(
    console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[dict[str, Any], float], None]]:
    """Yield the `progress(metrics, done)` callable of `gac.train`; `done` is a share in [0, 1]."""
    console = console or stderr_console()
    began = clock()
    if console.is_terminal:
        # No rich column for the time left: it estimates from the last updates, and compilation skews those.
        columns = BarColumn(bar_width=None), TaskProgressColumn(), TextColumn("{task.description}")
        with Progress(*columns, console=console, expand=True) as bar:
            task = bar.add_task("compiling", total=1.0)

            def draw(metrics: dict[str, Any], done: float) -> None:
                words = f"{figures(metrics)}  {remaining(clock() - began, done)} left"
                bar.update(task, completed=done, description=words)

            yield draw
        return

    said = -float("inf")

    def say(metrics: dict[str, Any], done: float) -> None:
        nonlocal said
        now = clock()
        if now - said >= PLAIN_SECONDS or done >= 1:
            said = now
            left = remaining(now - began, done)
            line = f"training {100 * min(done, 1.0):3.0f} %  {figures(metrics)}  {left} left"
            console.print(line, soft_wrap=True, markup=False)

    yield say


PARTS = {"collect": "collecting", "train": "training", "evaluate": "evaluating"}


@contextmanager
def stage_progress(
    stages: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, str, dict[str, Any], float], None]]:
    """Yield the `progress(stage, part, metrics, done)` callable of `gac.finetune`; one bar, or lines."""
    console = console or stderr_console()

    def words(stage: int, part: str, metrics: dict[str, Any]) -> str:
        return f"stage {stage} of {stages}: {PARTS[part]}  {figures(metrics)}".rstrip()

    if console.is_terminal:
        columns = BarColumn(bar_width=None), TaskProgressColumn(), TextColumn("{task.description}")
        with Progress(*columns, console=console, expand=True) as bar:
            task = bar.add_task("evaluating the run as it is", total=1.0)

            def draw(stage: int, part: str, metrics: dict[str, Any], done: float) -> None:
                bar.update(task, completed=done, description=words(stage, part, metrics))

            yield draw
        return

    said, shown = -float("inf"), (0, "")

    def say(stage: int, part: str, metrics: dict[str, Any], done: float) -> None:
        nonlocal said, shown
        if clock() - said >= PLAIN_SECONDS or done >= 1 or (stage, part) != shown:
            said, shown = clock(), (stage, part)
            line = f"{words(stage, part, metrics)}  {100 * min(done, 1.0):3.0f} %"
            console.print(line, soft_wrap=True, markup=False)

    yield say


def print_table(table: Table) -> None:
    """Print a result, to stdout."""
    console = Console()
    # A pipe has no width: rich would take 80 columns and break the cells.
    console = console if console.is_terminal else Console(width=120)
    console.print(table)


@contextmanager
def activity(words: str, console: Console | None = None) -> Iterator[None]:
    """Show that something without a known end runs: a spinner on a terminal, a line elsewhere."""
    console = console or stderr_console()
    if not console.is_terminal:
        console.print(words, soft_wrap=True, markup=False)
        yield
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as bar:
        bar.add_task(words, total=None)
        yield


@contextmanager
def playing(
    words: str, episodes: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, float], None]]:
    """Yield the `progress(over, mean)` callable of `gac.evaluate`: a bar on a terminal, lines elsewhere."""
    console = console or stderr_console()
    if console.is_terminal:
        columns = SpinnerColumn(), BarColumn(bar_width=None), TextColumn("{task.description}")
        with Progress(*columns, console=console, expand=True, transient=True) as bar:
            task = bar.add_task(words, total=episodes)

            def draw(over: int, mean: float) -> None:
                line = f"{words}  {over} over  mean return so far {mean:.1f}"
                bar.update(task, completed=over, description=line)

            yield draw
        return
    console.print(words, soft_wrap=True, markup=False)
    said = clock()

    def say(over: int, mean: float) -> None:
        nonlocal said
        if clock() - said >= PLAIN_SECONDS:
            said = clock()
            console.print(f"{over} over  mean return so far {mean:.1f}", soft_wrap=True, markup=False)

    yield say


class DownloadLines:
    """A `gac.data.download.Report` of plain lines, at most one in `PLAIN_SECONDS` about the progress."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or stderr_console()
        self._clock = clock
        self._said = clock()

    def begin(self, url: str) -> None:
        self.say(f"fetching {url}")

    def progress(self, done: int, total: int | None) -> None:
        if self._clock() - self._said >= PLAIN_SECONDS:
            share = f" of {megabytes(total)}, {done / total:.0%}" if total else ""
            self.say(f"fetched {megabytes(done)}{share}")

    def say(self, line: str) -> None:
        self._said = self._clock()
        self._console.print(line, soft_wrap=True, markup=False)


class _DownloadBar(DownloadLines):
    """The same, with a bar in place of the lines about the progress."""

    def __init__(self, console: Console, bar: Progress) -> None:
        super().__init__(console)
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def begin(self, url: str) -> None:
        super().begin(url)
        self._bar.reset(self._task)

    def progress(self, done: int, total: int | None) -> None:
        self._bar.update(self._task, completed=done, total=total)


@contextmanager
def download_progress(console: Console | None = None) -> Iterator[DownloadLines]:
    """Yield a `gac.data.download.Report`: a bar on a terminal, plain lines elsewhere."""
    console = console or stderr_console()
    if not console.is_terminal:
        yield DownloadLines(console)
        return
    columns = BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, expand=True, transient=True) as bar:
        yield _DownloadBar(console, bar)


def megabytes(size: int) -> str:
    """A number of bytes, to a tenth of a megabyte."""
    return f"{size / 1e6:,.1f} MB"
