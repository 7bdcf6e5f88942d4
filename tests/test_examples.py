"""The examples run as they stand, only shorter."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import tiny

import gac

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """The presets compile for longer than the tests may take."""
    monkeypatch.setattr(gac.presets, "fast", lambda: tiny.replace(tiny.CONFIG, heldout_fraction=0.0))


def test_own_logs(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "own_logs.py"))
    achieved = example["main"](str(tmp_path / "run"), updates="2")
    assert 0.0 < achieved <= 100.0
    said = capsys.readouterr().out
    assert "the plan promises" in said
    assert f"yielded {achieved:.1f}" in said
    facts = gac.load(tmp_path / "run").facts
    assert (facts.name, facts.env_id, facts.episodes) == (str(tmp_path / "run.csv"), None, 200)


def test_quickstart(tmp_path, capsys, monkeypatch):
    """With made-up data of Hopper's sizes and the tiny configuration: the recipe takes a download's time."""
    rng = np.random.default_rng(0)
    data = gac.Episodes.from_arrays(
        [0.1 * rng.normal(size=(6, 11)) for _ in range(8)],
        [rng.uniform(-1.0, 1.0, (5, 3)) for _ in range(8)],
        returns=rng.uniform(0.0, 100.0, 8),
        env_id="Hopper-v4",
    )
    asked = []
    monkeypatch.setattr(gac, "load_data", lambda name: asked.append(name) or data, raising=False)
    scores = runpy.run_path(str(EXAMPLES / "quickstart.py"))["main"](str(tmp_path / "run"), "0.01", 2)
    assert asked == ["hopper-medium-replay"]
    assert len(scores.returns) == 2
    assert scores.normalized_mean == pytest.approx(
        np.mean(gac.normalized_score("Hopper-v4", scores.returns)), rel=1e-6
    )
    assert "achieved" in capsys.readouterr().out


def test_online_batches(tmp_path, capsys, monkeypatch):
    """With a run that is there already; one stage of two updates."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    runpy.run_path(str(EXAMPLES / "own_logs.py"))["main"](str(tmp_path / "run"), updates="2")
    example = runpy.run_path(str(EXAMPLES / "online_batches.py"))
    logged, yielded = example["main"](str(tmp_path / "run"), stages="1", updates="2")
    assert 0.0 < logged < 100.0
    assert 0.0 < yielded <= 100.0
    assert f"yielded {yielded:.1f}" in capsys.readouterr().out
    assert gac.load(tmp_path / "run-tuned").facts.episodes == 220
