"""Values that stand for 'not measured' are found by how they repeat; ordinary data has none."""

import warnings

import numpy as np
import pytest

from gac.data import Episodes, describe, findings
from gac.data.sentinels import far_repeats, sentinels_of, warn_of_far_values

RNG = np.random.default_rng(0)
MEASURED = {
    "small": 0.2 * RNG.normal(size=6000),
    "a hundred": RNG.uniform(0, 100, 6000),
    "temperatures to a tenth": np.round(20 + 4 * RNG.normal(size=6000), 1),
    "grades": RNG.integers(1, 11, 6000).astype(float),
    "flags": RNG.integers(0, 2, 6000).astype(float),
    "small units": 1e-9 * RNG.normal(size=6000),
    "skewed": np.exp(RNG.normal(size=6000)),
}


@pytest.mark.parametrize("measured", MEASURED)
@pytest.mark.parametrize("share", [0.001, 0.05, 0.4, 0.8])
@pytest.mark.parametrize("value", [-999.0, -9999.0, 1e6, 12345.0])
def test_a_far_value_that_repeats_is_found_however_often(measured, share, value):
    values = np.where(RNG.random(6000) < share, value, MEASURED[measured])
    assert far_repeats(values, "state") == [value]


@pytest.mark.parametrize("measured", MEASURED)
def test_several_do_not_hide_each_other(measured):
    values = MEASURED[measured].copy()
    values[::3], values[1::6] = -9999.0, 9999.0
    assert sorted(far_repeats(values, "state")) == [-9999.0, 9999.0]


PADDED = np.where(np.arange(6000) % 3, 50 + RNG.normal(size=6000), 0.0)
ORDINARY = {
    **{name: ("state", values) for name, values in MEASURED.items()},
    "a constant": ("state", np.full(6000, 3.0)),
    "two values": ("state", np.where(RNG.random(6000) < 0.02, 1000.0, 1.0)),
    "clipped": ("state", np.clip(RNG.normal(size=6000), -1, 1)),
    "clipped heavy tails": ("state", np.clip(RNG.standard_cauchy(6000), -100, 100)),
    "heavy tails": ("state", RNG.standard_cauchy(6000)),
    "rare and large": (
        "state",
        np.where(RNG.random(6000) < 0.01, RNG.exponential(1e3, 6000), RNG.random(6000)),
    ),
    "actions at bounds": ("action", np.clip(2 * RNG.normal(size=6000), -1, 1)),
    "seldom at bounds": ("action", np.where(RNG.random(6000) < 0.02, 1.0, 0.02 * RNG.normal(size=6000))),
    "sparse reward": ("reward", (RNG.random(6000) < 0.01).astype(float)),
    "a cost and a goal": ("reward", np.where(RNG.random(6000) < 0.01, 100.0, -1.0)),
    "success or not": ("return", (RNG.random(300) < 0.05).astype(float)),
    "scores": ("return", np.round(RNG.normal(50, 5, 300))),
}


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("unit", [1.0, 2.0**-30, 2.0**30])
def test_ordinary_values_are_none(name, unit):
    kind, values = ORDINARY[name]
    assert far_repeats(values * unit, kind) == []


def episodes(count=100, steps=20, **spoilt):
    rng = np.random.default_rng(1)
    arrays = {
        "observations": rng.normal(size=(count, steps, 2)),
        "actions": rng.uniform(-1, 1, size=(count, steps, 1)),
        "rewards": rng.normal(size=(count, steps)),
    }
    for name, change in spoilt.items():
        change(arrays[name])
    return Episodes.from_arrays(**{name: list(values) for name, values in arrays.items()})


def put(value, *place):
    return lambda array: array.__setitem__(place, value)


def test_kind_column_count_and_share_are_told():
    found = sentinels_of(
        episodes(
            observations=put(-999.0, slice(None, None, 5), 3, 1),
            actions=put(1e6, slice(10), 0),
            rewards=put(-9999.0, slice(25), 7),
        )
    )
    assert [(each.kind, each.index, each.value, each.count) for each in found] == [
        ("state", 1, -999.0, 20),
        ("action", 0, 1e6, 10),
        ("reward", None, -9999.0, 25),
    ]
    assert found[0].share == pytest.approx(0.01)


def test_a_bonus_at_the_end_and_padding_with_0_are_none():
    ended = episodes(rewards=put(1000.0, slice(40), -1))
    assert [each.kind for each in sentinels_of(ended)] == []
    states = np.stack([PADDED[:2000], PADDED[:2000]], axis=1).reshape(100, 20, 2)
    assert sentinels_of(episodes(observations=lambda x: x.__setitem__(..., states))) == ()


def test_the_finding_and_the_warning_name_them():
    data = episodes(observations=put(-999.0, slice(None, None, 5), 3, 1))
    (found,) = [each for each in findings(describe(data)) if "-999" in each.what]
    assert found.severity == "warning"
    assert found.what == "Far from all else there lie -999 in state dimension 1 (20 times, 1.0%)."
    with pytest.warns(UserWarning, match=r"-999 in state dimension 1 \(20 times, 1.0%\), far from"):
        warn_of_far_values(data)


@pytest.mark.parametrize("outlier", [1e6, -1e6])
@pytest.mark.parametrize("unit", [1.0, 1e-9])
def test_one_return_far_from_all_others_is_named(outlier, unit):
    returns = unit * np.random.default_rng(0).normal(size=100)
    states = [np.eye(2)] * 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_far_values(Episodes.from_arrays(states, states, returns=returns))
        warn_of_far_values(Episodes.from_arrays(states, states, returns=np.full(100, 0.1 * unit)))
    returns[17] = outlier * unit
    with pytest.warns(UserWarning, match="episode 17 has the return"):
        warn_of_far_values(Episodes.from_arrays(states, states, returns=returns))


def test_scores_of_failed_episodes_are_named():
    scores = np.random.default_rng(0).normal(50, 5, 300)
    scores[::20] = -999999.0
    states = [np.eye(2)] * 300
    with pytest.warns(UserWarning, match=r"-999999 in the returns \(15 times, 5.0%\)"):
        warn_of_far_values(Episodes.from_arrays(states, states, returns=scores))
