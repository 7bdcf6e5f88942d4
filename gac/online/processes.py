"""Processes that step environments, so that both cores work, and a crash or a hang ends no more than them."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gac.data.workers import ONE_THREAD
from gac.envs.rows import RowError, Steps
from gac.envs.specification import Environment
from gac.errors import UserError, one_line
from gac.online.worker import FAILED, RESET, STEP

WORKERS = 2
"""Processes that share the environments; no episode depends on it."""
START_SECONDS = 300.0
"""Time for a process to start and to make its environments."""


class Crew:
    """A batch of environments in processes of their own. Use it in a `with` block, which ends them.

    Args:
        environment: of every row.
        observation_dim: width of an observation.
        action_dim: width of an action.
        step_seconds: time limit of a process for a step of all its environments.

    Raises:
        UserError: an environment that another process could not make.
    """

    steps_here = False
    """The processes do the stepping."""

    def __init__(
        self, environment: Environment, observation_dim: int, action_dim: int, step_seconds: float
    ) -> None:
        self._environment, self._limit = environment, step_seconds
        self._observation_dim = observation_dim
        self._order = {
            "env": {"id": environment.id, "spec": _spec(environment)},
            "observation_dim": observation_dim,
            "action_dim": action_dim,
        }
        self._workers: list[_Worker] = []
        self._rows: list[slice] = []

    def __enter__(self) -> "Crew":
        self._workers = [_Worker(self._order) for _ in range(WORKERS)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []

    def reset(self, seeds: list[int]) -> Float[ndarray, "batch obs"]:
        """New environments, one for each seed; their first observations, raw.

        Raises:
            RowError: an environment that cannot be made or reset.
            UserError: one that ends its process, or does not answer.
        """
        places = np.linspace(0, len(seeds), WORKERS + 1).astype(int)
        self._rows = [slice(int(a), int(b)) for a, b in pairwise(places) if a < b]
        orders = [RESET + json.dumps(seeds[rows]).encode() for rows in self._rows]
        return self._ask(orders, max(START_SECONDS, self._limit)).observation

    def step(self, action: Float[ndarray, "batch act"], active: Bool[ndarray, "batch"]) -> Steps:
        """Step the active environments, each process its share of them.

        Raises:
            RowError: an environment that fails.
            UserError: one that ends its process, or a process that takes longer than the limit.
        """
        whole = np.ascontiguousarray(action, np.float32)
        orders = [STEP + whole[rows].tobytes() + active[rows].tobytes() for rows in self._rows]
        return self._ask(orders, self._limit)

    def _ask(self, orders: list[bytes], seconds: float) -> Steps:
        workers = self._workers[: len(orders)]
        for worker, order, rows in zip(workers, orders, self._rows, strict=True):
            worker.send(order, self._where(rows))
        parts = [
            self._read(worker.answer(seconds, self._where(rows)), rows)
            for worker, rows in zip(workers, self._rows, strict=True)
        ]
        return Steps(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _read(self, answer: bytes, rows: slice) -> Steps:
        if answer[:1] == FAILED:
            said = json.loads(answer[1:])
            raise RowError(rows.start + said["row"], said["error"])
        count, width = rows.stop - rows.start, self._observation_dim
        content = memoryview(answer)[1:]
        reward = np.frombuffer(content, np.float64, count)
        seen = np.frombuffer(content, np.float64, count * width, reward.nbytes).reshape(count, width)
        flags = np.frombuffer(content, bool, offset=reward.nbytes + seen.nbytes).reshape(2, count)
        return Steps(seen, reward, flags[0], flags[1])

    def _where(self, rows: slice) -> str:
        return f"{self._environment}, environments {rows.start} to {rows.stop - 1},"


class _Worker:
    """One process and the channel to it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._channel: Connection
        self._channel, theirs = Pipe()
        order = {**order, "channel": theirs.fileno(), "parent": os.getpid()}
        # Whatever this process can import, that one can, the environment's own module above all.
        path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
        self._log = tempfile.TemporaryFile("w+", prefix="gac-")  # noqa: SIM115 - closed by end
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), json.dumps(order)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one.
        )
        theirs.close()

    def send(self, order: bytes, where: str) -> None:
        try:
            self._channel.send_bytes(order)
        except OSError:
            raise UserError(f"{where} {self._death()}") from None

    def answer(self, seconds: float, where: str) -> bytes:
        try:
            if self._channel.poll(seconds):
                return self._channel.recv_bytes()
        except (EOFError, OSError):
            raise UserError(f"{where} {self._death()}") from None
        raise UserError(
            f"{where} gave no answer for {seconds:g} s and count as hung; mend them, or allow more time "
            "(step_seconds)"
        )

    def _death(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        said = " ".join(self._log.read()[-2000:].strip().split("\n")[-1:]).strip()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"ended their process ({how})" + (f": {said}" if said else "")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()
        self._log.close()


def _spec(environment: Environment) -> str | None:
    """What another process needs to make an environment; None for ids that name their module.

    Raises:
        UserError: a specification that cannot be rebuilt, or an environment that is registered in this
            process by what no other can import.
    """
    spec = environment.specification()
    if spec is None:
        return None
    entry = spec.entry_point
    if callable(entry):
        module, name = getattr(entry, "__module__", ""), getattr(entry, "__qualname__", "")
        if module in ("", "__main__") or "<" in name or "." in name:
            raise UserError(
                f"{environment.id} is registered by {name or entry!r} of this script, which no other process "
                "can import; put it into a module and register it by 'module:Name'"
            )
        spec = dataclasses.replace(spec, entry_point=f"{module}:{name}")
    try:
        return spec.to_json()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{environment.id} is registered with what no other process can make ({one_line(error)}); "
            "use values that JSON can hold"
        ) from None
