"""docs/results.md says what the records say, and nothing else."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from gac import cli

ROOT = Path(__file__).parents[2]
FAKE = f"{sys.executable} {Path(__file__).parent / 'fake_rivals.py'}"


@pytest.fixture
def results(monkeypatch):
    spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_records_say(results):
    results.check()


def test_a_record_that_changed_makes_the_page_stale(results, monkeypatch, tmp_path, tiny_set):
    monkeypatch.setattr(results, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(results, "PAGE", tmp_path / "results.md")
    (tmp_path / "spec.toml").write_text(
        f"rivals = {FAKE!r}\nmethods = ['steady']\ndata = [{str(tiny_set)!r}]\n"
        "seeds = [0, 1]\nupdates = 3\nepisodes = 4"
    )
    assert cli.main(["compare", str(tmp_path / "spec.toml"), "--out", str(tmp_path / "out")]) == 0
    with pytest.raises(SystemExit, match="stale"):
        results.check()
    results.collect(tmp_path / "out", name="fake")
    results.write()
    results.check()
    text = (tmp_path / "results.md").read_text()
    (row,) = [line for line in (tmp_path / "out" / "table.md").read_text().splitlines() if "| steady" in line]
    assert row in text
    assert f"{tiny_set}: the highest mean is that of steady; the data's" in text
    assert "score 0.8 on average and 0.8 at most" in text
    assert "`gac compare benchmarks/records/compare/fake/specification.toml --out runs/fake`" in text
    record = next((tmp_path / "records").rglob("eval-*.json"))
    changed = json.loads(record.read_text())
    record.write_text(json.dumps(changed | {"returns": [y + 100.0 for y in changed["returns"]]}))
    with pytest.raises(SystemExit, match="stale"):
        results.check()
    record.unlink()
    with pytest.raises(SystemExit, match=r"has no record of steady.*commit it"):
        results.check()


def test_a_page_without_records_says_so(results, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    assert "No comparison has been recorded." in results.page()


def test_a_comparison_that_has_not_finished_is_not_collected(results, monkeypatch, tmp_path, tiny_set):
    monkeypatch.setattr(results, "RECORDS", tmp_path / "records")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "specification.toml").write_text(
        f"rivals = {FAKE!r}\nmethods = ['steady']\ndata = [{str(tiny_set)!r}]\nupdates = 3"
    )
    with pytest.raises(SystemExit, match=r"has no record of steady.*--resume"):
        results.collect(tmp_path / "out", name="fake")
