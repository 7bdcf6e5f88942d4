"""The command line with runs of gtp: what works, and one line for what does not."""

import dataclasses
import json
import shutil

import pytest
import tiny
import toy_env
from one_line import refused
from tiny_gtp import CONFIG, with_rewards

import gac
from gac import cli
from gac.data.d4rl_hdf5 import write_d4rl
from gac.gtp.config import GTPConfig
from gac.methods import METHODS, method_of

SMALL = ["--width", "16", "--layers", "2", "--critic-width", "16", "--batch-size", "8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "walk.hdf5"
    write_d4rl(with_rewards(30, env_id=toy_env.ID.split(":")[1]), path)
    return path


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gtp") / "run"
    words = ["train", str(data), "--method", "gtp", "--out", str(folder), "--updates", "30", "--eta", "2"]
    assert cli.main([*words, *SMALL]) == 0
    return folder


def test_flags_are_the_fields_of_the_configuration(run):
    config = GTPConfig.from_json((run / "config.json").read_text())
    wanted = dataclasses.replace(
        gac.presets.gtp(), width=16, layers=2, critic_width=16, batch_size=8, eta=2.0
    )
    assert config == wanted


def test_a_run_is_gone_on_with_without_naming_its_method(run, data, capsys, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    assert cli.main(["train", str(data), "--out", str(again), "--resume", "--updates", "40"]) == 0
    last = (again / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["update"] == 40
    assert method_of(again) == "gtp"
    line = refused(capsys, "train", data, "--method", "gac", "--out", again, "--resume", "--updates", 50)
    assert "method gtp" in line


def test_evaluations_and_the_report_tell_of_the_steps(run, capsys, tmp_path):
    for steps in (1, 2):
        words = ["evaluate", run, "--steps", steps, "--episodes", 3, "--env-id", toy_env.ID]
        assert cli.main([*map(str, words), "--json", str(tmp_path / "one.json")]) == 0
    assert json.loads((run / "eval-steps-2.json").read_text())["steps"] == 2
    assert (tmp_path / "one.json").read_text() == (run / "eval-steps-2.json").read_text()
    assert "steps-2" in capsys.readouterr().out
    assert cli.main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    for words in (
        "Generative Trajectory Policies",
        "steps-2",
        "--method gtp",
        "--steps 1",
        "--eta 2.0",
    ):
        assert words in page, words
    for words in ("exploit", "held-out ELBO", "Posterior and prior"):
        assert words not in page, words


def test_a_report_holds_runs_of_both_methods(run, trained, tmp_path):
    assert cli.main(["report", str(run), str(trained.folder), "--out", str(tmp_path / "both.html")]) == 0
    page = (tmp_path / "both.html").read_text()
    for words in ("Generative Trajectory Policies", "Generative Actor Critic", "Posterior and prior"):
        assert words in page


def test_what_is_of_the_other_method_is_refused_in_one_line(run, trained, data, capsys, tmp_path):
    for flags in (
        ["--query", "exploit"],
        ["--target", 3],
        ["--replan", "every:5"],
        ["--data", "x"],
    ):
        line = refused(capsys, "evaluate", run, *flags)
        assert flags[0] in line
        assert "gtp" in line
    assert "--steps 3" in refused(capsys, "evaluate", trained.folder, "--steps", 3)
    assert "gtp" in refused(capsys, "finetune", run, "--out", tmp_path / "tuned")
    assert "gtp" in refused(capsys, "consistency", run)
    assert "--eta" in refused(capsys, "train", data, "--out", tmp_path / "run", "--eta", 3)
    out = tmp_path / "run"
    assert "--sigma-y" in refused(capsys, "train", data, "--method", "gtp", "--out", out, "--sigma-y", 3)
    assert "--on-disk" in refused(capsys, "train", data, "--method", "gtp", "--out", out, "--on-disk")
    assert not out.exists()


def test_mistakes_are_one_line(run, data, capsys, tmp_path):
    out = tmp_path / "run"
    assert "steps is 0" in refused(capsys, "evaluate", run, "--steps", 0, "--env-id", toy_env.ID)
    assert "--steps" in refused(capsys, "evaluate", run, "--steps", "many")
    assert "gtp" in refused(capsys, "train", data, "--method", "ppo", "--out", out)
    assert "fast" in refused(capsys, "train", data, "--method", "gtp", "--preset", "plain", "--out", out)
    plain = tmp_path / "plain.hdf5"
    write_d4rl(tiny.make_episodes(), plain)
    line = refused(capsys, "train", plain, "--method", "gtp", "--out", out)
    assert "--rewards learned" in line
    assert not out.exists()


def test_every_method_has_its_parts():
    for name, method in METHODS.items():
        assert method.part("config").method == name
        assert method.preset(None).method == name
        for part in ("train", "train_seeds", "load", "evaluate", "command"):
            assert callable(method.part(part))


def test_configurations_are_read_strictly():
    text = CONFIG.to_json()
    assert GTPConfig.from_json(text) == CONFIG
    for change in ({"schema_version": 0}, {"eta": "much"}, {"unknown": 1}, {"method": "gac"}):
        with pytest.raises(gac.UserError):
            GTPConfig.from_json(json.dumps(json.loads(text) | change))
