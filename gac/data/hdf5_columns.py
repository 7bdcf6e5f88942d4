"""The data sets of an HDF5 file in D4RL's layout: checked, read block by block, or mapped where they lie."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped
from numpy import ndarray

from gac.data import d4rl_maze
from gac.data.blocks import evenly_spaced, row_blocks
from gac.data.d4rl_catalogue import by_file, gymnasium_id
from gac.data.hdf5_filled import check_filled
from gac.data.mazes import HORIZONS
from gac.data.precision import SAMPLE
from gac.errors import UserError, some_of

FLOATS = {
    "observations": 2,
    "actions": 2,
    "rewards": 1,
    "returns": 1,
    "next_observations": 2,
    "final_observations": 2,
}
FLAGS = ("terminals", "timeouts")
PER_EPISODE = ("returns", "final_observations")
STEPS = ("observations", "actions", "rewards")
"""What grows with the number of steps, and stays on disk where a set is larger than memory."""

_REQUIRED = ("observations", "actions", *FLAGS)


class Ends(NamedTuple):
    """Where the episodes of a file end."""

    rows: Int64[ndarray, "episodes"]
    """Row of each episode's last step."""
    terminated: Bool[ndarray, "episodes"]
    truncated: Bool[ndarray, "episodes"]
    left_out: int
    """Rows after the last episode: one that the recording cut off, with no return of its own."""


class Kind(NamedTuple):
    """What a file is about."""

    env_id: str | None
    """The Gymnasium id of the environment, D4RL's names translated."""
    is_maze: bool
    """One of D4RL's own maze2d files, whose columns mean other things: see `gac.data.d4rl_maze`."""
    env_spec: str | None = None
    """JSON of the environment's specification, where it is more than the id."""


@contextmanager
def open_d4rl(path: Path) -> Iterator[tuple[h5py.File, Kind]]:
    """The file, opened to read, with its data sets checked, and what it is about.

    Raises:
        UserError: no such file, not HDF5 or damaged, a missing or misshapen data set.
    """
    if not path.is_file():
        state = "is not a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {state}, expected an HDF5 file in D4RL's layout; check the path")
    with reading(path), h5py.File(path, "r") as file:
        kind = _kind(file, path)
        _check_columns(file, path, d4rl_maze.REQUIRED if kind.is_maze else _REQUIRED)
        yield file, kind


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What the HDF5 library objects to, as one line about the file."""
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no HDF5 file, or a damaged one ({reason(error)}), expected D4RL's layout; "
            "fetch or make it again"
        ) from None


def known_columns(file: h5py.File) -> list[str]:
    """Names of the data sets that the layout knows; anything else in the file is left alone."""
    return [key for key in (*FLOATS, *FLAGS) if key in file]


def read_floats(dataset: h5py.Dataset, rows: slice = slice(None)) -> Float32[ndarray, "..."]:
    """Rows of a data set as float32; what overflows becomes infinite, which `Episodes` refuses by name."""
    with np.errstate(over="ignore"):
        return np.asarray(dataset[rows]).astype(np.float32, copy=False)


def read_ends(file: h5py.File, path: Path) -> Ends:
    """Find the ends of the episodes: a row with either flag set.

    Rows after the last one are an episode of their own only if `returns` has an entry for it.

    Raises:
        UserError: flags other than 0 and 1, or none set.
    """
    terminals, timeouts = (flagged_rows(file, key, path) for key in FLAGS)
    rows, steps = np.union1d(terminals, timeouts), len(file["observations"])
    if len(rows) == 0:
        raise UserError(f"{path} marks no end of an episode; set terminals or timeouts at each last step")
    rest = steps - 1 - int(rows[-1])
    if rest and "returns" in file and len(file["returns"]) == len(rows) + 1:
        rows, timeouts, rest = np.append(rows, steps - 1), np.append(timeouts, steps - 1), 0
    return Ends(rows, np.isin(rows, terminals), np.isin(rows, timeouts), rest)


def flagged_rows(file: h5py.File, key: str, path: Path) -> Int64[ndarray, "flagged"]:
    """Rows in which a flag is set.

    Raises:
        UserError: flags other than 0 and 1.
    """
    flagged = []
    for rows in blocks_of(file[key]):
        values = np.asarray(file[key][rows])
        set_here = values == 1
        if not (set_here | (values == 0)).all():
            raise UserError(
                f"{path}: {key} holds values other than 0 and 1, expected flags; convert it to bool"
            )
        flagged.append(np.flatnonzero(set_here) + rows.start)
    return np.concatenate([np.zeros(0, np.int64), *flagged])


def blocks_of(dataset: h5py.Dataset) -> Iterator[slice]:
    """Slices of rows that cover a data set."""
    return row_blocks(len(dataset), dataset.dtype.itemsize * int(np.prod(dataset.shape[1:])))


def sampled(dataset: h5py.Dataset) -> Shaped[ndarray, "..."]:
    """At most `SAMPLE` rows from all over a data set, evenly spaced, in its own type; a block at a time."""
    chosen = evenly_spaced(len(dataset), SAMPLE)
    parts = []
    for rows in blocks_of(dataset):
        inside = slice(*np.searchsorted(chosen, (rows.start, rows.stop)))
        parts.append(np.asarray(dataset[rows])[chosen[inside] - rows.start])
    return np.concatenate(parts)


def map_floats(dataset: h5py.Dataset, path: Path) -> Float32[ndarray, "..."]:
    """A contiguous float32 data set as an array whose rows are read from the file when they are used."""
    offset = dataset.id.get_offset()
    return np.memmap(path, np.float32, "r", offset, dataset.shape)


def not_mappable(file: h5py.File) -> str | None:
    """What keeps the steps of a file from being mapped: the first such data set, in words."""
    for key in STEPS:
        if key in file and not _is_mappable(file[key], file.filename, file.userblock_size):
            dataset = file[key]
            packed = dataset.compression or ("chunked" if dataset.chunks else "contiguous")
            if dataset.file.filename != file.filename:
                packed = "in another file,"
            return f"{key} is {packed} {dataset.dtype}"
    return None


def _is_mappable(dataset: h5py.Dataset, filename: str, userblock: int) -> bool:
    # A link may lead to a data set of another file, where this one has other bytes.
    own = dataset.file.filename == filename
    lies_flat = dataset.chunks is None and dataset.id.get_offset() is not None and userblock == 0
    return own and lies_flat and dataset.dtype == np.float32


def _check_columns(file: h5py.File, path: Path, required: tuple[str, ...]) -> None:
    """What can be told from the shapes and types alone."""
    missing = [key for key in required if key not in file]
    if missing:
        raise UserError(
            f"{path} has no {' or '.join(missing)} (it has: {some_of(sorted(file)) or 'nothing'}), "
            "expected D4RL's flat layout; add what is missing"
        )
    for key in known_columns(file):
        _check_column(file[key], key, path)
    steps, width = file["observations"].shape
    for key in known_columns(file):
        if key not in PER_EPISODE and len(file[key]) != steps:
            raise UserError(
                f"{path}: {key} has {len(file[key])} rows, expected {steps} as in observations; "
                "write it again"
            )
    for key in ("next_observations", "final_observations"):
        if key in file and file[key].shape[1] != width:
            raise UserError(f"{path}: {key} has another width than observations; write it again")


def _check_column(dataset: Any, key: str, path: Path) -> None:
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(f"{path}: {key} is a group, expected a flat data set; flatten it")
    rank = FLOATS.get(key, 1)
    if len(dataset.shape or ()) != rank:
        raise UserError(f"{path}: {key} has shape {dataset.shape}, expected rank {rank}; reshape it")
    if dataset.dtype.kind not in ("fiu" if key in FLOATS else "fiub"):
        raise UserError(f"{path}: {key} has dtype {dataset.dtype}, expected numbers; convert it")
    check_filled(dataset, path, key)


def _kind(file: h5py.File, path: Path) -> Kind:
    """By the attribute `env_id` and the columns; a file without the attribute by its name."""
    named, spec = _text(file, "env_id", path), _text(file, "env_spec", path)
    if named is not None:
        return Kind(gymnasium_id(named) if spec is None else named, d4rl_maze.is_maze(file), spec)
    entry = by_file(path.name)
    if entry is None:
        return Kind(None, d4rl_maze.is_maze(file))
    return Kind(entry.env_id, entry.env_id in HORIZONS)


def _text(file: h5py.File, key: str, path: Path) -> str | None:
    """An attribute as text: h5py gives str or bytes, by how it was written."""
    value = file.attrs.get(key)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is not None and not isinstance(value, str):
        raise UserError(f"{path}: attribute {key} is {value!r}, expected text; write it again")
    return value or None


class Unfailing(io.FileIO):
    """A new file for HDF5 to write, which never tells it of a full disk.

    HDF5 cannot close a file that it cannot write, and crashes the process when that ends. So what goes
    wrong is kept here, for `check`, and nothing is written from then on.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, unless a write failed before."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while len(rest) and self._error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the file's size, unless something failed before."""
        try:
            return super().truncate(size) if self._error is None else size or 0
        except OSError as error:
            self._error = error
            return size or 0

    def check(self) -> None:
        """Raise what a write met.

        Raises:
            OSError: as the system said it.
        """
        if self._error is not None:
            raise self._error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, moved there if all goes well and deleted if not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({reason(error)}); give a file in a folder that exists and has room"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """The first line of what an exception says, without its numbers."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.splitlines()[0]
    return (str(error).splitlines() or [type(error).__name__])[0]
