"""Which snapshots make a set, and which share of its steps each plays.

A share is a share of the *steps*, as in a replay buffer, and a log-quadratic function of the place u in
[-1, 1] of the snapshot among the chosen ones, which are evenly spaced in training time:

    share(u) = exp(b u + c u^2) / sum of the same

Two parameters make the mean and the standard deviation of the returns those that are aimed at, and no
snapshot stands out.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from published import Returns, off
from scipy.optimize import minimize

from gac.errors import UserError

EVENNESS = 1e-3
"""Weight of b^2 + c^2 beside the mean squared distance, so that shares are as even as the aim allows."""
GOOD = 0.5
"""Within so many tolerances a set is near enough: then fewer snapshots count, or more even shares."""
SKILL = 0.25
"""Snapshots whose mean return is this near to an aim, relatively, are of its level of skill."""
LEAST = 0.1
"""Least share of each of them: what plays less is no part of the skill, but a trick on the statistics."""


class Sample(NamedTuple):
    """Whole episodes of one snapshot."""

    returns: ndarray
    """(episodes,)"""
    lengths: ndarray
    """(episodes,)"""


class Choice(NamedTuple):
    """Snapshots by training step, each with its share of the steps, and what comes of them."""

    shares: dict[int, float]
    expected: Returns
    distance: float
    """The largest distance from what is aimed at, in tolerances: beyond 1 is too far."""


def expected(samples: Sequence[Sample], shares: ndarray, steps: int) -> Returns:
    """Statistics of a set of so many steps; max and min are medians of theirs."""
    returns = np.concatenate([sample.returns for sample in samples])
    # An episode that was played stands for so many episodes of the set.
    each = [share * steps / sample.lengths.sum() for share, sample in zip(shares, samples, strict=True)]
    weights = np.repeat(each, [len(sample.returns) for sample in samples])
    order = np.argsort(returns)
    returns, weights = returns[order], weights[order]
    mean = np.average(returns, weights=weights)
    std = np.sqrt(np.average((returns - mean) ** 2, weights=weights))
    # That none of the set is beyond has probability 1/2 where the expected number beyond is log 2.
    top, bottom = (np.searchsorted(np.cumsum(side), np.log(2)) for side in (weights[::-1], weights))
    last = len(returns) - 1
    return Returns(mean, std, returns[last - min(top, last)], returns[min(bottom, last)])


def fit(samples: dict[int, Sample], aim: Returns, steps: int) -> Choice:
    """Shares of snapshots that are evenly spaced in training time."""
    played, u = list(samples.values()), np.linspace(-1, 1, len(samples)) if len(samples) > 1 else np.zeros(1)

    def shares(bc: ndarray) -> ndarray:
        weights = np.exp(bc[0] * u + bc[1] * u**2)
        return np.asarray(weights / weights.sum())

    def loss(bc: ndarray) -> float:
        distances = off(expected(played, shares(bc), steps), aim).values()
        return float(np.mean(np.square(list(distances)))) + EVENNESS * float(bc @ bc)

    bc = np.zeros(2)
    if len(samples) > 1:
        bc = minimize(loss, bc, method="Nelder-Mead", options={"initial_simplex": [[0, 0], [2, 0], [0, 2]]}).x
    ours = expected(played, shares(bc), steps)
    distance = max(abs(value) for value in off(ours, aim).values())
    return Choice(dict(zip(samples, shares(bc).tolist(), strict=True)), ours, distance)


def level(samples: dict[int, Sample], aim: Returns, steps: int, keep: int) -> list[Choice]:
    """The best choices of a snapshot, or of two, of one level of skill; one is better."""
    alike = [step for step, sample in samples.items() if abs(sample.returns.mean() / aim.mean - 1.0) < SKILL]
    found: list[Choice] = []
    for count in (1, 2):
        for steps_of in combinations(alike, count):
            choice = fit({step: samples[step] for step in steps_of}, aim, steps)
            found += [choice] if min(choice.shares.values()) >= LEAST else []
        found.sort(key=lambda choice: choice.distance)
        if found and found[0].distance < GOOD:
            break
    return found[:keep]


def replay(samples: dict[int, Sample], aim: Returns, steps: int, count: int) -> Choice:
    """Shares of `count` snapshots evenly spaced from the first trained one to where they can be most even."""
    trained = [step for step in samples if step > 0]
    found = []
    for last in range(count - 1, len(trained)):
        places = np.linspace(0, last, count).round().astype(int)
        found.append(fit({trained[place]: samples[trained[place]] for place in places}, aim, steps))
    if not found:
        raise UserError(
            f"there are {len(trained)} trained snapshots, expected {count} at least; train longer"
        )
    # All that are good enough are alike in distance.
    return min(found, key=lambda choice: (max(choice.distance, GOOD), max(choice.shares.values())))
