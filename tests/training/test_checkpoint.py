"""A state comes back to the bit, only for the run that it belongs to, whatever moment a kill chose."""

import dataclasses
import json

import jax.numpy as jnp
import pytest
import tiny

import gac
from gac import files, presets, writing
from gac.errors import UserError
from gac.training.checkpoint import (
    check_config,
    claim_folder,
    fingerprint,
    read_state,
    write_state,
)


@pytest.fixture
def saved(trainer):
    """A trainer two updates on, saved."""
    trainer.step()
    trainer.step()
    trainer.save()
    return trainer


def read(trainer, config=None, progress=None):
    return read_state(trainer.out, trainer.state, progress or trainer.progress, config or trainer.config)


def refusal(trainer, **kwargs):
    with pytest.raises(UserError) as error:
        read(trainer, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_state_comes_back_to_the_bit(saved, compiled_trainer):
    written = saved.state
    saved.state = compiled_trainer.state  # what a new process begins with
    state, progress = read(saved)
    assert tiny.same(state, written)
    assert int(state.update) == 2
    assert progress == saved.progress


def test_another_configuration_is_refused_by_name(saved):
    assert "outer_lr" in refusal(saved, config=tiny.replace(saved.config, outer_lr=0.5))
    assert "seed" in refusal(saved, config=dataclasses.replace(saved.config, seed=3))
    assert "embed_dim" in refusal(saved, config=tiny.replace(saved.config, embed_dim=32))


def test_other_data_are_refused(saved):
    other = saved.progress._replace(data=fingerprint(tiny.make_episodes(seed=1)))
    assert "other episodes" in refusal(saved, progress=other)


@pytest.mark.parametrize("field", ["observations", "actions", "returns", "lengths", "final_observations"])
def test_the_fingerprint_knows_every_array_that_training_reads(field):
    episodes = tiny.make_episodes()
    array = getattr(episodes, field).copy()
    array.flat[:2] = array.flat[[1, 0]]  # keeps the sum of the lengths
    if field == "lengths":
        array[:2] += [1, -1]
    assert fingerprint(dataclasses.replace(episodes, **{field: array})) != fingerprint(episodes)
    assert fingerprint(tiny.make_episodes()) == fingerprint(episodes)


def test_damaged_foreign_and_newer_states_are_refused(saved):
    path = saved.out / "state.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "truncated" in refusal(saved)
    path.write_bytes((saved.out / "model.safetensors").read_bytes())
    assert "schema" in refusal(saved)
    files.write_tree(path, {"x": jnp.zeros(1)}, {"schema_version": "9"})
    assert "schema 9" in refusal(saved)
    path.write_bytes(whole)
    read(saved)


def test_metrics_are_cut_back_to_the_state(saved):
    lines = [{"update": i} for i in (1, 2, 3)]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"update": 4, "el'
    (saved.out / "metrics.jsonl").write_text(text)
    read(saved)
    kept = (saved.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == lines[:2]


class Killed(BaseException):
    """Stands for the end of the process: nothing but `finally` runs."""


@pytest.mark.parametrize("moment", range(4))
def test_a_kill_between_any_two_files_leaves_a_run_that_loads_and_resumes(moment, saved, monkeypatch):
    """A save writes four files; the kill comes before one of them takes its name."""
    before = saved.state
    saved.step()
    after, replace, calls = saved.state, writing.os.replace, []

    def kill(*args):
        calls.append(args)
        if len(calls) > moment:
            raise Killed
        replace(*args)

    monkeypatch.setattr(writing.os, "replace", kill)
    with pytest.raises(Killed):
        saved.save()
    monkeypatch.undo()
    assert len(calls) == moment + 1
    agent = gac.load(saved.out)
    averaged = after.averaged if moment == 3 else before.averaged
    assert tiny.same(tiny.learned(agent.model), tiny.learned(averaged))
    state, _ = read(saved)
    assert tiny.same(state, before)
    saved.state = state
    saved.step()
    assert tiny.same(saved.state, after)


# --- the folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_in_use_is_refused_and_left_alone(saved, tmp_path):
    before = {path.name: path.read_bytes() for path in saved.out.iterdir()}
    with pytest.raises(UserError, match="--overwrite"):
        claim_folder(saved.out, resume=False, overwrite=False)
    assert {path.name: path.read_bytes() for path in saved.out.iterdir()} == before
    with pytest.raises(UserError, match="is a file"):
        claim_folder(saved.out / "config.json", resume=False, overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    for options in ({"resume": True, "overwrite": False}, {"resume": False, "overwrite": False}):
        with pytest.raises(UserError):
            claim_folder(tmp_path / "other", **options)
    assert names(tmp_path / "other") == ["thesis.tex"]


def test_overwriting_removes_a_run_and_nothing_else(saved):
    for name in ("eval-exploit.json", "notes.txt", ".state.safetensors.99.tmp"):
        (saved.out / name).touch()
    claim_folder(saved.out, resume=False, overwrite=True)
    assert names(saved.out) == ["notes.txt"]


def test_overwriting_removes_what_fine_tuning_left(saved):
    """Else the new run would pass for the result of the old stages."""
    (saved.out / "collected").mkdir()
    for name in ("online.json", "stage-0.json", "stage-1.json", "collected/stage-1-begun.json"):
        (saved.out / name).touch()
    (saved.out / "collected" / "thesis.tex").touch()
    claim_folder(saved.out, resume=False, overwrite=True)
    assert names(saved.out) == ["collected"]
    assert names(saved.out / "collected") == ["thesis.tex"]
    (saved.out / "collected" / "thesis.tex").unlink()
    claim_folder(saved.out, resume=False, overwrite=True)
    assert names(saved.out) == []


def test_resuming_clears_away_what_a_kill_left(saved):
    kept = names(saved.out)
    (saved.out / ".model.safetensors.99.tmp").touch()
    claim_folder(saved.out, resume=True, overwrite=False)
    assert names(saved.out) == kept
    (saved.out / "config.json").unlink()
    with pytest.raises(UserError, match="no saved state"):
        claim_folder(saved.out, resume=True, overwrite=False)


# --- settings


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"embed_dim": 0}, "embed_dim"),
        ({"heads": 3}, "heads"),
        ({"sigma_y": -1.0}, "sigma_y"),
        ({"batch_size": 0}, "batch_size"),
        ({"inner_lr": 0.0}, "inner_lr"),
        ({"critic_steps": 0}, "critic_steps"),
        ({"errors": -1.0}, "errors"),
        ({"free_bits": -0.1}, "free_bits"),
        ({"heldout_fraction": 1.0}, "heldout_fraction"),
        ({"averaging": 1.0}, "averaging"),
        ({"averaging": float("nan")}, "averaging"),
        ({"checkpoint_seconds": float("inf")}, "checkpoint_seconds"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(fields, said):
    check_config(tiny.CONFIG, 10)
    with pytest.raises(UserError, match=said):
        check_config(tiny.replace(tiny.CONFIG, **fields), 10)


def test_a_seed_below_0_is_refused():
    with pytest.raises(UserError, match="seed is -1"):
        check_config(dataclasses.replace(tiny.CONFIG, seed=-1), 10)


@pytest.mark.parametrize("preset", [presets.fast, presets.paper])
def test_every_preset_can_train(preset):
    check_config(preset(), 10)


def test_zero_is_fine_where_it_means_off():
    off = {"free_bits": 0.0, "weight_decay": 0.0, "heldout_fraction": 0.0, "averaging": 0.0}
    off |= {"decay_steps": 0, "errors": 0.0, "actor_width": 0, "transition_width": 0, "members": 0}
    check_config(tiny.replace(tiny.CONFIG, **off), 10)
    with pytest.raises(UserError, match="episodes"):
        check_config(tiny.CONFIG, 3)


def test_writing_a_state_is_atomic(saved, monkeypatch):
    path = saved.out / "state.safetensors"
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_state(saved.out, saved.state, saved.progress)
    assert path.read_bytes() == before
    assert not list(saved.out.glob(".*"))
