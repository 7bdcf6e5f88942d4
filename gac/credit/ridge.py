r"""Credit per step from returns alone: a ridge regression of returns on sums over the steps of episodes.

If a return is a sum over steps, $y = \sum_t r(s_t, a_t)$, and r is near a combination of features f, then
$y = c\,T + w \cdot \sum_t f(s_t, a_t)$: linear in what each episode sums to, and no reward needs to be seen.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from gac.config import CreditConfig
from gac.data.blocks import evenly_spaced, release, row_blocks, sums_of_runs
from gac.data.episode_facts import Spread
from gac.data.episodes import Episodes
from gac.data.regression import CONSTANT, Units, ridge


class Credit(NamedTuple):
    r"""$\hat r(s, a) = c + w \cdot [s, s^2, a, a^2]$, with states and actions in standardised units.

    The next state is no feature: its sum differs from that of s by the last state less the first, too little
    to tell the two apart.
    """

    constant: float
    """c, raw return per step."""
    of_state: Float64[ndarray, "2 obs"]
    """Weights of s and s², raw return per step."""
    of_action: Float64[ndarray, "2 act"]
    """Weights of a and a²."""
    state_units: Units
    action_units: Units
    r2: float
    """Share of the variance of held-out returns that the sums of credit explain; 1 at best."""
    penalty: float
    """Of the ridge, in units of the features' variance."""
    episodes: int
    """How many were fitted, and held out in turn."""

    def __call__(
        self, state: Float[ndarray, "steps obs"], action: Float[ndarray, "steps act"]
    ) -> Float64[ndarray, "steps"]:
        """Credit of each step, raw: states as `Episodes` holds them, raw actions."""
        credit = np.empty(len(state))
        for rows in row_blocks(len(state), 4 * (state.shape[1] + action.shape[1]) * credit.itemsize):
            s, a = self.state_units.with_squares(state[rows]), self.action_units.with_squares(action[rows])
            credit[rows] = self.constant + s @ self.of_state.ravel() + a @ self.of_action.ravel()
            release(state)
            release(action)
        return credit


def learn(episodes: Episodes, config: CreditConfig) -> Credit | None:
    """Credit from returns alone; rewards play no part.

    R² is that of returns that were held out: each of `credit_folds` parts of the episodes is predicted from
    the others, which also choose the penalty. The credit itself is then fitted to all of them.

    Returns:
        The credit, however good; None with fewer than `credit_fewest` episodes, or where all returns are
        equal.
    """
    chosen = evenly_spaced(len(episodes), config.credit_most)
    y = episodes.returns[chosen].astype(np.float64)
    if len(y) < config.credit_fewest or Spread.of(y).constant:
        return None
    length = episodes.lengths[chosen].astype(np.float64)
    units = Units.of(episodes.observations), Units.of(episodes.actions)
    arrays = episodes.observations, episodes.actions
    sums = [
        sums_of_runs(values, episodes.lengths, own.with_squares)[chosen]
        for values, own in zip(arrays, units, strict=True)
    ]
    x = np.concatenate(sums, axis=1)
    fold = np.random.default_rng(0).permutation(len(y)) % config.credit_folds
    predicted = np.empty(len(y))
    for held in range(config.credit_folds):
        out = fold == held
        constant, weights, _ = _solved(x[~out], length[~out], y[~out], config)
        predicted[out] = constant * length[out] + x[out] @ weights
    constant, weights, penalty = _solved(x, length, y, config)
    of_state, of_action = np.split(weights, [sums[0].shape[1]])
    return Credit(
        constant=constant,
        of_state=of_state.reshape(2, -1),
        of_action=of_action.reshape(2, -1),
        state_units=units[0],
        action_units=units[1],
        r2=1.0 - float(np.mean(np.square(y - predicted)) / np.var(y)),
        penalty=penalty,
        episodes=len(y),
    )


def _solved(
    x: Float64[ndarray, "episodes features"],
    length: Float64[ndarray, "episodes"],
    y: Float64[ndarray, "episodes"],
    config: CreditConfig,
) -> tuple[float, Float64[ndarray, "features"], float]:
    """The credit that every step gets, the weights of the features, and the penalty.

    The length takes the place of a regression's constant: an episode's sum over steps has none.
    """
    without = x - np.outer(length, length @ x) / (length @ length)
    spread, size = np.sqrt(np.mean(np.square(without), axis=0)), np.sqrt(np.mean(np.square(x), axis=0))
    spread = np.where(spread <= CONSTANT * size, np.inf, spread)
    low, high = np.log10(config.credit_penalty_min), np.log10(config.credit_penalty_max)
    penalties = np.logspace(low, high, round(high - low) + 1)
    found = ridge(x / spread, y, length, penalties)
    return found.of_base, found.weights / spread, found.penalty
