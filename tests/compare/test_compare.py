"""`gac compare` from end to end, with a tiny method of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from one_line import refused
from pages import Page

import gac
from gac import cli
from gac.compare.launching import Places, commands
from gac.compare.results import read_table
from gac.compare.specification import read_specification
from gac.compare.tables import notes

FAKE = f"{sys.executable} {Path(__file__).parent / 'fake_rivals.py'}"


@pytest.fixture
def data(tiny_set):
    return tiny_set


def specification(tmp_path, data, methods, seeds=(0, 1), rivals=FAKE, **more):
    path = tmp_path / "spec.toml"
    lines = [f"rivals = {rivals!r}", f"methods = {list(methods)}", f"data = [{str(data)!r}]"]
    lines += [f"seeds = {list(seeds)}", "updates = 3", "episodes = 4"]
    path.write_text("\n".join([*lines, *(f"{key} = {value!r}" for key, value in more.items())]))
    return path


def test_a_comparison_fills_a_table_and_a_page(tmp_path, data, capsys):
    out = tmp_path / "out"
    assert cli.main(["compare", str(specification(tmp_path, data, ["steady"])), "--out", str(out)]) == 0
    # Returns are 1000 to 1003 and 1100 to 1103: normalised with Hopper's references.
    scores = [100 * (mean + 20.272305) / 3254.572305 for mean in (1001.5, 1101.5)]
    text = (out / "table.md").read_text()
    assert f"| steady | {np.mean(scores):.1f} [" in text
    assert f"] | {np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f} | 1.5 min, 7 updates |" in text
    assert text.splitlines()[0] in capsys.readouterr().out
    page = Page((out / "report.html").read_text())
    assert all(source.startswith("data:") for source in page.sources)
    assert page.tags.count("figure") == 4
    assert not page.open


def test_what_fails_is_named_and_the_rest_goes_on(tmp_path, data, capsys):
    spec = specification(tmp_path, data, ["broken", "steady"], seeds=[0])
    line = refused(capsys, "compare", spec, "--out", tmp_path / "out")
    assert line.startswith("gac: 1 of 2 runs failed, broken/")
    assert "ValueError: it broke" in line
    assert "--resume" in line
    text = (tmp_path / "out" / "table.md").read_text()
    assert "ValueError: it broke" in text
    assert "| steady | 31.4 [" in text
    # Once more: only what failed is tried again.
    record = next((tmp_path / "out").glob("runs/steady/*/*/eval-policy.json"))
    before = record.read_text()
    refused(capsys, "compare", spec, "--out", tmp_path / "out", "--resume")
    assert record.read_text() == before


def test_a_killed_comparison_goes_on(tmp_path, data):
    spec, out = specification(tmp_path, data, ["steady", "slow"], seeds=[0], jobs=2), tmp_path / "out"
    line = [sys.executable, "-m", "gac", "compare", str(spec), "--out", str(out)]
    here = os.environ | {"PYTHONPATH": str(Path(gac.__file__).parents[1]), "FAKE_GO": str(tmp_path / "go")}
    process = subprocess.Popen(line, env=here)
    while not (list(out.glob("runs/slow/*/*/pid")) and list(out.glob("runs/steady/*/*/finished.json"))):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = next(out.glob("runs/steady/*/*/eval-policy.json"))
    began = json.loads(kept.read_text())["began"]
    left = next(out.glob("runs/slow/*/*/pid"))

    def resumed():
        again = [*line, "--resume"]
        return subprocess.run(again, env=here, capture_output=True, text=True, check=False, timeout=200)

    # The run that the kill left behind still has the folder; nothing runs beside it.
    assert "is in use" in resumed().stderr
    os.kill(int(left.read_text()), signal.SIGKILL)
    (tmp_path / "go").touch()
    again = resumed()
    assert again.returncode == 0, again.stderr
    assert "1 of 2 runs to go" in again.stderr
    assert json.loads(kept.read_text())["began"] == began
    assert len(list(out.glob("runs/*/*/*/eval-policy.json"))) == 2


def test_a_folder_in_use_is_not_written_to(tmp_path, data, capsys):
    spec, out = specification(tmp_path, data, ["steady"]), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert "is not empty; go on with --resume" in refused(capsys, "compare", spec, "--out", out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["steady", "stead"]}, "method stead is unknown, expected one of gac, gtp"),
        ({"methods": ["steady"], "rivals": "no-such-python run.py"}, "run make rivals-setup"),
        ({"methods": ["gac"], "rewards": "given"}, "method gac learns from returns"),
        ({"methods": ["gac"], "online": 10}, "expected a multiple of 3"),
        ({"methods": ["gac:plan"]}, "has preset plan, expected one of fast, plain, paper"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_does(tmp_path, data, capsys, changes, said):
    spec = specification(tmp_path, data, **changes)
    assert said in refused(capsys, "compare", spec, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_that_is_not_there_is_refused_before_anything_runs(tmp_path, capsys):
    spec = specification(tmp_path, "no-such-data", ["steady"])
    assert "no-such-data" in refused(capsys, "compare", spec, "--out", tmp_path / "out")
    assert not list((tmp_path / "out").glob("runs/*"))


def test_methods_of_gac_are_run_by_its_own_commands(tmp_path, data):
    spec = specification(tmp_path, data, ["gac"], seeds=[4], online=300)
    places = Places(tmp_path / "out")
    (job,) = read_specification(spec).runs
    run = str(places.run(job))
    lines = [line[3:] for line in commands(job, places, ())]
    assert lines == [
        ["train", str(data), "--method", "gac", "--seed", "4", "--updates", "3", "--out", run],
        ["finetune", run, "--out", f"{run}/online", "--stages", "3", "--episodes", "100"],
        ["evaluate", f"{run}/online", "--episodes", "4"],
    ]


def test_a_method_may_name_its_preset(tmp_path, data):
    (job,) = read_specification(specification(tmp_path, data, ["gac:plain"], seeds=[0])).runs
    places = Places(tmp_path / "out")
    assert commands(job, places, ())[0][5:9] == ["--method", "gac", "--preset", "plain"]
    assert places.run(job).relative_to(places.folder).parts[:2] == ("runs", "gac-plain")


def test_a_method_of_rewards_gets_the_return_as_the_last_one(tmp_path, data):
    from contextlib import nullcontext

    from gac.compare.launching import prepare

    spec = specification(tmp_path, data, ["gtp"], seeds=[0])
    places, (job,) = Places(tmp_path / "out"), read_specification(spec).runs
    prepare([job], places, nullcontext)
    made = gac.load_data(commands(job, places, ())[0][4])
    assert made.rewards.tolist() == [0, 0, 6, 0, 0, 3]
    assert made.returns.tolist() == [6, 3]
    assert made.env_id == "Hopper-v4"


def test_a_row_that_lacks_a_run_has_no_mean(tmp_path, data):
    spec, out = specification(tmp_path, data, ["steady"]), tmp_path / "out"
    assert cli.main(["compare", str(spec), "--out", str(out)]) == 0
    next(out.glob("runs/steady/*/*seed1/eval-policy.json")).unlink()
    (jobs,) = read_specification(spec).tables.values()
    table = read_table("Scores", jobs, Places(out))
    assert [len(row.results) for row in table.rows] == [1]
    assert table.summaries == ()
    assert notes(table)[0] == "steady lacks 1 of 2 runs, so it has no mean."


def test_runs_on_a_busy_machine_are_told_of(tmp_path, data):
    spec, out = specification(tmp_path, data, ["steady"], seeds=[0]), tmp_path / "out"
    assert cli.main(["compare", str(spec), "--out", str(out)]) == 0
    (jobs,) = read_specification(spec).tables.values()
    (row,) = read_table("Scores", jobs, Places(out)).rows
    assert 0 < row.results[0].core_share < 1.1
    path = next(out.glob("runs/steady/*/*/finished.json"))
    path.write_text(json.dumps({"seconds": 10.0, "cpu_seconds": 2.5}))
    (note,) = [line for line in notes(read_table("Scores", jobs, Places(out))) if "core" in line]
    assert note.startswith("1 of 1 runs had less than 80% of a core's time, the least 25%")
