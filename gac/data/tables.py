"""Own logs: a CSV or Parquet file with a row per step and one score per episode."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from gac.data.blocks import LARGEST, usable
from gac.data.columns import SUFFIXES, Labels, Source, no_header, open_table
from gac.data.episodes import SHORTEST, Episodes, episode_returns
from gac.data.precision import hold_actions, hold_numbers, hold_states
from gac.data.reset_rows import dropping_reset_rows
from gac.data.table_agreement import FLAGS, check_early, check_order, check_told_twice, told_twice
from gac.errors import UserError, some_of, told_apart

OBSERVATION_PREFIXES = ("observation_", "obs_")
ACTION_PREFIXES = ("action_", "act_")


class _Roles(NamedTuple):
    """Which column is what; None where the table has no such thing."""

    observations: tuple[str, ...]
    actions: tuple[str, ...]
    episode: str
    step: str | None
    score: str | None
    reward: str | None
    terminated: str | None


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether `read_table` reads the file, by its suffix."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def read_table(
    path: str | os.PathLike[str],
    *,
    observations: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    episode: str = "episode",
    score: str | None = None,
    scores: str | os.PathLike[str] | None = None,
    reward: str | None = None,
    step: str | None = None,
    terminated: str | None = None,
    env_id: str | None = None,
    drop_reset_rows: bool = False,
) -> Episodes:
    """Read logs: one row per step, which holds what was observed and the action that was taken then.

    The rows of an episode stand together and in order. Its return is its score: a number that is the same
    in all of its rows, or stands in a second file, or else the sum of its rewards. What follows the last
    action is not in the log, so `final_observations` is None. An episode counts as truncated unless
    `terminated` is 1 in its last row.

    Args:
        path: A `.csv` or `.tsv` file (commas, semicolons or tabs; UTF-8) or a `.parquet` file.
        observations: Columns of the observation, in the order in which the policy will get them. Unless
            given, those that begin with `observation_` or `obs_`, in the order of the file.
        actions: Columns of the action. Unless given, those that begin with `action_` or `act_`.
        episode: Column that names the episode; numbers or text.
        score: Column of the episode's score, raw and undiscounted; `return` unless given.
        scores: A second table with a row per episode: `episode` and `score`. Episodes that are in it and
            not in the log are left alone.
        reward: Column of rewards; `reward` unless given, if there is one.
        step: Column that must increase within an episode; `step` unless given, if there is one.
        terminated: Column of 0 and 1 (or false and true); `terminated` unless given, if there is one.
        env_id: The Gymnasium id of the environment, if there is one.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes, and warn if there are none: see `gac.data.reset_rows`.

    Raises:
        UserError: no such file or a damaged one, a missing column, a cell that is no finite number or
            names no episode, an episode whose rows are apart, out of order or fewer than two, a score that
            changes within an episode or is missing, or what `Episodes` or `without_reset_rows` refuses.
    """
    source = open_table(Path(path))
    roles = _Roles(
        observations=_prefixed(source, "observations", observations, OBSERVATION_PREFIXES),
        actions=_prefixed(source, "actions", actions, ACTION_PREFIXES),
        episode=episode,
        step=_usual(source, step, "step"),
        score=None if scores is not None else _usual(source, score, "return"),
        reward=_usual(source, reward, "reward"),
        terminated=_usual(source, terminated, "terminated"),
    )
    _check_roles(source, roles, has_file_of_scores=scores is not None)
    optional = (roles.step, roles.score, roles.reward)
    numbers = (*roles.observations, *roles.actions, *(name for name in optional if name))
    flags = (roles.terminated,) if roles.terminated else ()
    others = told_twice(source, roles.observations, (*numbers, roles.episode, *flags))
    columns, labels = source.read(list(dict.fromkeys(numbers)), [roles.episode, *flags], others)
    ids = labels[roles.episode]
    _check_named(source, roles.episode, ids)
    starts = _starts(source, ids)
    lengths = np.diff(starts, append=len(ids.codes)).astype(np.int32)
    _check_lengths(source, ids, lengths)
    _check_finite(source, columns)
    if roles.step:
        check_order(source, roles.step, columns[roles.step], starts)
    check_told_twice(source, {name: columns[name] for name in roles.observations}, labels, starts)
    returns = None
    if scores is not None:
        returns = _scores_of_file(Path(scores), roles.episode, score or "return", ids)
    elif roles.score:
        returns = _scores_of_rows(source, roles.score, columns[roles.score], starts, lengths)
    rewards = hold_numbers(columns[roles.reward]) if roles.reward else None
    ended = np.zeros(len(lengths), bool)
    if roles.terminated:
        ended = _terminations(source, roles.terminated, labels[roles.terminated], starts)
    states, acts = (
        np.column_stack([columns[name] for name in names]) for names in (roles.observations, roles.actions)
    )
    held, offset = hold_states(states, str(path), roles.observations)
    episodes = Episodes(
        observations=held,
        actions=hold_actions(acts, str(path), roles.actions),
        rewards=rewards,
        returns=episode_returns(rewards, returns, lengths, str(path)),
        lengths=lengths,
        terminated=ended,
        truncated=~ended,
        final_observations=None,
        env_id=env_id,
        name=str(path),
        observation_offset=offset,
    )
    return dropping_reset_rows(episodes) if drop_reset_rows else episodes


def _check_roles(source: Source, roles: _Roles, *, has_file_of_scores: bool) -> None:
    """Every column is there, there is a score, and no column is two things."""
    for name in (*roles.observations, *roles.actions, *roles[2:]):
        if name is not None and name not in source.names:
            raise UserError(f"{source.path} has no column {name!r}, expected one of {_listed(source)}")
    if not has_file_of_scores and roles.score is None and roles.reward is None:
        raise UserError(
            f"{source.path} has no score: give score=NAME (--score NAME) for its column, scores=FILE "
            f"(--scores FILE), or rewards; its columns are {_listed(source)}"
        )
    # The time within an episode may well be observed; a score or an action may not.
    step = None if roles.step in roles.observations else roles.step
    others = (roles.episode, step, roles.score, roles.reward, roles.terminated)
    used = (*roles.observations, *roles.actions, *(name for name in others if name is not None))
    twice = [name for i, name in enumerate(used) if name in used[:i]]
    if twice:
        raise UserError(
            f"{source.path}: column {twice[0]!r} is given two meanings, expected one; the policy cannot "
            "observe what it decides or what comes of it"
        )


def _usual(source: Source, name: str | None, default: str) -> str | None:
    """The column that was asked for, else the one of the usual name if there is one."""
    return name if name is not None else default if default in source.names else None


def _prefixed(
    source: Source, what: str, chosen: Sequence[str] | None, prefixes: tuple[str, ...]
) -> tuple[str, ...]:
    if chosen is not None and not isinstance(chosen, str):
        names = tuple(chosen)
    elif chosen is not None:
        raise UserError(f"{what} is the text {chosen!r}, expected a list of columns; give [{chosen!r}]")
    else:
        names = tuple(name for name in source.names if name.startswith(prefixes))
    if not names:
        raise UserError(
            f"{source.path} has no columns {' or '.join(f'{prefix}…' for prefix in prefixes)}: give "
            f"{what}=[NAME, …] (--{what} NAME,…); its columns are {_listed(source)}"
        )
    return names


def _starts(source: Source, ids: Labels) -> ndarray:
    """Row of each episode's first step; codes count upwards unless an episode is torn apart."""
    if not len(ids.codes):
        raise UserError(f"{source.path} has no rows, expected one per step; write it again")
    change = np.diff(ids.codes, prepend=-1)
    if (change < 0).any():
        row = int(np.argmax(change < 0))
        raise UserError(
            f"{source.path} {source.place(row)}: episode {ids.names[ids.codes[row]]!r} begins again after "
            "another, expected its rows together; sort the file by episode and step"
        )
    return np.flatnonzero(change)


def _check_named(source: Source, name: str, ids: Labels) -> None:
    if ids.missing.any():
        row = int(np.argmax(ids.missing))
        found = ids.names[ids.codes[row]].strip() or "empty"
        raise UserError(
            f"{source.path} {source.place(row)}: {name} is {found}, expected the name of an episode; fill it "
            "in or drop the row"
        )


def _check_lengths(source: Source, ids: Labels, lengths: ndarray) -> None:
    if (lengths < SHORTEST).any():
        i = int(np.argmax(lengths < SHORTEST))
        raise UserError(
            f"{source.path}: episode {ids.names[i]!r} has {lengths[i]} row, expected {SHORTEST} or more; "
            "drop it"
        )


def _check_finite(source: Source, columns: dict[str, ndarray]) -> None:
    for name, column in columns.items():
        wrong = ~usable(column)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(
                f"{source.path} {source.place(row)}: {name} is {column[row]:g}, expected a finite "
                f"float32 of at most {LARGEST:g} in size; fill it in or drop the episode"
            )


def _scores_of_rows(source: Source, name: str, column: ndarray, starts: ndarray, lengths: ndarray) -> ndarray:
    scores: ndarray = column[starts]
    other = column != np.repeat(scores, lengths)
    if other.any():
        row = int(np.argmax(other))
        found, before = told_apart(column[row], column[row - 1])
        raise UserError(
            f"{source.path} {source.place(row)}: {name} is {found} after {before} in the same episode, "
            "expected one score per episode; give rewards as --reward"
        )
    return scores


def _scores_of_file(path: Path, episode: str, score: str, ids: Labels) -> ndarray:
    """The scores of the log's episodes, in their order."""
    source = open_table(path)
    for name in (episode, score):
        if name not in source.names:
            raise UserError(f"{path} has no column {name!r}, expected one of {_listed(source)}")
    columns, labels = source.read([score], [episode])
    _check_finite(source, columns)
    known = labels[episode]
    _check_named(source, episode, known)
    if len(known.names) < len(known.codes):
        row = int(np.argmax(np.bincount(known.codes)[known.codes] > 1))
        raise UserError(
            f"{path} has episode {known.names[known.codes[row]]!r} more than once, expected one row each; "
            "drop the others"
        )
    score_of = dict(zip(known.names, columns[score].tolist(), strict=True))
    missing = [name for name in ids.names if name not in score_of]
    if missing:
        raise UserError(f"{path} has no score of episode {missing[0]!r}; add it or drop the episode")
    return np.array([score_of[name] for name in ids.names])


def _terminations(source: Source, name: str, flags: Labels, starts: ndarray) -> ndarray:
    values = [FLAGS.get(text.lower()) for text in flags.names]
    if None in values:
        code = values.index(None)
        row = int(np.argmax(flags.codes == code))
        raise UserError(
            f"{source.path} {source.place(row)}: {name} is {flags.names[code]!r}, expected 0 or 1; "
            "correct the flags, or leave the column out"
        )
    ends = np.append(starts[1:], len(flags.codes)) - 1
    ended: ndarray = check_early(source, name, flags, starts)[ends]
    return ended


def _listed(source: Source) -> str:
    """The names of its columns, for the end of a refusal."""
    return f"{some_of(source.names)}{no_header(source)}"
