"""Training as a person runs it: resumed to the bit, stopped cleanly, honest about what went wrong."""

import json
import os
import signal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac import presets, writing
from gac.bench.workload import shrunk
from gac.config import MOST_HELDOUT
from gac.data.split import split_episodes
from gac.errors import UserError
from gac.training import offline
from gac.training.offline import train
from gac.training.visits import make_visits, visited

FILES = ["config.json", "data.json", "metrics.jsonl", "model.safetensors", "state.safetensors"]


def arrays(folder, name="state.safetensors"):
    """The arrays of a file, as bytes by name; its metadata hold the seconds, which differ."""
    from safetensors import safe_open

    with safe_open(folder / name, framework="numpy") as file:
        return {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118


def lines(folder):
    """metrics.jsonl without what depends on the clock."""
    parsed = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    clock = ("seconds", "trajectories_per_second")
    return [{key: value for key, value in line.items() if key not in clock} for line in parsed]


def next_batch(trainer):
    """The episodes of the next update."""
    order_key, _ = jax.random.split(trainer.state.key)
    size = trainer.config.training.batch_size
    lengths = trainer.episodes.lengths[trainer.train_index]
    visits = make_visits(trainer.train_index, lengths, trainer.config)
    return visited(visits, size, trainer.state.update, order_key).index.tolist()


def test_the_papers_preset_trains_at_sizes_of_a_test(tmp_path):
    config = shrunk(presets.paper())
    assert config.added.decay_steps == config.added.members == 0
    train(tiny.make_episodes(), config, out=tmp_path / "run", updates=3)
    elbo = [line["elbo"] for line in lines(tmp_path / "run")]
    assert len(elbo) == 2
    assert np.isfinite(elbo).all()


def test_a_run_leaves_what_the_documentation_names(trained):
    assert sorted(path.name for path in trained.folder.iterdir()) == FILES
    facts = json.loads((trained.folder / "data.json").read_text())
    assert (facts["name"], facts["episodes"], facts["steps"]) == ("tiny", 10, trained.episodes.num_steps)
    np.testing.assert_allclose(facts["returns"], trained.episodes.returns)
    logged = lines(trained.folder)
    assert [line["update"] for line in logged] == [1, 4, 8, 10, 12]
    assert ["heldout_elbo" in line for line in logged] == [False, True, True, False, True]
    for key in ("elbo", "log_p_tau", "log_p_y", "kl", "active_dims", "inner_steps", "return_error"):
        assert all(np.isfinite(line[key]) for line in logged), key
    assert not any({"finite", "index"} & line.keys() for line in logged)


@pytest.mark.parametrize("stop", [5, 8])
def test_resuming_equals_never_having_stopped(stop, trained, tmp_path):
    run = tmp_path / "run"
    train(trained.episodes, trained.config, out=run, updates=stop)
    agent = train(trained.episodes, trained.config, out=run, updates=tiny.UPDATES, resume=True)
    for name in ("state.safetensors", "model.safetensors"):
        assert arrays(run, name) == arrays(trained.folder, name)
    assert [line for line in lines(run) if line["update"] != 5] == lines(trained.folder)
    assert tiny.same(agent.model, trained.agent.model)


def test_the_seed_sets_the_run_and_the_split():
    config = tiny.CONFIG
    train_index, heldout = split_episodes(10, config)
    assert sorted([*train_index, *heldout]) == list(range(10))
    assert len(heldout) == 2
    other = split_episodes(10, tiny.dataclasses.replace(config, seed=1))[1]
    assert heldout.tolist() == split_episodes(10, config)[1].tolist() != other.tolist()
    assert len(split_episodes(10, tiny.replace(config, heldout_fraction=0.0))[1]) == 0
    assert len(split_episodes(100_000, config)[1]) == MOST_HELDOUT


def test_a_value_that_is_not_finite_stops_and_names_the_trajectory(trainer):
    bad = int(trainer.train_index[2])
    start = int(trainer.data.starts[bad])
    rows = trainer.data.rows.at[start : start + int(trainer.data.lengths[bad])].set(jnp.nan)
    trainer.data = trainer.data._replace(rows=rows)
    while bad not in next_batch(trainer):
        trainer.step()
    good = trainer.state
    with pytest.raises(UserError, match=f"trajectory {bad} ") as error:
        trainer.step()
    assert "\n" not in str(error.value)
    assert tiny.same(trainer.state, good)
    assert tiny.same(tiny.learned(gac.load(trainer.out).model), tiny.learned(good.averaged))
    stored, _ = offline.read_state(trainer.out, good, trainer.progress, trainer.config)
    assert tiny.same(stored, good)


def test_weights_that_are_not_finite_are_not_blamed_on_a_trajectory(trainer):
    theta = eqx.tree_at(lambda t: t.critic.out.bias, trainer.state.theta, jnp.full(1, jnp.nan, jnp.float32))
    trainer.state = trainer.state._replace(theta=theta)
    with pytest.raises(UserError, match="the weights"):
        trainer.step()


def test_ctrl_c_saves_everything_first(trainer, monkeypatch, tmp_path):
    monkeypatch.setattr(offline, "Trainer", lambda *args: trainer)

    def stop(line, share):
        if line["update"] == 4:
            raise KeyboardInterrupt

    trainer.out = tmp_path / "own"
    with pytest.raises(KeyboardInterrupt):
        train(trainer.episodes, trainer.config, out=trainer.out, updates=50, progress=stop)
    stored, _ = offline.read_state(trainer.out, trainer.state, trainer.progress, trainer.config)
    assert int(stored.update) == 4
    assert tiny.same(stored, trainer.state)


def test_ctrl_c_within_an_update_comes_after_what_is_recorded_of_it(trained, monkeypatch, tmp_path):
    out, step = tmp_path / "own", offline.Trainer.step

    def pressed(trainer):
        metrics = step(trainer)
        if int(trainer.state.update) == 4:  # an update with a line and a held-out ELBO
            os.kill(os.getpid(), signal.SIGINT)
        return metrics

    monkeypatch.setattr(offline.Trainer, "step", pressed)
    with pytest.raises(KeyboardInterrupt):
        train(trained.episodes, trained.config, out=out, updates=tiny.UPDATES)
    assert [line["update"] for line in lines(out)] == [1, 4]
    train(trained.episodes, trained.config, out=out, updates=tiny.UPDATES, resume=True)
    assert lines(out) == lines(trained.folder)
    assert arrays(out) == arrays(trained.folder)


def test_minutes_are_kept_and_progress_reaches_the_end(trainer, monkeypatch, tmp_path):
    monkeypatch.setattr(offline, "Trainer", lambda *args: trainer)
    trainer.out, shares = tmp_path / "own", []
    train(
        trainer.episodes,
        trainer.config,
        out=trainer.out,
        minutes=1.0 / 60.0,
        progress=lambda line, share: shares.append(share),
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert shares[0] < 1.0
    assert 0.0 < trainer.progress.seconds < 5.0


def test_a_full_disk_at_a_checkpoint_loses_nothing_saved(trainer, monkeypatch, tmp_path):
    monkeypatch.setattr(offline, "Trainer", lambda *args: trainer)
    trainer.out = tmp_path / "own"
    fsync, calls = writing.os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 12:  # four files a checkpoint with the agent, one without: the model of update 4
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        train(trainer.episodes, trainer.config, out=trainer.out, updates=50)
    monkeypatch.undo()
    assert not list(trainer.out.glob(".*.tmp"))
    gac.load(trainer.out)
    stored, _ = offline.read_state(trainer.out, trainer.state, trainer.progress, trainer.config)
    assert int(stored.update) == 3


def test_the_agent_is_written_with_the_first_of_every_three_checkpoints(trainer, tmp_path):
    trainer.out = tmp_path / "own"
    written = []
    for _ in range(5):
        trainer.step()
        trainer.checkpoint()
        stored, _ = offline.read_state(trainer.out, trainer.state, trainer.progress, trainer.config)
        assert int(stored.update) == int(trainer.state.update)
        models = gac.load(trainer.out).model, trainer.state.averaged
        written.append(tiny.same(*map(tiny.learned, models)))
    assert written == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"updates": 0}, "updates"),
        ({"updates": -3}, "updates"),
        ({"minutes": 0.0}, "minutes"),
        ({"minutes": -1.0}, "minutes"),
        ({"minutes": float("nan")}, "minutes"),
    ],
)
def test_no_time_at_all_is_refused_before_the_folder_is_touched(options, said, tmp_path):
    with pytest.raises(UserError, match=said):
        train(tiny.make_episodes(), tiny.CONFIG, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_too_few_episodes_are_refused_before_the_folder_is_touched(tmp_path):
    with pytest.raises(UserError, match="3 episodes"):
        train(tiny.make_episodes(3), tiny.CONFIG, out=tmp_path / "run", updates=1)
    assert not (tmp_path / "run").exists()
