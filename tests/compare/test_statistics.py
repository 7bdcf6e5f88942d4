"""The statistics of a comparison, against values worked out by hand."""

import numpy as np
import pytest

from gac.compare import statistics


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    # Of eight, two at each end go: (3 + 4 + 5 + 6) / 4.
    assert statistics.interquartile_mean(np.array([1.0, 100.0, 4, 3, 2, 6, 5, -90])) == pytest.approx(
        (2 + 3 + 4 + 5) / 4
    )
    # Of nine, two at each end too.
    assert statistics.interquartile_mean(np.arange(9.0)) == 4.0
    # Of three, none.
    assert statistics.interquartile_mean(np.array([0.0, 1.0, 5.0])) == 2.0


def test_a_profile_is_the_share_of_runs_above_a_score():
    shares = statistics.performance_profile(np.array([10.0, 20, 20, 40]), np.array([0.0, 10, 19, 20, 50]))
    assert shares.tolist() == [1.0, 0.75, 0.75, 0.25, 0.0]


def test_the_probability_of_improvement_counts_pairs_set_by_set():
    one = [np.array([1.0, 3.0]), np.array([5.0])]
    other = [np.array([1.0, 2.0]), np.array([9.0, 1.0, 5.0])]
    # First set: a draw, a loss, two wins of four. Second: a loss, a win, a draw of three.
    assert statistics.probability_of_improvement(one, other) == pytest.approx((2.5 / 4 + 1.5 / 3) / 2)
    back = statistics.probability_of_improvement(other, one)
    assert back == pytest.approx(1 - (2.5 / 4 + 1.5 / 3) / 2)


def test_a_bootstrap_sample_draws_runs_within_their_set_and_episodes_within_their_run():
    rng = np.random.default_rng(0)
    sets = [[(1.0, 1.0), (3.0, 3.0)], [(10.0, 20.0)]]
    samples = [statistics.resampled(sets, rng) for _ in range(400)]
    firsts = np.array([sample[0] for sample in samples])
    seconds = np.array([sample[1] for sample in samples])
    assert firsts.shape == (400, 2)
    assert seconds.shape == (400, 1)
    assert set(firsts.ravel()) == {1.0, 3.0}  # Runs are never mixed with one another.
    assert set(seconds.ravel()) == {10.0, 15.0, 20.0}
    assert np.mean(seconds == 15.0) == pytest.approx(0.5, abs=0.08)


def test_an_interval_has_the_quantiles_of_the_bootstrap():
    # The mean of two episodes, drawn anew, is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4.
    mean = lambda scores: float(np.mean(scores[0]))  # noqa: E731
    low, high = statistics.interval([[[(0.0, 1.0)]]], mean, level=0.95)
    assert (low, high) == (0.0, 1.0)
    low, high = statistics.interval([[[(0.0, 1.0)]]], mean, level=0.3)
    assert (low, high) == (0.5, 0.5)


def test_an_interval_shrinks_with_more_episodes():
    few, many = np.linspace(0, 1, 10), np.linspace(0, 1, 1000)
    mean = lambda scores: float(np.mean(scores[0]))  # noqa: E731
    widths = []
    for episodes in (few, many):
        low, high = statistics.interval([[[tuple(episodes.tolist())]]], mean, resamples=400)
        widths.append(high - low)
    # 2 * 1.96 * std / sqrt(n), the standard deviation being about 0.3.
    assert widths[0] == pytest.approx(2 * 1.96 * few.std() / np.sqrt(10), rel=0.15)
    assert widths[1] == pytest.approx(2 * 1.96 * many.std() / np.sqrt(1000), rel=0.15)
