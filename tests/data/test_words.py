import dataclasses
import json

import numpy as np
import pytest

from gac.data import Episodes, describe, findings
from gac.data.words import MOST_LINES, NO_FINDING, data_json, facts_in_words, print_data


def make(count=300, width=2, env_id="Hopper-v5", seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(40, 60, count)
    usual = rng.uniform(-0.5, 0.5, count)  # How far it is from 0 decides the return.
    return Episodes.from_arrays(
        [rng.normal(size=width) + 0.1 * rng.normal(size=(t + 1, width)).cumsum(axis=0) for t in lengths],
        [rng.normal(usual[i], 0.25, size=(t, 1)).clip(-0.99, 0.99) for i, t in enumerate(lengths)],
        returns=200 * np.abs(usual),
        truncated=rng.random(count) < 0.0,
        env_id=env_id,
        name="[bold]mine[/bold] " + "x" * 90,
    )


def printed(capsys, data):
    facts = describe(data)
    print_data(facts, findings(facts))
    return capsys.readouterr().out


def test_the_report_is_plain_and_fits_80_columns(capsys):
    out = printed(capsys, make(width=3))
    assert "\x1b" not in out
    assert not any(line.endswith(" ") for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= 80
    assert "[bold]mine[/bold]" in out
    for words in ("environment", "returns", "lengths", "states", "actions", "at bounds", "Hopper-v5"):
        assert words in out


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e9])
def test_any_scale_fits(capsys, scale):
    data = make(count=5)
    scaled = Episodes.from_arrays(
        [each.observations * np.float32(scale) for each in data],
        [each.actions for each in data],
        returns=data.returns * np.float32(-scale),
    )
    assert max(map(len, printed(capsys, scaled).splitlines())) <= 80


def test_the_words_hold_the_figures():
    facts = describe(make(env_id=None))
    words = facts_in_words(facts)
    y = facts.returns.spread
    assert words["return"] == f"{y.mean:.1f} ± {y.std:.1f}, {y.min:.1f} to {y.max:.1f}"
    assert words["episodes"] == "300"
    assert words["environment"] == "unknown"
    assert words["normalised"] == "no reference"
    assert words["missing"] == "rewards"
    assert words["saturated"].endswith("at the bounds of the data")


def test_it_is_said_how_far_chance_decides_and_whether_returns_are_sums():
    facts = describe(make(count=50))
    words = facts_in_words(facts)
    assert words["chance"].startswith(f"{facts.chance.share:.0%} of the returns' variance at most")
    assert words["credit"].startswith(f"held-out R² {facts.linearity.r2:.3f}")
    few = facts_in_words(describe(make(count=19)))
    assert few["chance"] == few["credit"] == "too few episodes to tell, expected 20 or more"
    same = dataclasses.replace(make(count=50), returns=np.ones(50, np.float32))
    assert facts_in_words(describe(same))["chance"] == "all returns are equal"


def test_findings_are_said_whole_or_that_there_is_none(capsys):
    out = printed(capsys, make())
    assert NO_FINDING in out
    out = " ".join(printed(capsys, make(count=50)).split())
    for each in findings(describe(make(count=50))):
        assert f"{each.severity}: {each.what} {each.why} → {each.do}" in out


def test_every_episode_shows_in_the_histogram(capsys):
    data = dataclasses.replace(make(), returns=np.float32([1.0] * 290 + list(range(10))))
    line = next(line for line in printed(capsys, data).splitlines() if line.startswith("returns"))
    filled = sum(count > 0 for count in describe(data).returns.histogram.counts)
    assert sum(line.count(block) for block in "▁▂▃▄▅▆▇█") == filled
    assert "█" in line


def test_many_dimensions_are_cut_and_it_is_said(capsys):
    out = printed(capsys, make(count=5, width=MOST_LINES + 3))
    assert f"  {MOST_LINES - 1} " in out
    assert "and 3 more, in --json and --html" in out
    assert f"\n  {MOST_LINES} " not in out


def test_json_holds_facts_and_findings():
    facts = describe(make(count=50))
    found = json.loads(data_json(facts, findings(facts)))
    assert found["returns"]["spread"]["mean"] == facts.returns.spread.mean
    assert len(found["observations"]["dimensions"]) == 2
    assert [each["what"] for each in found["findings"]] == [each.what for each in findings(facts)]
    assert found["chance"] == dataclasses.asdict(facts.chance)
    assert found["linearity"]["r2"] == facts.linearity.r2
