"""What a method learns from: given rewards, learned ones that sum to the returns, or none; and the record."""

import dataclasses

import numpy as np
import pytest
from summed import reward_of, summed

from gac.config import CreditConfig
from gac.credit.record import correlation, read_credit, write_credit
from gac.credit.rewards import rewarded
from gac.data import make
from gac.data.blocks import sums_of_runs
from gac.errors import UserError

LEARNED = CreditConfig(rewards="learned")


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_learned_rewards_sum_to_the_return(noise):
    data = summed(count=200, noise=noise)
    learned, record = rewarded(data, LEARNED)
    sums = sums_of_runs(learned.rewards, data.lengths, np.asarray)
    np.testing.assert_allclose(sums, data.returns, rtol=1e-5, atol=1e-4)
    assert record.r2 == pytest.approx(1.0 / (1.0 + noise**2), abs=0.1)
    # What credit leaves is spread evenly: within an episode the order of steps is that of the credit.
    truth = reward_of(data.observations, data.actions)
    assert correlation(learned.rewards, truth, data) > 0.9


def test_given_rewards_are_as_they_were_and_none_are_none():
    data = summed(shown=True)
    given, told = rewarded(data, CreditConfig())
    assert given is data
    assert told is None
    assert rewarded(data, CreditConfig(rewards="none"))[0].rewards is None


@pytest.mark.parametrize("kind", ["hidden", "noise", "equal", "few"])
def test_what_is_no_sum_over_steps_is_refused_in_one_line(kind):
    data = summed(shown=False)
    if kind == "hidden":
        data = make("lottery:kind=hidden,episodes=300")
    elif kind == "noise":
        y = np.random.default_rng(0).normal(size=len(data)).astype(np.float32)
        data = dataclasses.replace(data, returns=y)
    elif kind == "equal":
        data = dataclasses.replace(data, returns=np.ones(len(data), np.float32))
    else:
        data = data.select(slice(5))
    words = {"equal": "all equal", "few": "5 episodes"}.get(kind, "explains .*%.* of the variance")
    with pytest.raises(UserError, match=words) as refused:
        rewarded(data, LEARNED)
    assert "\n" not in str(refused.value)


def test_the_record_tells_of_the_best_episode_beside_the_truth(tmp_path):
    data = summed(shown=True)
    learned, record = rewarded(data, LEARNED)
    best = int(np.argmax(data.returns))
    assert record.example == best
    np.testing.assert_allclose(record.credit, learned[best].rewards, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(record.rewards, data[best].rewards, rtol=1e-4)
    assert record.correlation > 0.99
    assert len(record.state) == len(record.state_squared) == 3
    assert len(record.action) == len(record.action_squared) == 2
    assert "R² of held-out returns 1.000" in record.words()
    write_credit(tmp_path, record)
    assert read_credit(tmp_path / "credit.json") == record


def test_a_record_of_returns_alone_has_no_truth():
    record = rewarded(summed(), LEARNED)[1]
    assert record.rewards == ()
    assert record.correlation is None
    assert "true" not in record.words()


def test_correlation_is_within_episodes_and_of_sums():
    data = summed(count=30, lengths=40)
    rng = np.random.default_rng(0)
    truth = rng.normal(size=data.num_steps)
    # A constant of each episode and noise that every second step takes back.
    flip = np.tile([1.0, -1.0], data.num_steps // 2) * np.repeat(rng.normal(0, 5, data.num_steps // 2), 2)
    credit = truth + flip + np.repeat(rng.normal(0, 9, 30), 40)
    assert correlation(credit, truth, data) < 0.5
    assert correlation(credit, truth, data, span=2) == pytest.approx(1.0)
    assert correlation(np.zeros(data.num_steps), truth, data) is None
