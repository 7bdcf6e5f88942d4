"""Processor time to read a million steps from HDF5, by how the file is stored.

    python benchmarks/d4rl_read.py [--json FILE]

The file is made up: Hopper's widths, smooth states, noisy actions, with `next_observations`, which D4RL's
files have. Processor time, so that a busy machine does not matter much; the best of three.
"""

import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import tyro
from tyro.conf import arg

from gac.data import read_d4rl, write_d4rl
from gac.data.download import file_sha256

STEPS, EPISODE, OBSERVATION_DIM, ACTION_DIM = 1_000_000, 500, 11, 3
REPEATS = 3

STORAGE: dict[str, dict[str, Any]] = {
    "D4RL's: gzip 4": {"compression": "gzip"},
    "lzf, shuffled": {"compression": "lzf", "shuffle": True},
    "uncompressed": {},
}


def make_columns() -> dict[str, np.ndarray]:
    """The columns of a D4RL file; the low bits of the floats are noise, as in real ones."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, 0.05, (STEPS + 1, OBSERVATION_DIM)), axis=0)
    states = np.sin(walk).astype(np.float32)
    return {
        "observations": states[:-1],
        "next_observations": states[1:],
        "actions": rng.uniform(-1, 1, (STEPS, ACTION_DIM)).astype(np.float32),
        "rewards": rng.normal(3, 1, STEPS).astype(np.float32),
        "terminals": np.zeros(STEPS, bool),
        "timeouts": np.arange(STEPS) % EPISODE == EPISODE - 1,
    }


def seconds(function: Any, *args: Any) -> float:
    """Processor time of the fastest call."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        function(*args)
        times.append(time.process_time() - began)
    return min(times)


def main(json_file: Annotated[Path | None, arg(name="json", metavar="FILE")] = None) -> None:
    """Measure and print; `--json` also writes the figures."""
    columns, rows = make_columns(), []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{i}.hdf5") for i, name in enumerate(STORAGE)}
        for name, path in paths.items():
            with h5py.File(path, "w") as file:
                for key, column in columns.items():
                    file.create_dataset(key, data=column, **STORAGE[name])
        paths["gac data convert's"] = Path(folder, "ours.hdf5")
        write_d4rl(read_d4rl(paths["uncompressed"]), paths["gac data convert's"])
        for name, path in paths.items():
            row = {
                "storage": name,
                "megabytes": path.stat().st_size / 1e6,
                "read_seconds": seconds(read_d4rl, path),
                "sha256_seconds": seconds(file_sha256, path),
            }
            rows.append(row)
            print("{storage:20} {megabytes:6.1f} MB  read {read_seconds:.2f} s".format(**row), end="")
            print("  sha256 {sha256_seconds:.2f} s".format(**row))
    if json_file is not None:
        versions = {name: version(name) for name in ("h5py", "numpy")} | {"python": platform.python_version()}
        record = {"steps": STEPS, "episode": EPISODE, "rows": rows, "versions": versions}
        json_file.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
