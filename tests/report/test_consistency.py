import json

import matplotlib.colors
import numpy as np
import pytest
from fake_run import consistency, evaluation, metrics, second_config, write_run
from pages import Page

from gac.errors import UserError
from gac.report import actor_consistency, critic_consistency, read_run, write_report
from gac.report.consistency import BEYOND, USUAL, critic_table_html
from gac.report.provenance import commands
from gac.report.style import COLOURS, DARK


def swept(folder, fields=None, **options):
    write_run(folder, **({"queries": {}, "lines": metrics(20)} | options))
    (folder / "consistency.json").write_text(json.dumps(consistency() if fields is None else fields))
    return folder


def test_the_actor_is_drawn_command_by_command(tmp_path):
    fields = consistency(episodes=7)
    top, strip = actor_consistency(read_run(swept(tmp_path / "run", fields))).axes
    points = [group.get_offsets() for group in top.collections]
    clouds, means = points[0::2], points[1::2]
    assert [len(cloud) for cloud in clouds] == [7] * 9
    for y_star, row, cloud, mean in zip(fields["commanded"], fields["returns"], clouds, means, strict=True):
        np.testing.assert_allclose(cloud[:, 1], row)
        np.testing.assert_allclose(mean, [[y_star, np.mean(row)]])
        assert np.abs(cloud[:, 0] - y_star).max() < 0.5 * (fields["commanded"][1] - fields["commanded"][0])
    drawn = [matplotlib.colors.to_hex(group.get_facecolor()[0]) for group in top.collections[1::2]]
    assert drawn == [COLOURS[USUAL if y <= 2100 else BEYOND] for y in fields["commanded"]]
    assert strip.get_xlim()[1] > fields["commanded"][-1]


def test_the_critic_is_drawn_in_and_out_of_distribution(tmp_path):
    fields = consistency(episodes=6)
    fields["estimated_returns"][0][2] = fields["estimated_stds"][0][2] = None
    axis = critic_consistency(read_run(swept(tmp_path / "run", fields))).axes[0]
    usual, beyond = axis.collections[0].get_offsets(), axis.collections[2].get_offsets()
    inside = sum(y <= 2100 for y in fields["commanded"])
    assert (len(usual), len(beyond)) == (6 * inside - 1, 6 * (9 - inside))
    expected = np.stack([fields["returns"][-1], fields["estimated_returns"][-1]], axis=1)
    np.testing.assert_allclose(beyond[-6:], expected)
    assert axis.get_xlim() == axis.get_ylim()


def test_errors_are_those_of_the_estimate(tmp_path):
    fields = consistency(episodes=5)
    fields["estimated_returns"] = [[y + 30.0 for y in row] for row in fields["returns"]]
    fields["estimated_stds"] = [[20.0] * 5] * 8 + [[10.0] * 5]
    text = critic_table_html(read_run(swept(tmp_path / "run", fields)))
    rows = [row.split("<td>")[1:] for row in text.split("<tr>")[2:]]
    cells = [[cell.split("<")[0] for cell in row] for row in rows]
    assert cells[0] == ["20", "+30.0", "30.0", "1.00", "100%"]
    assert cells[1] == ["25", "+30.0", "30.0", "1.00", "80%"]


def test_the_page_shows_both_figures_and_the_command(tmp_path):
    folder, out = swept(tmp_path / "run"), tmp_path / "report.html"
    write_report([folder], out)
    page = Page(out.read_text())
    assert page.tags.count("figure") == 1 + 2 + 2
    assert page.open == []
    assert "Consistency of the actor" in page.text
    command = f"gac consistency {folder} --values 9 --episodes 50 --env-id Hopper-v5 --seed 0"
    assert command in commands(read_run(folder))
    assert command in page.text


def test_runs_without_a_sweep_stand_beside_those_with_one(tmp_path):
    one, two = swept(tmp_path / "one"), write_run(tmp_path / "two", {}, metrics(20), second_config())
    write_report([one, two], tmp_path / "report.html")
    assert Page((tmp_path / "report.html").read_text()).tags.count("figure") == 2 + 2 + 2
    actor_consistency(read_run(two)).canvas.draw()
    critic_consistency(read_run(two), DARK).canvas.draw()


@pytest.mark.parametrize("episodes", [1, 2])
def test_few_episodes_can_be_drawn(tmp_path, episodes):
    run = read_run(swept(tmp_path / "run", consistency(episodes=episodes)))
    actor_consistency(run).canvas.draw()
    critic_consistency(run).canvas.draw()
    nothing = [[None] * episodes] * 9
    fields = consistency(episodes=episodes, estimated_returns=nothing, estimated_stds=nothing)
    run = read_run(swept(tmp_path / "none", fields))
    critic_consistency(run).canvas.draw()
    assert "0</td>" in critic_table_html(run)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"commanded": [1.0]}, "one row per command"),
        ({"returns": [[1.0]] * 9}, "one row per command"),
        ({"returns": [[None]] * 9}, "returns is .*lists of finite numbers"),
        ({"predicted_returns": [1.0]}, "predicted_returns is"),
        ({"estimated_stds": [["wide"]]}, "estimated_stds is"),
        ({"usual": None}, "usual is None"),
    ],
)
def test_a_malformed_sweep_is_said_in_one_line(tmp_path, changes, said):
    folder = swept(tmp_path / "run", consistency() | changes)
    with pytest.raises(UserError, match=said) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    assert "consistency.json" in str(caught.value)


def test_replanned_and_disturbed_evaluations_stand_apart(tmp_path):
    folder = write_run(tmp_path / "run", {"exploit": evaluation("exploit")}, metrics(20))
    base = evaluation("exploit")
    replans = {"replans": [1, 2] * 50, "replan_seconds": 1.0, "ms_per_step": 0.5}
    for stem, changes in {
        "eval-exploit-every_50": {"replan": "every:50"} | replans,
        "eval-exploit-push_1": {"disturb": "push:1"},
        "eval-exploit-trigger_0.05_either-push_1": {"replan": "trigger:0.05:either", "disturb": "push:1"}
        | replans,
    }.items():
        shift = 100.0 if "every" in stem else 0.0
        returns = [y + shift for y in base["returns"]]
        (folder / f"{stem}.json").write_text(json.dumps(base | changes | {"returns": returns}))
    run = read_run(folder)
    assert [record.query for record in run.queries] == ["exploit"]
    assert len(run.variants) == 3
    write_report([folder], tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text()).text
    for words in ("Replanning and disturbances", "100.0 ± 0.0", "1.50", "0.50", "push:1"):
        assert words in text
    assert any(line.endswith("--replan every:50") for line in commands(run))
    (folder / "eval-exploit-every_50.json").rename(folder / "eval-exploit-every_60.json")
    with pytest.raises(UserError, match="file's name"):
        read_run(folder)
