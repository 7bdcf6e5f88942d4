"""Noise levels: the grid of training, which is refined over time, draws from it, and the grid of sampling."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy import ndarray

from gac.gtp.config import GTPConfig


class Drawn(NamedTuple):
    """Times t > u > tau >= 0 of each row."""

    t: Float[Array, "batch 1"]
    u: Float[Array, "batch 1"]
    tau: Float[Array, "batch 1"]


def levels(update: Int[Array, ""], config: GTPConfig) -> Int[Array, ""]:
    """Times N of the grid at an update: levels_first, doubled every refine_every updates up to levels_last.

    Source: Y. Song, P. Dhariwal (improved consistency training), arXiv 2310.14189.
    """
    most = int(np.ceil(np.log2(config.levels_last / config.levels_first)))
    doublings = jnp.minimum(update // config.refine_every, most)
    return jnp.minimum(config.levels_first * 2**doublings, config.levels_last)


def karras(index: Int[Array, "*any"], count: Int[Array, ""], config: GTPConfig) -> Float[Array, "*any"]:
    r"""The grid: 0 at index 0, and $(\sigma_{min}^{1/\rho} + \frac{i-1}{N-1} (T^{1/\rho} -
    \sigma_{min}^{1/\rho}))^\rho$ at i = 1 … N.

    Source: T. Karras et al., arXiv 2206.00364, Eq. (5), with the order turned round.
    """
    low, high = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    share = (index - 1).astype(jnp.float32) / (count - 1).astype(jnp.float32)
    return jnp.where(index == 0, 0.0, (low + jnp.maximum(share, 0.0) * (high - low)) ** config.rho)


def index_of(t: Float[Array, "*any"], count: Int[Array, ""], config: GTPConfig) -> Int[Array, "*any"]:
    """The largest index of the grid whose time is at most t, for t within sigma_min and sigma_max."""
    low, high = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    share = (t ** (1 / config.rho) - low) / (high - low)
    place = jnp.floor(share * (count - 1).astype(jnp.float32)).astype(jnp.int32)
    return 1 + jnp.clip(place, 0, count - 1)


def draw_times(key: PRNGKeyArray, batch: int, update: Int[Array, ""], config: GTPConfig) -> Drawn:
    """Times of a minibatch, on the grid of this update.

    t is the upper end of the bin that a lognormal, cut off at sigma_min and sigma_max, falls into; tau is
    uniform over the times at least two below it, 0 included. u is uniform over the times between. Under the
    score approximation, which shrinks samples unless u is close to t, it is the time next below t.
    """
    t_key, tau_key, u_key = jax.random.split(key, 3)
    count, shape = levels(update, config), (batch, 1)
    ends = jnp.log(jnp.array([config.sigma_min, config.sigma_max]))
    low, high = (ends - config.times_mean) / config.times_std
    normal = jax.random.truncated_normal(t_key, low, high, shape)
    drawn = jnp.exp(config.times_mean + config.times_std * normal)
    top = 1 + jnp.minimum(index_of(drawn, count, config), count - 1)
    bottom = jax.random.randint(tau_key, shape, 0, top - 1)
    between = jax.random.randint(u_key, shape, bottom + 1, top)
    middle = top - 1 if config.intermediate == "score" else between
    return Drawn(*(karras(index, count, config) for index in (top, middle, bottom)))


def sampling_times(steps: int, config: GTPConfig) -> Float[ndarray, "times"]:
    """T = t_0 > … > t_K = 0 of Eq. (15): Karras' grid of K + 1 times with the last one moved to 0."""
    low, high = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    times = (high + np.arange(steps + 1) / steps * (low - high)) ** config.rho
    times[-1] = 0.0
    rounded: ndarray = times.astype(np.float32)
    return rounded
