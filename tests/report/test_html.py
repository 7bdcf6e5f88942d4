import base64
import dataclasses
import json
import re

import pytest
from fake_run import evaluation, metrics, second_config, write_run
from pages import Page

from gac.config import OnlineConfig
from gac.errors import UserError
from gac.records import ONLINE_SCHEMA
from gac.report import read_run, render, write_report
from gac.report.provenance import commands


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", lines=metrics(300))


def page_of(*runs, out):
    write_report(list(runs), out)
    return Page(out.read_text(encoding="utf-8"))


def test_a_page_is_whole_and_needs_nothing_else(run, tmp_path):
    page = page_of(run, out=tmp_path / "new" / "report.html")
    assert page.open == []
    assert page.tags.count("figure") == page.tags.count("img") == 5
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert len(page.sources) == 10
    for source in page.sources:
        kind, _, body = source.partition("base64,")
        assert kind == "data:image/svg+xml;"
        drawing = base64.b64decode(body).decode()
        # Only names of namespaces and of the document type are addresses there, and none is fetched.
        assert not re.search(r'(href|src)="(?!#)|url\((?!#)|@import', drawing)
    text = (tmp_path / "new" / "report.html").read_text()
    assert not re.search(r"https?://", text)
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "report.html"]


def test_the_page_says_where_its_numbers_come_from(run, tmp_path):
    text = page_of(run, out=tmp_path / "report.html").text
    for words in (
        "Hopper-v5, MuJoCo 4.0.0",
        "jax 0.10.2",
        "hopper-medium-replay",
        "model.embed_dim",
        "605.8",
    ):
        assert words in text
    for record in read_run(run).queries:
        assert f"{record.mean:.1f} ± {record.std:.1f}" in text
    assert f"gac evaluate {run} --query exploit --episodes 100 --env-id Hopper-v5 --seed 0" in text


def test_the_same_run_gives_the_same_page(run):
    assert render([read_run(run)]) == render([read_run(run)])


def test_the_page_is_honest(tmp_path):
    queries = {
        "exploit": evaluation("exploit", episodes=5, env_id="Hopper-v4", mean=900.0, converged=0.4),
        "prior": evaluation("prior", normalized_mean=None, normalized_std=None),
    }
    run = write_run(tmp_path / "run", queries, lines=[metrics(5)[0] | {"kl": float("inf")}])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"update": 6, "el')
    text = page_of(run, out=tmp_path / "report.html").text
    for words in (
        f"explore was not evaluated; to add it: gac evaluate {run} --query explore",
        f"gac evaluate {run} --query target --target Y",
        "exploit: 5 episodes only",
        "exploit: evaluated on Hopper-v4, the data is from Hopper-v5",
        "exploit: predicts 2.",
        "exploit: 40% of the plans met the stop threshold",
        "prior: Hopper-v5 has no reference scores",
        "The last line of metrics.jsonl was cut off",
        "The held-out ELBO was not computed",
        "Not finite at some updates, and left out of the curves there: kl.",
    ):
        assert words in text


def test_a_run_without_metrics_and_evaluations_still_has_a_page(tmp_path):
    run = write_run(tmp_path / "run", {}, lines=[])
    page = page_of(run, out=tmp_path / "report.html")
    assert page.tags.count("figure") == 1
    assert "No metrics were recorded" in page.text


def test_several_runs_are_compared(run, tmp_path):
    other = write_run(
        tmp_path / "other", {"exploit": evaluation("exploit")}, metrics(300), config=second_config()
    )
    page = page_of(run, other, out=tmp_path / "report.html")
    assert page.tags.count("figure") == 2 * 3 + 2
    differing = re.findall(r"<tr class=differs><th scope=row>([^<]+)", (tmp_path / "report.html").read_text())
    assert differing == ["seed", "model.context"]


def test_everything_from_files_is_escaped(tmp_path):
    bad = "<script>alert(1)</script>&\"'"
    record = evaluation("exploit", env_id=bad, versions={"gac": bad, bad: "1", "mujoco": bad})
    run = write_run(tmp_path / "<b>run", {"exploit": record}, metrics(20), name=bad)
    other = write_run(tmp_path / "<b>other\"'", {}, metrics(20))
    page = page_of(run, other, out=tmp_path / "report.html")
    assert not {"script", "b"} & set(page.tags)
    assert page.open == []
    assert page.text.count("<script>alert(1)</script>") >= 4


def test_commands_carry_what_differs_from_the_preset(tmp_path):
    run = write_run(tmp_path / "my run", {"target": evaluation("target", y_star=3600.0)}, metrics(20))
    train, target = commands(read_run(run))
    assert train.startswith(f"gac train hopper-medium-replay --out '{run}' --preset fast --seed 0")
    assert train.endswith("--updates 20")
    assert target.endswith("--seed 0 --target 3600")
    other = write_run(tmp_path / "other", {}, metrics(20), config=second_config())
    assert {"--seed 1", "--context 4"} <= set(re.findall(r"--\S+ \S+", commands(read_run(other))[0]))


def test_a_fine_tuned_run_names_the_command_that_tuned_it(tmp_path):
    run = write_run(tmp_path / "tuned", {}, metrics(20))
    settings = {"config": dataclasses.asdict(OnlineConfig(stages=2)), "schema_version": ONLINE_SCHEMA}
    began = settings | {"run": "runs/my hopper", "env_id": "Hopper-v5"}
    (run / "online.json").write_text(json.dumps(began))
    command = "gac finetune 'runs/my hopper' --out " + f"{run} --data hopper-medium-replay --env-id Hopper-v5"
    assert commands(read_run(run)) == [command + " --stages 2"]
    (run / "online.json").write_text("[]")
    with pytest.raises(UserError, match=r"online\.json"):
        read_run(run)


@pytest.mark.parametrize(
    ("runs", "out", "said"),
    [
        ([], "report.html", "no run is given"),
        (["run", "run"], "report.html", "given twice"),
        (["nowhere"], "report.html", "is no folder"),
        (["run"], ".", "is a folder, expected a file"),
    ],
)
def test_mistakes_leave_nothing_behind(run, tmp_path, runs, out, said):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=said):
        write_report([tmp_path / name for name in runs], tmp_path / out)
    assert sorted(tmp_path.iterdir()) == before


def test_a_report_that_fails_keeps_the_old_one(run, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("old")
    (run / "data.json").write_text("{")
    with pytest.raises(UserError):
        write_report([run], out)
    assert out.read_text() == "old"
