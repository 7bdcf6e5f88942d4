"""What the rows of a table say twice: next states, flags of ends, numbers of steps."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gac.data.agreement import Tally, warn_if_steps_go_on
from gac.data.columns import Labels, Source
from gac.errors import UserError, told_apart

FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
ENDS = (
    "truncated",
    "truncation",
    "timeout",
    "timeouts",
    "terminal",
    "terminals",
    "done",
    "dones",
    "next.done",
)
"""Columns of other programs that tell where an episode ends."""
_NEXT = ("next_", "next.")


def told_twice(source: Source, observations: Sequence[str], used: Sequence[str]) -> list[str]:
    """Columns that nothing needs and that repeat what others say: next states, and flags of ends."""
    following = _following(source, observations)
    return [name for name in (*following, *ENDS) if name in source.names and name not in used]


def check_told_twice(
    source: Source,
    observations: Mapping[str, Float64[ndarray, "rows"]],
    others: Mapping[str, Labels],
    starts: Int64[ndarray, "episodes"],
) -> None:
    """Compare the columns of `told_twice` with the rows and the episodes.

    Raises:
        UserError: a next state that is not the next row's, or an end inside an episode.
    """
    following = [others[name] for name in _following(source, tuple(observations)) if name in others]
    if len(following) == len(observations):
        _check_next(source, observations, following, starts)
    for name in ENDS:
        # A column of ones alone is the number of something else.
        if name in others and {FLAGS.get(text.lower()) for text in others[name].names} == {False, True}:
            check_early(source, name, others[name], starts)


def check_early(source: Source, name: str, flags: Labels, starts: Int64[ndarray, "episodes"]) -> ndarray:
    """The flags of all rows.

    Raises:
        UserError: one is set before the last row of its episode.
    """
    steps: ndarray = np.array([FLAGS[text.lower()] for text in flags.names], bool)[flags.codes]
    early = steps.copy()
    early[np.append(starts[1:], len(steps)) - 1] = False
    if early.any():
        row = int(np.argmax(early))
        raise UserError(
            f"{source.path} {source.place(row)}: {name} is 1 before the last row of its episode, expected "
            "it there alone; correct the flags, or leave the column out"
        )
    return steps


def check_order(source: Source, name: str, step: ndarray, starts: ndarray) -> None:
    """Refuse a step that does not grow within an episode; warn of one that grows into the next.

    Raises:
        UserError: a step that goes back or stays.
    """
    backwards = np.diff(step, prepend=-np.inf) <= 0
    going_on = starts[1:][~backwards[starts[1:]]]
    backwards[starts] = False
    if backwards.any():
        row = int(np.argmax(backwards))
        found, before = told_apart(step[row], step[row - 1])
        raise UserError(
            f"{source.path} {source.place(row)}: {name} is {found} after {before}, expected it to increase "
            "within an episode; sort the file by episode and step"
        )
    if 0 < len(going_on) < (len(starts) - 1) / 2:
        where = f"{source.path} {source.place(int(going_on[0]))}: an episode begins there, but {name}"
        warn_if_steps_go_on(where, len(going_on), len(starts) - 1, "correct the names of the episodes")


def _following(source: Source, observations: Sequence[str]) -> list[str]:
    """The columns of the next state, if every observation has one."""
    for prefix in _NEXT:
        names = [f"{prefix}{name}" for name in observations]
        if set(names) <= set(source.names):
            return names
    return []


def _check_next(
    source: Source, observations: Mapping[str, ndarray], following: Sequence[Labels], starts: ndarray
) -> None:
    given = [column.numbers() for column in following]
    if any(column is None for column in given):
        return  # Texts: something else of that name.
    states, after = np.column_stack(list(observations.values())), np.column_stack(given)  # type: ignore[arg-type]
    rows = np.setdiff1d(np.arange(len(states) - 1), starts - 1)
    tally = Tally()
    tally.add(after[rows], states[rows + 1], rows)
    if (place := tally.first) is not None:
        name = _following(source, tuple(observations))[place.column]
        raise UserError(
            f"{source.path} {source.place(place.row)}: {name} is {place.values[0]}, but the next row of the "
            f"same episode has {place.values[1]}, as in {tally.share} inside episodes; sort the file by "
            "episode and step, or leave those columns out if they are at fault"
        )
