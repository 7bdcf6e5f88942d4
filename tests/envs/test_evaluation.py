"""An agent of the mazes' data is evaluated in the mazes' environments."""

import dataclasses

import jax
import pytest
import tiny

import gac
from gac.agent import Agent
from gac.data import make, recipes
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.inference.added.logged import unknown
from gac.model.joint import GAC
from gac.records import DataFacts


@pytest.fixture(scope="module")
def agent():
    """Untrained, but for the units and facts of the data."""
    recipe = recipes.RECIPES["maze2d-umaze"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RECIPES, "maze2d-umaze", dataclasses.replace(recipe, steps=1800, jobs=1))
        data = make("maze2d-umaze")
    model = GAC(
        tiny.CONFIG.model, tiny.CONFIG.added, data.observation_dim, data.action_dim, jax.random.key(0)
    )
    logged = unknown(0, tiny.CONFIG.model)
    return Agent(model, logged, Standardiser.fit(data), tiny.CONFIG, DataFacts.of(data))


def test_the_data_names_the_environment_and_the_environment_is_found(agent):
    result = gac.evaluate(agent, query=gac.Prior(), episodes=3)
    assert result.env_id == "maze2d-umaze-v1"
    assert result.lengths == (300, 300, 300)
    assert all(0 <= y <= 300 and y == int(y) for y in result.returns)
    assert result.normalized_mean == pytest.approx(100 * (result.mean - 23.85) / (161.86 - 23.85))


def test_a_maze_that_is_not_there_is_answered(agent):
    with pytest.raises(UserError, match="'maze2d-huge-v1' cannot be made"):
        gac.evaluate(agent, "maze2d-huge-v1", episodes=1)
