"""The command line's promises: a flag for every field, one line for a mistake, nothing lost at Ctrl-C."""

import dataclasses
import errno
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_line import refused
from pretended import PretendedAgent

import gac
from gac import cli
from gac.cli import acting, commands
from gac.config import LONGEST, AddedConfig, Config, ModelConfig, PosteriorConfig, QueryConfig, TrainingConfig
from gac.errors import UserError
from gac.records import read_consistency, read_evaluation

FLAGS = [
    field
    for part in (ModelConfig, PosteriorConfig, TrainingConfig, QueryConfig, AddedConfig)
    for field in dataclasses.fields(part)
    if field.type not in (bool, str)
]


class Loaded(str):
    """Stands for the episodes of a name."""

    on_disk, num_episodes, num_steps = False, 3, 60

    @property
    def name(self):
        return str(self)


@pytest.fixture
def trained(monkeypatch):
    """Replace reading and training; the calls of `gac.train` are collected."""
    calls = []

    def train(data, config, **options):
        calls.append(SimpleNamespace(data=data, config=config, **options))

    def load_data(name, seed=0, on_disk=None, *, drop_reset_rows=False):
        data = Loaded(name)
        data.on_disk = bool(on_disk)
        return data

    monkeypatch.setattr(gac, "load_data", load_data, raising=False)
    monkeypatch.setattr(gac, "train", train, raising=False)
    return calls


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A run folder whose agent and evaluations are pretended; `asked` collects the queries."""
    folder = tmp_path / "run"
    folder.mkdir()
    facts = {
        "name": "made-up",
        "env_id": "Hopper-v5",
        "episodes": 1,
        "steps": 9,
        "returns": [5.0],
        "lengths": [9],
    }
    (folder / "data.json").write_text(json.dumps(facts))
    (folder / "config.json").write_text(Config().to_json())
    asked = []

    def evaluate(agent, env_id, *, query, episodes, seed, replan, disturb, longest, progress):
        asked.append(query)
        progress(episodes, 5.0)
        record = evaluation(type(query).__name__.lower(), env_id or agent.env_id, seed, episodes)
        record |= {"replan": str(replan), "disturb": None if disturb is None else str(disturb)}
        return read_evaluation(json.dumps(record), "pretended")

    facts = SimpleNamespace(name="made-up", returns=(1.0, 70.0, 20.0))
    agent = PretendedAgent(env_id="Hopper-v5", calibration=None, facts=facts)
    monkeypatch.setattr(gac, "load", lambda path: agent, raising=False)
    monkeypatch.setattr(gac, "evaluate", evaluate, raising=False)
    return SimpleNamespace(folder=folder, asked=asked, agent=agent)


def evaluation(query, env_id, seed, episodes):
    """A record as `gac evaluate` leaves it."""
    return {
        "query": query,
        "env_id": env_id,
        "seed": seed,
        "returns": [100.0] * episodes,
        "lengths": [50] * episodes,
        "predicted_returns": [110.0] * episodes,
        "mean": 100.0,
        "std": 0.0,
        "normalized_mean": 3.7,
        "normalized_std": 0.0,
        "plan_seconds": 0.1,
        "steps_per_second": 1000.0,
        "versions": {"gac": "0.1.0", "jax": "0", "gymnasium": "0", "mujoco": "0"},
        "trace": [1.0, 2.0],
        "converged": 1.0,
        "query_steps": 10.0,
    }


# --- flags


def all_of(config):
    """The values of all sections by their names."""
    sections = config.model, config.posterior, config.training, config.query, config.added
    return {name: value for section in sections for name, value in vars(section).items()}


@pytest.mark.parametrize("field", FLAGS, ids=lambda field: field.name)
def test_every_field_of_the_configuration_is_a_flag(field, trained, tmp_path):
    flag = "--" + field.name.replace("_", "-")
    assert cli.main(["train", "data", "--out", str(tmp_path / "run"), flag, "7"]) == 0
    config = trained[0].config
    values = all_of(config)
    assert values.pop(field.name) == 7
    preset = commands.preset("fast")
    assert values.items() <= all_of(preset).items()


def test_switches_of_the_configuration_go_both_ways(trained, tmp_path):
    for flag, value in (("--learn-sigma-y", True), ("--no-learn-sigma-y", False)):
        assert cli.main(["train", "data", "--out", str(tmp_path / "run"), flag]) == 0
        assert trained[-1].config.model.learn_sigma_y is value


@pytest.mark.parametrize("name", commands.PRESETS)
@pytest.mark.parametrize("form", ["--preset {}", "--preset={}"])
def test_unset_flags_keep_the_values_of_the_preset(name, form, trained, tmp_path):
    words = ["train", "data", "--out", str(tmp_path / "run"), *form.format(name).split(), "--seed", "3"]
    assert cli.main(words) == 0
    assert trained[0].config == dataclasses.replace(commands.preset(name), seed=3)


def test_resume_begins_from_the_configuration_of_the_run(trained, tmp_path):
    saved = Config(model=ModelConfig(embed_dim=48), seed=9)
    (tmp_path / "config.json").write_text(saved.to_json())
    assert cli.main(["train", "data", "--out", str(tmp_path), "--resume", "--updates", "3"]) == 0
    assert trained[0].config == saved
    assert (trained[0].resume, trained[0].overwrite, trained[0].updates) == (True, False, 3)


# --- mistakes


def test_mistakes_in_flags_are_one_line(capsys, trained, tmp_path):
    out = tmp_path / "run"
    assert "--embed-dm" in refused(capsys, "train", "data", "--out", out, "--embed-dm", 3)
    assert "--embed-dim" in refused(capsys, "train", "data", "--out", out, "--embed-dim", "wide")
    assert "--out" in refused(capsys, "train", "data")
    assert "small" in refused(capsys, "train", "data", "--out", out, "--preset", "small")
    assert "--updates" in refused(capsys, "train", "data", "--out", out, "--minutes", 1, "--updates", 1)
    assert "evaluate" in refused(capsys, "evalute", out)
    assert "exploit" in refused(capsys, "evaluate", out, "--query", "best")
    assert "convert" in refused(capsys, "data", "transform")
    assert "ACTION" in refused(capsys, "data")
    assert "demo" in refused(capsys)
    assert "RUN" in refused(capsys, "report", "--out", out)
    assert not trained


def test_an_existing_folder_is_left_alone(capsys, trained, tmp_path):
    (tmp_path / "config.json").write_text(Config().to_json())
    line = refused(capsys, "train", "data", "--out", tmp_path)
    assert "--resume" in line
    assert "--overwrite" in line
    refused(capsys, "demo", "--out", tmp_path)
    refused(capsys, "train", "data", "--out", tmp_path, "--resume", "--overwrite")
    refused(capsys, "train", "data", "--out", tmp_path / "config.json")
    refused(capsys, "train", "data", "--out", tmp_path / "none", "--resume")
    refused(capsys, "train", "data", "--out", tmp_path, "--resume", "--preset", "paper")
    assert not trained
    assert cli.main(["train", "data", "--out", str(tmp_path), "--overwrite"]) == 0
    assert trained[0].overwrite


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("two\nlines"), "two lines"),
        (FileNotFoundError(errno.ENOENT, "", "data.hdf5"), "data.hdf5: no such file"),
        (PermissionError(errno.EACCES, "", "/root/run"), "/root/run: permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
    ],
)
def test_what_a_person_can_mend_is_one_line(error, said, capsys, trained, monkeypatch, tmp_path):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(gac, "train", fail, raising=False)
    assert said in refused(capsys, "train", "data", "--out", tmp_path / "run")


def test_a_full_disk_under_safetensors_is_one_line():
    from safetensors import SafetensorError

    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "disk is full" in cli.refusal(error)


def test_a_defect_of_ours_keeps_its_traceback(trained, monkeypatch, tmp_path):
    def fail(*args, **options):
        raise ZeroDivisionError

    monkeypatch.setattr(gac, "train", fail, raising=False)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "data", "--out", str(tmp_path / "run")])


@pytest.mark.parametrize("start", [("-c", "from gac.cli import entry; entry()"), ("-m", "gac")])
def test_a_process_shows_one_line_and_exits_2(start, tmp_path):
    words = [sys.executable, *start, "data", "inspect", str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    mistakes = [line for line in done.stderr.splitlines() if line.startswith("gac: ")]
    assert done.returncode == 2, done.stderr
    assert len(mistakes) == 1
    assert "Traceback" not in done.stderr


def test_help_needs_no_jax():
    code = "import sys; from gac.cli import main\ntry: main(['--help'])\nfinally: print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


# --- Ctrl-C


@pytest.mark.parametrize("extent", [[], ["--minutes", "2.5"], ["--updates", "30"]])
@pytest.mark.parametrize("saved", [True, False])
def test_ctrl_c_says_how_to_go_on(saved, extent, capsys, trained, monkeypatch, tmp_path):
    def stop(*args, out, **options):
        out.mkdir()
        if saved:
            (out / "state.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(gac, "train", stop, raising=False)
    out = tmp_path / "a run"
    assert cli.main(["train", "my data.hdf5", "--out", str(out), *extent]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("gac: stopped")
    assert last.endswith(shlex.join(["--out", str(out), "--resume", *extent])) is saved
    assert ("gac train 'my data.hdf5'" in last) is saved


def test_steps_stay_on_disk_on_request_and_it_is_said(capsys, trained, tmp_path):
    assert cli.main(["train", "data", "--out", str(tmp_path)]) == 0
    assert "stays on disk" not in capsys.readouterr().out
    assert cli.main(["train", "data", "--out", str(tmp_path), "--on-disk"]) == 0
    assert [call.data.on_disk for call in trained] == [False, True]
    assert "data stays on disk: 3 episodes, 60 steps" in capsys.readouterr().out


# --- evaluation


def test_evaluation_writes_a_record_and_prints_a_table(capsys, run, tmp_path):
    copy = tmp_path / "deep" / "copy.json"
    assert cli.main(["evaluate", str(run.folder), "--episodes", "3", "--json", str(copy)]) == 0
    record = json.loads((run.folder / "eval-exploit.json").read_text())
    assert record["returns"] == [100.0] * 3
    assert json.loads(copy.read_text()) == record
    assert "exploit" in capsys.readouterr().out
    assert [path.name for path in run.folder.glob("*eval*")] == ["eval-exploit.json"]


def test_all_asks_the_four_queries(run, tmp_path):
    copy = tmp_path / "copy.json"
    words = ["evaluate", str(run.folder), "--query", "all", "--target", "1200", "--episodes", "1"]
    assert cli.main([*words, "--json", str(copy)]) == 0
    assert [record["query"] for record in json.loads(copy.read_text())] == list(acting.QUERIES)
    assert {path.name for path in run.folder.glob("eval-*")} == {
        f"eval-{each}.json" for each in acting.QUERIES
    }
    assert run.asked[2] == gac.Target(1200.0)


def test_where_no_target_is_usual_all_take_the_best_return_of_the_data(run):
    words = ["evaluate", str(run.folder), "--query", "all", "--env-id", "Swimmer-v5", "--episodes", "1"]
    assert cli.main(words) == 0
    assert run.asked[2] == gac.Target(70.0)


def test_a_target_without_a_known_scale_must_be_given(capsys, run):
    assert "--target" in refused(capsys, "evaluate", run.folder, "--query", "target", "--env-id", "Ant-v5")
    assert "--target" in refused(capsys, "evaluate", run.folder, "--query", "prior", "--target", 3)
    assert "--episodes" in refused(capsys, "evaluate", run.folder, "--episodes", 0)
    assert not run.asked


def test_replanning_and_disturbances_have_records_of_their_own(capsys, run):
    words = ["evaluate", str(run.folder), "--episodes", "2"]
    assert cli.main([*words, "--replan", "every:50", "--disturb", "push:1.0"]) == 0
    assert cli.main([*words, "--disturb", "push:1"]) == 0
    assert cli.main(words) == 0
    assert sorted(path.stem for path in run.folder.glob("eval-*")) == [
        "eval-exploit",
        "eval-exploit-every_50-push_1",
        "eval-exploit-push_1",
    ]
    assert "0.0 ± 0.0" in capsys.readouterr().out  # what replanning gained


def test_the_trigger_is_calibrated_once(capsys, run, monkeypatch):
    calls = []

    class Made:
        def save(self, folder):
            calls.append(folder)

    def calibrate(agent, data):
        agent.calibration = Made()
        calls.append(data)
        return agent.calibration

    monkeypatch.setattr(gac, "calibrate", calibrate, raising=False)
    monkeypatch.setattr(gac, "load_data", lambda name: f"data {name}", raising=False)
    words = ["evaluate", str(run.folder), "--episodes", "1", "--replan", "trigger:0.1"]
    for _ in range(2):
        assert cli.main(words) == 0
    assert calls == ["data made-up", run.folder]
    assert cli.main([*words, "--data", "other.hdf5"]) == 0
    assert calls[2:] == ["data other.hdf5", run.folder]
    assert (run.folder / "eval-exploit-trigger_0.1_either.json").exists()

    def gone(name):
        raise UserError(f"{name} is gone")

    run.agent.calibration = None
    monkeypatch.setattr(gac, "load_data", gone, raising=False)
    line = refused(capsys, *words)
    assert "give it with --data DATA" in line
    assert "made-up is gone" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replan", "often"], "every:N"),
        (["--replan", "every:0"], "every:0"),
        (["--replan", "trigger:2"], "below 1"),
        (["--replan", "trigger:0.1:taste"], "'taste'"),
        (["--disturb", "push:hard"], "noise:STD"),
        (["--disturb", "noise:-1"], "noise:STD"),
        (["--data", "x.hdf5"], "--replan trigger"),
        (["--data", "x.hdf5", "--replan", "every:5"], "--replan trigger"),
    ],
)
def test_bad_words_about_replanning_are_one_line(words, said, capsys, run):
    assert said in refused(capsys, "evaluate", run.folder, *words)
    assert not run.asked


def test_a_sweep_is_written_and_shown(capsys, run, monkeypatch, tmp_path):
    from fake_run import consistency

    (tmp_path / "made.json").write_text(json.dumps(consistency(episodes=4)))
    made, calls = read_consistency(tmp_path / "made.json"), []

    def sweep(agent, env_id, *, progress, **options):
        calls.append((env_id, options))
        progress(
            read_evaluation(json.dumps(evaluation("target", "Hopper-v5", 0, 4) | {"y_star": 8.0}), "here")
        )
        return made

    monkeypatch.setattr(gac, "consistency", sweep, raising=False)
    words = ["consistency", str(run.folder), "--values", "9", "--episodes", "4", "--seed", "2"]
    assert cli.main([*words, "--json", str(tmp_path / "copy.json")]) == 0
    assert calls == [(None, {"values": 9, "episodes": 4, "seed": 2, "longest": LONGEST})]
    assert read_consistency(run.folder / "consistency.json") == made
    assert read_consistency(tmp_path / "copy.json") == made
    said = capsys.readouterr()
    assert "commanded 8.0, achieved 100.0" in said.err
    assert f"{made.commanded[-1]:.1f}" in said.out
    assert "--episodes" in refused(capsys, "consistency", run.folder, "--episodes", 0)


def test_the_demo_tells_the_whole_story(monkeypatch, capsys, trained, run, tmp_path):
    import gac.report

    monkeypatch.setattr(gac.report, "write_report", lambda runs, out: Path(out).write_text(str(len(runs))))
    out = tmp_path / "demo"
    monkeypatch.setattr(
        gac,
        "train",
        lambda *args, out, **options: (shutil.copytree(run.folder, out), run.agent)[1],
        raising=False,
    )
    assert cli.main(["demo", "--out", str(out), "--episodes", "2"]) == 0
    assert (out / "report.html").read_text() == "1"
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {out / 'report.html'}"
