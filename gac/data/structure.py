"""Facts about returns as wholes: how far chance decides them, and whether they are sums over the steps.

Both compare episodes with episodes, in standardised units, so that no scale of states, actions or returns
matters. Neither uses rewards.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gac.config import CreditConfig
from gac.data.blocks import evenly_spaced, sums_of_runs
from gac.data.episode_facts import Spread
from gac.data.episodes import Episodes
from gac.data.regression import CONSTANT, Units, ridge

FEWEST = CreditConfig().credit_fewest
"""Episodes below which neither fact is told."""
COMPARED = 2000
"""Most episodes that are compared with each other, evenly chosen: all pairs of them fit in memory."""
WINDOWS = 20
"""Stretches of the longest episode, over each of which actions are averaged."""
PENALTIES = 10.0 ** np.arange(-8, 5)
"""Of the ridge, in units of the features' variance; leave-one-out errors choose among them."""

_TIE = 1e-9
"""Of the usual distance: nearer than that to the nearest is as near."""


@dataclass(frozen=True)
class Chance:
    """How far returns differ between episodes in which nearly the same was done."""

    share: float
    """Of the variance of the returns, what nearest episodes do not have in common, in [0, 1]: 0 where what
    was done decides the return, 1 where it tells nothing. Chance has no more than this share."""
    distance: float
    """Distance of nearest episodes as a share of the distance of any two; the medians."""
    episodes: int
    """Episodes that were compared."""


@dataclass(frozen=True)
class Linearity:
    """How well a sum over the steps, the same function of each step, gives the return."""

    r2: float
    """Share of the variance of held-out returns that learned credit explains; 1 at best."""
    episodes: int
    """Episodes that were fitted and held out, in turn."""


def chance_of(episodes: Episodes) -> Chance | None:
    r"""How far chance decides the returns; None with fewer than `FEWEST` episodes, or where all are equal.

    What was done is the first state, and the mean and mean square of each action over each of `WINDOWS`
    stretches of time. Two episodes are compared over the stretches that both have: lengths, later states
    and rewards are outcomes and play no part. With j(i) the nearest to episode i,

    $$1 - \frac{2\,\text{Cov}(y_i, y_{j(i)})}{\text{Var}(y_i) + \text{Var}(y_{j(i)})},$$

    which is the mean squared difference of the two returns (but for their means) beside that of any two. A
    mean stands for $y_{j(i)}$ where several are equally near. The less of two values counts: nearest in all
    features alike, and nearest with features weighted by how they bear on the returns of the other half of
    the episodes, so that actions that do nothing do not hide those that do.
    """
    chosen, y = _sample(episodes, COMPARED)
    if y is None:
        return None
    features, known = _done(episodes, chosen)
    distance = _distances(features, known, np.ones(features.shape[1]))
    usual = float(np.median(distance[np.isfinite(distance)]))
    least = float(np.median(distance.min(axis=1)))
    second = np.random.default_rng(0).permutation(len(y)) < len(y) // 2
    halves = []
    for half in (second, ~second):
        weights = ridge(features[~half], y[~half], np.ones((~half).sum()), PENALTIES).weights
        halves.append(_apart(_distances(features[half], known[half], np.abs(weights)), y[half]))
    return Chance(
        share=min(1.0, _apart(distance, y), (halves[0] + halves[1]) / 2),
        distance=float(np.sqrt(least / usual)) if usual > 0 else 0.0,
        episodes=len(y),
    )


def linearity_of(episodes: Episodes) -> Linearity | None:
    """Whether returns are sums over the steps: held-out R² of `gac.credit.ridge`; None as in `chance_of`."""
    from gac.credit.ridge import learn  # Not before gac.data is whole, which it imports.

    credit = learn(episodes, CreditConfig())
    return None if credit is None else Linearity(credit.r2, credit.episodes)


def _sample(
    episodes: Episodes, most: int
) -> tuple[Int64[ndarray, "sample"], Float64[ndarray, "sample"] | None]:
    """Evenly chosen episodes and their standardised returns; None where these are few or all the same."""
    chosen = evenly_spaced(len(episodes), most)
    y = episodes.returns[chosen].astype(np.float64)
    if len(y) < FEWEST or Spread.of(y).constant:
        return chosen, None
    return chosen, (y - y.mean()) / y.std()


def _done(
    episodes: Episodes, chosen: Int64[ndarray, "sample"]
) -> tuple[Float64[ndarray, "sample features"], Bool[ndarray, "sample features"]]:
    """What was done in episodes, standardised; and which of it varies, and was done for so long."""
    lengths, longest = episodes.lengths.astype(np.int64), int(episodes.lengths.max())
    edges = np.linspace(0, longest, min(WINDOWS, longest) + 1).round().astype(np.int64)
    steps = np.diff(np.minimum(edges, lengths[chosen, None]), axis=1)
    # A run for each stretch of the chosen episodes, and one for each other episode, in the order of the rows.
    runs = [lengths[i : i + 1] for i in range(len(lengths))]
    for row, i in enumerate(chosen):
        runs[i] = steps[row]
    sums = sums_of_runs(episodes.actions, np.concatenate(runs), Units.of(episodes.actions).with_squares)
    firsts = np.cumsum([0, *map(len, runs[:-1])])[chosen]
    sums = sums[firsts[:, None] + np.arange(steps.shape[1])]
    means = (sums / np.maximum(steps, 1)[:, :, None]).reshape(len(chosen), -1)
    start = episodes.observations[episodes.starts[chosen]].astype(np.float64)
    known = np.repeat(steps > 0, sums.shape[2], axis=1)
    known = np.concatenate([np.ones(start.shape, bool), known], axis=1)
    features = _scaled(np.concatenate([start, means], axis=1), known)
    return features, known & (features != 0).any(axis=0)


def _scaled(
    features: Float64[ndarray, "episodes features"], known: Bool[ndarray, "episodes features"]
) -> Float64[ndarray, "episodes features"]:
    """Each feature with mean 0 and variance 1 over the episodes that have it; 0 where it is not known."""
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, features, 0.0).sum(axis=0) / count
    centred: ndarray = np.where(known, features - mean, 0.0)
    std = np.sqrt(np.square(centred).sum(axis=0) / count)
    scaled: ndarray = centred / np.where(std <= CONSTANT * np.abs(mean), np.inf, std)
    return scaled


def _distances(
    features: Float64[ndarray, "episodes features"],
    known: Bool[ndarray, "episodes features"],
    weights: Float64[ndarray, "features"],
) -> Float64[ndarray, "episodes episodes"]:
    """Weighted mean squared difference over the features that both have; infinite on the diagonal."""
    there, weighted = known.astype(np.float64), features * weights
    squares = np.square(weighted) @ there.T
    total = (there * np.square(weights)) @ there.T
    distance: ndarray = (squares + squares.T - 2 * weighted @ weighted.T) / np.where(total > 0, total, 1.0)
    distance = distance.clip(0.0)  # Rounding may leave less.
    np.fill_diagonal(distance, np.inf)
    return distance


def _apart(distance: Float64[ndarray, "episodes episodes"], y: Float64[ndarray, "episodes"]) -> float:
    """How far apart the returns of nearest episodes are: from 0, the same, to about 1, those of any two."""
    usual = np.median(distance[np.isfinite(distance)])
    nearest = (distance <= distance.min(axis=1, keepdims=True) + _TIE * usual).astype(np.float64)
    other = nearest @ y / nearest.sum(axis=1)
    own, other = y - y.mean(), other - other.mean()
    squares = np.square(own).sum() + np.square(other).sum()
    return float(np.square(own - other).sum() / squares) if squares > 0 else 1.0
