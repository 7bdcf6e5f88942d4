"""Episodes of gac as the rivals' libraries take them; imports none of these libraries."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from gac.data.episodes import Episode
from gac.errors import UserError

GIVEN, RETURN = "given", "return"
REWARDS = (GIVEN, RETURN)
"""The rewards that a rival learns from: those of the data, or each episode's whole return at its last step
and zero before."""


class Steps(NamedTuple):
    """One episode, raw; `rows` is its number of steps, or one more."""

    observations: Float32[ndarray, "rows obs"]
    actions: Float32[ndarray, "rows act"]
    rewards: Float32[ndarray, "rows 1"]
    terminated: bool
    """The environment ended it, whatever a clock said at the same step: no value follows."""


def as_sequence(episode: Episode, rewards: str) -> Steps:
    """An episode as it is, for methods that read sequences.

    Raises:
        UserError: rewards are wanted, and the data has returns alone.
    """
    return Steps(
        episode.observations.astype(np.float32),
        episode.actions,
        _paid(episode, rewards).astype(np.float32)[:, None],
        episode.terminated,
    )


def as_transitions(episode: Episode, rewards: str) -> Steps:
    """An episode of which every transition can be learned from, for methods that bootstrap.

    d3rlpy makes a transition of a step only if the next one is there too, unless the environment ended the
    episode. An episode that a clock ended would lose its last step, and with rewards at the end alone its
    whole return. Hence such an episode gets one more row: its final observation, the last action again and
    no reward. Where a source lacks final observations, the last step is dropped, and its reward goes to the
    one before.

    Raises:
        UserError: as for `as_sequence`.
    """
    steps = as_sequence(episode, rewards)
    if steps.terminated:
        return steps
    if episode.final_observation is None:
        paid = steps.rewards.copy()
        paid[-2] += paid[-1]
        return steps._replace(rewards=paid)
    last = episode.final_observation.astype(np.float32)[None]
    return Steps(
        np.concatenate([steps.observations, last]),
        np.concatenate([steps.actions, steps.actions[-1:]]),
        np.concatenate([steps.rewards, np.zeros((1, 1), np.float32)]),
        False,
    )


def relabelled(
    rewards: Float32[ndarray, "steps 1"], values: Float[ndarray, "steps"]
) -> Float32[ndarray, "steps 1"]:
    r"""Returns-to-go of QDT, $\hat R_t = r_t + \max(\hat R_{t+1}, \hat V(s_{t+1}))$; at the last step $r_T$.

    Args:
        rewards: raw.
        values: $\hat V(s_t)$, in the units of the rewards.

    Source: T. Yamagata, A. Khalil, R. Santos-Rodriguez, *Q-learning Decision Transformer*, arXiv 2209.03993,
    Algorithm 1.
    """
    to_go = rewards.astype(np.float64)
    for t in range(len(rewards) - 2, -1, -1):
        to_go[t] += max(to_go[t + 1, 0], float(values[t + 1]))
    return to_go.astype(np.float32)


def window_to_go(
    rewards: Float32[ndarray, "steps 1"], to_go: Float32[ndarray, "steps 1"], start: int, end: int
) -> Float32[ndarray, "window 1"]:
    """Returns-to-go of the steps from `start` to `end` (exclusive): that of the last one as it is relabelled,
    and before it the sums of the rewards up to there, so that they agree with the rewards within a window."""
    before = np.cumsum(rewards[start : end - 1][::-1], axis=0, dtype=np.float64)[::-1]
    last = to_go[end - 1 : end].astype(np.float64)
    return np.concatenate([before + last, last]).astype(np.float32)


def _paid(episode: Episode, rewards: str) -> ndarray:
    if rewards == GIVEN:
        if episode.rewards is None:
            raise UserError(f"the data has returns alone, no rewards; give --rewards {RETURN}")
        return episode.rewards
    paid = np.zeros(len(episode.actions))
    paid[-1] = episode.y
    return paid
