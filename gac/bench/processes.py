"""What only a process of its own can tell: peak memory, and how long a command takes to start."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from gac.bench.timing import Row, Spread
from gac.bench.workload import flags, synthetic
from gac.config import Config
from gac.data.d4rl_hdf5 import write_d4rl
from gac.data.episodes import Episodes
from gac.training.offline import train

EPISODE_STEPS = 500
POLL_SECONDS = 0.005


def peak_memory(config: Config, steps: int, updates: int) -> Row:
    """Peak memory of a process that trains on `steps` steps: reading, standardising, updates, checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "config.json"
        written.write_text(config.to_json())
        words = [sys.executable, "-m", "gac.bench.processes", str(written), str(steps), str(updates)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def start_seconds(config: Config, episodes: Episodes, again: int) -> Row:
    """Wall clock of `gac train --updates 1`, from its start to the end of its update and to its own.

    Args:
        again: starts after the first, which has to compile; these find everything on disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "noise.hdf5"
        write_d4rl(episodes, data)
        env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION")}
        env["GAC_CACHE"] = str(Path(folder) / "cache")
        taken = []
        for i in range(1 + again):
            out = Path(folder) / f"run-{i}"
            words = ["train", str(data), "--out", str(out), "--updates", "1", *flags(config)]
            taken.append(_command_seconds(words, env, out / "metrics.jsonl"))
    updated, ended = zip(*taken, strict=True)
    return {
        "first_start_to_update_seconds": updated[0],
        "first_start_seconds": ended[0],
        "second_start_to_update_seconds": Spread.of(updated[1:]),
        "second_start_seconds": Spread.of(ended[1:]),
    }


def _command_seconds(words: Sequence[str], env: dict[str, str], written: Path) -> tuple[float, float]:
    """Seconds until a command writes to that file, and until it ends."""
    began = time.perf_counter()
    program = [sys.executable, "-c", "from gac.cli import entry; entry()", *words]
    with subprocess.Popen(program, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (written.exists() and written.stat().st_size):
            time.sleep(POLL_SECONDS)
        first = time.perf_counter() - began
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, program)
    return first, time.perf_counter() - began


def _own_peak() -> float:
    """Peak resident memory of this process, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent held when it started this process.
        found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(found[0].split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes, others in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _train_a_little(config_file: Path, steps: int, updates: int) -> Row:
    """The work of `peak_memory`'s process."""
    config = Config.from_json(config_file.read_text())
    lengths = np.full(max(4, steps // EPISODE_STEPS), EPISODE_STEPS)
    with tempfile.TemporaryDirectory() as out:
        train(synthetic(lengths), config, out=out, updates=updates)
    on_device = jax.devices()[0].memory_stats() or {}
    peak = on_device.get("peak_bytes_in_use")
    return {
        "peak_resident_mib": _own_peak(),
        "peak_device_mib": None if peak is None else peak / 2**20,
        "steps": int(lengths.sum()),
        "updates": updates,
    }


if __name__ == "__main__":
    print(json.dumps(_train_a_little(Path(sys.argv[1]), *map(int, sys.argv[2:]))))
