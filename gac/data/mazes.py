"""Endless runs through a maze, cut into episodes.

D4RL's maze2d data, and what is made in its likeness, is one run without a reset: a controller goes to one
random sub-goal after another and knows nothing of the target that reward is given for. How such a run is
cut decides what the returns mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from gac.data.episodes import SHORTEST, Episodes, episode_returns
from gac.envs.layouts import LAYOUTS
from gac.errors import UserError

CUTS = ("horizon", "subgoal", "hold", "success")
DEFAULT_CUT = "horizon"

HORIZONS = {f"maze2d-{size}-v1": layout.horizon for size, layout in LAYOUTS.items()}
"""Steps of an episode when it is evaluated, by environment."""

NEVER_MET_SHARE = 0.6
"""Of the windows: where 72% do not (medium), cut=hold scores 126 instead of 15; where 50% (umaze), less."""

GOLDEN_SECTION = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Run:
    """N steps without a reset.

    Args:
        observations: States `s_0 … s_N`, the one after the last action included.
        actions: Actions `a_t`.
        rewards: Reward of step t, which is that of the state `s_{t+1}` *after* the action.
        reached: True at the last step towards a sub-goal.
    """

    observations: Float32[ndarray, "states obs"]
    actions: Float32[ndarray, "steps act"]
    rewards: Float32[ndarray, "steps"]
    reached: Bool[ndarray, "steps"]


def cut(
    runs: Sequence[Run], how: str = DEFAULT_CUT, *, horizon: int | None, env_id: str | None, name: str
) -> Episodes:
    """Cut runs into episodes, all of them truncated and none terminated, as nothing ends in a maze.

    - `horizon`: windows of `horizon` steps, one after the other. Only these returns compare with each other
      and with an evaluation, which plays as many steps.
    - `subgoal`: an episode per sub-goal. The lengths differ, and the returns mostly say how the way lies to
      the target.
    - `hold`: the way to each sub-goal from some place on it, with the return of the horizon if the sub-goal,
      once reached, were held: the sum of the rewards, and the last of them for every step that is left.
      Nothing was logged of that rest. The episodes have returns and no rewards. How much of each way comes
      first and is left out goes evenly from nothing to all but two steps: a way begins where the one before
      it ended, so that from close to a sub-goal whole ways only lead away.
    - `success`: from outside the target until the first reward, `horizon` steps at most. The return is 1
      or 0. The steps that then stay in the target are in no episode.

    A rest after the last end, and pieces shorter than two steps, are left out.

    Args:
        runs: One run or several, of the same widths.
        how: One of `CUTS`.
        horizon: Steps of the environment's episode, 2 or more; None only where `how` is `subgoal`.
        env_id: The Gymnasium id of the environment.
        name: What to call the data.

    Raises:
        UserError: an unknown `how`, no horizon, no whole episode, or what `Episodes` refuses.
    """
    check_cut(how)
    if how != "subgoal" and (horizon is None or horizon < SHORTEST):
        raise UserError(
            f"{name}: the horizon is {horizon}, expected {SHORTEST} steps or more to cut by {how}; "
            "name the maze by env_id, such as maze2d-umaze-v1, or cut by subgoal"
        )
    steps = horizon or 0
    pieces = [_PIECES[how](run, steps) for run in runs]
    lengths = np.concatenate([lengths for _, lengths in pieces]).astype(np.int32)
    if len(lengths) == 0:
        total = sum(len(run.actions) for run in runs)
        raise UserError(
            f"{name} has {total} steps and no whole episode when cut by {how}, expected one or more; "
            "give a longer run or another cut"
        )
    rows = [_rows(*piece) for piece in pieces]
    rewards = np.concatenate([run.rewards[row] for run, row in zip(runs, rows, strict=True)])
    returns = episode_returns(rewards, None, lengths, name)
    if how == "hold":
        returns = returns + np.maximum(steps - lengths, 0) * rewards[np.cumsum(lengths) - 1]
    return Episodes(
        observations=np.concatenate([run.observations[row] for run, row in zip(runs, rows, strict=True)]),
        actions=np.concatenate([run.actions[row] for run, row in zip(runs, rows, strict=True)]),
        rewards=None if how == "hold" else rewards,
        returns=returns.astype(np.float32),
        lengths=lengths,
        terminated=np.zeros(len(lengths), bool),
        truncated=np.ones(len(lengths), bool),
        final_observations=np.concatenate(
            [run.observations[starts + each] for run, (starts, each) in zip(runs, pieces, strict=True)]
        ),
        env_id=env_id,
        name=name,
    )


def seldom_met(env_id: str | None, one_length: bool, zero_share: float) -> bool:
    """Whether these are windows of a maze, all of one length, most of which never meet the target.

    A plan is of the kind of some logged episode, and the few windows that meet the target leave it again.

    Args:
        env_id: where the data are from.
        one_length: whether all episodes have the same number of steps.
        zero_share: of the episodes, those of return 0.
    """
    return env_id in HORIZONS and one_length and zero_share > NEVER_MET_SHARE


def check_cut(how: str) -> None:
    """Refuse what is not in `CUTS`, before any work is done for it."""
    if how not in CUTS:
        raise UserError(f"cut is {how!r}, expected one of {', '.join(CUTS)}")


Pieces = tuple[Int64[ndarray, "pieces"], Int64[ndarray, "pieces"]]
"""First rows and lengths."""


def _by_horizon(run: Run, horizon: int) -> Pieces:
    count = len(run.actions) // horizon
    return np.arange(count) * horizon, np.full(count, horizon)


def _by_subgoal(run: Run, horizon: int) -> Pieces:
    ends = np.flatnonzero(run.reached)
    lengths = np.diff(ends, prepend=-1)
    whole = lengths >= SHORTEST
    return (ends - lengths + 1)[whole], lengths[whole]


def _by_hold(run: Run, horizon: int) -> Pieces:
    starts, lengths = _by_subgoal(run, horizon)
    # Multiples of the golden section, modulo 1, fill [0, 1) evenly whatever the order, and need no seed.
    share = np.arange(1, len(starts) + 1) * GOLDEN_SECTION % 1
    left_out = (share * (lengths - SHORTEST + 1)).astype(np.int64)
    return starts + left_out, lengths - left_out


def _by_success(run: Run, horizon: int) -> Pieces:
    inside, outside = np.flatnonzero(run.rewards > 0), np.flatnonzero(run.rewards <= 0)
    steps, start = len(run.actions), 0
    found: list[tuple[int, int]] = []
    while start < steps:
        arrival = _at_or_after(inside, start, steps)
        if arrival < start + horizon:
            end = arrival + 1
            # The state after the first step without a reward is the first one outside.
            following = _at_or_after(outside, end, steps) + 1
        else:
            end = following = start + horizon
        if end <= steps and end - start >= SHORTEST:
            found.append((start, end - start))
        start = following
    starts, lengths = np.array(found, np.int64).reshape(-1, 2).T
    return starts, lengths


_PIECES = {"horizon": _by_horizon, "subgoal": _by_subgoal, "hold": _by_hold, "success": _by_success}


def _at_or_after(rows: ndarray, row: int, otherwise: int) -> int:
    """The first of the sorted `rows` that is not before `row`."""
    i = int(np.searchsorted(rows, row))
    return int(rows[i]) if i < len(rows) else otherwise


def _rows(starts: ndarray, lengths: ndarray) -> Int64[ndarray, "rows"]:
    """The rows of all pieces, one after the other."""
    rows: ndarray = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return rows
