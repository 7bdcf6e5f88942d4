"""What an environment is given and what it gives: copies, in its own precision, nothing rounded."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from gac.envs.rows import RowError, Rows
from gac.envs.specification import Environment

ID = "GacPrecise-v0"
BOUND = 0.1  # float32 rounds it up


class Precise(gymnasium.Env):
    """Observes more digits than float32 has, in one array that it writes over, and spoils its actions."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-BOUND, BOUND, (1,), np.float64)
    width = 2

    def reset(self, *, seed=None, options=None):
        self.seen = np.full(self.width, 1.0 + 1e-12)
        return self.seen, {}

    def step(self, action):
        assert self.action_space.contains(action), action
        action *= 0.0
        self.seen += 1e-12
        return self.seen, 1.0, False, False, {}


class Wide(Precise):
    width = 3


@pytest.fixture
def make():
    def made(kind):
        gymnasium.register(ID, kind)
        return Rows(Environment(ID), 2)

    yield made
    del gymnasium.registry[ID]


def test_observations_come_as_they_are_and_actions_are_copies(make):
    rows = make(Precise)
    first = rows.reset([0, 1])
    action = np.full((2, 1), BOUND, np.float32)
    steps = rows.step(action, np.array([True, False]))
    np.testing.assert_array_equal(first, np.full((2, 2), 1.0 + 1e-12))
    np.testing.assert_array_equal(steps.observation[0], np.full(2, 1.0 + 1e-12 + 1e-12))
    np.testing.assert_array_equal(steps.observation[1], first[1])
    np.testing.assert_array_equal(action, np.full((2, 1), np.float32(BOUND)))
    np.testing.assert_array_equal(steps.reward, [1.0, 0.0])


def test_another_shape_is_named_with_its_row(make):
    with pytest.raises(RowError, match=r"^observation of shape \(3,\), expected \(2,\)$") as error:
        make(Wide).reset([5])
    assert error.value.row == 0
