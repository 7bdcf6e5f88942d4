import warnings

import gymnasium
import pytest

from gac.envs.specification import Environment
from gac.envs.v4 import v4_meant


@pytest.mark.parametrize("robot", ["Hopper", "Walker2d", "HalfCheetah"])
def test_a_v4_robot_is_made_without_advice_to_take_another(robot):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Environment(f"{robot}-v4").make().close()
    assert said == []


@pytest.mark.parametrize(
    "message",
    [
        "The environment Ant-v4 is out of date.",
        "The environment Hopper-v3 is out of date.",
        "Hopper-v4 is odd.",
    ],
)
def test_nothing_else_is_silenced(message):
    with pytest.warns(DeprecationWarning, match=message), v4_meant():
        gymnasium.logger.deprecation(message)
