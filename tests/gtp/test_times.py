"""Noise levels: grids by their definition, draws by their distribution."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gac.gtp.config import GTPConfig
from gac.gtp.times import draw_times, index_of, karras, levels, sampling_times

CONFIG = GTPConfig()


def test_the_grid_doubles_from_the_first_to_the_last_number_of_times():
    found = [int(levels(jnp.int32(2000 * i), CONFIG)) for i in range(10)]
    assert found == [10, 20, 40, 80, 160, 320, 640, 1280, 1280, 1280]
    assert int(levels(jnp.int32(1999), CONFIG)) == 10
    assert int(levels(jnp.int32(10**9), dataclasses.replace(CONFIG, levels_last=100))) == 100


def test_karras_grid():
    grid = np.asarray(karras(jnp.arange(19), jnp.int32(18), CONFIG))
    assert grid[0] == 0.0
    np.testing.assert_allclose(grid[[1, 18]], [CONFIG.sigma_min, CONFIG.sigma_max], rtol=1e-4)
    np.testing.assert_allclose(np.diff(grid[1:] ** (1 / 7)), np.diff(grid[1:] ** (1 / 7))[0], rtol=1e-3)
    even = dataclasses.replace(CONFIG, rho=1.0)
    np.testing.assert_allclose(
        np.diff(np.asarray(karras(jnp.arange(1, 6), jnp.int32(5), even))), 19.9995, rtol=1e-4
    )


def test_every_time_of_the_grid_finds_its_index():
    index = jnp.arange(1, 41)
    grid = karras(index, jnp.int32(40), CONFIG)
    np.testing.assert_array_equal(index_of(grid * 1.001, jnp.int32(40), CONFIG), index)


@pytest.mark.parametrize("intermediate", ["composition", "score", "solver"])
@pytest.mark.parametrize("update", [0, 6000])
def test_draws_lie_on_the_grid_in_order(intermediate, update):
    config = dataclasses.replace(CONFIG, intermediate=intermediate)
    count = levels(jnp.int32(update), config)
    grid = np.asarray(karras(jnp.arange(int(count) + 1), count, config))
    drawn = draw_times(jax.random.key(0), 4000, jnp.int32(update), config)
    t, u, tau = (np.searchsorted(grid, np.asarray(each)[:, 0] * 0.9999) for each in drawn)
    for index, values in zip((t, u, tau), drawn, strict=True):
        np.testing.assert_allclose(grid[index], values[:, 0], rtol=1e-3)
    assert (t > u).all()
    assert (u > tau).all()
    assert tau.min() == 0
    assert (u == t - 1).all() == (intermediate == "score")


def test_t_has_the_share_of_a_lognormal_that_its_bin_holds():
    drawn = draw_times(jax.random.key(0), 200_000, jnp.int32(0), CONFIG)
    grid = np.asarray(karras(jnp.arange(11), jnp.int32(10), CONFIG))
    below = np.array([0.5 + 0.5 * math.erf((math.log(x) + 1.1) / (2.0 * 2**0.5)) for x in grid[1:]])
    wanted = np.diff(below) / (below[-1] - below[0])
    found = [np.isclose(np.asarray(drawn.t), upper, rtol=1e-3).mean() for upper in grid[2:]]
    np.testing.assert_allclose(found, wanted, atol=0.005)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_sampling_begins_at_the_largest_noise_and_ends_without(steps):
    times = sampling_times(steps, CONFIG)
    assert len(times) == steps + 1
    assert times[-1] == 0.0
    np.testing.assert_allclose(times[0], CONFIG.sigma_max, rtol=1e-5)
    assert (np.diff(times) < 0.0).all()
