import dataclasses

import numpy as np
import pytest

from gac.data import make, maze_recipe, recipes, workers
from gac.data.mazes import CUTS
from gac.envs import LAYOUTS
from gac.errors import UserError


@pytest.fixture
def small(monkeypatch):
    recipe = dataclasses.replace(recipes.RECIPES["maze2d-umaze"], steps=2000, jobs=2)
    monkeypatch.setitem(recipes.RECIPES, "maze2d-umaze", recipe)


def test_episodes_are_windows_of_the_horizon_in_the_environment_of_the_same_name(small):
    data = make("maze2d-umaze")
    assert data.env_id == "maze2d-umaze-v1"
    assert data.name == "maze2d-umaze"
    # 2000 steps in two runs of whole horizons.
    assert data.lengths.tolist() == [300] * 8
    assert data.truncated.all()
    assert not data.terminated.any()
    np.testing.assert_array_equal(data.returns, data.rewards.reshape(8, 300).sum(axis=1))
    # Nothing is reset within a run: an episode begins where the one before it ended, but for the two starts.
    starts = data.observations[::300]
    joined = (data.final_observations[:-1] == starts[1:]).all(axis=1)
    assert joined.tolist() == [True] * 3 + [False] + [True] * 3


def test_the_cut_is_a_choice_over_the_same_runs(small):
    by = {how: make(f"maze2d-umaze:cut={how}") for how in CUTS}
    assert {how: len(data) for how, data in by.items()}["horizon"] == 8
    assert by["subgoal"].lengths.min() >= 2
    assert len(set(by["subgoal"].lengths.tolist())) > 3
    assert set(by["success"].returns.tolist()) <= {0.0, 1.0}
    for data in by.values():
        where = (by["horizon"].observations[:, None] == data.observations[None, :5]).all(axis=-1)
        assert where.any(axis=0).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("maze2d-umaze:cut=goals", "cut is 'goals', expected one of horizon, subgoal, hold, success"),
        ("maze2d-umaze:steps=1999", "steps is '1999', expected a whole number from 2,000 to"),
        ("hopper-medium:cut=horizon", "'cut' is no parameter here, expected steps"),
    ],
)
def test_a_wrong_parameter_is_answered_before_any_work(monkeypatch, name, message):
    def work(*_):
        raise AssertionError("worked")

    monkeypatch.setattr(workers, "run", work)
    with pytest.raises(UserError, match=message):
        make(name)


@pytest.mark.parametrize("size", list(LAYOUTS))
def test_a_recipe_has_about_as_many_steps_as_d4rls_set(monkeypatch, size):
    seen = []
    monkeypatch.setattr(workers, "run", lambda module, jobs: seen.extend(jobs) or [])
    recipe = recipes.RECIPES[f"maze2d-{size}"]
    maze_recipe.runs(f"maze2d-{size}", recipe, 3)
    total = sum(job.steps for job in seen)
    assert {"umaze": 1e6, "medium": 2e6, "large": 4e6}[size] == pytest.approx(total, rel=2e-3)
    assert all(job.steps % LAYOUTS[size].horizon == 0 for job in seen)
    assert len({tuple(job.seed) for job in seen}) == len(seen) > 1


def test_the_fingerprint_follows_the_recipe_and_the_code(monkeypatch, tmp_path):
    before = recipes.fingerprint("maze2d-umaze")
    assert before != recipes.fingerprint("maze2d-medium")
    recipe = dataclasses.replace(recipes.RECIPES["maze2d-umaze"], steps=10)
    monkeypatch.setitem(recipes.RECIPES, "maze2d-umaze", recipe)
    fewer = recipes.fingerprint("maze2d-umaze")
    changed = tmp_path / "maze_rollout.py"
    changed.write_text("")
    monkeypatch.setattr(maze_recipe, "SOURCES", [changed])
    assert len({before, fewer, recipes.fingerprint("maze2d-umaze")}) == 3
    assert all(path.is_file() for path in maze_recipe.SOURCES)
