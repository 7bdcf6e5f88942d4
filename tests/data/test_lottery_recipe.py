import math

import gymnasium
import numpy as np
import pytest

import gac
from gac.data import load_data, make
from gac.data.lottery_recipe import DEAD_ZONE
from gac.envs.lottery import KINDS
from gac.errors import UserError

FIELDS = ("observations", "actions", "rewards", "returns", "final_observations")


def states_of(data):
    """(episodes, T + 1, 3)."""
    return np.stack([np.vstack([each.observations, each.final_observation]) for each in data])


def bought(data):
    return data.actions[data.starts, 0] > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("p", "win"), [(0.05, 10.0), (0.5, 3.0)])
def test_buying_earns_p_times_win_and_not_buying_one(kind, p, win):
    data = make(f"lottery:kind={kind},p={p},win={win},episodes=2000,steps=2")
    buys, y = bought(data), data.returns
    assert buys.sum() == 1000
    np.testing.assert_allclose(y[~buys], 1.0, rtol=1e-6)
    assert set(np.round(y[buys], 4).tolist()) == {0.0, win}
    # Five standard errors of the mean of 1,000 draws.
    assert y[buys].mean() == pytest.approx(p * win, abs=5 * win * math.sqrt(p * (1 - p) / 1000))


def test_winners_and_losers_see_the_same_where_the_draw_is_hidden():
    data = make("lottery:kind=hidden,p=0.5")
    states, buys, won = states_of(data), bought(data), data.returns > 5
    assert 0 < (buys & won).sum() < buys.sum()
    assert (states[buys] == states[buys][0]).all()
    assert (states[~buys] == states[~buys][0]).all()
    assert (data.rewards.reshape(-1, 4)[:, :-1] == 0).all()


def test_winners_and_losers_differ_from_the_second_state_on_where_it_is_seen():
    data = make("lottery:kind=seen,p=0.5")
    states, buys, won = states_of(data), bought(data), data.returns > 5
    assert (states[:, 0] == states[0, 0]).all()
    assert (states[buys & won, 1:, 2] == 1).all()
    assert (states[buys & ~won, 1:, 2] == -1).all()
    assert (states[~buys, :, 2] == 0).all()


def test_rewards_add_up_in_the_states_where_they_are_spread():
    data = make("lottery:kind=spread,p=0.5,steps=5")
    rewards = data.rewards.reshape(-1, 5)
    assert np.ptp(rewards, axis=1).max() == 0
    np.testing.assert_allclose(states_of(data)[:, 1:, 2], rewards.cumsum(axis=1), rtol=1e-5)


def test_the_first_action_decides_clearly_and_the_others_are_noise():
    data = make("lottery:episodes=2001,steps=3")
    actions = data.actions.reshape(-1, 3)
    assert bought(data).sum() == 1000
    assert np.abs(actions[:, 0]).min() >= DEAD_ZONE
    assert np.abs(actions).max() <= 1
    later = actions[:, 1:].ravel()
    # Uniform: variance 1/3, whose standard error is 0.005 here; no relation to the decision.
    assert later.var() == pytest.approx(1 / 3, abs=0.025)
    assert abs(np.corrcoef(bought(data), actions[:, 1])[0, 1]) < 5 / math.sqrt(2001)


@pytest.mark.parametrize("kind", KINDS)
def test_the_draw_follows_neither_the_size_of_the_first_action_nor_the_episode_before(kind):
    data = make(f"lottery:kind={kind},p=0.5,episodes=2000,steps=2")
    buys = bought(data)
    won, size = data.returns[buys] > 5, np.abs(data.actions[data.starts, 0][buys])
    assert abs(np.corrcoef(won, size)[0, 1]) < 5 / math.sqrt(1000)
    assert abs(np.corrcoef(won[1:], won[:-1])[0, 1]) < 5 / math.sqrt(1000)


def test_a_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (make("lottery:episodes=50", seed) for seed in (0, 0, 1))
    for field in FIELDS:
        assert getattr(first, field).tobytes() == getattr(again, field).tobytes()
    assert first.actions.tobytes() != other.actions.tobytes()
    assert (make("lottery:p=1").returns >= 1).all()


def test_the_data_names_an_environment_with_its_own_parameters():
    data = load_data("lottery:kind=spread,p=0.25,win=2.5,steps=7,episodes=4")
    assert data.env_id == "gac/Lottery-spread-p0.25-win2.5-steps7-v0"
    assert (len(data), data.num_steps) == (4, 28)
    again = load_data("lottery:kind=spread,p=0.25,win=2.5,steps=7,episodes=4")
    assert (again.env_id, again.name) == (
        data.env_id,
        "lottery:kind=spread,p=0.25,win=2.5,steps=7,episodes=4",
    )
    env = gymnasium.make(data.env_id).unwrapped
    assert (env.kind, env.p, env.win, env.steps) == ("spread", 0.25, 2.5, 7)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("kind=open", "kind is 'open', expected seen, hidden or spread"),
        ("p=0", "p is '0', expected a number above 0, at most 1"),
        ("p=1.01", "p is '1.01', expected"),
        ("win=-1", "win is '-1', expected a number above 0"),
        ("win=nan", "win is 'nan', expected"),
        ("steps=1", "steps is '1', expected a whole number, 2 or more"),
        ("episodes=3", "episodes is '3', expected a whole number, 4 or more"),
        ("episodes=1e9", "expected 100,000,000 steps or fewer in all"),
        (
            "price=1",
            r"'price' is no parameter here, expected kind \(.*\), p \(.*\), win .*, steps .*, episodes",
        ),
        ("seen", "'seen' is no parameter here, expected kind"),
    ],
)
def test_a_bad_name_is_answered_in_one_line(items, message):
    with pytest.raises(UserError, match=message) as raised:
        gac.load_data(f"lottery:{items}")
    assert "\n" not in str(raised.value)
