r"""The statistics of a comparison of methods over several data sets and few seeds.

Scores are held by data set: $x_{d,s}$ is the score of a method on set $d$ with seed $s$, the mean of its
episodes. Axes before the last one are of several such samples at once. Source: R. Agarwal, M. Schwarzer,
P. S. Castro, A. Courville, M. G. Bellemare, *Deep Reinforcement Learning at the Edge of the Statistical
Precipice*, arXiv 2108.13264.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Runs = Sequence[Sequence[float]]
"""Of one data set: the scores of the episodes of each run."""
Scores = Sequence[Float[ndarray, "..."]]
"""Of each data set: the scores of the runs, along the last axis."""

QUARTER = 0.25
LEVEL = 0.95
RESAMPLES = 2000


def interquartile_mean(scores: Scores) -> Any:
    r"""Mean of all runs but the lowest and the highest quarter, $\lfloor n / 4 \rfloor$ runs each.

    >>> float(interquartile_mean([np.array([0.0, 2.0]), np.array([1.0, 100.0])]))
    1.5
    """
    ordered = np.sort(np.concatenate(list(scores), axis=-1), axis=-1)
    runs = ordered.shape[-1]
    cut = int(QUARTER * runs)
    return ordered[..., cut : runs - cut].mean(axis=-1)


def performance_profile(scores: Scores, at: Float[ndarray, "grid"]) -> Float[ndarray, "grid"]:
    r"""$\hat F(\tau)$, the share of all runs with a score above $\tau$."""
    above: ndarray = (np.concatenate(list(scores))[:, None] > at[None, :]).mean(axis=0)
    return above


def probability_of_improvement(one: Scores, other: Scores) -> Any:
    r"""$\bar P(X > Y) = \frac{1}{D} \sum_d P(X_d > Y_d)$ over the data sets, a draw counting one half.

    $P(X_d > Y_d)$ is the share of all pairs of a run of one method and a run of the other (Mann and Whitney).

    >>> float(probability_of_improvement([np.array([1.0, 3.0])], [np.array([1.0, 2.0])]))
    0.625
    """
    return np.mean([_pairs_won(x, y) for x, y in zip(one, other, strict=True)], axis=0)


def _pairs_won(x: ndarray, y: ndarray) -> Any:
    difference = x[..., :, None] - y[..., None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(-2, -1))


def resampled(sets: Sequence[Runs], resamples: int, rng: np.random.Generator) -> list[ndarray]:
    """Stratified bootstrap samples of a method's scores: of each data set `(resamples, runs)`.

    Within each data set, runs are drawn with replacement, and within each of these its episodes. A single
    run of a set thus still varies, by its episodes; how much seeds differ, one run cannot tell.
    """
    samples = []
    for runs in sets:
        means = np.empty((resamples, len(runs)))
        drawn = rng.integers(len(runs), size=means.shape)
        for number, episodes in enumerate(map(np.asarray, runs)):
            here = drawn == number
            means[here] = rng.choice(episodes, (int(here.sum()), len(episodes))).mean(axis=1)
        samples.append(means)
    return samples


def interval(
    methods: Sequence[Sequence[Runs]],
    statistic: Callable[..., Any],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of one method's scores, or of two methods'.

    Args:
        methods: for each argument of `statistic` the runs of each data set.
        statistic: of `Scores`.
        resamples: number of bootstrap samples.
        level: coverage.
        seed: of the samples.

    Returns:
        Its lower and upper ends.
    """
    rng = np.random.default_rng(seed)
    found = statistic(*(resampled(sets, resamples, rng) for sets in methods))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
