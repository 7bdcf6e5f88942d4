"""An environment is played as it was recorded, or refused in one line; nothing that data name is imported."""

import json
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import NormalizeObservation, RecordEpisodeStatistics, RescaleAction, TimeLimit

from gac.data import Episodes, read_d4rl, unpack_d4rl, write_d4rl
from gac.envs.specification import NOT_REBUILT, Environment, beyond_id
from gac.errors import UserError

ID = "Pendulum-v1"
pytestmark = pytest.mark.filterwarnings("ignore:.*precision lowered")
"""Gymnasium says so when a test puts RescaleAction around; gac, which rebuilds it, does not."""


class Doubled(gymnasium.ActionWrapper):
    def action(self, action):
        return 2 * action


def rescaled():
    return RescaleAction(gymnasium.make(ID, g=1.0, max_episode_steps=50), -1.0, 1.0)


def named(env, **changes):
    """The environment that a specification names, with changes to it."""
    return Environment(*beyond_id(json.dumps({**json.loads(env.spec.to_json()), **changes}), "here"))


def refusal(environment):
    with pytest.raises(UserError) as error:
        environment.make()
    assert "\n" not in str(error.value)
    assert "--env-id" in str(error.value)
    return str(error.value)


@pytest.mark.filterwarnings("error")
def test_nobody_is_advised_to_take_a_newer_version_than_the_datas():
    Environment("Hopper-v4").make().close()


def test_wrappers_arguments_and_time_limit_are_rebuilt():
    found = named(rescaled())
    assert str(found) == (
        f"{ID} (g=1.0, max_episode_steps=50, RescaleAction(min_action=-1.0, max_action=1.0))"
    )
    ours, theirs = found.make(), rescaled()
    assert ours.action_space == theirs.action_space
    assert ours.unwrapped.g == 1.0
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    for step in range(50):
        action = np.array([np.sin(step)], np.float32)
        (seen, paid, _, cut, _), (other, wage, _, _, _) = ours.step(action), theirs.step(action)
        np.testing.assert_array_equal(seen, other)
        assert paid == wage
    assert cut


@pytest.mark.parametrize(
    "env",
    [gymnasium.make(ID), gymnasium.make(ID, render_mode="rgb_array")],
    ids=["as it is registered", "drawn"],
)
def test_what_the_id_alone_gives_is_no_more_than_the_id(env):
    assert beyond_id(env.spec.to_json(), "here") == (ID, None)
    assert beyond_id(RecordEpisodeStatistics(env).spec.to_json(), "here") == (ID, None)
    assert str(Environment(ID)) == ID


def test_what_cannot_be_rebuilt_is_named():
    assert "its wrapper Doubled" in refusal(named(Doubled(gymnasium.make(ID))))
    assert "statistics of its wrapper NormalizeObservation" in refusal(
        named(NormalizeObservation(gymnasium.make(ID)))
    )
    assert "not registered here" in refusal(named(rescaled(), id="GacNowhere-v0"))
    assert "registered here as gymnasium" in refusal(named(rescaled(), entry_point="other:Pendulum"))
    assert "gravity" in refusal(named(rescaled(), **{NOT_REBUILT: "its gravity is unknown"}))
    lost = json.loads(rescaled().spec.to_json())["additional_wrappers"]
    lost[0]["kwargs"] = None
    assert "arguments of its wrapper RescaleAction" in refusal(named(rescaled(), additional_wrappers=lost))
    with pytest.raises(UserError, match="cannot be made"):
        named(rescaled(), kwargs={"weight": 3}).make()


@pytest.mark.parametrize("place", ["entry_point", "wrapper", "argument"])
def test_nothing_that_a_specification_names_is_imported(place, tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    changes = {
        "entry_point": {"entry_point": "trap:Env"},
        "wrapper": {
            "additional_wrappers": [
                {"name": "RescaleAction", "entry_point": "trap:RescaleAction", "kwargs": {}}
            ]
        },
        "argument": {"kwargs": {"env_id": "trap:Env-v0"}},
    }
    refusal(named(rescaled(), **changes[place]))
    assert "trap" not in sys.modules


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 3}', '{"id": "A-v0", "additional_wrappers": [1]}'])
def test_what_is_no_specification_is_refused(text):
    with pytest.raises(UserError, match="env_spec of toy is no specification") as error:
        Episodes.from_arrays([np.ones((2, 1))], [np.ones((2, 1))], returns=[1.0], env_spec=text, name="toy")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("contiguous", [False, True])
def test_a_file_keeps_the_whole_environment(contiguous, tmp_path):
    spec = TimeLimit(rescaled(), 20).spec.to_json()
    states, actions = [np.ones((3, 3))], [np.ones((3, 1))]
    data = Episodes.from_arrays(states, actions, returns=[1.0], env_id=ID, env_spec=spec)
    write_d4rl(data, tmp_path / "one.hdf5", contiguous=contiguous)
    unpack_d4rl(tmp_path / "one.hdf5", tmp_path / "two.hdf5")
    for name in ("one.hdf5", "two.hdf5"):
        read = read_d4rl(tmp_path / name).select([0])
        assert Environment.of(read) == named(TimeLimit(rescaled(), 20))
        assert Environment.of(read).make().spec.max_episode_steps == 20


def test_a_specification_of_another_id_is_refused():
    states, actions = [np.ones((3, 3))], [np.ones((3, 1))]
    spec = rescaled().spec.to_json()
    with pytest.raises(UserError, match="env_spec of arrays is that of Pendulum-v1, and env_id is Hopper-v5"):
        Episodes.from_arrays(states, actions, returns=[1.0], env_id="Hopper-v5", env_spec=spec)
