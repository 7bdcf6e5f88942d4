"""Training of the rivals as a person runs it: resumed to the bit, several seeds, honest refusals."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
import tiny_rivals
import toy_env

import gac
from gac.errors import UserError
from gac.rivals.returns import asked_target, unit_of, usual_target

UPDATES = 45
BOTH = pytest.mark.parametrize("config", tiny_rivals.BOTH, ids=["lpt", "odt"])


def arrays(folder, name="state.safetensors"):
    """The arrays of a file, as bytes by name."""
    from safetensors import safe_open

    with safe_open(folder / name, framework="numpy") as file:
        return {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module", params=tiny_rivals.BOTH, ids=["lpt", "odt"])
def finished(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rivals") / "run"
    agent = gac.train(tiny.make_episodes(), request.param, out=folder, updates=UPDATES)
    return request.param, folder, agent


@pytest.mark.parametrize("stop", [20, 37])
def test_resuming_equals_never_having_stopped(stop, finished, tmp_path):
    config, folder, _ = finished
    run = tmp_path / "run"
    gac.train(tiny.make_episodes(), config, out=run, updates=stop)
    gac.train(tiny.make_episodes(), config, out=run, updates=UPDATES, resume=True)
    for name in ("state.safetensors", "model.safetensors"):
        assert arrays(run, name) == arrays(folder, name)


def test_a_loaded_agent_acts_as_the_trained_one(finished):
    _, folder, agent = finished
    first = np.random.default_rng(0).normal(size=(4, tiny.OBSERVATION_DIM))
    again = gac.load(folder)
    assert type(again) is type(agent)
    one, other = (each.policy(4, target=120.0, seed=3) for each in (agent, again))
    for step in range(3):
        action = one(first + step)
        assert np.isfinite(action).all()
        np.testing.assert_array_equal(action, other(first + step))
    low, high = (each.policy(4, target=y, seed=3)(first) for each, y in ((agent, 50.0), (agent, 150.0)))
    assert np.abs(low - high).max() > 1e-6
    single = agent.policy(target=120.0, seed=3)(first[0])
    np.testing.assert_allclose(single, agent.policy(4, target=120.0, seed=3)(first)[0], atol=1e-5)


@BOTH
def test_seeds_are_ordinary_runs_like_single_ones(config, tmp_path):
    agents = gac.train_seeds(tiny.make_episodes(), config, seeds=2, out=tmp_path / "seeds", updates=20)
    gac.train(tiny.make_episodes(), dataclasses.replace(config, seed=1), out=tmp_path / "one", updates=20)
    assert [agent.config.seed for agent in agents] == [0, 1]
    zero, one, alone = (arrays(tmp_path / name) for name in ("seeds/seed-0", "seeds/seed-1", "one"))
    keys = [key for key in alone if key.startswith(".theta") and ".weight" in key]
    for key in keys:
        a, b, c = (np.frombuffer(each[key], np.float32) for each in (one, alone, zero))
        np.testing.assert_allclose(a, b, atol=2e-3)
        assert np.abs(a - c).max() > 0.02


def test_evaluations_say_what_was_asked(finished):
    config, _, agent = finished
    record = gac.evaluate(agent, toy_env.ID, episodes=3, target=110.0)
    assert (record.query, record.y_star, len(record.returns)) == ("target", 110.0, 3)
    assert len(record.predicted_returns) == (3 if config.method == "lpt" else 0)
    with pytest.raises(UserError, match="no return to ask for"):
        gac.evaluate(agent, toy_env.ID, episodes=3)
    with pytest.raises(UserError, match="query is explore, expected one of target"):
        gac.evaluate(agent, toy_env.ID, episodes=3, query="explore")
    if config.method == "lpt":
        prior = gac.evaluate(agent, toy_env.ID, episodes=3, query="prior")
        assert (prior.query, prior.y_star) == ("prior", None)
        assert prior.predicted_returns != record.predicted_returns


def test_a_trajectory_that_is_not_visited_keeps_its_chain(finished, tmp_path):
    config, *_ = finished
    if config.method != "lpt":
        pytest.skip("chains are of lpt")
    one = dataclasses.replace(config, batch_size=1)
    gac.train(tiny.make_episodes(), one, out=tmp_path / "run", updates=1)
    from gac.rivals.lpt.train import _begin

    start = np.asarray(_begin(one, tiny.make_episodes()).chain)
    now = np.frombuffer(arrays(tmp_path / "run")[".chain"], np.float32).reshape(start.shape)
    moved = np.abs(now - start).max(axis=(1, 2)) > 0.0
    assert moved.sum() == 1


@pytest.mark.parametrize(
    ("config", "fields", "said"),
    [
        (tiny_rivals.LPT, {"langevin_step": float("nan")}, "langevin_step is nan"),
        (tiny_rivals.LPT, {"heads": 3}, "heads is 3"),
        (tiny_rivals.LPT, {"unet_levels": 4}, "unet_levels is 4"),
        (tiny_rivals.LPT, {"dropout": 1.0}, "dropout is 1"),
        (tiny_rivals.ODT, {"optimiser": "sgd"}, "optimiser is 'sgd'"),
        (tiny_rivals.ODT, {"log_std_min": 3.0}, "log_std_min is 3"),
        (tiny_rivals.ODT, {"windows": 0}, "windows is 0"),
        (tiny_rivals.ODT, {"action_edge": 1.0}, "action_edge is 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(config, fields, said, tmp_path):
    with pytest.raises(UserError, match=said):
        gac.train(
            tiny.make_episodes(), dataclasses.replace(config, **fields), out=tmp_path / "run", updates=1
        )
    assert not (tmp_path / "run").exists()


@BOTH
def test_what_is_not_finite_is_named(config, tmp_path):
    with pytest.raises(UserError, match=r"not finite .*lower --learning-rate"):
        gac.train(
            tiny.make_episodes(),
            dataclasses.replace(config, learning_rate=1e30, warmup_updates=1),
            out=tmp_path / "run",
            updates=20,
        )
    assert all(np.isfinite(np.frombuffer(x, np.float32)).all() for x in arrays(tmp_path / "run").values())


@pytest.mark.parametrize(
    ("largest", "unit"),
    [
        (3378.9, 1000.0),
        (5309.0, 1000.0),
        (161.9, 100.0),
        (277.0, 100.0),
        (1.0, 1.0),
        (0.0, 1.0),
        (-40.0, 10.0),
    ],
)
def test_the_unit_of_returns_is_the_papers(largest, unit):
    assert unit_of(np.array([largest, 0.0]), 0.0) == unit
    assert unit_of(np.array([largest]), 7.0) == 7.0


@pytest.mark.parametrize(
    ("env_id", "target"),
    [
        ("Hopper-v4", 3600.0),
        ("gac/NoisyHopper-v4", 3600.0),
        ("Walker2d-v5", 5000.0),
        ("HalfCheetah-v4", 6000.0),
        ("gac/maze2d-umaze-v1", 165.0),
        ("maze2d-large-v1", 275.0),
        ("Ant-v5", None),
    ],
)
def test_the_usual_target_is_the_papers(env_id, target):
    assert usual_target(env_id) == target
    assert asked_target(7.0, env_id) == 7.0


def test_metrics_have_a_line_for_every_block(finished):
    config, folder, _ = finished
    updates = [json.loads(line)["update"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert updates == ([20, 40, 45] if config.method == "lpt" else [45])
