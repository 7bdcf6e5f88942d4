"""Rows that are no steps: what a Gymnasium vector environment with next-step autoreset leaves in a log.

The step after an episode's end only resets: its observation is the last state of the episode before, its
action is ignored, its reward is 0 and its next observation the first state of the new episode. Logged like
any other, it becomes the first row of every episode but an environment's first. Training would then infer
plans from states that no episode begins with.
"""

import dataclasses
import warnings
from collections import Counter
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray

from gac.data.blocks import evenly_spaced, taken
from gac.data.episodes import SHORTEST, Episodes
from gac.errors import UserError

SAMPLE = 20_000
"""Steps that jumps are compared with, evenly spaced."""
LONGER = 0.75
"""Share of pairs of a jump and an ordinary step in which the jump is longer; by chance it is one half."""
DEVIATIONS = 3.0
"""Standard deviations of that share, so that few rows must be the clearer."""
RARE = 0.05
"""Share of the other rows that have the same reward, up to which that reward tells reset rows by itself."""
AGREE = 0.9
"""Share of the rows that end where another episode ends that have one reward."""
FEW = 3
"""Rows whose rewards agree by chance, unless it is on the 0 of Gymnasium."""
NEIGHBOURS = 64
"""Episodes before one, among whose last states its first row is looked for where no final state is known."""


class ResetRows(NamedTuple):
    """Episodes whose first row is no step."""

    episodes: Int64[ndarray, "found"]
    reward: float
    """The reward of these rows, which all or most of them share; 0 where the data has no rewards."""


class Steps(NamedTuple):
    """How long steps are, in standard deviations of the states."""

    scale: Float64[ndarray, "obs"]
    """Standard deviation of each dimension; infinite where nothing varies."""
    ordinary: Float64[ndarray, "sample"]
    """Lengths of steps within episodes that move and are not their first, rising."""
    anywhere: float
    """The median distance of two states."""

    @classmethod
    def of(cls, episodes: Episodes) -> "Steps":
        """The steps of the episodes, or of a sample."""
        states, starts = episodes.observations, episodes.starts
        rows = evenly_spaced(len(states), SAMPLE)
        sample = taken(states, rows).astype(np.float64)
        std = sample.std(axis=0)
        scale = np.where(std > 0.0, std, np.inf)
        holder = np.searchsorted(starts, rows, side="right") - 1
        inner = rows[(rows > starts[holder]) & (rows < starts[holder] + episodes.lengths[holder] - 1)]
        lengths = distance(taken(states, inner + 1), taken(states, inner), scale)
        apart = distance(sample, np.roll(sample, len(sample) // 2, axis=0), scale)
        return cls(scale, np.sort(lengths[lengths > 0.0]), float(np.median(apart)))

    @property
    def tell(self) -> bool:
        """Whether a jump differs from a step: where steps lead anywhere at once, it does not."""
        return len(self.ordinary) > 0 and float(np.median(self.ordinary)) < self.anywhere / 2

    def longer(self, lengths: Float64[ndarray, "jumps"]) -> float:
        """Share of pairs of one of these and an ordinary step in which this one is longer."""
        below = np.searchsorted(self.ordinary, lengths, side="left")
        equal = np.searchsorted(self.ordinary, lengths, side="right") - below
        return float((below + equal / 2).mean() / len(self.ordinary))

    def jump(self, lengths: Float64[ndarray, "jumps"]) -> bool:
        """Whether these are longer than ordinary steps, and too many for chance."""
        spread = (1 / 12 / len(lengths)) ** 0.5
        return self.longer(lengths) > max(LONGER, 0.5 + DEVIATIONS * float(spread))


def distance(one: ndarray, other: ndarray, scale: Float64[ndarray, "obs"]) -> Float64[ndarray, "rows"]:
    """Distance of the states in each row, in standard deviations."""
    length: ndarray = np.linalg.norm((one.astype(np.float64) - other) / scale, axis=-1)
    return length


def reset_rows_of(episodes: Episodes) -> ResetRows:
    """The episodes whose first row is no step; none unless the signs are clear.

    Where final states are known, such a row holds that of another episode, to the bit, and each of them
    begins one episode at most. Elsewhere it lies a step from the last state of an episode before. The step
    after it is a jump; where steps lead anywhere at once, its reward tells instead. And all of them have one
    reward. Windows of one continuous run begin where others end and do not jump.
    """
    none = ResetRows(np.zeros(0, np.int64), 0.0)
    if len(episodes) < 2:
        return none
    steps = Steps.of(episodes)
    found = _of_final_states(episodes) if episodes.final_observations is not None else None
    if found is not None and not found.any():
        return none
    some = np.arange(1, len(episodes)) if found is None else np.flatnonzero(found)
    reward, alike = _common_reward(episodes, some)
    if found is not None:
        known = np.flatnonzero(found)
        tells = _tells(episodes, reward, len(known))
        clear = alike[known].mean() >= AGREE and _jumps(episodes, steps, known, tells=tells)
    else:
        # Where every episode begins with that reward, it tells of no reset.
        tells = not alike[0] and _tells(episodes, reward, int(alike.sum()))
        known = _without_final_states(episodes, steps, alike, tells=tells)
        clear = len(known) > 0
    return ResetRows(known, reward) if clear else none


def without_reset_rows(episodes: Episodes) -> Episodes:
    """The episodes without the rows that are no steps; the same where there are none.

    Returns stay as they are: such a row has the reward 0. Of an episode that keeps fewer than two steps
    nothing can be learned, and it is left out with a warning.

    Raises:
        UserError: a row with another reward; steps that stay on disk; nothing would be left.
    """
    found = reset_rows_of(episodes)
    if not len(found.episodes):
        return episodes
    if episodes.on_disk:
        raise UserError(
            f"{episodes.name} stays on disk, where its {len(found.episodes)} reset rows cannot be dropped; "
            "write it anew with gac data convert SRC DST --drop-reset-rows --contiguous"
        )
    rows = episodes.starts[found.episodes]
    if episodes.rewards is not None and episodes.rewards[rows].any():
        i = int(found.episodes[np.argmax(episodes.rewards[rows] != 0)])
        raise UserError(
            f"episode {i} of {episodes.name} begins with a reset row of reward "
            f"{episodes.rewards[episodes.starts[i]]:g}, expected 0: without it the return would be another; "
            "log the environment's own rewards, or set those of such rows to 0"
        )
    keep = np.ones(episodes.num_steps, bool)
    keep[rows] = False
    lengths = episodes.lengths.copy()
    lengths[found.episodes] -= 1
    whole = lengths >= SHORTEST
    if not whole.any():
        raise UserError(
            f"{episodes.name} has no episode of {SHORTEST} steps without its reset rows; give longer ones"
        )
    if not whole.all():
        warnings.warn(
            f"{episodes.name}: {(~whole).sum()} episodes of a single step are left out, which hold no "
            "transition",
            stacklevel=3,
        )
        keep &= np.repeat(whole, episodes.lengths)
    final = episodes.final_observations
    return dataclasses.replace(
        episodes,
        observations=episodes.observations[keep],
        actions=episodes.actions[keep],
        rewards=None if episodes.rewards is None else episodes.rewards[keep],
        returns=episodes.returns[whole],
        lengths=lengths[whole],
        terminated=episodes.terminated[whole],
        truncated=episodes.truncated[whole],
        final_observations=None if final is None else final[whole],
    )


def dropping_reset_rows(episodes: Episodes) -> Episodes:
    """`without_reset_rows`, with a warning where there are none: who asks for it expects some."""
    kept = without_reset_rows(episodes)
    if kept is episodes:
        warnings.warn(f"{episodes.name} has no reset rows, and nothing is dropped", stacklevel=3)
    return kept


def first_states(episodes: Episodes, offset: int = 0) -> Float[ndarray, "episodes obs"]:
    """The state of each episode's first step, or of one so many steps later."""
    return taken(episodes.observations, episodes.starts + offset)


def last_states(episodes: Episodes) -> Float[ndarray, "episodes obs"]:
    """The state of each episode's last step, before its action."""
    return taken(episodes.observations, episodes.starts + episodes.lengths - 1)


def _of_final_states(episodes: Episodes) -> Bool[ndarray, "episodes"]:
    """Which episodes begin with the final state of another, which no other begins with."""
    assert episodes.final_observations is not None
    # + 0.0: the zero with a minus is the same state.
    firsts, finals = (
        [row.tobytes() for row in states + np.float32(0.0)]
        for states in (first_states(episodes), episodes.final_observations)
    )
    left = Counter(finals)
    found = np.zeros(len(episodes), bool)
    for i, (first, final) in enumerate(zip(firsts, finals, strict=True)):
        if left[first] > (first == final):
            left[first] -= 1
            found[i] = True
    return found


def _common_reward(
    episodes: Episodes, some: Int64[ndarray, "some"]
) -> tuple[float, Bool[ndarray, "episodes"]]:
    """The most common reward of the first rows of some episodes, and which episodes have it there."""
    if episodes.rewards is None:
        return 0.0, np.ones(len(episodes), bool)
    rewards = taken(episodes.rewards, episodes.starts)
    values, counts = np.unique(rewards[some], return_counts=True)
    common = values[counts.argmax()]
    return float(common), rewards == common


def _tells(episodes: Episodes, reward: float, count: int) -> bool:
    """Whether the reward that so many first rows have tells them from the others, few of which have it."""
    if episodes.rewards is None or (count < FEW and reward != 0.0):
        return False
    rows = evenly_spaced(episodes.num_steps, SAMPLE)
    rows = rows[~np.isin(rows, episodes.starts)]
    same = taken(episodes.rewards, rows) == np.float32(reward)
    return bool(same.mean() <= RARE)


def _jumps(episodes: Episodes, steps: Steps, some: Int64[ndarray, "some"], *, tells: bool) -> bool:
    """Whether the first steps of some episodes are no steps."""
    if not steps.tell:
        return tells
    lengths = distance(first_states(episodes)[some], first_states(episodes, 1)[some], steps.scale)
    return steps.jump(lengths) or (tells and steps.longer(lengths) > LONGER)


def _without_final_states(
    episodes: Episodes, steps: Steps, alike: Bool[ndarray, "episodes"], *, tells: bool
) -> Int64[ndarray, "found"]:
    """The episodes that begin with a reset row, where the states after the last actions are not known."""
    none, alike = np.zeros(0, np.int64), alike.copy()
    alike[0] = False
    if not steps.tell:
        return np.flatnonzero(alike) if tells and alike.sum() >= max(FEW, len(alike) / 2) else none
    first, last = first_states(episodes), last_states(episodes)
    usual = 2.0 * float(np.quantile(steps.ordinary, 0.99))
    near = np.zeros(len(episodes), bool)
    for back in range(1, min(NEIGHBOURS, len(episodes) - 1) + 1):
        near[back:] |= distance(first[back:], last[:-back], steps.scale) <= usual
    known = np.flatnonzero(alike & near)
    if len(known) == 0 or 2 * len(known) < alike.sum():
        return none
    lengths = distance(first[known], first_states(episodes, 1)[known], steps.scale)
    if tells:
        return np.flatnonzero(alike) if steps.longer(lengths) > LONGER else none
    # Being near may be chance: only what is far beyond a step is a sign then.
    far = float(np.median(lengths)) > 2.0 * float(np.quantile(steps.ordinary, 0.95))
    return known if far and steps.jump(lengths) else none
