"""`gac bench` takes every measure, says each, and refuses what it cannot measure."""

import copy
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from rich.console import Console

from gac import cli
from gac.bench import processes, run
from gac.bench.show import cells, number, print_measures, to_json
from gac.bench.timing import Spread
from gac.config import Config
from gac.errors import UserError

STARTS = {
    "first_start_to_update_seconds": 8.0,
    "first_start_seconds": 9.0,
    "second_start_to_update_seconds": Spread(0.5, 1.5, 2.5),
    "second_start_seconds": Spread(1.0, 2.0, 3.0),
}
FIGURES = {
    ("machine", "matrix product"): {"gflops_per_second", "size"},
    ("machine", "memory"): {"gigabytes_per_second"},
    ("machine", "environment Hopper-v4"): {"steps_per_second", "env_id"},
    ("fast", "inner loop"): {"steps_per_second", "share_of_matrix_product", "gflop_per_step"},
    ("fast", "outer loop"): {"steps_per_second", "share_of_matrix_product", "gflop_per_step"},
    ("fast", "compiling an update"): {"trace_seconds", "compile_seconds", "memory_mib"},
    ("fast", "a training process"): {"peak_resident_mib"},
    ("fast", "plans"): {"plans_per_second", "converged", "share_of_matrix_product", "exploit_seconds"},
    ("fast", "decisions"): {
        "decisions_per_second_batched",
        "decisions_per_second_single",
        "single_milliseconds_median",
        "single_milliseconds_p99",
    },
    ("fast", "evaluation"): {"episodes_per_second", "share_of_environment_stepping"},
    ("gac train --updates 1", "start, fast"): set(STARTS),
}


@pytest.mark.slow
def test_every_measure_is_taken_and_said(tmp_path, monkeypatch, capsys):
    # The processes have tests of their own.
    monkeypatch.setattr(processes, "peak_memory", lambda *_: {"peak_resident_mib": 123.4})
    monkeypatch.setattr(processes, "start_seconds", lambda *_: STARTS)
    record = tmp_path / "bench.json"
    assert cli.main(["bench", "--quick", "--presets", "fast", "--json", str(record)]) == 0
    out = capsys.readouterr().out
    written = json.loads(record.read_text())
    assert written["quick"] is True
    assert {"device", "cores", "load_before", "versions"} <= written["machine"].keys()
    for (of, name), figures in FIGURES.items():
        row = written["figures"][of][name]
        assert figures <= row.keys(), (of, name)
        assert f"{of}: {name}: " in out
        for figure, value in row.items():
            if isinstance(value, dict):
                assert 0 < value["minimum"] <= value["median"] <= value["maximum"] < math.inf, figure
    assert {of for of, _ in FIGURES} == written["figures"].keys()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--presets", "slow"], "--presets is 'slow', expected some of fast, paper"),
        (["--repeats", "1"], "--repeats is 1"),
        (["--run", "nowhere"], "nowhere holds no run"),
    ],
)
def test_what_cannot_be_measured_is_one_line(words, what, capsys):
    assert cli.main(["bench", *words]) == 2
    assert what in capsys.readouterr().err


@pytest.mark.parametrize(
    ("env_id", "what"),
    [
        (None, "names no environment"),
        ("somewhere:Hopper-v5", "names no environment"),
        ("Nowhere-v0", "cannot be made"),
        ("Hopper-v5", "the agent was trained on"),
    ],
)
def test_a_run_that_cannot_be_played_is_refused_before_anything_is_measured(
    env_id, what, trained, monkeypatch
):
    agent = copy.copy(trained.agent)
    agent.facts = tiny.dataclasses.replace(agent.facts, env_id=env_id)
    monkeypatch.setattr(run, "load", lambda _: agent)
    with pytest.raises(UserError, match=what):
        run.bench(run=trained.folder, announce=lambda words: pytest.fail(words))


def test_the_memory_is_that_of_a_process_that_trains_as_it_is_told(monkeypatch):
    asked = []

    def pretend(words, **_):
        config = Config.from_json(Path(words[3]).read_text())
        asked.append((config, words[:3], words[4:]))
        return SimpleNamespace(stdout='a line of something else\n{"peak_resident_mib": 5.0}\n')

    monkeypatch.setattr(processes.subprocess, "run", pretend)
    assert processes.peak_memory(tiny.CONFIG, steps=2000, updates=1) == {"peak_resident_mib": 5.0}
    assert asked == [(tiny.CONFIG, [sys.executable, "-m", "gac.bench.processes"], ["2000", "1"])]


def test_that_process_counts_its_steps_and_its_memory(monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(processes, "train", lambda data, config, **_: trained.append((data, config)))
    (tmp_path / "config.json").write_text(tiny.CONFIG.to_json())
    row = processes._train_a_little(tmp_path / "config.json", 2600, 1)
    ((data, config),) = trained
    assert (data.num_steps, config, row["steps"], row["updates"]) == (2500, tiny.CONFIG, 2500, 1)
    held = np.ones(2**25)
    assert processes._own_peak() >= row["peak_resident_mib"] > 50
    assert processes._own_peak() > held.nbytes / 2**20


def test_a_start_is_measured_with_a_cache_of_its_own(monkeypatch):
    calls = []
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setattr(
        processes,
        "_command_seconds",
        lambda words, env, written: calls.append((words, env)) or (float(len(calls)), 10.0 * len(calls)),
    )
    row = processes.start_seconds(
        tiny.dataclasses.replace(tiny.CONFIG, preset="fast"), tiny.make_episodes(), 3
    )
    assert row == {
        "first_start_to_update_seconds": 1.0,
        "first_start_seconds": 10.0,
        "second_start_to_update_seconds": Spread(2.0, 3.0, 4.0),
        "second_start_seconds": Spread(20.0, 30.0, 40.0),
    }
    outs, caches = ({pick(call) for call in calls} for pick in (_out, lambda call: call[1]["GAC_CACHE"]))
    assert (len(outs), len(caches)) == (4, 1)
    assert not any("JAX_COMPILATION_CACHE_DIR" in env for _, env in calls)


def test_a_command_is_timed_to_what_it_writes_and_to_its_end(monkeypatch, tmp_path):
    script = (
        "import sys, time; from pathlib import Path; Path(sys.argv[1]).write_text('a line'); time.sleep(1)"
    )
    started = subprocess.Popen
    monkeypatch.setattr(
        processes.subprocess,
        "Popen",
        lambda program, **how: started([program[0], "-c", script, *program[3:]], **how),
    )
    first, end = processes._command_seconds(
        [str(tmp_path / "metrics")], dict(os.environ), tmp_path / "metrics"
    )
    assert 0.0 < first < end - 0.5


def test_a_command_that_fails_is_not_timed(tmp_path):
    words = ["train", "no-such-data", "--out", str(tmp_path / "run")]
    with pytest.raises(subprocess.CalledProcessError):
        processes._command_seconds(words, dict(os.environ), tmp_path / "metrics")


def _out(call):
    words, _ = call
    return words[words.index("--out") + 1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (0.123456, "0.123"), (100.0, "100"), (7, "7"), (None, "not measured here")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_a_figure_without_a_spread_has_none():
    assert cells("steps_per_second", Spread(1.0, 2.0, 3.0)) == ("steps per second", "2.00", "1.00 to 3.00")
    assert cells("size", 64) == ("size", "64", "")


def test_a_terminal_gets_a_table_and_a_pipe_gets_lines():
    measures = [run.Measure("fast", "plans", {"plans_per_second": Spread(1.0, 2.0, 3.0), "batch": 5})]
    shown = {}
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        print_measures(measures, console)
        shown[terminal] = console.file.getvalue()
    assert "┃" in shown[True]
    assert shown[False].splitlines() == [
        "fast: plans: plans per second 2.00 (1.00 to 3.00)",
        "fast: plans: batch 5",
    ]
    assert json.loads(to_json({}, False, measures))["figures"]["fast"]["plans"]["batch"] == 5
