import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
import warnings

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer
from toy_spaces import Toy

from gac.data import Episodes, load_data, minari_sets, read_minari, write_data, write_minari
from gac.envs.specification import Environment
from gac.errors import UserError

ID = "mine/toy/logs-v0"
ENV = "GacToySet-v0"
FIELDS = [field.name for field in dataclasses.fields(Episodes) if not field.name.startswith(("env_", "name"))]


@pytest.fixture(autouse=True)
def sets(tmp_path, monkeypatch):
    """A folder of this test's own for minari, and an environment that Gymnasium knows."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    gymnasium.register(ENV, "toy_spaces:Toy", max_episode_steps=9)
    yield tmp_path / "sets"
    del gymnasium.registry[ENV]


def make(lengths=(3, 2), *, seed=0, both=False, env_id=ENV):
    rng = np.random.default_rng(seed)
    terminated = rng.random(len(lengths)) < 0.5
    return Episodes.from_arrays(
        [rng.normal(size=(n + 1, 4)) for n in lengths],
        [rng.normal(size=(n, 2)) for n in lengths],
        rewards=[rng.normal(size=n) for n in lengths],
        terminated=terminated,
        truncated=np.ones_like(terminated) if both else None,
        env_id=env_id,
        name="/home/someone/toy.hdf5",
    )


def record(dataset_id=ID, lengths=(3, 2), space=None, action_space=None, observe=None, env=None, **last):
    """A set as minari's own tools leave one; `last` holds each episode's flags at its last step."""
    rng = np.random.default_rng(0)
    space = space or Box(-np.inf, np.inf, (4,), np.float64)
    observe = observe or (lambda steps: rng.normal(size=(steps, *space.shape)).astype(space.dtype))
    action_space = action_space or Box(-0.5, 0.5, (2,), np.float64)
    flags = {"terminations": [True] * len(lengths), "truncations": [False] * len(lengths), **last}
    buffers = [
        EpisodeBuffer(
            observations=observe(n + 1),
            actions=rng.normal(size=(n, *action_space.shape)).astype(action_space.dtype),
            rewards=rng.normal(size=n),
            **{key: [False] * (n - 1) + [values[i]] for key, values in flags.items()},
            infos={"x": np.zeros(n + 1)},
        )
        for i, n in enumerate(lengths)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            dataset_id, buffers, env=env, observation_space=space, action_space=action_space
        )
    return buffers


def refused(call, *args):
    with pytest.raises(UserError) as raised:
        call(*args)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- writing


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(2, 7), min_size=1, max_size=5),
    both=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_set_gives_back_every_bit_that_was_written(tmp_path_factory, lengths, both, seed):
    os.environ["MINARI_DATASETS_PATH"] = str(tmp_path_factory.mktemp("sets"))
    episodes = make(lengths, seed=seed, both=both)
    write_data(episodes, f"minari/{ID}")
    again = load_data(f"minari/{ID}")
    for field in FIELDS:
        left, right = getattr(episodes, field), getattr(again, field)
        np.testing.assert_array_equal(left, right, err_msg=field)
        assert getattr(left, "dtype", None) == getattr(right, "dtype", None)
    assert (again.env_id, again.name) == (ENV, f"minari/{ID}")


def test_minari_lists_and_loads_it_and_recovers_the_environment(sets):
    episodes = make((3, 2, 4))
    write_minari(episodes, ID)
    assert list(minari.list_local_datasets()) == [ID]
    assert minari.namespace.list_local_namespaces() == ["mine", "mine/toy"]
    dataset = minari.load_dataset(ID)
    assert (dataset.total_episodes, dataset.total_steps) == (3, 9)
    assert dataset.env_spec.id == ENV
    assert dataset.env_spec.max_episode_steps == 9
    assert isinstance(dataset.recover_environment().unwrapped, Toy)
    np.testing.assert_array_equal(dataset.observation_space.high, np.ones(4))
    np.testing.assert_array_equal(dataset.action_space.high, np.full(2, 0.5))
    for i, episode in enumerate(dataset.iterate_episodes()):
        assert dataset.observation_space.dtype == episode.observations.dtype
        assert len(episode.observations) == len(episode.actions) + 1
        assert str(episode)
        np.testing.assert_array_equal(episode.rewards, episodes[i].rewards)
        np.testing.assert_array_equal(episode.observations[-1], episodes[i].final_observation)
        assert not (episode.terminations | episode.truncations)[:-1].any()
    assert "someone" not in (sets / ID / "data" / "metadata.json").read_text()
    assert not [entry for entry in entries(sets) if ".gac" in entry]


def test_a_second_set_joins_its_namespace(sets):
    write_minari(make(), ID)
    note = sets / "mine" / "namespace_metadata.json"
    note.write_text('{"description": "kept"}')
    write_minari(make(), "mine/toy/logs-v1")
    assert list(minari.list_local_datasets()) == [ID, "mine/toy/logs-v1"]
    assert "kept" in note.read_text()


def test_an_unknown_environment_is_left_out_aloud():
    with pytest.warns(UserWarning, match="GacNowhere-v0 cannot be made or described"):
        write_minari(make(env_id="GacNowhere-v0"), ID)
    assert read_minari(ID).env_id is None
    assert minari.load_dataset(ID).env_spec is None


def test_an_environment_without_an_address_is_left_out_aloud():
    gymnasium.register("GacLocal-v0", lambda: Toy())
    try:
        with pytest.warns(UserWarning, match="GacLocal-v0 cannot be made or described"):
            write_minari(make(env_id="GacLocal-v0"), ID)
    finally:
        del gymnasium.registry["GacLocal-v0"]
    assert read_minari(ID).num_steps == 5


def test_no_module_is_imported_because_the_data_name_it():
    with pytest.warns(UserWarning, match="this:Env-v0 cannot be made or described here .an id with a module"):
        write_minari(make(env_id="this:Env-v0"), ID)
    assert "this" not in sys.modules
    assert read_minari(ID).env_id is None


def test_what_minari_cannot_hold_is_refused(sets):
    episodes = make()
    without = dataclasses.replace(episodes, rewards=None)
    assert "has no rewards, and Minari needs one per step" in refused(write_minari, without, ID)
    without = dataclasses.replace(episodes, final_observations=None)
    assert "has no final observations" in refused(write_minari, without, ID)
    gymnasium.register("GacWide-v0", "toy_spaces:Toy", kwargs={"width": 5})
    try:
        message = refused(write_minari, dataclasses.replace(episodes, env_id="GacWide-v0"), ID)
    finally:
        del gymnasium.registry["GacWide-v0"]
    assert "observations of width 4, but GacWide-v0 has observation space Box of shape (5,)" in message
    assert not entries(sets)


def test_an_existing_set_is_left_alone():
    write_minari(make(seed=1), ID)
    assert f"minari delete {ID}" in refused(write_minari, make(seed=2), ID)
    np.testing.assert_array_equal(read_minari(ID).rewards, make(seed=1).rewards)


def test_a_failed_write_leaves_nothing(sets, monkeypatch):
    def fail(*args, **options):
        (sets / "half").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    sets.mkdir()
    before = os.environ["MINARI_DATASETS_PATH"]
    monkeypatch.setattr(minari, "create_dataset_from_buffers", fail)
    assert "No space left" in refused(write_minari, make(), ID)
    assert os.environ["MINARI_DATASETS_PATH"] == before
    assert entries(sets) == ["half"]


def test_a_killed_write_leaves_no_set(sets):
    code = (
        "import os, signal, sys, numpy as np\n"
        "from gac.data import Episodes, minari_sets\n"
        "real = minari_sets._move\n"
        "minari_sets._move = lambda *args: os.kill(os.getpid(), signal.SIGKILL)\n"
        "data = Episodes.from_arrays([np.ones((4, 2))], [np.ones((3, 1))], [np.ones(3)])\n"
        f"minari_sets.write_minari(data, {ID!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [entry for entry in entries(sets) if "main_data" in entry], "the kill came too early"
    assert not minari.list_local_datasets()
    write_minari(make(), ID)
    assert read_minari(ID).num_steps == 5


# --- reading


def test_a_recorded_set_becomes_float32():
    buffers = record(terminations=[True, False], truncations=[False, True])
    data = read_minari(ID)
    np.testing.assert_array_equal(data.lengths, [3, 2])
    np.testing.assert_array_equal(data[1].observations, np.float32(buffers[1].observations[:-1]))
    np.testing.assert_array_equal(data[1].final_observation, np.float32(buffers[1].observations[-1]))
    np.testing.assert_array_equal(data[0].actions, np.float32(buffers[0].actions))
    np.testing.assert_allclose(data.returns, [buffer.rewards.sum() for buffer in buffers], rtol=1e-6)
    np.testing.assert_array_equal(data.terminated, [True, False])
    np.testing.assert_array_equal(data.truncated, [False, True])
    assert data.env_id is None


def test_a_number_beyond_float32_is_named():
    record(observe=lambda steps: np.full((steps, 4), 1e39))
    assert "episode 0 of minari/mine/toy/logs-v0 has observations inf, step 0" in refused(read_minari, ID)


def test_goals_are_joined_as_gymnasium_flattens_them():
    rng = np.random.default_rng(1)
    parts = {"observation": 4, "desired_goal": 1, "achieved_goal": 1}
    episodes = [{key: rng.normal(size=(n + 1, width)) for key, width in parts.items()} for n in (3, 2)]
    given = iter(episodes)
    space = Toy(goals=True).observation_space
    record(space=space, observe=lambda steps: next(given))
    data = read_minari(ID)
    assert data.observation_dim == 6
    for t in range(3):
        wanted = gymnasium.spaces.flatten(space, {key: rows[t] for key, rows in episodes[0].items()})
        np.testing.assert_array_equal(data.observations[t], np.float32(wanted))


@pytest.mark.parametrize(
    ("space", "observe", "said"),
    [
        (Box(0, 255, (4, 4, 3), np.uint8), None, "observation space Box of shape (4, 4, 3)"),
        (Discrete(3), lambda steps: np.zeros(steps, int), "observation space Discrete"),
        (
            Dict(camera=Box(0.0, 1.0, (2,))),
            lambda steps: {"camera": np.zeros((steps, 2))},
            "observation space Dict",
        ),
        (
            Tuple((Box(0.0, 1.0, (2,)),)),
            lambda steps: (np.zeros((steps, 2)),),
            "observation space Tuple",
        ),
    ],
)
def test_other_observations_are_refused(space, observe, said):
    record(space=space, observe=observe)
    assert said in refused(read_minari, ID)


def test_discrete_actions_are_refused():
    record(action_space=Discrete(3))
    assert "action space Discrete, expected a Box of one axis" in refused(read_minari, ID)


def test_episodes_without_an_end_or_a_second_step_are_left_out_aloud():
    record(lengths=(3, 1, 4), terminations=[True, True, False])
    with pytest.warns(UserWarning, match="2 episodes without an end or with fewer than 2 steps"):
        data = read_minari(ID)
    np.testing.assert_array_equal(data.lengths, [3])


def test_an_end_in_the_middle_is_refused():
    record(lengths=(3,))
    folder = minari.load_dataset(ID).storage.data_path
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        file["episode_0/truncations"][1] = True
    assert "episode 0 of minari/mine/toy/logs-v0 ends at step 1 and goes on to step 2" in refused(
        read_minari, ID
    )


def test_an_environment_that_its_id_does_not_give_is_named():
    spec = copy.deepcopy(gymnasium.spec(ENV))
    spec.kwargs = {"width": 4}
    spec.max_episode_steps = 5
    record(env=spec)
    with pytest.warns(
        UserWarning, match=r"recorded in GacToySet-v0 \(width=4, max_episode_steps=5\), and is"
    ):
        data = read_minari(ID)
    assert data.env_id == ENV
    assert Environment.of(data).make().spec.max_episode_steps == 5
    write_minari(data, "mine/toy/copy-v0")
    assert minari.load_dataset("mine/toy/copy-v0").env_spec.max_episode_steps == 5
    with pytest.warns(UserWarning, match="max_episode_steps=5"):
        assert read_minari("mine/toy/copy-v0").env_spec == data.env_spec


def test_an_environment_that_is_not_registered_here_keeps_its_specification(sets):
    spec = copy.deepcopy(gymnasium.spec(ENV))
    spec.id, spec.kwargs = "GacElsewhere-v0", {"width": 4}
    record(env=spec)
    with pytest.warns(UserWarning, match=r"cannot be evaluated .* GacElsewhere-v0 .* not registered here"):
        data = read_minari(ID)
    write_minari(data, "mine/toy/copy-v0")
    kept = minari.load_dataset("mine/toy/copy-v0").env_spec
    assert (kept.id, kept.kwargs) == ("GacElsewhere-v0", {"width": 4})


def test_actions_recorded_within_other_bounds_are_not_of_the_environment():
    record(env=copy.deepcopy(gymnasium.spec(ENV)), action_space=Box(-1.0, 1.0, (2,), np.float64))
    with pytest.warns(UserWarning, match=r"recorded from -1 to 1, and those of .* go from -0.5 to 0.5"):
        data = read_minari(ID)
    with pytest.raises(UserError, match="cannot be rebuilt"):
        Environment.of(data).make()


def test_the_environment_meant_for_evaluation_comes_first(sets):
    record(env=copy.deepcopy(gymnasium.spec(ENV)))
    path = sets / ID / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    spec = json.loads(metadata["env_spec"])
    spec["kwargs"] = {"render_mode": "rgb_array"}  # shows the same environment
    metadata["eval_env_spec"] = json.dumps(spec)
    metadata["env_spec"] = json.dumps({**spec, "id": "GacOther-v0"})
    path.write_text(json.dumps(metadata))
    assert read_minari(ID).env_id == ENV


# --- names, and sets that cannot be had


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("minari/mujoco/hopper/medium-v0", True),
        ("minari/hopper", True),
        ("./minari/hopper", False),
        ("minari/log.hdf5", False),
        ("hopper-medium", False),
    ],
)
def test_a_minari_name_is_told_from_a_path(name, found):
    assert minari_sets.is_minari(name) is found


@pytest.mark.parametrize("name", ["hopper", "hopper-v", "/etc/x-v0", "a//x-v0", "", "x-v0\n", "a/x-v0"])
def test_a_name_that_is_no_id_is_refused(name):
    assert "is no id of a Minari data set" in refused(read_minari, name)
    assert "is no id of a Minari data set" in refused(write_minari, make(), name)


def test_a_set_that_is_not_here_is_downloaded_whole_or_not_at_all(sets, monkeypatch, capsys):
    asked = []

    def download(dataset_id):
        asked.append(dataset_id)
        print("Downloading")
        record("other/part-v0")
        record(dataset_id)
        if len(asked) == 1:
            raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(minari, "download_dataset", download)
    message = refused(load_data, f"minari/{ID}")
    assert f"minari/{ID} is not in {sets} and cannot be downloaded (no route to host and more)" in message
    assert not minari.list_local_datasets()
    record("other/part-v0")  # already here when the download brings it along
    assert load_data(f"minari/{ID}").num_episodes == 2
    assert load_data(f"minari/{ID}").num_episodes == 2
    assert asked == [ID, ID]
    assert list(minari.list_local_datasets()) == [ID, "other/part-v0"]
    assert "Downloading" not in capsys.readouterr().out


def test_without_the_remotes_client_minaris_advice_is_passed_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delenv("MINARI_REMOTE", raising=False)
    assert 'pip install "minari[hf]"' in refused(read_minari, ID)


def test_without_minari_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    for call in ((read_minari, ID), (write_minari, make(), ID)):
        assert "pip install 'generative-actor-critic[minari]'" in refused(*call)


def test_a_damaged_set_is_named(sets):
    record()
    data = sets / ID / "data"
    metadata = (data / "metadata.json").read_text()
    (data / "metadata.json").write_text(metadata.replace('"action_space"', '"unknown"'))
    assert "describes no spaces, which is not safe to read" in refused(read_minari, ID)
    (data / "metadata.json").write_text(metadata[:50])
    assert f"minari/{ID} cannot be read" in refused(read_minari, ID)
    (data / "metadata.json").write_text(metadata)
    (data / "main_data.hdf5").write_bytes(b"no HDF5")
    assert f"minari delete {ID}" in refused(read_minari, ID)
