"""Times of repeated calls: how many are made, and what is told of them."""

import time

import pytest

from gac.bench.timing import Effort, Spread, call_times, rates


def test_a_spread_is_least_middle_greatest():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(1.0, 2.0, 3.0)
    assert Spread.of([3.0, 1.0, 2.0]).times(2.0) == Spread(2.0, 4.0, 6.0)


def test_the_shortest_time_is_the_greatest_rate():
    assert rates(10.0, [1.0, 2.0, 5.0]) == Spread(2.0, 5.0, 10.0)


def test_the_first_call_which_compiles_is_not_counted():
    calls = []

    def compiles_first():
        time.sleep(0.2 if not calls else 0.0)
        calls.append(1)

    taken = call_times(compiles_first, Effort(repeats=4))
    assert (len(taken), len(calls)) == (4, 5)
    assert max(taken) < 0.15


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 2), (100.0, 6)])
def test_slow_calls_are_repeated_less_but_twice(seconds, calls):
    taken = call_times(lambda: time.sleep(0.01), Effort(repeats=6, seconds=seconds))
    assert len(taken) == calls
    assert min(taken) >= 0.01
