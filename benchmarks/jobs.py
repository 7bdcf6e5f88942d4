"""What the benchmarks of many models share: a process for each job on a core of its own."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def on_every_core(script: str, jobs: Sequence[Any]) -> None:
    """Run `python SCRIPT one JOB --core N` for every job, as many side by side as there are cores.

    Args:
        script: file of a benchmark.
        jobs: dataclasses, told to the script as JSON.
    """
    waiting = list(jobs)
    free, running = sorted(os.sched_getaffinity(0)), dict[int, tuple[Any, subprocess.Popen[bytes]]]()
    while waiting or running:
        for core in list(running):
            job, process = running[core]
            if process.poll() is not None:
                del running[core]
                free.append(core)
                print(f"{job}: exit {process.returncode}", flush=True)
        while waiting and free:
            core, job = free.pop(), waiting.pop(0)
            line = [sys.executable, script, "one", json.dumps(dataclasses.asdict(job)), "--core", str(core)]
            running[core] = job, subprocess.Popen(line)
        time.sleep(1.0)


def stem(data: str) -> str:
    """A name for a data set's files."""
    return Path(data).stem.replace(":", "-").replace("=", "").replace(",", "-")
