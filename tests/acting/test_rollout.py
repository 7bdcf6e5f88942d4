"""Halves that are stepped in turn are the batch in one piece; the policy decides beside them, in order."""

import itertools
import threading

import gymnasium
import numpy as np
import pytest
import tiny
from gymnasium.spaces import Box

import gac
from gac.acting import rollout as module
from gac.acting.policy import Policy
from gac.acting.replanning import ReplanningPolicy
from gac.acting.rollout import Records, Step, begin, longest_of, rollout
from gac.envs.rows import Rows
from gac.envs.specification import Environment
from gac.errors import UserError

ID = "GacPendulum-v0"


class Pendulum(gymnasium.Env):
    """What it shows follows from all actions so far; the length from its number. It spoils its actions."""

    observation_space = Box(-np.inf, np.inf, (tiny.OBSERVATION_DIM,), np.float32)
    action_space = Box(-1.0, 1.0, (tiny.ACTION_DIM,), np.float32)

    def __init__(self, number, fails_at=None, grows_at=None):
        self.number, self.fails_at, self.grows_at, self.time = number, fails_at, grows_at, 0
        self.state = np.full(tiny.OBSERVATION_DIM, 0.1 * number, np.float32)

    def reset(self, *, seed=None, options=None):
        return self.state, {}

    def step(self, action):
        self.time += 1
        if self.time == self.fails_at:
            raise ValueError("broken")
        self.state = 0.9 * self.state + 0.3 * np.resize(action, tiny.OBSERVATION_DIM).astype(np.float32)
        action *= 0.0
        if self.time == self.grows_at:
            return np.append(self.state, 0.0), 0.0, False, False, {}
        return self.state, float(self.state.sum()), self.time == 3 + self.number % 4, False, {}


def played(agent, count, replan=None, longest=50, **changes):
    """What came of so many pendulums, and the order of their steps."""
    numbers = itertools.count()
    gymnasium.register(ID, lambda: Pendulum(next(numbers), **changes))
    rows = Rows(Environment(ID), tiny.OBSERVATION_DIM)
    try:
        first = begin(rows, list(range(count)))
    finally:
        del gymnasium.registry[ID]
    told = []
    result = rollout(
        agent,
        agent.plan(first, gac.Prior()),
        rows,
        first,
        replan=replan,
        longest=longest,
        on_step=lambda i, step: told.append((i, *step)),
        progress=lambda over, mean: told.append((over, mean)),
    )
    return result, told


@pytest.mark.parametrize("count", [16, 21])
def test_halves_are_the_batch_in_one_piece(count, trained, monkeypatch):
    halves, told = played(trained.agent, count)
    monkeypatch.setattr(module, "LEAST_HALVED", count + 1)
    whole, in_order = played(trained.agent, count)
    np.testing.assert_array_equal(halves.lengths, [3 + i % 4 for i in range(count)])
    np.testing.assert_array_equal(halves.lengths, whole.lengths)
    np.testing.assert_allclose(halves.returns, whole.returns, rtol=1e-5)
    assert [step[0] for step in told] == [step[0] for step in in_order]
    for ours, theirs in zip(told, in_order, strict=True):
        for one, other in zip(ours[1:], theirs[1:], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("count", "replan", "beside"), [(16, None, True), (15, None, False), (16, gac.Every(2), False)]
)
def test_the_policy_decides_in_a_thread_of_its_own_where_that_helps(
    count, replan, beside, trained, monkeypatch
):
    deciding, stepping = set(), set()
    kind = Policy if replan is None else ReplanningPolicy
    decide, step = kind.__call__, Pendulum.step

    def decided(self, *given):
        deciding.add(threading.current_thread())
        return decide(self, *given)

    def stepped(self, action):
        stepping.add(threading.current_thread())
        return step(self, action)

    monkeypatch.setattr(kind, "__call__", decided)
    monkeypatch.setattr(Pendulum, "step", stepped)
    result, _ = played(trained.agent, count, replan)
    assert stepping == {threading.main_thread()}
    assert (deciding == stepping) is not beside
    assert len(deciding) == 1
    assert result.policy_seconds > 0


def test_an_environment_that_fails_ends_the_batch(trained):
    before = threading.active_count()
    with pytest.raises(UserError, match="episode 0 failed at step 2"):
        played(trained.agent, 16, fails_at=2)
    assert threading.active_count() == before


def test_an_observation_of_another_shape_ends_the_batch(trained):
    with pytest.raises(
        UserError, match=r"episode 0 failed at step 3 \(observation of shape \(4,\), expected \(3,\)\)"
    ):
        played(trained.agent, 2, grows_at=3)


def test_a_policy_that_fails_beside_is_heard(trained, monkeypatch):
    def fail(*_):
        raise UserError("no action")

    monkeypatch.setattr(Policy, "__call__", fail)
    with pytest.raises(UserError, match="no action"):
        played(trained.agent, 16)


def test_an_endless_episode_is_one_line_unless_the_environment_has_a_limit(trained):
    """The last of four pendulums takes six steps."""
    said = "episode 3 has not ended after 5 steps, and the environment has no time limit"
    with pytest.raises(UserError, match=said) as error:
        played(trained.agent, 4, longest=5)
    assert "--longest" in str(error.value)
    for longest in (6, longest_of(6, longest=5)):
        assert played(trained.agent, 4, longest=longest)[0].lengths.max() == 6
    assert longest_of(None, longest=5) == 5
    with pytest.raises(UserError, match="longest is 1"):
        longest_of(None, longest=1)


def test_what_an_environment_does_to_its_action_is_not_recorded(trained):
    _, told = played(trained.agent, 2)
    steps = [(each[0], Step(*each[1:])) for each in told if len(each) > 2]
    assert all(np.abs(step.action).max() > 0 for _, step in steps)
    records = Records(2)
    for row, step in steps:
        records(row, step)
    episodes = records.episodes("played", Environment(ID), trained.agent.standardiser)
    np.testing.assert_array_equal(episodes.actions, [s.action for i in range(2) for j, s in steps if i == j])
    np.testing.assert_array_equal(episodes.lengths, [3, 4])


def test_actions_are_for_whoever_gets_them_to_write_into(trained):
    first = np.zeros((3, tiny.OBSERVATION_DIM), np.float32)
    for seen in (first, first[0]):
        plan = trained.agent.plan(seen, gac.Prior())
        for replan in (None, gac.Every(5)):
            policy, other = (trained.agent.policy(plan, replan) for _ in range(2))
            for _ in range(3):
                spoilt, action = policy(seen), other(seen)
                np.testing.assert_array_equal(spoilt, action)
                spoilt *= 0.0


def test_a_return_that_float32_cannot_tell_is_no_aim(trained):
    """The tiny returns are 100 and a bit: a thousand standard deviations are ambitious."""
    mean, std = (float(trained.agent.standardiser[i]) for i in (4, 5))
    trained.agent.standardiser.check_aim((mean, mean + 1e4 * std, mean - 1e4 * std))
    first = np.zeros((1, tiny.OBSERVATION_DIM), np.float32)
    for wrong in (1e30, -1e30, 1e300, mean + 1e8 * std):
        with pytest.raises(UserError, match="the return to aim at is") as error:
            trained.agent.plan(first, gac.Target(wrong))
        assert "\n" not in str(error.value)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(UserError, match="expected a finite one"):
            gac.Target(wrong)
