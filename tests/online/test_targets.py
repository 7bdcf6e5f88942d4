"""The controller stays ahead of the data and within reach, whatever the scale of returns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gac.config import OnlineConfig
from gac.online.targets import Outcome, Targets, draw, floor, moved, reached, weighted_quantile

AUTO = Targets("auto", 0.8, 0.25, None)
UNIT = 50.0


def outcome(gap, count=40, spread=0.5, unit=UNIT, level=100.0):
    """Aims that are all missed by `gap` standard deviations (exceeded where it is negative)."""
    y_plus = np.full(count, level * unit)
    return Outcome(y_plus, y_plus - gap * unit, np.full(count, spread * unit))


def buffer(count=200, seed=0):
    rng = np.random.default_rng(seed)
    returns = rng.gamma(2.0, 50.0, count)
    share = rng.uniform(0.1, 1.0, count)
    return returns, share / share.sum()


def test_aims_that_are_reached_move_up_and_missed_ones_come_down():
    up, down = moved(AUTO, outcome(-0.1), UNIT), moved(AUTO, outcome(0.6), UNIT)
    assert up.delta_y > AUTO.delta_y > down.delta_y
    assert moved(up, outcome(-0.1), UNIT).delta_y > up.delta_y


def test_a_miss_within_the_critics_uncertainty_counts_as_reached():
    assert moved(AUTO, outcome(0.4, spread=0.5), UNIT).delta_y > AUTO.delta_y
    assert moved(AUTO, outcome(0.4, spread=0.3), UNIT).delta_y < AUTO.delta_y


def test_a_step_is_at_most_half_the_uncertainty_and_a_few_episodes_move_less():
    many, few = moved(AUTO, outcome(0.0, 1000), UNIT), moved(AUTO, outcome(0.0, 2), UNIT)
    assert many.delta_y - AUTO.delta_y == pytest.approx(0.25, rel=2e-3)
    assert 0.0 < few.delta_y - AUTO.delta_y < 0.2


def test_it_rests_where_half_of_the_aims_are_reached():
    y_plus = np.full(100, 1000.0)
    returns = y_plus + np.where(np.arange(100) % 2 == 0, 10.0, -200.0)
    assert moved(AUTO, Outcome(y_plus, returns, np.full(100, 30.0)), UNIT).delta_y == AUTO.delta_y


def test_it_does_not_jump_over_what_is_within_reach():
    """All that is achieved lies within a hair: aims come to rest one u above it, and stay."""
    rule, base, ceiling, spread, deltas = AUTO, 500.0, 550.0, 20.0, []
    for _ in range(12):
        y_plus = np.full(100, base + rule.delta_y * UNIT)
        returns = ceiling + np.linspace(-0.5, 0.5, 100)
        rule = moved(rule, Outcome(y_plus, returns, np.full(100, spread)), UNIT)
        deltas.append(rule.delta_y)
    assert deltas[0] - AUTO.delta_y == pytest.approx(0.2, rel=0.02)
    assert base + deltas[-1] * UNIT == pytest.approx(ceiling + spread, abs=1.0)
    assert max(deltas) * UNIT <= ceiling + spread - base + 1.0


def test_a_loop_with_a_ceiling_settles_one_uncertainty_above_what_is_achieved():
    """An agent that achieves what it aims at up to a ceiling, with noise: aims end near its reach."""
    rng, rule, base, ceiling, spread = np.random.default_rng(0), AUTO, 500.0, 650.0, 20.0
    for _ in range(60):
        y_plus = np.full(200, base + rule.delta_y * UNIT)
        returns = np.minimum(y_plus, ceiling) + rng.normal(0.0, 15.0, 200)
        rule = moved(rule, Outcome(y_plus, returns, np.full(200, spread)), UNIT)
    assert ceiling < base + rule.delta_y * UNIT < ceiling + 2.0 * spread


def test_it_never_falls_below_the_upper_quantile_of_the_data():
    rule = AUTO
    for _ in range(50):
        rule = moved(rule, outcome(3.0), UNIT)
    assert rule.delta_y == 0.0
    returns, share = buffer()
    y_plus = draw(rule, returns, share, UNIT, 500, np.random.default_rng(0))
    assert y_plus.min() >= np.quantile(returns, rule.quantile, method="lower")
    # Even where the newest episodes, which are learned from most, are the worst ones.
    share = np.where(returns < np.quantile(returns, 0.3), 1.0, 1e-6)
    y_plus = draw(rule, returns, share / share.sum(), UNIT, 500, np.random.default_rng(0))
    assert y_plus.min() >= np.quantile(returns, rule.quantile, method="lower")


@given(st.floats(1e-3, 1e4), st.floats(-1e4, 1e4), st.integers(0, 100))
@settings(max_examples=50)
def test_neither_scale_nor_offset_of_the_returns_matters(scale, offset, seed):
    rng = np.random.default_rng(seed)
    y_plus, returns, spread = rng.normal(size=30), rng.normal(-0.3, 1.0, 30), rng.uniform(0.1, 0.5, 30)
    plain = moved(AUTO, Outcome(y_plus, returns, spread), 1.0)
    other = Outcome(scale * y_plus + offset, scale * returns + offset, scale * spread)
    assert moved(AUTO, other, scale).delta_y == pytest.approx(plain.delta_y, rel=1e-6, abs=1e-6)
    data, share = buffer(seed=seed)
    drawn = draw(AUTO, data, share, 10.0, 20, np.random.default_rng(1))
    scaled = draw(AUTO, scale * data + offset, share, scale * 10.0, 20, np.random.default_rng(1))
    np.testing.assert_allclose(scaled, scale * drawn + offset, rtol=1e-6, atol=1e-6)


def test_aims_are_returns_of_the_upper_part_plus_delta_y():
    returns, share = buffer()
    y_plus = draw(AUTO, returns, share, UNIT, 400, np.random.default_rng(0))
    drawn = y_plus - AUTO.delta_y * UNIT
    assert np.isin(drawn.round(6), returns.round(6)).all()
    assert drawn.min() >= floor(AUTO, returns, share) >= np.quantile(returns, 0.8, method="lower")
    assert len(np.unique(drawn)) > 10


def test_fixed_keeps_the_papers_rule_and_y_star_its_one_aim():
    fixed = Targets("fixed", 0.6, 0.1, None)
    returns, share = buffer()
    assert floor(fixed, returns, share) == np.quantile(returns, 0.6, method="lower")
    assert moved(fixed, outcome(-1.0), UNIT) == fixed
    star = Targets.start(OnlineConfig(targets="y-star", y_star=3600.0))
    assert draw(star, returns, share, UNIT, 3, np.random.default_rng(0)).tolist() == [3600.0] * 3
    assert moved(star, outcome(5.0), UNIT) == star


def test_episodes_without_an_aim_say_nothing():
    unknown = np.full(5, np.nan)
    assert moved(AUTO, Outcome(unknown, np.ones(5), unknown), UNIT) == AUTO
    some = outcome(0.0)
    mixed = Outcome(
        *(np.concatenate([a, b]) for a, b in zip(some, (unknown, np.ones(5), unknown), strict=True))
    )
    assert moved(AUTO, mixed, UNIT) == moved(AUTO, some, UNIT)
    assert reached(Outcome(unknown, np.ones(5), unknown)) == 0.5


def test_the_weighted_quantile_is_the_plain_one_where_all_weigh_the_same():
    values = np.random.default_rng(0).normal(size=101)
    for q in (0.0, 0.25, 0.5, 0.8, 1.0):
        assert weighted_quantile(values, np.full(101, 1 / 101), q) == pytest.approx(
            np.quantile(values, q, method="inverted_cdf")
        )
    assert weighted_quantile(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.1, 0.8]), 0.5) == 3.0
