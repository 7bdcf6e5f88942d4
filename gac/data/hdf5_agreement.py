"""What a file in D4RL's layout says twice: next states, numbers of steps and of episodes, ends."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Int64, Shaped
from numpy import ndarray

from gac.data.agreement import Tally, differing, share, warn_if_steps_go_on
from gac.data.blocks import row_blocks
from gac.data.d4rl_catalogue import by_file
from gac.data.hdf5_columns import Ends, blocks_of
from gac.errors import UserError, told_apart

EPISODE_IDS = ("episode_ids", "episode_id", "episode_index", "episode_idx", "episodes", "episode")
STEP_NUMBERS = ("steps", "step", "timesteps", "timestep", "step_index", "frame_index")
LENGTHS = ("lengths", "episode_lengths")
DONES = ("dones", "done", "terminated", "terminations", "truncated", "truncations")


def check_ends(file: h5py.File, path: Path, ends: Ends) -> None:
    """Compare the ends that the flags mark with all else in the file that tells where episodes end.

    Raises:
        UserError: numbers of episodes, of steps, lengths or other flags that say otherwise.
    """
    for key in LENGTHS:
        if _is_column(file, key, "iuf") and len(file[key]) != len(file["observations"]):
            _check_lengths(file[key][()], key, path, ends)
    for key in DONES:
        if _is_column(file, key, "iufb") and len(file[key]) == len(file["observations"]):
            _check_dones(file[key], key, path, ends)
    for key in EPISODE_IDS:
        if _is_column(file, key, "iufSO") and len(file[key]) == len(file["observations"]):
            _check_ids(file, key, path, ends)
    for key in STEP_NUMBERS:
        if _is_column(file, key, "iuf") and len(file[key]) == len(file["observations"]):
            _check_steps(file, key, path, ends)


def read_final_observations(
    file: h5py.File, path: Path, ends: Ends
) -> Shaped[ndarray, "episodes obs"] | None:
    """The state after each episode's last action, where the file has it, in the file's own type.

    `next_observations` are compared with the next row wherever that belongs to the same episode, and with
    `final_observations` at the ends where both are there: a block at a time.

    Raises:
        UserError: they are not the same states. D4RL's own files, which a person cannot mend, only warn.
    """
    given = np.asarray(file["final_observations"]) if "final_observations" in file else None
    if "next_observations" not in file:
        return given
    following, states, last = file["next_observations"], file["observations"], int(ends.rows[-1])
    final = np.empty((len(ends.rows), following.shape[1]), following.dtype)
    inside_episodes, at_ends = Tally(), Tally()
    for rows in blocks_of(following):
        here = slice(*np.searchsorted(ends.rows, (rows.start, rows.stop)))
        block, after = following[rows], states[rows.start + 1 : rows.stop + 1]
        at = ends.rows[here]
        final[here] = block[at - rows.start]
        if given is not None:
            at_ends.add(block[at - rows.start], file["final_observations"][here], at)
        numbers = np.arange(rows.start, min(rows.stop, last))
        inside = ~np.isin(numbers, at, assume_unique=True)
        held = slice(None) if inside.all() else np.flatnonzero(inside)
        inside_episodes.add(block[: len(numbers)][held], after[: len(numbers)][held], numbers[held])
    _refuse_other_states(inside_episodes, at_ends, path)
    return final if given is None else given


def _refuse_other_states(inside: Tally, at_ends: Tally, path: Path) -> None:
    trouble = None
    if (place := inside.first) is not None:
        trouble = (
            f"{path} row {place.row}: next_observations[{place.column}] is {place.values[0]}, but the next "
            f"row of the same episode observes {place.values[1]}, as in {inside.share} inside episodes; "
            "write the rows of one episode together, in order (a vector environment interleaves those of "
            "several), or leave next_observations out if they are at fault"
        )
    elif (place := at_ends.first) is not None:
        trouble = (
            f"{path} row {place.row}, the last of an episode: next_observations[{place.column}] is "
            f"{place.values[0]}, but final_observations say {place.values[1]}, as in {at_ends.share} that "
            "end an episode; leave out the one that is at fault (after a reset, next_observations hold the "
            "first state of another episode)"
        )
    if trouble is None:
        return
    if by_file(path.name) is None:
        raise UserError(trouble)
    warnings.warn(trouble, stacklevel=3)


def _is_column(file: h5py.File, key: str, kinds: str) -> bool:
    """Whether a data set holds one number (or text) per row; other things of the name mean something else."""
    column = file.get(key)
    if not isinstance(column, h5py.Dataset) or column.dtype.kind not in kinds:
        return False
    if column.dtype.kind == "O" and h5py.check_string_dtype(column.dtype) is None:
        return False
    return len(column.shape or ()) >= 1 and int(np.prod(column.shape[1:])) == 1


def _check_lengths(lengths: ndarray, key: str, path: Path, ends: Ends) -> None:
    found, marked = lengths.ravel(), np.diff(ends.rows, prepend=-1)
    if len(found) not in (len(marked), len(marked) + (ends.left_out > 0)):
        raise UserError(
            f"{path}: {key} has {len(found)} entries, but terminals and timeouts mark {len(marked)} "
            f"episodes; correct the flags, or leave {key} out"
        )
    wrong = found[: len(marked)] != marked
    if wrong.any():
        i = int(np.argmax(wrong))
        said, steps = told_apart(float(found[i]), float(marked[i]))
        raise UserError(
            f"{path}: {key}[{i}] is {said}, but by terminals and timeouts the episode has {steps} "
            f"steps, as in {share(int(wrong.sum()), len(marked), 'episodes')}; correct the flags, or leave "
            f"{key} out"
        )


def _check_dones(dones: h5py.Dataset, key: str, path: Path, ends: Ends) -> None:
    found = [
        np.flatnonzero(np.asarray(dones[rows]).ravel() == 1) + rows.start for rows in _row_blocks_of(dones)
    ]
    rows = np.concatenate([np.zeros(0, np.int64), *found])
    extra = np.setdiff1d(rows[rows < ends.rows[-1]], ends.rows)
    if len(extra):
        raise UserError(
            f"{path} row {extra[0]}: {key} is 1, but neither terminals nor timeouts is, as in "
            f"{share(len(extra), len(rows), 'rows')} where {key} is 1; set terminals or timeouts at each "
            f"last step, or leave {key} out"
        )


def _check_ids(file: h5py.File, key: str, path: Path, ends: Ends) -> None:
    """The number of an episode changes after its last row, and only there."""
    changes = []
    for rows, values, after in _pairs(file[key]):
        if values.dtype.kind == "f" and np.isnan(values).any():
            row = rows.start + int(np.argmax(np.isnan(values)))
            raise UserError(
                f"{path} row {row}: {key} is nan, expected the number of an episode; fill it in or leave the "
                "data set out"
            )
        changes.append(np.flatnonzero(values[: len(after)] != after) + rows.start)
    extra, lacking = _beside(np.concatenate(changes), file, ends)
    if not len(extra) and not len(lacking):
        return
    row = int(min(np.concatenate([extra, lacking])))
    one, other = (np.ravel(file[key][each])[0] for each in (row, row + 1))
    what = (
        f"goes from {_shown(one)} to {_shown(other)} after it, but neither terminals nor timeouts is set"
        if row in extra
        else f"stays {_shown(one)} after it, but terminals or timeouts end an episode"
    )
    places = len(np.union1d(ends.rows[:-1], extra))
    raise UserError(
        f"{path} row {row}: {key} {what} there, at {share(len(extra) + len(lacking), places, 'ends')}; "
        f"correct the flags, or leave {key} out"
    )


def _check_steps(file: h5py.File, key: str, path: Path, ends: Ends) -> None:
    """The number of a step grows within an episode; where it begins anew, an episode ends."""
    back = [
        np.flatnonzero(~(after > values[: len(after)])) + rows.start
        for rows, values, after in _pairs(file[key])
    ]
    restarts = np.concatenate(back)
    inside = np.setdiff1d(restarts[restarts < ends.rows[-1]], ends.rows)
    if len(inside) > ends.rows[-1] - len(ends.rows):
        return  # It never grows: the number of something else, such as the policy's training steps.
    extra, going_on = _beside(restarts, file, ends)
    if len(extra):
        row = int(extra[0])
        before, now = (float(np.ravel(file[key][each])[0]) for each in (row, row + 1))
        words = f"{before:g} again" if before == now else " after ".join(told_apart(now, before))
        raise UserError(
            f"{path} row {row + 1}: {key} is {words} within an episode, as in "
            f"{share(len(extra), len(file[key]), 'rows')}, expected it to grow until terminals or timeouts "
            f"is set; set one of them at each last step, sort the rows, or leave {key} out"
        )
    where = f"{path} row {going_on[0]}: an episode ends there, but {key}" if len(going_on) else ""
    warn_if_steps_go_on(where, len(going_on), len(ends.rows) - 1, "correct terminals and timeouts")


def _beside(
    places: Int64[ndarray, "some"], file: h5py.File, ends: Ends
) -> tuple[Int64[ndarray, "extra"], Int64[ndarray, "lacking"]]:
    """Rows after which something begins anew beside the ends, and ends after which nothing does.

    A vector environment's log may have a row between two episodes in which the environment was reset: there,
    what begins anew may do so a row after the end.
    """
    places, marked = places[places < ends.rows[-1]], ends.rows[:-1]
    extra, lacking = np.setdiff1d(places, marked), np.setdiff1d(marked, places)
    late = np.intersect1d(lacking, extra - 1)
    if len(late) and "next_observations" in file:
        resets = np.array([not _differs(file, int(row)) for row in late])
        extra, lacking = np.setdiff1d(extra, late[resets] + 1), np.setdiff1d(lacking, late[resets])
    return extra, lacking


def _differs(file: h5py.File, row: int) -> bool:
    """Whether the next row observes another state than the one after this row's action."""
    rows = slice(row, row + 1), slice(row + 1, row + 2)
    return bool(differing(file["next_observations"][rows[0]], file["observations"][rows[1]]).any())


def _pairs(column: h5py.Dataset) -> Iterator[tuple[slice, ndarray, ndarray]]:
    """Blocks of rows, their values, and those one row later, of which the last block has one less."""
    for rows in _row_blocks_of(column):
        values = np.asarray(column[rows.start : rows.stop + 1]).ravel()
        yield rows, values[: rows.stop - rows.start], values[1:]


def _row_blocks_of(column: h5py.Dataset) -> Iterator[slice]:
    return row_blocks(len(column), max(8, column.dtype.itemsize))


def _shown(value: object) -> str:
    """A number or a text, as a person would write it."""
    if isinstance(value, bytes):
        return repr(value.decode("utf-8", "replace"))
    return f"{value:.17g}" if isinstance(value, float | np.floating) else f"{value}"
