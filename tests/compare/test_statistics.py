"""The statistics of a comparison, against values worked out by hand."""

import numpy as np
import pytest

from gac.compare import statistics


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    # Of eight, in two sets, two at each end go.
    scores = [np.array([1.0, 100.0, 4, 3, 2]), np.array([6.0, 5, -90])]
    assert statistics.interquartile_mean(scores) == pytest.approx((2 + 3 + 4 + 5) / 4)
    # Of nine, two at each end too; of three, none.
    assert statistics.interquartile_mean([np.arange(9.0) ** 2]) == (4 + 9 + 16 + 25 + 36) / 5
    assert statistics.interquartile_mean([np.array([0.0, 1.0, 5.0])]) == 2.0


def test_a_profile_is_the_share_of_runs_above_a_score():
    scores, at = [np.array([10.0, 20]), np.array([20.0, 40])], np.array([0.0, 10, 19, 20, 50])
    assert statistics.performance_profile(scores, at).tolist() == [1.0, 0.75, 0.75, 0.25, 0.0]


def test_the_probability_of_improvement_counts_pairs_set_by_set():
    one = [np.array([1.0, 3.0]), np.array([5.0])]
    other = [np.array([1.0, 2.0]), np.array([9.0, 1.0, 5.0])]
    # First set: a draw, a loss, two wins of four. Second: a loss, a win, a draw of three.
    assert statistics.probability_of_improvement(one, other) == pytest.approx((2.5 / 4 + 1.5 / 3) / 2)
    back = statistics.probability_of_improvement(other, one)
    assert back == pytest.approx(1 - (2.5 / 4 + 1.5 / 3) / 2)


def test_several_samples_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    one, other = ([rng.integers(5, size=(7, n)).astype(float) for n in sizes] for sizes in ((3, 1), (2, 1)))
    each = [statistics.interquartile_mean([x[i] for x in one]) for i in range(7)]
    assert statistics.interquartile_mean(one) == pytest.approx(each)
    each = [
        statistics.probability_of_improvement([x[i] for x in one], [y[i] for y in other]) for i in range(7)
    ]
    assert statistics.probability_of_improvement(one, other) == pytest.approx(each)


def test_a_bootstrap_sample_draws_runs_within_their_set_and_episodes_within_their_run():
    sets = [[(1.0, 1.0), (3.0, 3.0)], [(10.0, 20.0)]]
    first, second = statistics.resampled(sets, 400, np.random.default_rng(0))
    assert first.shape == (400, 2)
    assert second.shape == (400, 1)
    assert set(first.ravel()) == {1.0, 3.0}  # Runs are never mixed with one another.
    assert np.mean(first[:, 0] == first[:, 1]) == pytest.approx(0.5, abs=0.08)
    assert set(second.ravel()) == {10.0, 15.0, 20.0}
    assert np.mean(second == 15.0) == pytest.approx(0.5, abs=0.08)


def mean(scores):
    return scores[0].mean(axis=-1)


def test_an_interval_has_the_quantiles_of_the_bootstrap():
    # The mean of two episodes, drawn anew, is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4.
    assert statistics.interval([[[(0.0, 1.0)]]], mean, level=0.95) == (0.0, 1.0)
    assert statistics.interval([[[(0.0, 1.0)]]], mean, level=0.3) == (0.5, 0.5)


def test_an_interval_shrinks_with_more_episodes():
    few, many = np.linspace(0, 1, 10), np.linspace(0, 1, 1000)
    for episodes in (few, many):
        low, high = statistics.interval([[[tuple(episodes.tolist())]]], mean)
        assert high - low == pytest.approx(2 * 1.96 * episodes.std() / np.sqrt(len(episodes)), rel=0.1)
