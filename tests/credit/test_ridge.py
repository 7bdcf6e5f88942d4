"""Credit on episodes whose rewards are known: what it finds, what it never sees, and its R²."""

import dataclasses

import numpy as np
import pytest
from summed import reward_of, summed

from gac.config import CreditConfig
from gac.credit.ridge import learn
from gac.data.regression import ridge
from gac.errors import UserError

CONFIG = CreditConfig(rewards="learned")


@pytest.mark.parametrize("lengths", [None, 30])
def test_rewards_that_were_never_shown_are_found(lengths):
    data = summed(lengths=lengths)
    credit = learn(data, CONFIG)
    assert credit.r2 > 0.999
    truth = reward_of(data.observations, data.actions)
    np.testing.assert_allclose(credit(data.observations, data.actions), truth, atol=0.02)


def test_rewards_play_no_part():
    shown = summed(shown=True)
    hidden = dataclasses.replace(shown, rewards=None)
    one, other = (learn(each, CONFIG) for each in (shown, hidden))
    np.testing.assert_array_equal(one.of_state, other.of_state)
    assert one.r2 == other.r2


def test_r2_is_of_returns_that_were_not_fitted():
    # Twelve weights fit 20 episodes of noise well: only held-out ones show that nothing was learned.
    for seed in range(8):
        data = summed(count=24, seed=seed, lengths=20)
        noise = np.random.default_rng(seed).normal(size=24).astype(np.float32)
        assert learn(dataclasses.replace(data, returns=noise), CONFIG).r2 < 0.4


def test_r2_is_the_share_that_is_no_noise():
    assert learn(summed(count=1500, noise=1.0), CONFIG).r2 == pytest.approx(0.5, abs=0.05)


def test_units_do_not_matter():
    data = summed()
    other = dataclasses.replace(
        data,
        observations=(data.observations * np.float32([1e-3, 1.0, 1e3]) + np.float32(2.0)).astype(np.float32),
        returns=1e4 * data.returns,
    )
    one, scaled = (learn(each, CONFIG) for each in (data, other))
    assert scaled.r2 == pytest.approx(one.r2, abs=1e-3)
    np.testing.assert_allclose(
        scaled(other.observations, other.actions),
        1e4 * one(data.observations, data.actions),
        atol=300,  # of 1e4: float32 rounds the states
    )


def test_a_column_that_never_varies_gets_no_weight():
    data = summed()
    states = data.observations.copy()
    states[:, 2] = 7.0
    credit = learn(dataclasses.replace(data, observations=states), CONFIG)
    assert credit.r2 > 0.999
    assert np.all(credit.of_state[:, 2] == 0.0)


def test_too_little_to_learn_from_is_none():
    assert learn(summed(count=CONFIG.credit_fewest - 1), CONFIG) is None
    data = summed()
    assert learn(dataclasses.replace(data, returns=np.full(len(data), 3, np.float32)), CONFIG) is None


def test_at_most_so_many_episodes_are_fitted():
    assert learn(summed(count=80), dataclasses.replace(CONFIG, credit_most=40)).episodes == 40


def test_ridge_solves_its_normal_equations():
    rng = np.random.default_rng(0)
    x, base = rng.normal(size=(30, 3)), rng.uniform(1.0, 2.0, 30)
    y = x @ [1.0, -2.0, 0.5] + 3.0 * base + 0.1 * rng.normal(size=30)
    found = ridge(x, y, base, [0.1])
    whole = np.concatenate([x, base[:, None]], axis=1)
    penalty = 30 * np.diag([0.1, 0.1, 0.1, 0.0])
    wanted = np.linalg.solve(whole.T @ whole + penalty, whole.T @ y)
    np.testing.assert_allclose([*found.weights, found.of_base], wanted, rtol=1e-10)


def test_leave_one_out_chooses_the_penalty():
    rng = np.random.default_rng(0)
    x, base, penalties = rng.normal(size=(25, 10)), np.ones(25), 10.0 ** np.arange(-4, 3)
    y = x[:, 0] + 2.0 * rng.normal(size=25)
    errors = []
    for penalty in penalties:
        missed = []
        for out in range(25):
            kept = np.arange(25) != out
            # The penalty is a share of the sample: 24 episodes have a smaller one than 25.
            fitted = ridge(x[kept], y[kept], base[kept], [penalty * 25 / 24])
            missed.append(y[out] - x[out] @ fitted.weights - fitted.of_base)
        errors.append(np.mean(np.square(missed)))
    assert ridge(x, y, base, penalties).penalty == pytest.approx(penalties[np.argmin(errors)])
    assert 0 < np.argmin(errors) < len(penalties) - 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rewards", "some"),
        ("credit_least_r2", 1.5),
        ("credit_penalty_min", 0.0),
        ("credit_penalty_max", float("inf")),
        ("credit_folds", 1),
        ("credit_fewest", 3),
    ],
)
def test_settings_that_cannot_work_are_refused(field, value):
    with pytest.raises(UserError, match=field):
        CreditConfig(**{field: value})
