"""What the rivals' adapters make of our episodes, without their libraries."""

import sys
from pathlib import Path

import numpy as np
import pytest

from gac.data.episodes import Episode
from gac.errors import UserError

RIVALS = Path(__file__).parents[2] / "benchmarks" / "rivals"
sys.path.insert(0, str(RIVALS))

import steps  # noqa: E402

sys.path.remove(str(RIVALS))


def episode(terminated, truncated=None, final=True, rewards=(1.0, 2.0, 3.0)):
    observations = np.arange(6, dtype=np.float32).reshape(3, 2)
    actions = np.arange(3, dtype=np.float32)[:, None]
    paid = None if rewards is None else np.array(rewards, np.float32)
    last = np.array([6, 7], np.float32) if final else None
    cut = not terminated if truncated is None else truncated
    return Episode(observations, actions, paid, 6.0, terminated, cut, last)


def learnable(made):
    """The rewards that d3rlpy learns from: it needs the next step, unless the environment ended it."""
    return made.rewards[:, 0].tolist()[: None if made.terminated else -1]


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("final", [True, False])
def test_the_return_at_the_end_is_always_learned_from(terminated, final):
    made = steps.as_transitions(episode(terminated, final=final), steps.RETURN)
    assert sum(learnable(made)) == 6.0
    assert learnable(made)[-1] == 6.0
    made = steps.as_transitions(episode(terminated, final=final), steps.GIVEN)
    assert sum(learnable(made)) == 6.0
    assert made.rewards.shape == (len(made.observations), 1)
    assert len(made.actions) == len(made.observations)


def test_an_episode_that_a_clock_ended_ends_in_its_final_observation():
    made = steps.as_transitions(episode(terminated=False), steps.GIVEN)
    assert made.observations[-1].tolist() == [6, 7]
    assert made.actions[:, 0].tolist() == [0, 1, 2, 2]
    assert not made.terminated


def test_an_end_that_is_both_is_the_environments():
    made = steps.as_transitions(episode(terminated=True, truncated=True), steps.GIVEN)
    assert made.terminated
    assert len(made.actions) == 3


def test_a_sequence_has_the_episodes_own_steps():
    made = steps.as_sequence(episode(terminated=False), steps.RETURN)
    assert made.rewards[:, 0].tolist() == [0, 0, 6]
    assert len(made.observations) == 3


def test_returns_alone_give_no_rewards():
    with pytest.raises(UserError, match="returns alone"):
        steps.as_sequence(episode(True, rewards=None), steps.GIVEN)


def test_qdt_takes_the_better_of_what_follows_and_what_its_value_says():
    rewards = np.array([[1.0], [2.0], [3.0]], np.float32)
    # At the last step 3; before it 2 + max(3, 10); before that 1 + max(12, 0).
    assert steps.relabelled(rewards, np.array([99.0, 0.0, 10.0]))[:, 0].tolist() == [13, 12, 3]
    # With values below what was earned, nothing changes.
    assert steps.relabelled(rewards, np.zeros(3))[:, 0].tolist() == [6, 5, 3]


def test_within_a_window_returns_to_go_agree_with_the_rewards():
    rewards = np.array([[1.0], [2.0], [3.0]], np.float32)
    to_go = np.array([[13.0], [12.0], [3.0]], np.float32)
    assert steps.window_to_go(rewards, to_go, 0, 2)[:, 0].tolist() == [13, 12]
    assert steps.window_to_go(rewards, to_go, 0, 3)[:, 0].tolist() == [6, 5, 3]
    assert steps.window_to_go(rewards, to_go, 1, 2)[:, 0].tolist() == [12]
