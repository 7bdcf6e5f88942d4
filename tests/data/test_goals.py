import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, flatten

from gac.data.goals import is_goal, join, joined_space

OWN, GOAL = Box(-1.0, 1.0, (3,)), Box(-9.0, 9.0, (2,))
PARTS = {"observation": OWN, "desired_goal": GOAL, "achieved_goal": GOAL}
SEEN = {
    "observation": np.array([1.0, 2.0, 3.0]),
    "desired_goal": np.array([4.0, 5.0]),
    "achieved_goal": np.array([6.0, 7.0]),
}


class Reach(gymnasium.Env):
    action_space = GOAL

    def __init__(self, space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        return SEEN, {}

    def step(self, action):
        return SEEN, 0.0, False, False, {}


@pytest.mark.parametrize("space", [Dict(PARTS), Dict(**PARTS)], ids=["sorted", "unsorted"])
def test_the_parts_are_joined_in_one_order_whatever_the_environments(space):
    env = join(Reach(space))
    wanted = flatten(Dict(PARTS), SEEN)
    np.testing.assert_array_equal(wanted, [6, 7, 4, 5, 1, 2, 3])
    np.testing.assert_array_equal(env.reset(seed=0)[0], wanted)
    np.testing.assert_array_equal(env.step(np.zeros(2))[0], wanted)
    assert (
        env.observation_space
        == joined_space(space)
        == Box(np.float32([-9, -9, -9, -9, -1, -1, -1]), np.float32([9, 9, 9, 9, 1, 1, 1]))
    )


@pytest.mark.parametrize("space", [OWN, Dict(observation=OWN), Dict({**PARTS, "observation": Dict(PARTS)})])
def test_any_other_space_stays_as_it_is(space):
    env = Reach(space)
    assert not is_goal(space)
    assert join(env) is env
    assert joined_space(space) is space
