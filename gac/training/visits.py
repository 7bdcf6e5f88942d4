"""Which episodes an update visits, and how much it learns from each: the long and the good first."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy import ndarray

from gac.config import TrainingConfig

GOLDEN = 0.618
"""Multiples of about this share of a cycle spread evenly over it, however many are taken."""
MOST_TILTED = 4.0
"""Standard deviations above the mean from which returns count alike: one lucky episode must not be all."""


class Visits(NamedTuple):
    """The episodes that may be drawn, and how often each is."""

    index: Int[Array, "train"]  # type: ignore[assignment]  # hides tuple.index
    rate: Float[Array, "train"]
    """Probability that an update visits the episode; they sum to the batch size."""
    tilt: Float[Array, "train"]
    """Weight of the episode in the generator's likelihood."""


class Visit(NamedTuple):
    """The episodes of one update."""

    index: Int[Array, "batch"]  # type: ignore[assignment]  # hides tuple.index
    weight: Float[Array, "batch"]
    r"""$B / (N \rho_i)$, which undoes the rates: the mean of weight times x over the batch is an unbiased
    estimate of the mean of x over all episodes."""
    tilt: Float[Array, "batch"]
    """`Visits.tilt` of each."""


def return_tilt(
    y: Float[ndarray, "train"], lengths: Int[ndarray, "train"], beta: float
) -> Float[ndarray, "train"]:
    r"""Weights $w_i \propto e^{\beta y_i}$ of the generator's likelihood, 1 on average over all steps.

    One generator imitates every behaviour in the data, and most of it is bad. What it spends on the bad
    ones, a policy lacks that acts under the plan of a good one: closed loops forgive little. The prior and
    the critic, which say how likely and how good a plan is, go on learning from all alike.

    Args:
        y: returns, standardised; what exceeds MOST_TILTED counts as that.
        lengths: steps T of each episode.
        beta: 0 for all alike.

    Source: the weights of reward-weighted regression, J. Peters and S. Schaal, ICML 2007.
    """
    tilt = np.exp(beta * np.minimum(y, MOST_TILTED).astype(np.float64))
    return np.asarray(tilt * lengths.sum() / (tilt @ lengths), np.float32)


def visit_rates(
    lengths: Int[ndarray, "train"] | Float[ndarray, "train"], batch_size: int, by_length: bool
) -> Float[ndarray, "train"]:
    r"""Probability $\rho_i$ that an update visits episode i, $\sum_i \rho_i$ = batch size.

    Windows are drawn from the visited episodes, a fixed number each. At equal rates those of an episode
    stand for T steps, a thousand in one and twenty in another: a few long episodes then make the noise
    of theta's gradient, and their posteriors, which have most to learn, are visited as rarely as the rest.
    With $\rho_i = \min(1, c\,T_i)$ every window stands for about as many steps.

    Args:
        lengths: steps T of each episode; tilted, times $w_i$.
        batch_size: episodes per update, at most the number of episodes.
        by_length: False for equal rates.
    """
    wanted = lengths.astype(np.float64) if by_length else np.ones(len(lengths))
    always = np.zeros(len(lengths), bool)
    while True:
        rest = wanted[~always].sum()
        rate = (
            np.where(always, 1.0, wanted * (batch_size - always.sum()) / rest)
            if rest
            else np.ones(len(lengths))
        )
        if (over := ~always & (rate > 1.0)).any():
            always |= over
            continue
        return rate.astype(np.float32)


def make_visits(
    train_index: Int[ndarray, "train"],
    lengths: Int[ndarray, "train"],
    y: Float[ndarray, "train"],
    config: TrainingConfig,
) -> Visits:
    """The rates and tilts of a run's training episodes, from their lengths and standardised returns."""
    batch_size = min(config.batch_size, len(train_index))
    tilt = return_tilt(y, lengths, config.return_tilt)
    rates = visit_rates(lengths * tilt, batch_size, config.visit_by_length)
    return Visits(jnp.asarray(train_index), jnp.asarray(rates), jnp.asarray(tilt))


def visited(visits: Visits, batch_size: int, update: Int[Array, ""], key: PRNGKeyArray) -> Visit:
    r"""Episodes of an update, by systematic sampling; a function of the update's number.

    The rates lie end to end in the order of the epoch, which is shuffled anew every N / B updates; the
    batch lies at the points phase, phase + 1, …, so that no episode is drawn twice. Within an epoch the
    phases are evenly spaced, so that it visits each episode as often as its rate says, up to rounding.
    """
    count = visits.index.shape[0]
    per_epoch = count // batch_size
    epoch, place = update // per_epoch, update % per_epoch
    order_key, phase_key = jax.random.split(jax.random.fold_in(key, epoch))
    order = jax.random.permutation(order_key, count)
    rate = visits.rate[order]
    ends = jnp.cumsum(rate)
    offset = (place * stride(per_epoch)) % per_epoch
    phase = (offset.astype(jnp.float32) + jax.random.uniform(phase_key)) / per_epoch
    # The sum of the rates is the batch size up to rounding.
    points = (jnp.arange(batch_size, dtype=jnp.float32) + phase) * (ends[-1] / batch_size)
    drawn = order[jnp.minimum(jnp.searchsorted(ends, points, side="right"), count - 1)]
    return Visit(visits.index[drawn], batch_size / (count * visits.rate[drawn]), visits.tilt[drawn])


def stride(length: int) -> int:
    """A step that meets every place of a cycle once, near places far apart in time."""
    return next(k for k in range(max(1, round(GOLDEN * length)), length + 1) if math.gcd(k, length) == 1)
