"""Jobs in worker processes, for the recipes."""

import errno
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy import ndarray

from gac.errors import UserError

WORKERS = 2
"""Processes that share the jobs; the results do not depend on it."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
_ROOT = Path(__file__).parents[2]


def run(module: ModuleType, jobs: Sequence[Any], workers: int = WORKERS) -> list[dict[str, ndarray]]:
    """Do jobs in worker processes; results in the jobs' order.

    Plain subprocesses, since those of multiprocessing import the caller's script again, which breaks
    scripts without a `__main__` guard.

    Args:
        module: What runs as a script, and there calls `gac.data.rollout.serve`.
        jobs: Dataclasses of what JSON can hold.
        workers: Number of processes.

    Raises:
        UserError: the disk for temporary files is full.
    """
    # -P: without it, Python puts this folder first in the path, and its inspect.py hides the library's.
    command = [sys.executable, "-P", str(module.__file__)]
    # The gac of this process, installed or not.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": path}
    with tempfile.TemporaryDirectory(prefix="gac-") as folder:
        outs = [f"{folder}/{i}.npz" for i in range(len(jobs))]
        work = [{"job": asdict(job), "out": out} for job, out in zip(jobs, outs, strict=True)]
        running: list[subprocess.Popen[str]] = []
        try:
            for i in range(workers):
                with open(f"{folder}/{i}.json", "w+") as share, open(f"{folder}/{i}.log", "w") as log:
                    json.dump(work[i::workers], share)
                    share.seek(0)
                    running.append(
                        subprocess.Popen(command, stdin=share, stderr=log, text=True, env=environment)
                    )
            for i, process in enumerate(running):
                if process.wait():
                    said = Path(folder, f"{i}.log").read_text()[-2000:]
                    if full := re.search(
                        rf"OSError: \[Errno ({'|'.join(map(str, _FULL))})\] ([^:\n]*)", said
                    ):
                        raise UserError(f"{folder} cannot be written ({full[2]}); make room, or set TMPDIR")
                    raise RuntimeError(f"a worker failed: {said}")
        finally:
            for process in running:
                process.kill()
                process.wait()
        return [_load(out) for out in outs]


def _load(path: str) -> dict[str, ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
