import re

import gymnasium
import pytest

from gac.data.d4rl_catalogue import CATALOGUE, MIRRORS_VARIABLE, by_file, find, gymnasium_id, summary, urls
from gac.data.mazes import HORIZONS
from gac.data.scores import reference
from gac.errors import UserError

HOPPER, MAZE = CATALOGUE["d4rl/hopper-medium-replay-v2"], CATALOGUE["d4rl/maze2d-umaze-v1"]


@pytest.fixture(autouse=True)
def no_mirrors(monkeypatch):
    monkeypatch.delenv(MIRRORS_VARIABLE, raising=False)


def test_it_holds_the_robots_and_the_mazes():
    assert len(CATALOGUE) == 3 * 5 + 3
    for name, entry in CATALOGUE.items():
        assert entry.name == name == find(name).name
        assert by_file(entry.file) is entry
        assert reference(entry.env_id) is not None
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        if entry.env_id not in HORIZONS:
            assert gymnasium.spec(entry.env_id).id == entry.env_id
    hashes = [entry.sha256 for entry in CATALOGUE.values() if entry.sha256]
    assert len(set(hashes)) == len(hashes)


def test_the_original_host_has_d4rls_folders():
    assert urls(HOPPER)[-1] == (
        "http://rail.eecs.berkeley.edu/datasets/offline_rl/gym_mujoco_v2/hopper_medium_replay-v2.hdf5"
    )
    assert urls(MAZE) == [
        f"{scheme}://rail.eecs.berkeley.edu/datasets/offline_rl/maze2d/maze2d-umaze-sparse-v1.hdf5"
        for scheme in ("https", "http")
    ]


def test_mirrors_given_come_first_then_the_variables(monkeypatch):
    monkeypatch.setenv(MIRRORS_VARIABLE, " http://two/{path}  https://three/d4rl/ ")
    found = urls(HOPPER, ("http://one/mine.hdf5", "http://one/{name}?file={file}"))
    file = "hopper_medium_replay-v2.hdf5"
    assert found[:4] == [
        "http://one/mine.hdf5",
        f"http://one/hopper-medium-replay-v2?file={file}",
        f"http://two/gym_mujoco_v2/{file}",
        f"https://three/d4rl/{file}",
    ]
    assert found[4:] == urls(HOPPER)[2:]


def test_a_url_is_tried_once():
    again = urls(HOPPER)[0]
    assert urls(HOPPER, (again,)) == urls(HOPPER)


@pytest.mark.parametrize("mirror", ["ftp://host/", "/folder", "host.org/d4rl", ""])
def test_a_mirror_that_is_no_url_is_refused(mirror):
    with pytest.raises(UserError, match="is no URL, expected one that begins with http"):
        urls(HOPPER, (mirror,))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("d4rl/hopper-meduim-v2", "did you mean d4rl/hopper-medium-v2?"),
        ("d4rl/maze2d-umaze", "did you mean d4rl/maze2d-umaze-v1?"),
        ("nonsense", "see gac data list"),
    ],
)
def test_an_unknown_name_gets_a_hint(name, hint):
    with pytest.raises(UserError, match=re.escape(hint)):
        find(name)


def test_d4rls_environments_have_gymnasiums_names():
    assert gymnasium_id("hopper-medium-v2") == "Hopper-v4"
    assert gymnasium_id("halfcheetah-medium-expert-v2") == "HalfCheetah-v4"
    assert gymnasium_id("maze2d-large-v1") == "maze2d-large-v1"
    assert gymnasium_id("Pendulum-v1") == "Pendulum-v1"


def test_the_summary_names_every_family():
    lines = summary()
    assert list(lines) == [
        "d4rl/hopper-SET-v2",
        "d4rl/walker2d-SET-v2",
        "d4rl/halfcheetah-SET-v2",
        "d4rl/maze2d-SIZE-v1",
    ]
    assert all("\n" not in about for about in lines.values())
