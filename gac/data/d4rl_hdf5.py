"""D4RL's flat HDF5 layout: one row per step, with flags where episodes end."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy import ndarray

from gac.data.episodes import Episodes, episode_returns
from gac.errors import UserError

_FLOATS = {"observations": 2, "actions": 2, "rewards": 1, "returns": 1, "next_observations": 2}
_FLAGS = ("terminals", "timeouts")
_REQUIRED = ("observations", "actions", *_FLAGS)
_PER_EPISODE = "returns"


def read_d4rl(path: str | os.PathLike[str]) -> Episodes:
    """Read a file in D4RL's flat layout.

    `observations (N, S)`, `actions (N, A)`, `terminals (N,)`, `timeouts (N,)`, and `rewards (N,)` or
    `returns (E,)`; `next_observations (N, S)` and the attribute `env_id` where they exist; anything else
    in the file is left alone. An episode ends where either flag is set. The rows after the last flag are
    an episode that the recording cut off: the return of the whole is unknown, so they are left out with a
    warning, unless `returns` has an entry for them. In D4RL's own maze2d files `timeouts` mark reached
    goals, not the ends of episodes.

    Raises:
        UserError: no such file, not HDF5 or damaged, a missing or misshapen data set, no end of an
            episode, or what `Episodes` refuses.
    """
    path = Path(path)
    columns, env_id = _read_columns(path)
    _check_rows(columns, path)
    done = columns["terminals"] | columns["timeouts"]
    ends = np.flatnonzero(done)
    if len(ends) == 0:
        raise UserError(f"{path} marks no end of an episode; set terminals or timeouts at each last step")
    rest = len(done) - 1 - int(ends[-1])
    returns = columns.get("returns")
    cut_off_has_return = returns is not None and len(returns) == len(ends) + 1
    if rest and cut_off_has_return:
        ends = np.append(ends, len(done) - 1)
        columns["timeouts"][-1] = True
    elif rest:
        warnings.warn(
            f"{path}: the last {rest} steps are an unfinished episode and are left out", stacklevel=2
        )
    rows = slice(0, int(ends[-1]) + 1)
    lengths = np.diff(ends, prepend=-1).astype(np.int32)
    rewards = columns["rewards"][rows] if "rewards" in columns else None
    following = columns.get("next_observations")
    return Episodes(
        observations=columns["observations"][rows],
        actions=columns["actions"][rows],
        rewards=rewards,
        returns=episode_returns(rewards, returns, lengths, str(path)),
        lengths=lengths,
        terminated=columns["terminals"][ends],
        truncated=columns["timeouts"][ends],
        final_observations=None if following is None else following[ends],
        env_id=env_id,
        name=str(path),
    )


def write_d4rl(episodes: Episodes, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write episodes in the layout that `read_d4rl` reads.

    `returns` is written only where there are no rewards, `next_observations` only where the state after
    the last action is known. The file appears whole or not at all.

    Args:
        episodes: What to write.
        path: The file to write; its folder must exist.
        overwrite: Replace a file that is there.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists, expected a new file; delete it or choose another name")
    ends = episodes.starts + episodes.lengths - 1
    columns: dict[str, ndarray] = {"observations": episodes.observations, "actions": episodes.actions}
    if episodes.rewards is None:
        columns["returns"] = episodes.returns
    else:
        columns["rewards"] = episodes.rewards
    for key, flags in (("terminals", episodes.terminated), ("timeouts", episodes.truncated)):
        columns[key] = np.zeros(episodes.num_steps, bool)
        columns[key][ends] = flags
    if episodes.final_observations is not None:
        columns["next_observations"] = np.roll(episodes.observations, -1, axis=0)
        columns["next_observations"][ends] = episodes.final_observations
    with _whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for key, column in columns.items():
            file.create_dataset(
                key, data=column, chunks=True, compression="gzip", compression_opts=1, shuffle=True
            )
        if episodes.env_id is not None:
            file.attrs["env_id"] = episodes.env_id


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, moved there if all goes well and deleted if not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({_reason(error)}); give a file in a folder that exists"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _read_columns(path: Path) -> tuple[dict[str, ndarray], str | None]:
    """The known data sets as float32 and bool arrays, and the environment id."""
    if not path.is_file():
        state = "is not a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {state}, expected an HDF5 file in D4RL's layout; check the path")
    try:
        with h5py.File(path, "r") as file:
            missing = [key for key in _REQUIRED if key not in file]
            if missing:
                raise UserError(
                    f"{path} has no {' or '.join(missing)} (it has: {', '.join(sorted(file)) or 'nothing'}), "
                    "expected D4RL's flat layout; add what is missing"
                )
            known = [key for key in (*_FLOATS, *_FLAGS) if key in file]
            columns = {key: _read_column(file[key], key, path) for key in known}
            return columns, _text(file.attrs.get("env_id"), path)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path} is no HDF5 file, or a damaged one ({_reason(error)}), expected D4RL's layout; "
            "fetch or make it again"
        ) from None


def _read_column(dataset: Any, key: str, path: Path) -> ndarray:
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(f"{path}: {key} is a group, expected a flat data set; flatten it")
    rank = _FLOATS.get(key, 1)
    if len(dataset.shape or ()) != rank:
        raise UserError(f"{path}: {key} has shape {dataset.shape}, expected rank {rank}; reshape it")
    if dataset.dtype.kind not in ("fiu" if key in _FLOATS else "fiub"):
        raise UserError(f"{path}: {key} has dtype {dataset.dtype}, expected numbers; convert it")
    values = np.asarray(dataset[()])
    if key in _FLOATS:
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    if not np.isin(values, (0, 1)).all():
        raise UserError(f"{path}: {key} holds values other than 0 and 1, expected flags; convert it to bool")
    return values.astype(bool)


def _check_rows(columns: dict[str, ndarray], path: Path) -> None:
    steps = len(columns["observations"])
    for key, column in columns.items():
        if key != _PER_EPISODE and len(column) != steps:
            raise UserError(
                f"{path}: {key} has {len(column)} rows, expected {steps} as in observations; write it again"
            )
    following = columns.get("next_observations")
    if following is not None and following.shape != columns["observations"].shape:
        raise UserError(f"{path}: next_observations has another width than observations; write it again")


def _text(value: Any, path: Path) -> str | None:
    """An HDF5 attribute as text: h5py gives str or bytes, by how it was written."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is not None and not isinstance(value, str):
        raise UserError(f"{path}: attribute env_id is {value!r}, expected text; write it again")
    return value or None


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.splitlines()[0]
    return (str(error).splitlines() or [type(error).__name__])[0]
