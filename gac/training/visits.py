"""Which episodes an update visits, and how much it learns from each."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy import ndarray

from gac.config import Config

GOLDEN = 0.618
"""Multiples of about this share of a cycle spread evenly over it, however many are taken."""


class Visits(NamedTuple):
    """The episodes that may be drawn, and how often each is."""

    index: Int[Array, "train"]  # type: ignore[assignment]  # hides tuple.index
    rate: Float[Array, "train"]
    """Probability that an update visits the episode; they sum to the batch size."""
    emphasis: Float[Array, "train"] | None = None
    """N times the share of each episode in what is learned; None where all have the same."""


class Visit(NamedTuple):
    """The episodes of one update."""

    index: Int[Array, "batch"]  # type: ignore[assignment]  # hides tuple.index
    weight: Float[Array, "batch"]
    r"""$B w_i / \rho_i$, with shares $w_i = 1/N$ unless others are given: the mean of weight times x over the
    batch is an unbiased estimate of $\sum_i w_i x_i$. They undo the rates and leave the shares."""


def visit_rates(wanted: Float[ndarray, "train"], batch_size: int) -> Float[ndarray, "train"]:
    r"""Probability $\rho_i$ that an update visits episode i, $\sum_i \rho_i$ = batch size.

    Windows are drawn from the visited episodes, a fixed number each. At equal rates those of an episode
    stand for T steps, a thousand in one and twenty in another: a few long episodes then make the noise
    of theta's gradient, and their posteriors, which have most to learn, are visited as rarely as the rest.
    With $\rho_i = \min(1, c\,w_i T_i)$ every window stands for about as many steps.

    Args:
        wanted: what the rates are proportional to, up to 1.
        batch_size: episodes per update, at most the number of episodes.
    """
    always = np.zeros(len(wanted), bool)
    while True:
        rest = wanted[~always].sum()
        rate = (
            np.where(always, 1.0, wanted * (batch_size - always.sum()) / rest)
            if rest
            else np.ones(len(wanted))
        )
        if (over := ~always & (rate > 1.0)).any():
            always |= over
            continue
        return rate.astype(np.float32)


def make_visits(
    train_index: Int[ndarray, "train"],
    lengths: Int[ndarray, "train"],
    config: Config,
    share: Float[ndarray, "train"] | None = None,
) -> Visits:
    """The rates of a run's training episodes.

    Args:
        train_index: their places in the data.
        lengths: steps T of each.
        share: w of each, summing to 1 (`gac.online.buffer.shares`); all the same unless given.
    """
    batch_size = min(config.training.batch_size, len(train_index))
    emphasis = np.ones(len(train_index)) if share is None else len(share) * np.asarray(share, np.float64)
    wanted = emphasis * lengths if config.added.visit_by_length else emphasis
    rates = visit_rates(wanted, batch_size)
    return Visits(
        jnp.asarray(train_index),
        jnp.asarray(rates),
        None if share is None else jnp.asarray(emphasis, jnp.float32),
    )


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
    weight = batch_size / (count * visits.rate[drawn])
    if visits.emphasis is not None:
        weight = weight * visits.emphasis[drawn]
    return Visit(visits.index[drawn], weight)


def stride(length: int) -> int:
    """A step that meets every place of a cycle once, near places far apart in time."""
    return next(k for k in range(max(1, round(GOLDEN * length)), length + 1) if math.gcd(k, length) == 1)
