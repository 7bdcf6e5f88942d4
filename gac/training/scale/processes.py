"""One run by several processes, on one machine or many: what they have to agree on.

Every process runs the same program, reads the same episodes and computes on devices of its own; JAX carries
what they exchange. So they must take every decision alike: when to stop, when to save, whether to begin at
all. The first process writes the run's folder, and its clock is that of the run.
"""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from gac.errors import UserError

AUTOMATIC = "auto"
"""The address of the first process where the cluster's own scheduler says all."""
WAIT_SECONDS, POLL_SECONDS = 300.0, 0.2
"""How long a process waits for the first one to listen, and how often it looks."""

Tree = TypeVar("Tree")


def connect(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Join the other processes of the run, before JAX is used; a run by one process needs none of this.

    Args:
        coordinator: `host:port` where the first process listens, the same for all; `auto` where SLURM, Open
            MPI, Kubernetes or a Cloud TPU started the processes, of which JAX then learns the rest.
        count: number of processes.
        index: of this one, from 0.

    Raises:
        UserError: a flag without the others, or processes that did not find each other.
    """
    automatic = coordinator == AUTOMATIC and count is None and index is None
    if coordinator is None and count is None and index is None:
        return
    if automatic:
        coordinator = None
    elif coordinator in (None, AUTOMATIC) or count is None or index is None:
        raise UserError(
            "several processes need --coordinator HOST:PORT, --processes and --process together, "
            f"or --coordinator {AUTOMATIC} alone"
        )
    elif not 0 <= index < count:
        raise UserError(f"--process is {index} of --processes {count}; count them from 0")
    else:
        _look_for_first(coordinator, index)
    try:
        jax.distributed.initialize(coordinator, count, index)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        where = "by what the scheduler says" if automatic else f"at {coordinator}"
        raise UserError(f"could not join the other processes {where}: {reason}") from None


def _look_for_first(coordinator: str, index: int) -> None:
    """Find out what JAX would abort the process for: an address in use, or one where nobody listens."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or int(port) >= 2**16:
        raise UserError(f"--coordinator is {coordinator!r}, expected HOST:PORT, such as 10.0.0.1:8476")
    if index == 0:
        try:
            with socket.create_server(("", int(port))):
                return
        except OSError as error:
            raise UserError(f"cannot listen at port {port} ({error}); choose another") from None
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=WAIT_SECONDS):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"process 0 does not answer at {coordinator} ({error}); start it, or mend the address"
                ) from None
        time.sleep(POLL_SECONDS)


def is_first() -> bool:
    """Whether this process writes what the run leaves."""
    return bool(jax.process_index() == 0)


@contextmanager
def all_or_none(doing: str) -> Iterator[None]:
    """A block that succeeds in all processes or fails in all; in it they exchange nothing.

    Args:
        doing: what could not be done, in words that follow "could not".

    Raises:
        UserError: the process's own, or else one that names the process that failed.
    """
    if jax.process_count() == 1:
        yield
        return
    own: UserError | None = None
    try:
        yield
    except UserError as error:
        own = error
    failed = np.flatnonzero(multihost_utils.process_allgather(np.array(own is not None)))
    if own is not None:
        raise own
    if len(failed):
        raise UserError(f"process {failed[0]} could not {doing}, and says why; nothing was done here")


def check_alike(what: str, digest: str) -> None:
    """Refuse to go on where processes hold different things.

    Args:
        what: in words.
        digest: of it: hexadecimal digits, as many in every process.
    """
    if jax.process_count() == 1:
        return
    digests = multihost_utils.process_allgather(np.frombuffer(bytes.fromhex(digest), np.uint8))
    other = np.flatnonzero((digests != digests[0]).any(axis=1))
    if len(other):
        raise UserError(f"process {other[0]} has other {what} than process 0; give all processes the same")


def least(value: int) -> int:
    """The least of the numbers that the processes have."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.array(value)).min())


def of_first(tree: Tree) -> Tree:
    """The first process's arrays, in all; their shapes are alike."""
    if jax.process_count() == 1:
        return tree
    held: Tree = multihost_utils.broadcast_one_to_all(tree)
    return held


class Together:
    """The clock of a run, and Ctrl-C in any of its processes; a context manager around all its updates.

    With one process nothing is different: the clock is its own, and Ctrl-C interrupts where it may.
    """

    def __init__(self) -> None:
        self._many = jax.process_count() > 1
        self._asked: list[Any] = []
        self._usual: Any = None
        self._stop = False

    def __enter__(self) -> "Together":
        if self._many and threading.current_thread() is threading.main_thread():
            self._usual = signal.signal(signal.SIGINT, lambda *args: self._asked.append(args))
        return self

    def __exit__(self, *_: object) -> None:
        if self._usual is not None:
            signal.signal(signal.SIGINT, self._usual)

    def now(self) -> float:
        """Seconds of the clock; all processes come here together."""
        if not self._many:
            return time.monotonic()
        told = multihost_utils.process_allgather(np.array([time.monotonic(), bool(self._asked)], np.float64))
        self._stop |= bool(told[:, 1].any())
        return float(told[0, 0])

    def stop_if_asked(self) -> None:
        """Stop in all processes, if one of them had been interrupted when they last asked for the time.

        Raises:
            KeyboardInterrupt: as Ctrl-C does.
        """
        if self._stop:
            raise KeyboardInterrupt
