"""`gac finetune`: a flag for every setting, the folder's own settings at --resume, one line for a mistake."""

import dataclasses
import io
import json
import sys
from types import SimpleNamespace

import pytest
from one_line import refused
from pretended import PretendedAgent

import gac
from gac import cli
from gac.config import OnlineConfig
from gac.envs.specification import Environment
from gac.online.folder import environment_begun_in
from gac.records import ONLINE_SCHEMA

WORDS = {"targets", "y_star"}
NUMBERS = [field for field in dataclasses.fields(OnlineConfig) if field.name not in WORDS]


@pytest.fixture
def calls(monkeypatch):
    """Replace loading and fine-tuning; the calls of `gac.finetune` are collected."""
    found = []

    def finetune(agent, data, env_id, **options):
        found.append(SimpleNamespace(agent=agent, data=data, env_id=env_id, **options))
        options["out"].mkdir(exist_ok=True)

    facts = SimpleNamespace(name="hopper-medium")
    agent = PretendedAgent(env_id="Hopper-v5", facts=facts)
    monkeypatch.setattr(gac, "load", lambda run: agent, raising=False)
    monkeypatch.setattr(gac, "load_data", lambda name, **how: name, raising=False)
    monkeypatch.setattr(gac, "finetune", finetune, raising=False)
    return SimpleNamespace(made=found, agent=agent)


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_every_setting_is_a_flag(field, calls, tmp_path):
    value = "0.5" if field.name in ("quantile", "new_share") else "7"
    flag = "--" + field.name.replace("_", "-")
    assert cli.main(["finetune", "run", "--out", str(tmp_path / "out"), flag, value]) == 0
    config = calls.made[0].config
    assert getattr(config, field.name) == float(value)
    assert dataclasses.replace(config, **{field.name: field.default}) == OnlineConfig()


def test_the_data_and_the_environment_are_the_runs_unless_given(calls, tmp_path):
    words = ["finetune", "run", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    assert (calls.made[-1].data, calls.made[-1].env_id) == ("hopper-medium", None)
    assert cli.main([*words, "--data", "mine.hdf5", "--env-id", "a:B-v0"]) == 0
    assert (calls.made[-1].data, calls.made[-1].env_id) == ("mine.hdf5", "a:B-v0")


def test_y_star_is_the_papers_where_it_has_one(calls, tmp_path, capsys):
    words = ["finetune", "run", "--out", str(tmp_path / "out"), "--targets", "y-star"]
    assert cli.main(words) == 0
    assert calls.made[-1].config.y_star == 3600.0
    assert cli.main([*words, "--y-star", "12"]) == 0
    assert calls.made[-1].config.y_star == 12.0
    assert "y-star" in refused(capsys, *words[:-1], "fixed", "--y-star", "12")


def test_resume_begins_from_the_settings_of_the_folder(calls, tmp_path):
    saved = OnlineConfig(episodes=40, updates=9, targets="fixed")
    (tmp_path / "online.json").write_text(
        json.dumps({"schema_version": ONLINE_SCHEMA, "config": dataclasses.asdict(saved)})
    )
    words = ["finetune", "run", "--out", str(tmp_path), "--resume"]
    assert cli.main(words) == 0
    assert (calls.made[-1].config, calls.made[-1].resume) == (saved, True)
    assert cli.main([*words, "--stages", "5"]) == 0
    assert calls.made[-1].config == dataclasses.replace(saved, stages=5)


def test_resume_remembers_the_environment(calls, capsys, tmp_path):
    begun = {
        "schema_version": ONLINE_SCHEMA,
        "config": dataclasses.asdict(OnlineConfig()),
        "env_id": "a:B-v0",
    }
    (tmp_path / "online.json").write_text(json.dumps(begun))
    calls.agent.env_id = None
    words = ["finetune", "run", "--out", str(tmp_path), "--resume"]
    assert cli.main(words) == 0
    assert calls.made[-1].env_id is None
    assert environment_begun_in(tmp_path) == Environment("a:B-v0")


def test_mistakes_are_one_line(calls, capsys, tmp_path):
    words = ["finetune", "run", "--out", tmp_path / "out"]
    for more in (["--episodes", "0"], ["--targets", "best"], ["--minutes", "1", "--updates", "2"]):
        line = refused(capsys, *words, *more)
        assert more[0].removeprefix("--") in line
    assert "--resume" in refused(capsys, *words, "--resume", "--overwrite")
    assert "--out" in refused(capsys, "finetune", "run")
    calls.agent.env_id = "evil:Env-v0"
    assert "--env-id" in refused(capsys, *words)
    calls.agent.env_id = None
    assert "names no environment" in refused(capsys, *words)
    assert not calls.made


@pytest.mark.parametrize("begun", [True, False])
def test_ctrl_c_says_how_to_go_on(begun, calls, capsys, monkeypatch, tmp_path):
    def stop(*args, out, **options):
        out.mkdir()
        if begun:
            (out / "online.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(gac, "finetune", stop, raising=False)
    assert cli.main(["finetune", "a run", "--out", str(tmp_path / "out"), "--env-id", "A-v0"]) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    again = f"gac finetune 'a run' --out {tmp_path / 'out'} --resume --env-id A-v0"
    assert said.endswith(again) if begun else said == "gac: stopped"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_mistake_in_flags_is_told_alike_with_and_without_line_drawing(
    encoding, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    begun = ("finetune", "run", "--out", tmp_path / "run")
    assert refused(capsys, *begun, "--quantile", 2) == (
        "gac: quantile is 2.0 and new_share 0.25, expected at least 0 and below 1; see gac finetune --help"
    )
    assert refused(capsys, *begun, "--stages", "few") == (
        "gac: Error parsing --stages: invalid literal for int() with base 10: 'few'; see gac finetune --help"
    )
