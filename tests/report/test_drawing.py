import numpy as np
import pytest

from gac.report.drawing import density


@pytest.mark.parametrize("sample", [[3.0], [3.0, 3.0], [0.0, 1.0, 5.0, 5.0, 5.0, 5.0]])
def test_density_peaks_at_one_near_the_sample(sample):
    grid = np.linspace(-10, 20, 3001)
    heights = density(sample, grid, floor=0.1)
    assert heights.max() == pytest.approx(1)
    assert abs(grid[heights.argmax()] - np.median(sample)) < 0.1


def test_density_of_a_large_normal_sample_is_normal():
    sample = np.random.default_rng(0).normal(size=100_000)
    grid = np.linspace(-3, 3, 61)
    np.testing.assert_allclose(density(sample.tolist(), grid, 1e-6), np.exp(-(grid**2) / 2), atol=0.03)
