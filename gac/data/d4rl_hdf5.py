"""D4RL's flat HDF5 layout: one row per step, with flags where episodes end."""

import os
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy import ndarray

from gac.data import d4rl_maze
from gac.data.d4rl_catalogue import by_file
from gac.data.episodes import SHORTEST, Episodes, check_count, episode_returns
from gac.data.hdf5_agreement import check_ends, read_final_observations
from gac.data.hdf5_columns import (
    FLAGS,
    FLOATS,
    PER_EPISODE,
    STEPS,
    Ends,
    Kind,
    Unfailing,
    blocks_of,
    flagged_rows,
    map_floats,
    not_mappable,
    open_d4rl,
    read_ends,
    read_floats,
    reading,
    sampled,
    whole_file,
)
from gac.data.mazes import DEFAULT_CUT
from gac.data.memory import available_memory, gigabytes
from gac.data.precision import hold_actions, hold_numbers, hold_states, less, refuse_lost, rounded
from gac.data.reset_rows import dropping_reset_rows
from gac.errors import UserError
from gac.writing import check_target

IN_MEMORY_COPIES = 4
"""Copies of the steps at the peak of training in memory: raw, in the model's units, and on the way."""


def read_d4rl(
    path: str | os.PathLike[str],
    cut: str | None = None,
    on_disk: bool | None = None,
    *,
    name: str | None = None,
    drop_reset_rows: bool = False,
) -> Episodes:
    """Read a file in D4RL's flat layout, or one of D4RL's own files.

    `observations (N, S)`, `actions (N, A)`, `terminals (N,)`, `timeouts (N,)`, and `rewards (N,)` or
    `returns (E,)`; `final_observations (E, S)` or `next_observations (N, S)`, and the attributes `env_id`
    and `env_spec`, where they exist; anything else in the file is left alone, unless it says again where
    episodes end (`gac.data.hdf5_agreement`). What is said twice is compared. An episode ends where either
    flag is set. The rows after the last flag are an episode that the recording cut off: the return of the
    whole is unknown, so they are left out with a warning, unless `returns` has an entry for them.

    D4RL's names of environments become Gymnasium's: `hopper-medium-v2` is `Hopper-v4`. A file without
    `env_id` but with D4RL's own name, such as `hopper_medium-v2.hdf5`, gets the one of that name.

    D4RL's own maze2d files, known by `infos/goal` beside observations of width 4, or by their name where
    they have no `env_id`, hold one endless run: see `gac.data.d4rl_maze`. Episodes of one step in files
    with D4RL's own names are left out with a warning; elsewhere, and on disk, they are an error.

    Args:
        path: The file.
        cut: How the endless run of a maze becomes episodes, one of `gac.data.mazes.CUTS`; by the horizon
            unless given. Other files have episodes of their own and take none.
        on_disk: Leave the steps in the file, and read what is needed when it is needed: contiguous float32
            data sets alone allow it, and D4RL's own mazes never do. Unless said, this is done where
            training in memory would need more (`IN_MEMORY_COPIES` times the steps) than is available.
        name: What to call the data; the path unless given.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes, and warn if there are none: see `gac.data.reset_rows`.

    Raises:
        UserError: no such file, not HDF5 or damaged, a missing or misshapen data set, no end of an
            episode, a `cut` for a file that is none of D4RL's mazes, steps that must stay on disk and
            cannot, data that says two things or is not wholly there, or what `Episodes` or
            `without_reset_rows` refuses.
    """
    path = Path(path)
    called = name or str(path)
    with open_d4rl(path) as (file, kind):
        if kind.is_maze:
            _check_maze_in_memory(path, cut, on_disk)
            return d4rl_maze.episodes(_maze_columns(file, path), cut or DEFAULT_CUT, kind.env_id, called)
        if cut is not None:
            raise UserError(
                f"{path} has episodes of its own and cannot be cut by {cut}; only D4RL's own maze2d files "
                "can: leave out the cut"
            )
        episodes = _episodes(file, path, called, kind, _stays_on_disk(file, path, on_disk))
    return dropping_reset_rows(episodes) if drop_reset_rows else episodes


def has_ways(path: Path) -> bool:
    """Whether a file holds an endless run and its sub-goals, so that it can be cut by each of them.

    Raises:
        UserError: what `read_d4rl` raises of a file.
    """
    with open_d4rl(path) as (file, kind):
        return kind.is_maze and "timeouts" in file


def _episodes(file: h5py.File, path: Path, name: str, kind: Kind, on_disk: bool) -> Episodes:
    """The episodes that the flags mark."""
    ends = read_ends(file, path)
    check_ends(file, path, ends)
    for key in PER_EPISODE:
        if key in file:
            check_count(key, len(file[key]), len(ends.rows), name)
    if ends.left_out:
        warnings.warn(
            f"{name}: the last {ends.left_out} steps are an unfinished episode and are left out", stacklevel=3
        )
    rows: Any = slice(0, int(ends.rows[-1]) + 1)
    lengths = np.diff(ends.rows, prepend=-1).astype(np.int32)
    final = read_final_observations(file, path, ends)
    returns = np.asarray(file["returns"]) if "returns" in file else None
    whole = lengths >= SHORTEST
    # A person can mend a file of their own, but not D4RL's.
    if not on_disk and not whole.all() and by_file(path.name):
        warnings.warn(
            f"{name}: {(~whole).sum()} episodes of a single step are left out, which hold no transition",
            stacklevel=3,
        )
        rows, lengths = np.flatnonzero(np.repeat(whole, lengths)), lengths[whole]
        ends = Ends(ends.rows[whole], ends.terminated[whole], ends.truncated[whole], ends.left_out)
        final = None if final is None else final[whole]
        returns = None if returns is None else returns[whole]
    steps = {
        key: (map_floats(file[key], path) if on_disk else np.asarray(file[key]))[rows]
        for key in STEPS
        if key in file
    }
    observations, rewards, offset = steps["observations"], steps.get("rewards"), None
    if not on_disk:  # What stays there is float32 already.
        observations, offset = hold_states(observations, name)
    if rewards is not None and not on_disk:
        rewards = hold_numbers(rewards)
    return Episodes(
        observations=observations,
        actions=steps["actions"] if on_disk else hold_actions(steps["actions"], name),
        rewards=rewards,
        returns=episode_returns(rewards, returns, lengths, name),
        lengths=lengths,
        terminated=ends.terminated,
        truncated=ends.truncated,
        final_observations=None if final is None else less(final, offset),
        env_id=kind.env_id,
        name=name,
        env_spec=kind.env_spec,
        observation_offset=offset,
    )


def _maze_columns(file: h5py.File, path: Path) -> dict[str, ndarray]:
    """What `d4rl_maze.episodes` cuts."""
    columns = {key: read_floats(file[key]) for key in d4rl_maze.REQUIRED}
    if "timeouts" in file:
        columns["timeouts"] = np.zeros(len(columns["rewards"]), bool)
        columns["timeouts"][flagged_rows(file, "timeouts", path)] = True
    return columns


def _check_maze_in_memory(path: Path, cut: str | None, on_disk: bool | None) -> None:
    if on_disk:
        source = shlex.quote(f"{path}:cut={cut}" if cut else f"{path}")
        raise UserError(
            f"{path} is one endless run, which is cut in memory and cannot stay on disk; "
            f"write its episodes with gac data convert {source} NEW.hdf5 --contiguous"
        )


def _stays_on_disk(file: h5py.File, path: Path, asked: bool | None) -> bool:
    """Whether to leave the steps in the file; an error where they must stay there and cannot."""
    if asked is False:
        return False
    needed = IN_MEMORY_COPIES * 4 * sum(file[key].size for key in STEPS if key in file)
    fits, obstacle = needed <= (available := available_memory()), not_mappable(file)
    if asked is None and fits:
        return False
    if obstacle is None:
        return True
    trouble = "cannot stay on disk"
    if not fits:
        trouble = f"needs {gigabytes(needed)} of memory, {gigabytes(available)} are available"
    raise UserError(
        f"{path} {trouble}; its {obstacle}, expected contiguous float32 to leave it on disk; "
        f"write it again with gac data convert {shlex.quote(str(path))} NEW.hdf5 --contiguous"
    )


def write_d4rl(
    episodes: Episodes, path: str | os.PathLike[str], *, overwrite: bool = False, contiguous: bool = False
) -> None:
    """Write episodes in the layout that `read_d4rl` reads, block by block.

    `returns` is written only where there are no rewards, and the states after the last actions only where
    they are known. The file appears whole or not at all.

    Args:
        episodes: What to write.
        path: The file to write; its folder must exist.
        overwrite: Replace a file that is there.
        contiguous: Uncompressed, so that the steps can stay on disk when it is read, and with
            `final_observations` instead of D4RL's `next_observations`, a second copy of every state.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    path = Path(path)
    check_new(path, overwrite=overwrite)
    if contiguous:
        refuse_lost(episodes.raw(episodes.observations), "state", episodes.name)
        if episodes.rewards is not None:
            refuse_lost(episodes.rewards, "rewards", episodes.name)
    with whole_file(path) as temporary:
        named = {"env_id": episodes.env_id, "env_spec": episodes.env_spec}
        _write(temporary, _columns(episodes, contiguous), named, contiguous)


def unpack_d4rl(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> tuple[int, int]:
    """Write a file in D4RL's layout again, contiguous, however large it is: a block at a time.

    D4RL's own files, which fit in memory, are written as the episodes that `read_d4rl` makes of them.

    Returns:
        The number of episodes and of steps that `read_d4rl` finds in the new file.

    Raises:
        UserError: `path` exists or cannot be written, or what `read_d4rl` raises of `source`.
    """
    source, path = Path(source), Path(path)
    check_new(path)
    with open_d4rl(source) as (file, kind):
        if kind.is_maze or by_file(source.name):
            episodes = read_d4rl(source, on_disk=False)
            write_d4rl(episodes, path, contiguous=True)
        else:
            episodes = _unpack(file, source, path, kind)
    return episodes.num_episodes, episodes.num_steps


def _unpack(file: h5py.File, source: Path, path: Path, kind: Kind) -> Episodes:
    """Copy block by block; the episodes of the new file, checked before it gets its name."""
    with whole_file(path) as temporary:
        with reading(source):
            ends = read_ends(file, source)
            check_ends(file, source, ends)
            final = read_final_observations(file, source, ends)
            for key, what in zip(STEPS, ("state", "action", "rewards"), strict=True):
                if key in file and file[key].dtype not in (np.float32, np.float16):
                    refuse_lost(sampled(file[key]), what, str(source))
        columns = [_copied(file, key, source) for key in (*STEPS, "returns", *FLAGS) if key in file]
        columns += [] if final is None else [_whole("final_observations", rounded(final))]
        named = {"env_id": kind.env_id, "env_spec": kind.env_spec}
        _write(temporary, columns, named, contiguous=True)
        with h5py.File(temporary, "r") as written:
            return _episodes(written, temporary, str(source), kind, on_disk=True)


class _Column(NamedTuple):
    """A data set to be written: its name, and the rows of any slice."""

    key: str
    shape: tuple[int, ...]
    dtype: Any
    block: Callable[[slice], ndarray]


def _columns(e: Episodes, contiguous: bool) -> Iterator[_Column]:
    """The data sets of episodes."""
    ends = e.starts + e.lengths - 1

    def of_step(values: ndarray) -> Callable[[slice], ndarray]:
        """Flags, given by episode, at the last steps; elsewhere not set."""

        def block(rows: slice) -> ndarray:
            flags, inside = np.zeros(rows.stop - rows.start, bool), _inside(ends, rows)
            flags[ends[inside] - rows.start] = values[inside]
            return flags

        return block

    states = np.float32 if e.observation_offset is None else np.float64
    yield _Column("observations", e.observations.shape, states, lambda rows: e.raw(e.observations[rows]))
    yield _whole("actions", e.actions)
    yield _whole("returns", e.returns) if e.rewards is None else _whole("rewards", e.rewards)
    for key, flags in (("terminals", e.terminated), ("timeouts", e.truncated)):
        yield _Column(key, (e.num_steps,), np.bool_, of_step(flags))
    if (final := e.final_observations) is None:
        return

    def following(rows: slice) -> ndarray:
        """The next row, or the final state."""
        next_states, inside = (
            np.empty((rows.stop - rows.start, e.observation_dim), states),
            _inside(ends, rows),
        )
        after = e.observations[rows.start + 1 : rows.stop + 1]
        next_states[: len(after)] = e.raw(after)
        next_states[ends[inside] - rows.start] = e.raw(final[inside])
        return next_states

    if contiguous:
        yield _whole("final_observations", final)
    else:
        yield _Column("next_observations", e.observations.shape, states, following)


def _inside(ends: ndarray, rows: slice) -> slice:
    """Episodes that end in a slice of rows."""
    return slice(*np.searchsorted(ends, (rows.start, rows.stop)))


def _whole(key: str, array: ndarray) -> _Column:
    return _Column(key, array.shape, array.dtype, array.__getitem__)


def _copied(file: h5py.File, key: str, source: Path) -> _Column:
    """A data set of another file, floats as float32 and flags as bool."""
    dataset = file[key]

    def block(rows: slice) -> ndarray:
        with reading(source):
            return read_floats(dataset, rows) if key in FLOATS else np.asarray(dataset[rows]).astype(bool)

    return _Column(key, dataset.shape, np.float32 if key in FLOATS else np.bool_, block)


def _write(
    path: Path, columns: Iterable[_Column], attributes: Mapping[str, str | None], contiguous: bool
) -> None:
    packing: dict[str, Any] = {"chunks": True, "compression": "gzip", "compression_opts": 1, "shuffle": True}
    with Unfailing(path) as disk:
        with h5py.File(disk, "w") as file:
            for key, shape, dtype, block in columns:
                dataset = file.create_dataset(key, shape, dtype, **({} if contiguous else packing))
                for rows in blocks_of(dataset):
                    dataset[rows] = block(rows)
                    disk.check()
            for key, text in attributes.items():
                if text is not None:
                    file.attrs[key] = text
        disk.check()


def check_new(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a file that exists or could not be written, before any work is done for it.

    Raises:
        UserError: the file exists and is not to be replaced, or its folder takes no file.
    """
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists, expected a new file; delete it or choose another name")
    check_target(path, make_folder=False)
