"""The command line with runs of the rivals: what works, and one line for what does not."""

import json

import pytest
import tiny
import toy_env
from one_line import refused

from gac import cli
from gac.data.d4rl_hdf5 import write_d4rl
from gac.methods import METHODS, method_of

SMALL = {
    "lpt": [
        "--embed-dim",
        "8",
        "--layers",
        "1",
        "--unet-patch",
        "4",
        "--unet-width",
        "4",
        "--batch-size",
        "8",
    ],
    "odt": ["--embed-dim", "8", "--layers", "1", "--context", "2", "--batch-size", "8"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "walk.hdf5"
    write_d4rl(tiny.make_episodes(30, env_id=toy_env.ID.split(":")[1]), path)
    return path


@pytest.fixture(scope="module", params=["lpt", "odt"])
def run(request, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "run"
    words = ["train", str(data), "--method", request.param, "--out", str(folder), "--updates", "10"]
    assert cli.main([*words, *SMALL[request.param]]) == 0
    return folder


def test_a_run_is_trained_evaluated_and_reported(run, capsys, tmp_path):
    method = method_of(run)
    queries = ["target", "exploit", "prior"] if method == "lpt" else ["target"]
    for query in queries:
        aim = [] if query == "prior" else ["--target", "120"]
        words = ["evaluate", str(run), "--query", query, "--episodes", "3", "--env-id", toy_env.ID, *aim]
        assert cli.main(words) == 0
        record = json.loads((run / f"eval-{query}.json").read_text())
        assert (record["query"], record["y_star"]) == (query, None if query == "prior" else 120.0)
    assert "target" in capsys.readouterr().out
    assert cli.main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert METHODS[method].words in page
    assert f"--method {method}" in page


def test_what_a_rival_cannot_do_is_refused_in_one_line(run, data, capsys, tmp_path):
    method = method_of(run)
    line = refused(capsys, "finetune", run, "--out", tmp_path / "tuned")
    assert f"run of method {method}" in line
    assert "gac finetune" in line
    assert "goes with a run of method gtp" in refused(capsys, "evaluate", run, "--steps", 3)
    assert "--replan every:5 goes with runs of gac" in refused(capsys, "evaluate", run, "--replan", "every:5")
    words = "evaluate", run, "--env-id", toy_env.ID
    assert "expected one of target" in refused(capsys, *words, "--query", "all")
    assert "no return to ask for" in refused(capsys, *words)
    assert "expected a finite one" in refused(capsys, *words, "--target", "inf")
    assert "learning_rate is -1" in refused(
        capsys, "train", data, "--method", method, "--out", tmp_path / "bad", "--learning-rate=-1"
    )
    assert not (tmp_path / "bad").exists()
