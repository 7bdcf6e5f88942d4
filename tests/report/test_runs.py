import json

import numpy as np
import pytest
from fake_run import evaluation, metrics, write_run

from gac.errors import UserError
from gac.report import read_run
from gac.report.runs import labels


def damage(path, **changes):
    """Change fields of a JSON file; None removes one."""
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))


def test_reads_what_the_files_say(tmp_path):
    folder = write_run(tmp_path / "run")
    run = read_run(folder)
    facts = json.loads((folder / "data.json").read_text())
    assert run.data.returns == tuple(facts["returns"])
    assert [record.query for record in run.queries] == ["exploit", "explore", "target", "prior"]
    for record in run.queries:
        written = json.loads((folder / f"eval-{record.query}.json").read_text())
        assert record.returns == tuple(written["returns"])
        assert record.predicted_mean == pytest.approx(np.mean(written["predicted_returns"]))
        assert (record.mean, record.normalized_std) == (written["mean"], written["normalized_std"])
    updates, values = run.metrics.series("heldout_elbo")
    written = {line["update"]: line["heldout_elbo"] for line in metrics() if "heldout_elbo" in line}
    assert dict(zip(updates, values, strict=True)) == written


def test_missing_queries_are_named(tmp_path):
    run = read_run(write_run(tmp_path / "run", {"prior": evaluation("prior")}))
    assert run.missing == ("exploit", "explore", "target")


@pytest.mark.parametrize("kept", [1, 20, 200])
def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path, kept):
    folder = write_run(tmp_path / "run", lines=metrics(50))
    path = folder / "metrics.jsonl"
    whole = read_run(folder).metrics
    path.write_text(path.read_text() + json.dumps(metrics(60)[-1])[:kept])
    cut = read_run(folder).metrics
    assert cut.cut_off
    assert not whole.cut_off
    assert cut.lines == whole.lines


def test_updates_done_again_after_a_kill_replace_the_first_ones(tmp_path):
    again = [line | {"kl": -1.0} for line in metrics(60) if line["update"] > 40]
    run = read_run(write_run(tmp_path / "run", lines=metrics(50) + again))
    updates, values = run.metrics.series("kl")
    assert list(updates) == list(range(5, 61, 5))
    assert all(values[updates > 40] == -1)
    assert all(values[updates <= 40] != -1)


def test_values_that_are_not_finite_are_gaps(tmp_path):
    lines = metrics(50)
    lines[3]["elbo"] = float("nan")
    run = read_run(write_run(tmp_path / "run", lines=lines))
    assert list(run.metrics.series("elbo")[0]) == [5, 10, 15, 25, 30, 35, 40, 45, 50]


def test_no_metrics_yet(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "metrics.jsonl").unlink()
    assert read_run(folder).metrics.lines == ()
    assert read_run(folder).metrics.last("elbo") is None


@pytest.mark.parametrize("name", ["config.json", "data.json"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = write_run(tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("data.json", {"episodes": 3}, "episodes is 3, with 550 returns"),
        ("data.json", {"returns": ["many"]}, "returns is .*'many'.* expected a list of finite numbers"),
        ("data.json", {"name": 5}, "name is 5, expected text"),
        ("eval-prior.json", {"mean": None}, "has no mean"),
        ("eval-prior.json", {"mean": float("nan")}, "mean is nan, expected a finite number"),
        ("eval-prior.json", {"seed": True}, "seed is True, expected a whole number"),
        ("eval-prior.json", {"returns": [1.0]}, "1, 100, 100 values"),
        ("eval-prior.json", {"query": "explore"}, "query is 'explore', expected that of the file's name"),
        ("eval-prior.json", {"versions": {"gac": 1}}, "versions is .*expected an object of version texts"),
    ],
)
def test_a_malformed_file_is_said_in_one_line(tmp_path, name, changes, said):
    folder = write_run(tmp_path / "run")
    damage(folder / name, **changes)
    with pytest.raises(UserError, match=said) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\x00", "[" * 100_000])
@pytest.mark.parametrize("name", ["data.json", "eval-exploit.json"])
def test_what_is_no_json_object_is_refused(tmp_path, name, text):
    folder = write_run(tmp_path / "run")
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=name):
        read_run(folder)


@pytest.mark.parametrize(
    "line", ["gibberish", "[1]", '{"elbo": 1}', '{"update": 7, "elbo": "high"}', '{"update": true}']
)
def test_a_bad_line_in_the_middle_is_named(tmp_path, line):
    folder = write_run(tmp_path / "run", lines=metrics(10))
    path = folder / "metrics.jsonl"
    path.write_text(f"{line}\n" + path.read_text())
    with pytest.raises(UserError, match="line 1"):
        read_run(folder)


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        read_run(tmp_path / "nowhere")


def test_labels_are_as_short_as_they_can_be(tmp_path):
    one, two, three = (read_run(write_run(tmp_path / name, {})) for name in ("a/run", "b/run", "b/other"))
    assert labels([one]) == ["run"]
    assert labels([one, three]) == ["run", "other"]
    assert labels([one, two]) == ["a/run", "b/run"]
