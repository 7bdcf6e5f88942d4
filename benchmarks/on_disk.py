"""Training on a data set larger than memory: memory and throughput, beside training in memory.

    python benchmarks/on_disk.py [--gb 20] [--folder FOLDER] [--json FILE]

It writes noise in Hopper's shapes to a temporary folder, trains a little on it in a process that may not
take more than `--limit-gib` for itself, and deletes it. Linux alone keeps the accounts that are read here.
Run it on an idle machine.
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import arg

OBSERVATION_DIM, ACTION_DIM, STEPS = 11, 3, 1000
EPISODE_BYTES = 4 * STEPS * (OBSERVATION_DIM + ACTION_DIM)
SMALL_EPISODES, TOGETHER = 1000, 500
WARM_UP = 20
"""Updates that are not counted: compilation, and the first refit."""

Row = dict[str, Any]


def write_noise(path: Path, episodes: int) -> None:
    """Episodes of a thousand steps, contiguous, a few hundred at a time; the same noise again and again."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((TOGETHER * STEPS, OBSERVATION_DIM), np.float32)
    actions = rng.uniform(-1.0, 1.0, (TOGETHER * STEPS, ACTION_DIM)).astype(np.float32)
    ends = np.arange(TOGETHER * STEPS) % STEPS == STEPS - 1
    steps = episodes * STEPS
    with h5py.File(path, "w") as file:
        columns = {
            "observations": (file.create_dataset("observations", (steps, OBSERVATION_DIM), "f4"), states),
            "actions": (file.create_dataset("actions", (steps, ACTION_DIM), "f4"), actions),
            "timeouts": (file.create_dataset("timeouts", (steps,), bool), ends),
            "terminals": (file.create_dataset("terminals", (steps,), bool), np.zeros_like(ends)),
        }
        for first in range(0, steps, len(ends)):
            rows = slice(first, min(first + len(ends), steps))
            for dataset, noise in columns.values():
                dataset[rows] = noise[: rows.stop - rows.start]
        file["returns"] = rng.standard_normal(episodes, np.float32)
        file["final_observations"] = rng.standard_normal((episodes, OBSERVATION_DIM), np.float32)


def forget(path: Path) -> None:
    """Drop a file from the system's cache, so that what is read next comes from the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def account() -> dict[str, float]:
    """MiB of this process: its own (anonymous) memory, mapped pages of files, and the peak of both."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"own": "RssAnon", "file_pages": "RssFile", "resident_peak": "VmHWM"}
    return {name: int(lines[key].split()[0]) / 1024 for name, key in names.items()}


@contextmanager
def watched() -> Iterator[Row]:
    """Peaks of `account` while the block runs, sampled; filled in at its end."""
    peaks, over = dict.fromkeys(account(), 0.0), threading.Event()

    def sample() -> None:
        for name, value in account().items():
            peaks[name] = max(peaks[name], value)

    def watch() -> None:
        while not over.wait(0.02):
            sample()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield (row := {})
    over.set()
    thread.join()
    sample()
    row |= {f"{name}_mib": round(value) for name, value in peaks.items()}


def train_a_little(path: Path, on_disk: bool, updates: int, limit_gib: float) -> Row:
    """The work of a child: read, train, held-out ELBO, checkpoint."""
    limit = int(limit_gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    import gac
    from gac.data import read_d4rl
    from gac.training.offline import Trainer

    config = gac.presets.fast()
    training = dataclasses.replace(config.training, heldout_every=updates)
    with watched() as row, tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        episodes = read_d4rl(path, on_disk=on_disk)
        read = time.perf_counter()
        trainer = Trainer(episodes, dataclasses.replace(config, training=training), Path(out))
        ready = time.perf_counter()
        forget(path)
        for number in range(updates):
            if number == WARM_UP:
                counted, computed = time.perf_counter(), time.process_time()
            metrics = trainer.step()
        done, done_computing = time.perf_counter(), time.process_time()
        trainer.record(metrics, 1.0)
        trainer.save()
    return {
        "gb": os.path.getsize(path) / 1e9,
        "episodes": episodes.num_episodes,
        "steps": episodes.num_steps,
        "seconds_to_read_and_check": read - began,
        "seconds_to_standardise_and_fingerprint": ready - read,
        "trajectories_per_second": training.batch_size * (updates - WARM_UP) / (done - counted),
        # Of all threads, the one that reads included; other work on the machine hardly shows in it.
        "cpu_seconds_per_update": (done_computing - computed) / (updates - WARM_UP),
        **row,
    }


def in_a_child(path: Path, on_disk: bool, updates: int, limit_gib: float) -> Row:
    forget(path)
    command = [sys.executable, __file__, "--updates", str(updates), "--limit-gib", str(limit_gib)]
    command += ["--measure", str(path), "--on-disk" if on_disk else "--no-on-disk"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def main(
    gb: float = 20.0,
    updates: int = 60,
    limit_gib: float = 4.0,
    folder: Path | None = None,
    json_file: Annotated[Path | None, arg(name="json")] = None,
    measure: Path | None = None,
    on_disk: bool = True,
) -> None:
    """Measure training from disk.

    Args:
        gb: Size of the large data set, in 10^9 bytes.
        updates: Updates of each run; those after the first twenty are counted.
        limit_gib: Memory that a training process may take for itself, enforced by the system.
        folder: Where to write the data; the system's temporary folder unless given.
        json_file: Also write the figures here.
        measure: Only train on this file and print the figures of this process.
        on_disk: With --measure, leave the steps on disk.
    """
    if measure is not None:
        print(json.dumps(train_a_little(measure, on_disk, updates, limit_gib)))
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="gac-on-disk-") as place:
        small, large = Path(place) / "small.hdf5", Path(place) / "large.hdf5"
        write_noise(small, SMALL_EPISODES)
        figures = {
            "small, in memory": in_a_child(small, False, updates, limit_gib),
            "small, on disk": in_a_child(small, True, updates, limit_gib),
        }
        write_noise(large, round(gb * 1e9 / EPISODE_BYTES))
        figures["large, on disk"] = in_a_child(large, True, updates, limit_gib)
    table = Table("", *figures)
    for name in figures["large, on disk"]:
        table.add_row(name.replace("_", " "), *(f"{row[name]:,.4g}" for row in figures.values()))
    Console().print(table)
    if json_file is not None:
        json_file.write_text(
            json.dumps({"limit_gib": limit_gib, "updates": updates} | figures, indent=1) + "\n"
        )


if __name__ == "__main__":
    tyro.cli(main)
