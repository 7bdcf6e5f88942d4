import json

import numpy as np
import pytest

from gac.data import Episodes, describe, findings, read_d4rl, write_d4rl
from gac.errors import UserError


def make(**changes):
    arrays = {
        "observations": [np.array([[0.0, 5.0], [1.0, 5.0]]), np.array([[2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])],
        "actions": [np.array([[-1.0], [0.0]]), np.array([[1.0], [0.5], [1.0]])],
        "rewards": [np.array([1.0, 1.0]), np.array([1.0, 2.0, 3.0])],
        "terminated": [True, False],
        "env_id": "Hopper-v5",
    } | changes
    return Episodes.from_arrays(**arrays)


def test_the_facts_are_right():
    facts = describe(make())
    assert (facts.episodes, facts.steps, facts.ends.terminated) == (2, 5, 0.5)
    assert (facts.observation_dim, facts.action_dim) == (2, 1)
    assert (facts.has_rewards, facts.has_final_observations) == (True, False)
    assert (facts.lengths.spread.mean, facts.lengths.spread.std) == (2.5, 0.5)
    assert (facts.returns.spread.mean, facts.returns.spread.max) == (4.0, 6.0)
    assert facts.returns.normalized_mean == pytest.approx(100 * (4 + 20.272305) / (3234.3 + 20.272305))
    assert facts.saturation.share == pytest.approx(3 / 5)
    assert facts.observations.constant == (1,)
    assert facts.duplicated_episodes == 0
    assert facts.jumps.count == 0


def test_bounds_of_the_environment_are_used_where_given():
    facts = describe(make(), (np.array([-2.0]), np.array([2.0])))
    assert (facts.saturation.bounds, facts.saturation.share) == ("environment", 0.0)


def test_facts_become_json_without_loss():
    found = describe(make()).to_dict()
    assert json.loads(json.dumps(found))["returns"]["spread"]["quantiles"]["0.5"] == 4.0
    assert found["env_id"] == "Hopper-v5"


def test_looking_changes_nothing():
    data = make()
    before = data.observations.copy(), data.actions.copy()
    describe(data)
    np.testing.assert_array_equal(data.observations, before[0])
    np.testing.assert_array_equal(data.actions, before[1])


@pytest.mark.parametrize(("episodes", "steps"), [(1, 2), (2, 2), (5, 3)])
@pytest.mark.parametrize("final", [True, False])
def test_the_least_data_can_be_described(episodes, steps, final):
    data = Episodes.from_arrays(
        [np.zeros((steps + final, 1))] * episodes, [np.zeros((steps, 1))] * episodes, returns=[0.0] * episodes
    )
    facts = describe(data)
    assert facts.duplicated_episodes == episodes - 1
    assert any("needs" in each.what for each in findings(facts)) is (episodes < 4)


def test_a_file_with_nan_says_where_and_how_many(tmp_path):
    import h5py

    path = tmp_path / "broken.hdf5"
    write_d4rl(make(), path)
    with h5py.File(path, "a") as file:
        file["observations"][3, 0] = np.nan
        file["observations"][4] = np.inf
        file["actions"][0, 0] = np.nan
    with pytest.raises(UserError) as refusal:
        read_d4rl(path)
    said = str(refusal.value)
    assert "episode 1" in said
    assert "observations nan, step 1" in said
    assert "the first value of 4 in 2 episodes (3 in observations, 1 in actions)" in said
    assert "\n" not in said
