import numpy as np
import pytest

from gac.data.scores import REFERENCES, normalized_score, reference


@pytest.mark.parametrize(
    ("env_id", "name"),
    [
        ("Hopper-v5", "hopper"),
        ("Hopper-v4", "hopper"),
        ("hopper-medium-replay-v2", "hopper"),
        ("Walker2d-v5", "walker2d"),
        ("HalfCheetah-v4", "halfcheetah"),
        ("maze2d-umaze-v1", "maze2d-umaze"),
        ("gac/maze2d-large-v1", "maze2d-large"),
        ("antmaze-umaze-v2", "antmaze"),
        ("antmaze-umaze-diverse-v2", "antmaze"),
        ("antmaze-large-play-v0", "antmaze"),
    ],
)
def test_names_of_an_environment_share_a_reference(env_id, name):
    assert reference(env_id) == REFERENCES[name]


@pytest.mark.parametrize(
    "env_id",
    [
        None,
        "",
        "Ant-v5",
        "HopperHop-v0",
        "maze2d-umaze-dense-v1",
        "Hopper",
        "antmaze-v2",
        "antmaze-eval-umaze-v0",
        "antmaze-medium-v2",
        "AntMaze_UMaze-v5",
    ],
)
def test_other_environments_have_none(env_id):
    assert reference(env_id) is None
    assert normalized_score(env_id, [1.0]) is None


def test_the_scale_runs_from_0_to_100():
    for name, (random, expert) in REFERENCES.items():
        env_id = {"antmaze": "antmaze-umaze-v2"}.get(name, f"{name}-v1")
        score = normalized_score(env_id, np.array([[random, expert, (random + expert) / 2]]))
        np.testing.assert_allclose(score, [[0.0, 100.0, 50.0]], atol=1e-9)


def test_an_ants_score_is_its_share_of_successes():
    scores = normalized_score("antmaze-medium-diverse-v2", [1.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(scores, [100.0, 0.0, 100.0, 100.0])
