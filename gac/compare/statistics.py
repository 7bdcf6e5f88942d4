r"""The statistics of a comparison of methods over several data sets and few seeds.

Scores are held by data set: $x_{d,s}$ is the score of a method on set $d$ with seed $s$, the mean of its
episodes. Source: R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare, *Deep Reinforcement
Learning at the Edge of the Statistical Precipice*, arXiv 2108.13264.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Runs = Sequence[Sequence[float]]
"""Of one data set: the scores of the episodes of each run."""
Scores = Sequence[Float[ndarray, "seeds"]]
"""Of each data set: the scores of the runs."""

QUARTER = 0.25
LEVEL = 0.95
RESAMPLES = 2000


def interquartile_mean(scores: Float[ndarray, "runs"]) -> float:
    r"""Mean of what is left without the lowest and the highest quarter, each of $\lfloor n / 4 \rfloor$ runs.

    >>> interquartile_mean(np.array([0.0, 1.0, 2.0, 100.0]))
    1.5
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    cut = int(QUARTER * len(ordered))
    return float(ordered[cut : len(ordered) - cut].mean())


def performance_profile(scores: Float[ndarray, "runs"], at: Float[ndarray, "grid"]) -> Float[ndarray, "grid"]:
    r"""$\hat F(\tau)$, the share of the runs with a score above $\tau$."""
    above: ndarray = (np.asarray(scores)[:, None] > np.asarray(at)[None, :]).mean(axis=0)
    return above


def probability_of_improvement(one: Scores, other: Scores) -> float:
    r"""$\bar P(X > Y) = \frac{1}{D} \sum_d P(X_d > Y_d)$ over the data sets, a draw counting one half.

    $P(X_d > Y_d)$ is the share of all pairs of a run of one method and a run of the other (Mann and Whitney).

    >>> probability_of_improvement([np.array([1.0, 3.0])], [np.array([1.0, 2.0])])
    0.625
    """
    return float(np.mean([_pairs_won(x, y) for x, y in zip(one, other, strict=True)]))


def _pairs_won(x: Float[ndarray, "seeds"], y: Float[ndarray, "others"]) -> float:
    difference = np.asarray(x)[:, None] - np.asarray(y)[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def resampled(sets: Sequence[Runs], rng: np.random.Generator) -> list[Float[ndarray, "seeds"]]:
    """One stratified bootstrap sample of a method's scores.

    Within each data set, runs are drawn with replacement, and within each of these its episodes. A single
    run of a set thus still varies, by its episodes; how much seeds differ, one run cannot tell.
    """
    return [
        np.array(
            [np.mean(rng.choice(runs[i], len(runs[i]))) for i in rng.integers(len(runs), size=len(runs))]
        )
        for runs in sets
    ]


def interval(
    methods: Sequence[Sequence[Runs]],
    statistic: Callable[..., float],
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
    found = [statistic(*(resampled(sets, rng) for sets in methods)) for _ in range(resamples)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
