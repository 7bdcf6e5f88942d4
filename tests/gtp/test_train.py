"""Training as a person runs it: resumed to the bit, stopped cleanly, several seeds, honest refusals."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import tiny
from tiny_gtp import CONFIG, with_rewards

import gac
from gac.errors import UserError
from gac.gtp import train as module

UPDATES = 230


def arrays(folder, name="state.safetensors"):
    """The arrays of a file, as bytes by name."""
    from safetensors import safe_open

    with safe_open(folder / name, framework="numpy") as file:
        return {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gtp") / "run"
    return folder, gac.train(with_rewards(), CONFIG, out=folder, updates=UPDATES)


def test_a_run_leaves_what_the_documentation_names(finished):
    folder, agent = finished
    names = ["config.json", "data.json", "metrics.jsonl", "model.safetensors", "state.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    raw = json.loads((folder / "config.json").read_text())
    assert (raw["method"], raw["schema_version"]) == ("gtp", 2)
    assert [line["update"] for line in lines(folder)] == [100, 200, 230]
    for key in (
        "loss_actor",
        "loss_consistency",
        "loss_flow",
        "loss_critic",
        "q",
        "v",
        "w",
        "updates_per_second",
    ):
        assert all(np.isfinite(line[key]) for line in lines(folder)), key
    assert isinstance(agent, gac.GTPAgent)


@pytest.mark.parametrize("stop", [100, 137])
def test_resuming_equals_never_having_stopped(stop, finished, tmp_path):
    run = tmp_path / "run"
    gac.train(with_rewards(), CONFIG, out=run, updates=stop)
    gac.train(with_rewards(), CONFIG, out=run, updates=UPDATES, resume=True)
    for name in ("state.safetensors", "model.safetensors"):
        assert arrays(run, name) == arrays(finished[0], name)


def test_ctrl_c_saves_what_was_done(tmp_path, finished):
    def press(line, done):
        if line["update"] == 100:
            os.kill(os.getpid(), signal.SIGINT)

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        gac.train(with_rewards(), CONFIG, out=run, updates=UPDATES, progress=press)
    assert lines(run)[-1]["update"] == 100
    gac.train(with_rewards(), CONFIG, out=run, updates=UPDATES, resume=True)
    assert arrays(run) == arrays(finished[0])


def test_seeds_are_ordinary_runs_like_single_ones(finished, tmp_path):
    agents = gac.train_seeds(with_rewards(), CONFIG, seeds=2, out=tmp_path / "seeds", updates=UPDATES)
    assert [agent.config.seed for agent in agents] == [0, 1]
    one, other = (arrays(tmp_path / "seeds" / f"seed-{i}") for i in range(2))
    alone = arrays(finished[0])
    assert one.keys() == alone.keys()
    for key in one:
        if key.startswith(".actor."):
            a, b, c = (np.frombuffer(each[key], np.float32) for each in (one, alone, other))
            np.testing.assert_allclose(a, b, atol=2e-3)
            if ".weight" in key:
                assert np.abs(a - c).max() > 0.05
    run = tmp_path / "seeds" / "seed-1"
    gac.train(with_rewards(), dataclasses.replace(CONFIG, seed=1), out=run, updates=250, resume=True)
    # The other one catches up.
    again = gac.train_seeds(with_rewards(), CONFIG, seeds=2, out=tmp_path / "seeds", updates=300, resume=True)
    assert len(again) == 2
    assert [lines(tmp_path / "seeds" / f"seed-{i}")[-1]["update"] for i in range(2)] == [300, 300]


def test_what_is_not_finite_is_named_and_the_last_good_state_is_kept(tmp_path):
    data = with_rewards()
    with pytest.raises(UserError, match=r"not finite .*seed 0"):
        gac.train(data, dataclasses.replace(CONFIG, reward_scale=1e30), out=tmp_path / "other", updates=200)
    assert all(
        np.isfinite(np.frombuffer(each, np.float32)).all() for each in arrays(tmp_path / "other").values()
    )


def test_a_resume_needs_the_same_settings_data_and_method(finished, trained, tmp_path):
    folder = finished[0]
    with pytest.raises(UserError, match=r"another configuration \(eta 1.0, now 3.0\)"):
        gac.train(with_rewards(), dataclasses.replace(CONFIG, eta=3.0), out=folder, updates=300, resume=True)
    other = dataclasses.replace(with_rewards(), terminated=~with_rewards().terminated | True)
    with pytest.raises(UserError, match="other episodes"):
        gac.train(other, CONFIG, out=folder, updates=300, resume=True)
    with pytest.raises(UserError, match="of method gac, expected gtp"):
        gac.train(with_rewards(), CONFIG, out=trained.folder, updates=300, resume=True)
    with pytest.raises(UserError, match="of method gtp, expected gac"):
        gac.train(tiny.make_episodes(), tiny.CONFIG, out=folder, updates=300, resume=True)
    with pytest.raises(UserError, match="not empty"):
        gac.train(with_rewards(), CONFIG, out=folder, updates=300)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"eta": float("nan")}, "eta is nan"),
        ({"eta": -1.0}, "eta is -1"),
        ({"steps": 0}, "steps is 0"),
        ({"intermediate": "none"}, "intermediate is 'none'"),
        ({"sigma_min": 100.0}, "sigma_min"),
        ({"levels_first": 1}, "levels_first"),
        ({"consistency": 0.0, "lambda_flow": 0.0}, "nothing is left"),
        ({"time_features": 5}, "time_features"),
        ({"discount": 1.0}, "discount"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields, said, tmp_path):
    with pytest.raises(UserError, match=said):
        gac.train(with_rewards(), dataclasses.replace(CONFIG, **fields), out=tmp_path / "run", updates=1)
    assert not (tmp_path / "run").exists()


def test_a_minute_ends_training(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GTP", dataclasses.replace(module.GTP, block=5))
    agent = gac.train(with_rewards(), CONFIG, out=tmp_path / "run", minutes=1e-6)
    assert [line["update"] for line in lines(tmp_path / "run")] == [5]
    assert agent.run == tmp_path / "run"
