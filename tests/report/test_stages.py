"""The stages of a fine-tuned run in the report: what they aimed at, collected and are worth."""

import dataclasses
import json

import numpy as np
import pytest
from fake_run import evaluation, metrics, write_run
from pages import Page

from gac.config import OnlineConfig
from gac.errors import UserError
from gac.online.record import Collection, StageRecord, record_path
from gac.online.targets import Targets
from gac.records import ONLINE_SCHEMA, read_evaluation
from gac.report import DARK, read_run, stage_returns, write_report
from gac.report.stages import stages_span

AIMS = (2000.0, None, 2400.0)
COLLECTED = (1900.0, 700.0, 2500.0)


def stage(number, **changes):
    """The record of a stage, without what the report does not show."""
    scores = json.dumps(evaluation("exploit", episodes=5, seed=number))
    targets = Targets("auto", 0.8, 0.25 * number, None)
    found = Collection(
        AIMS,
        AIMS,
        AIMS,
        COLLECTED,
        (900, 300, 1000),
        float(np.mean(COLLECTED)),
        float(np.std(COLLECTED)),
        52.0,
        0.5,
    )
    return StageRecord(
        **{
            "stage": number,
            "env_id": "Hopper-v5",
            "seed": 0,
            "targets": targets,
            "next_targets": targets,
            "collection": found if number else None,
            "buffer": None,
            "first_update": 0,
            "last_update": 10 * number,
            "elbo": {},
            "before": None,
            "after": read_evaluation(scores, "scores"),
            "seconds": {"collect": 30.0, "train": 60.0, "evaluate": 30.0},
            "trained_seconds": 60.0 * number,
        }
        | changes
    )


def tuned(folder, *records):
    run = write_run(folder, {}, metrics(20))
    header = {"schema_version": ONLINE_SCHEMA, "run": "runs/hopper", "env_id": "Hopper-v5"}
    (run / "online.json").write_text(json.dumps(header | {"config": dataclasses.asdict(OnlineConfig())}))
    for record in records:
        record_path(run, record.stage).write_text(record.to_json())
    return run


def test_the_figure_holds_the_means_of_aims_collected_and_exploit(tmp_path):
    records = [stage(0), stage(1), stage(2)]
    axis = stage_returns(read_run(tuned(tmp_path / "run", *records))).axes[0]
    means = {line.get_label(): line for line in axis.lines if not line.get_label().startswith("_")}
    scores = [record.after.mean for record in records]
    assert list(means) == ["aims", "collected", "exploit, after the stage"]
    for name, stages, expected in (
        ("aims", [1, 2], [2200.0] * 2),
        ("collected", [1, 2], [1700.0] * 2),
        ("exploit, after the stage", [0, 1, 2], scores),
    ):
        np.testing.assert_allclose(means[name].get_ydata(), expected)
        np.testing.assert_array_equal(np.round(means[name].get_xdata()), stages)
    drawn = np.concatenate([points.get_offsets()[:, 1] for points in axis.collections])
    everything = [
        *(2 * [2000.0, 2400.0, *COLLECTED]),
        *(y for record in records for y in record.after.returns),
    ]
    np.testing.assert_allclose(np.sort(drawn), np.sort(everything))


def test_without_an_environment_there_are_aims_and_returns_alone(tmp_path):
    run = read_run(tuned(tmp_path / "run", stage(0, after=None), stage(1, after=None)))
    figure = stage_returns(run, DARK)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["aims", "collected"]
    low, high = stages_span([run])
    assert low < 700.0
    assert high > 2500.0


def test_a_run_that_was_not_tuned_says_so(tmp_path):
    axis = stage_returns(read_run(write_run(tmp_path / "run"))).axes[0]
    assert [text.get_text() for text in axis.texts] == ["no stage is recorded"]


def test_the_page_shows_the_stages_of_tuned_runs_alone(tmp_path):
    run, other = tuned(tmp_path / "tuned", stage(0), stage(1)), write_run(tmp_path / "other", {}, metrics(20))
    out = tmp_path / "report.html"
    write_report([run, other], out)
    text = out.read_text(encoding="utf-8")
    assert text.count("<h2>Fine-tuning</h2>") == text.count('<figure class="stages">') == 1
    for cell in ("0.25", "2200.0", "50%", "1700.0 ± 748.3", "2.0"):
        assert f"<td>{cell}</td>" in text
    assert Page(text).open == []
    write_report([other], out)
    assert "Fine-tuning" not in out.read_text(encoding="utf-8")


def test_a_record_of_a_stage_that_cannot_be_read_is_named(tmp_path):
    run = tuned(tmp_path / "run", stage(0))
    record_path(run, 1).write_text("{")
    with pytest.raises(UserError, match=r"stage-1\.json is no record of a stage"):
        read_run(run)
