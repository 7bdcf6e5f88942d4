import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gac.data import Episodes
from gac.data.episode_facts import (
    BINS,
    Histogram,
    Spread,
    duplicates_of,
    ends_of,
    lengths_of,
    returns_of,
)


def walk(lengths, seed=0, **fields):
    """Episodes that each begin anew and take small steps; with final states."""
    rng = np.random.default_rng(seed)
    arrays = {
        "observations": [
            rng.normal(size=2) * 5 + 0.1 * rng.normal(size=(t + 1, 2)).cumsum(axis=0) for t in lengths
        ],
        "actions": [rng.normal(size=(t, 1)) for t in lengths],
        "returns": rng.normal(size=len(lengths)),
    }
    return Episodes.from_arrays(**arrays | fields)


def windows(count=20, steps=30, final=True, **fields):
    """One endless walk, cut into episodes."""
    rng = np.random.default_rng(1)
    states = 0.1 * rng.normal(size=(count * steps + 1, 2)).cumsum(axis=0)
    return Episodes.from_arrays(
        [states[i * steps : (i + 1) * steps + final] for i in range(count)],
        [rng.normal(size=(steps, 1)) for _ in range(count)],
        returns=rng.normal(size=count),
        **fields,
    )


def test_a_spread_is_that_of_numpy():
    spread = Spread.of(np.array([1.0, 2.0, 3.0, 10.0], np.float32))
    assert (spread.mean, spread.min, spread.max) == (4.0, 1.0, 10.0)
    assert spread.std == pytest.approx(np.std([1, 2, 3, 10]))
    assert spread.quantiles["0.5"] == 2.5
    assert not spread.constant
    assert Spread.of(np.full(5, 1e6, np.float32)).constant


@given(st.lists(st.integers(2, 2_000), min_size=1, max_size=50))
def test_a_histogram_of_lengths_counts_each_once_in_bins_of_whole_width(lengths):
    histogram = Histogram.of(np.array(lengths, np.int32), whole=True)
    assert sum(histogram.counts) == len(lengths)
    assert len(histogram.counts) <= BINS
    assert np.diff(histogram.edges) == pytest.approx(round(histogram.edges[1] - histogram.edges[0]))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_a_histogram_of_returns_counts_each_once(returns):
    assert sum(Histogram.of(np.array(returns, np.float32)).counts) == len(returns)


def test_lengths():
    lengths = lengths_of(walk([2, 9, 10, 11]))
    assert lengths.short_share == 0.5
    assert lengths.histogram.counts == (1, 0, 0, 0, 0, 0, 0, 1, 1, 1)


def test_returns():
    data = walk([5] * 4 + [8], returns=[0.0, 0.0, 0.0, 4.0, 10.0])
    returns = returns_of(data)
    assert (returns.zero_share, returns.most_common, returns.most_common_share) == (0.6, 0.0, 0.6)
    # The middle between median 0 and best 10 is 5.
    assert returns.near_best == 1
    assert returns.length_correlation == pytest.approx(np.corrcoef([0, 0, 0, 4, 10], [5, 5, 5, 5, 8])[0, 1])
    assert returns.normalized_mean is None


def test_a_correlation_with_what_never_varies_is_unknown():
    assert returns_of(walk([5, 5, 5])).length_correlation is None
    assert returns_of(walk([5, 6, 7], returns=[1.0, 1.0, 1.0])).length_correlation is None


def test_scores_are_normalised_where_there_is_a_reference():
    data = walk([5, 5], returns=[-20.272305, 3234.3], env_id="Hopper-v5")
    assert returns_of(data).normalized_mean == pytest.approx(50, abs=1e-4)


def test_ends():
    data = walk([10, 10, 4, 7], terminated=[True, False, False, True], truncated=[False, True, True, True])
    ends = ends_of(data)
    assert (ends.terminated, ends.truncated) == (0.5, 0.75)
    # Only the third was truncated alone and early; the fourth also terminated.
    assert ends.cut_short == 0.25
    assert not ends.one_length
    assert ends_of(walk([6, 6])).one_length
    assert not ends_of(walk([6])).one_length


@pytest.mark.parametrize("final", [True, False])
def test_windows_of_one_run_are_told_from_episodes(final):
    assert ends_of(windows(final=final)).continued > 0.85
    apart = walk([30] * 20)
    if not final:
        apart = Episodes.from_arrays(
            [each.observations for each in apart], [each.actions for each in apart], returns=apart.returns
        )
    assert ends_of(apart).continued == 0.0


def test_final_states_of_a_run_are_compared_exactly():
    assert ends_of(windows()).continued == 1.0


def test_where_nothing_moves_or_steps_go_anywhere_being_near_tells_nothing():
    still = Episodes.from_arrays([np.ones((5, 2))] * 3, [np.zeros((5, 1))] * 3, returns=[1.0, 2.0, 3.0])
    assert ends_of(still).continued is None
    rng = np.random.default_rng(0)
    noise = Episodes.from_arrays(
        list(rng.normal(size=(9, 20, 2))), list(rng.normal(size=(9, 20, 1))), returns=rng.normal(size=9)
    )
    assert ends_of(noise).continued is None
    assert ends_of(walk([5])).continued is None


def test_repeated_episodes_are_counted_beyond_the_first():
    data = walk([5, 6, 5])
    assert duplicates_of(data) == 0
    assert duplicates_of(data.select([0, 1, 0, 2, 0])) == 2


def test_an_episode_with_other_actions_is_no_repeat():
    same = [np.ones((3, 1))] * 2
    data = Episodes.from_arrays(same, [np.zeros((3, 1)), np.ones((3, 1))], returns=[0.0, 1.0])
    assert duplicates_of(data) == 0
