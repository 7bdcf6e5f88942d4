import dataclasses

import gymnasium
import numpy as np
import pytest
from walker import write_walker

from gac import cli
from gac.data import antmaze_recipe, list_data, load_data, recipes
from gac.errors import UserError

NAMES = list(antmaze_recipe.ANTMAZE_RECIPES)


@pytest.fixture
def walker(monkeypatch, tmp_path):
    """A walker, and recipes of a few steps."""
    monkeypatch.setattr(antmaze_recipe, "BUNDLE", write_walker(tmp_path / "ant.safetensors"))
    for name in NAMES:
        few = dataclasses.replace(recipes.RECIPES[name], steps=1400, jobs=2, envs=1)
        monkeypatch.setitem(recipes.RECIPES, name, few)


@pytest.fixture
def no_walker(monkeypatch, tmp_path):
    monkeypatch.setattr(antmaze_recipe, "BUNDLE", tmp_path / "ant.safetensors")


def test_there_is_a_recipe_for_each_of_d4rls_tasks():
    assert NAMES == [
        "antmaze-umaze",
        "antmaze-umaze-diverse",
        "antmaze-medium-play",
        "antmaze-medium-diverse",
        "antmaze-large-play",
        "antmaze-large-diverse",
    ]
    assert set(NAMES) <= set(list_data())
    assert all(f"{name}-v2" in gymnasium.registry for name in NAMES)
    assert {recipes.RECIPES[name].steps for name in NAMES} == {1_000_000}


@pytest.mark.usefixtures("walker")
def test_a_set_is_made_and_cached_and_made_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "cache"))
    data = load_data("antmaze-umaze")
    assert (data.env_id, data.name) == ("antmaze-umaze-v2", "antmaze-umaze")
    assert data.lengths.tolist() == [700, 700]
    assert data.observations.shape == (1400, 29)
    assert data.actions.shape == (1400, 8)
    assert (data.truncated & ~data.terminated).all()
    assert np.abs(data.observations[[0, 700], :2]).max() < 0.2
    assert not np.array_equal(data.observations[0], data.observations[700])
    [kept] = (tmp_path / "cache").iterdir()
    kept.rename(tmp_path / "first.hdf5")
    again = load_data("antmaze-umaze")
    assert again.observations.tobytes() == data.observations.tobytes()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [kept.name]


@pytest.mark.usefixtures("walker")
def test_the_fingerprint_follows_the_walker_the_task_and_the_code(monkeypatch, tmp_path):
    before = recipes.fingerprint("antmaze-umaze")
    prints = {before, recipes.fingerprint("antmaze-umaze-diverse")}
    (tmp_path / "ant.safetensors").write_bytes(b"another")
    prints.add(recipes.fingerprint("antmaze-umaze"))
    monkeypatch.setattr(antmaze_recipe, "SOURCES", antmaze_recipe.SOURCES[1:])
    prints.add(recipes.fingerprint("antmaze-umaze"))
    assert len(prints) == 4
    assert all(path.is_file() for path in antmaze_recipe.SOURCES)


@pytest.mark.usefixtures("no_walker")
@pytest.mark.parametrize("name", NAMES)
def test_without_a_walker_no_set_is_made(name, monkeypatch, tmp_path):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "cache"))
    for make in (recipes.make, load_data):
        with pytest.raises(UserError, match=rf"{name} cannot be made without an ant.*train_ant\.py") as error:
            make(name)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("no_walker")
def test_the_command_says_so_in_a_line(capsys):
    assert cli.main(["data", "make", "antmaze-umaze"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("gac: antmaze-umaze cannot be made without")


@pytest.mark.usefixtures("walker")
def test_a_set_has_episodes_of_its_own_and_no_snapshots_of_a_robot():
    with pytest.raises(UserError, match="'cut' is no parameter here, expected steps"):
        load_data("antmaze-umaze:cut=hold")
    with pytest.raises(UserError, match="antmaze-umaze is no robot"):
        recipes.rollouts("antmaze-umaze")
