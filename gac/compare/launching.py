"""The processes of a comparison: each run in one of its own, on a core of its own, logged."""

import dataclasses
import fcntl
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gac.compare.specification import Job, Specification
from gac.errors import UserError, some_of
from gac.methods import METHODS
from gac.writing import write_text

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Set to 1 in every run: one process, one thread."""
STEPWISE = ("gtp",)
"""Methods of gac that learn from a reward at each step. With `rewards = "return"` their data have the whole
return at the last step of an episode and zero before; all others learn from returns."""
STAGES = 3
"""Of fine-tuning, for new episodes."""
POLL = 0.2
"""Seconds between looks at the processes."""


@dataclass(frozen=True)
class Places:
    """Where what belongs to a comparison lies in its folder."""

    folder: Path

    def run(self, job: Job) -> Path:
        return self.folder / "runs" / job.name

    def log(self, job: Job) -> Path:
        return self.folder / "logs" / f"{job.name.replace('/', '_')}.log"

    def finished(self, job: Job) -> Path:
        """Written once all commands of a run are done, with its wall-clock and processor seconds."""
        return self.run(job) / "finished.json"

    def record(self, job: Job) -> Path | None:
        """The record of a finished run's evaluation; None where it has not finished."""
        last = self.run(job) / "online" if job.online and job.of in METHODS else self.run(job)
        found = sorted(last.glob("eval-*.json")) if self.finished(job).exists() else []
        return found[0] if found else None

    def delayed(self, data: str) -> Path:
        """A data set with each episode's return as its last reward."""
        return self.folder / "data" / f"{data.replace('/', '-').replace(':', '-')}.hdf5"


def check_methods(specification: Specification) -> None:
    """Refuse what cannot run, before anything does.

    Raises:
        UserError: rivals without their environment, an unknown method, what a method cannot learn from.
    """
    runs = specification.runs
    rivals = list(dict.fromkeys(job.method for job in runs if job.of not in METHODS))
    known = _names_of(specification.rivals, rivals) if rivals else ()
    if odd := [name for name in rivals if name not in known]:
        raise UserError(
            f"method {some_of(odd)} is unknown, expected one of {', '.join((*METHODS, *known))}; mend it"
        )
    for job in runs:
        if job.of in METHODS:
            presets = METHODS[job.of].presets
            if job.preset is not None and job.preset not in presets:
                raise UserError(
                    f"method {job.method} has preset {job.preset}, expected one of {', '.join(presets)}"
                )
            if job.rewards == "given" and job.of not in STEPWISE:
                raise UserError(
                    f"method {job.method} learns from returns, and rewards is 'given'; move it to runs with "
                    "rewards = 'return'"
                )
            if job.minutes is None and job.updates is None:
                raise UserError(f"method {job.method} needs minutes or updates; add minutes = 15")
            if job.online % STAGES:
                raise UserError(f"online is {job.online}, expected a multiple of {STAGES}; change it")


def _names_of(command: tuple[str, ...], wanted: list[str]) -> tuple[str, ...]:
    """The methods that the rivals' command has."""
    if shutil.which(command[0]) is None:
        raise UserError(
            f"{some_of(wanted)}: the rivals' environment {command[0]} is not here; run make rivals-setup, or "
            "give its command as rivals = 'PYTHON SCRIPT' in the specification"
        )
    said = subprocess.run([*command, "--list"], capture_output=True, text=True, check=False)
    if said.returncode:
        last = (said.stderr.strip().splitlines() or [f"exit {said.returncode}"])[-1]
        raise UserError(f"{' '.join(command)} --list failed ({last}); run make rivals-setup")
    return tuple(said.stdout.split())


def commands(job: Job, places: Places, rivals: Sequence[str]) -> list[list[str]]:
    """The command lines of a run, one after the other."""
    run, budget = places.run(job), list[str]()
    if job.minutes is not None:
        budget = ["--minutes", f"{job.minutes:g}"]
    elif job.updates is not None:
        budget = ["--updates", str(job.updates)]
    shared = [
        "--method",
        job.of,
        *(["--preset", job.preset] if job.preset else []),
        "--seed",
        str(job.seed),
        *budget,
        "--out",
        str(run),
    ]
    episodes = ["--episodes", str(job.episodes)]
    if job.of not in METHODS:
        online = ["--online", str(job.online)] if job.online else []
        return [[*rivals, job.data, *shared, "--rewards", job.rewards, *online, *episodes]]
    gac = [sys.executable, "-m", "gac"]
    data = str(places.delayed(job.data)) if _delays(job) else job.data
    lines = [[*gac, "train", data, *shared]]
    if job.online:
        each = ["--stages", str(STAGES), "--episodes", str(job.online // STAGES)]
        lines.append([*gac, "finetune", str(run), "--out", str(run / "online"), *each])
        run = run / "online"
    return [*lines, [*gac, "evaluate", str(run), *episodes]]


def prepare(jobs: Sequence[Job], places: Places, tell: Callable[[str], Any]) -> None:
    """Read every data set once, so that a mistake shows now and no run has to make it.

    Raises:
        UserError: what `gac.load_data` refuses.
    """
    import gac
    from gac.data import write_data

    for name in dict.fromkeys(job.data for job in jobs):
        with tell(f"reading {name}"):
            data = gac.load_data(name)
            path = places.delayed(name)
            if any(_delays(job) for job in jobs if job.data == name) and not path.exists():
                rewards = np.zeros(data.num_steps, data.returns.dtype)
                rewards[data.starts + data.lengths - 1] = data.returns
                path.parent.mkdir(parents=True, exist_ok=True)
                write_data(dataclasses.replace(data, rewards=rewards), path)


def _delays(job: Job) -> bool:
    return job.of in STEPWISE and job.rewards == "return"


@dataclass
class _Running:
    job: Job
    core: int | None
    left: list[list[str]]
    began: float
    process: subprocess.Popen[bytes]
    cpu: float = 0.0
    """Processor seconds of the commands that are over."""


@dataclass(frozen=True)
class Finished:
    """How a run ended."""

    job: Job
    seconds: float
    failure: str | None
    """The last line of the log of a run that failed."""


def launch(
    jobs: Sequence[Job], places: Places, rivals: Sequence[str], side_by_side: int | None
) -> Iterator[Finished]:
    """Run all, so many side by side; yields each when it has ended. Stopping early ends what still runs.

    A run that was cut short begins anew: every run has its budget in one piece.
    """
    free = _places_for(side_by_side)
    waiting, running = list(jobs), list[_Running]()
    with _alone(places.folder) as lock:
        try:
            while waiting or running:
                while waiting and free:
                    running.append(_begin(waiting.pop(0), places, rivals, free.pop(0), lock))
                time.sleep(POLL)
                for each in [each for each in running if _ended(each)]:
                    if each.process.returncode == 0 and each.left:
                        each.process = _start(each.left.pop(0), each.core, places.log(each.job), lock)
                        continue
                    running.remove(each)
                    free.insert(0, each.core)
                    seconds = time.monotonic() - each.began
                    yield Finished(each.job, seconds, _failure(each, seconds, places))
        finally:
            for each in running:
                os.killpg(each.process.pid, signal.SIGKILL)
                each.process.wait()


def _begin(job: Job, places: Places, rivals: Sequence[str], core: int | None, lock: int) -> _Running:
    run, log = places.run(job), places.log(job)
    shutil.rmtree(run, ignore_errors=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    left = commands(job, places, rivals)
    return _Running(job, core, left, time.monotonic(), _start(left.pop(0), core, log, lock))


def _start(line: list[str], core: int | None, log: Path, lock: int) -> subprocess.Popen[bytes]:
    """A process pinned to a core from its first instruction on; it holds the folder's lock while it lives."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    allowed = os.sched_getaffinity(0) if core is not None else None
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        with open(log, "ab") as file:
            file.write(f"$ {shlex.join(line)}\n".encode())
            file.flush()
            return subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=[lock],
            )
    finally:
        if allowed is not None:
            os.sched_setaffinity(0, allowed)


def _ended(running: _Running) -> bool:
    """Whether the current command of a run is over; adds up its processor seconds when it is."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if running.process.poll() is None:
        return False
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # It grows by one process, when that is waited for.
    running.cpu += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return True


def _failure(ended: _Running, seconds: float, places: Places) -> str | None:
    """Why a run failed; None where it did not, which is kept with its times."""
    if ended.process.returncode == 0 and places.run(ended.job).is_dir():
        write_text(
            places.finished(ended.job), json.dumps({"seconds": seconds, "cpu_seconds": ended.cpu}) + "\n"
        )
        if places.record(ended.job) is not None:
            return None
    lines = places.log(ended.job).read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip() and not line.startswith("$ ")]
    return said[-1] if said else f"exit {ended.process.returncode}, and no record"


def _places_for(side_by_side: int | None) -> list[int | None]:
    """The core of each run, None where it is not pinned: more runs than cores, or a system that cannot."""
    pinned = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    count = side_by_side or len(pinned) or os.cpu_count() or 1
    return [*pinned[:count], *[None] * (count - len(pinned))]


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """A lock on the folder, which the runs inherit: after a kill, what still runs keeps it.

    Raises:
        UserError: another comparison, or a run that it left, works in the folder.
    """
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder} is in use by another gac compare or a run that one left; wait for it, or end it"
            ) from None
        yield lock.fileno()


def keep_failures(places: Places, failures: dict[str, str]) -> None:
    """Write why runs failed, by their names."""
    write_text(places.folder / "failed.json", json.dumps(failures, indent=1) + "\n")
