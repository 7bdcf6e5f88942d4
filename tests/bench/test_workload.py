"""What is measured on has the shapes that it says, and the flags give the configuration back."""

import dataclasses

import pytest
import tiny

from gac import cli, presets
from gac.bench.workload import first_observations, flags, like_replay, make_workload, shrunk


def test_the_noise_has_the_lengths_of_replay():
    episodes = like_replay(500)
    assert (len(episodes), episodes.observation_dim, episodes.action_dim) == (500, 11, 3)
    assert episodes.lengths.min() >= 29
    assert episodes.lengths.max() <= 1000
    assert episodes.lengths.mean() == pytest.approx(170, rel=0.1)


def test_a_batch_larger_than_the_data_keeps_its_size():
    work = make_workload(shrunk(presets.fast()), like_replay(4))
    assert work.batch.y.shape == (8,)
    assert first_observations(work.agent, 5).shape == (5, 11)


@pytest.mark.parametrize(
    "config",
    [
        presets.fast(),
        presets.paper(),
        shrunk(presets.paper()),
        dataclasses.replace(tiny.replace(presets.fast(), learn_sigma_y=True), seed=3),
    ],
    ids=["fast", "paper", "shrunk", "other"],
)
def test_the_flags_give_the_configuration_back(config, tmp_path):
    command = cli.parse(["train", "data", "--out", str(tmp_path), *flags(config)])
    assert command.keywords["config"] == config
