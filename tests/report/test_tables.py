import json

import numpy as np
import pytest
from fake_run import evaluation, write_run
from rich.console import Console

import gac
from gac.cli.commands import claim
from gac.config import Config
from gac.errors import UserError
from gac.report import query_table, query_table_html, read_run, write_report
from gac.report.runs import run_folders
from gac.report.tables import query_rows


def printed(table, width=80):
    console = Console(width=width, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(table)
    return console.export_text()


def test_numbers_are_those_of_the_records(tmp_path):
    record = evaluation("explore", episodes=37)
    run = read_run(write_run(tmp_path / "run", {"explore": record}))
    predicted = np.mean(record["predicted_returns"])
    expected = [
        "37",
        f"{record['mean']:.1f} ± {record['std']:.1f}",
        f"{record['normalized_mean']:.1f} ± {record['normalized_std']:.1f}",
        f"{predicted:.1f}",
        f"{predicted / record['mean']:.2f}",
        "1.37",
    ]
    line = next(line for line in printed(query_table([run])).splitlines() if line.startswith("explore"))
    assert line.split() == " ".join(["explore", *expected]).split()
    assert "".join(f"<td>{cell}</td>" for cell in expected) in query_table_html([run])


def test_the_table_of_a_run_fits_a_terminal(tmp_path):
    run = read_run(write_run(tmp_path / "run"))
    lines = printed(query_table([run])).splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["data", "exploit", "explore", "target", "prior"]


def test_a_missing_query_says_so(tmp_path):
    run = read_run(write_run(tmp_path / "run", {"prior": evaluation("prior")}))
    assert printed(query_table([run])).count("not evaluated") == 3
    assert query_table_html([run]).count("not evaluated") == 3


def test_no_reference_no_normalised_score_and_no_ratio_below_zero(tmp_path):
    record = evaluation("exploit", normalized_mean=None, normalized_std=None, mean=-3.0, std=1.0)
    run = read_run(write_run(tmp_path / "run", {"exploit": record}))
    predicted = f"{np.mean(record['predicted_returns']):.1f}"
    cells = ["100", "-3.0 ± 1.0", "\N{EN DASH}", predicted, "\N{EN DASH}", "1.37"]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in query_table_html([run])


def test_several_runs_stand_query_by_query(tmp_path):
    runs = [
        read_run(write_run(tmp_path / name, {"exploit": evaluation("exploit", shift=shift)}))
        for name, shift in (("one", 0.0), ("two", -500.0))
    ]
    exploit = [line for line in printed(query_table(runs), 120).splitlines() if line.startswith("exploit")]
    assert [line.split()[1] for line in exploit] == ["one", "two"]
    for line, run in zip(exploit, runs, strict=True):
        assert f"{run.queries[0].mean:.1f} ± {run.queries[0].std:.1f}" in line


def test_names_are_no_markup(tmp_path):
    runs = [read_run(write_run(tmp_path / name, {})) for name in ("[bold red]", "<i>")]
    assert "[bold red]" in printed(query_table(runs), 140)
    assert "&lt;i&gt;" in query_table_html(runs)
    assert "<i>" not in query_table_html(runs)


def write_seeds(folder, means=(100.0, 200.0, 400.0)):
    """Runs of seeds 0, 1, ... whose exploit returned so much in the mean."""
    for seed, mean in enumerate(means):
        record = evaluation("exploit", episodes=10)
        write_run(folder / f"seed-{seed}", {"exploit": record | {"mean": mean}}, config=Config(seed=seed))
    return folder


def test_seeds_get_a_row_over_their_means(tmp_path):
    write_seeds(tmp_path / "hopper")
    runs = [read_run(path) for path in run_folders(tmp_path / "hopper")]
    exploit = next(group for group in query_rows(runs) if group[0].query == "exploit")
    assert [row.run for row in exploit] == ["seed-0", "seed-1", "seed-2", "hopper: 3 seeds"]
    assert exploit[-1].cells[:2] == ("30", f"{np.mean([100, 200, 400]):.1f} ± {np.std([100, 200, 400]):.1f}")
    # Nothing was asked but exploit, and one seed alone is none of several.
    assert all(len(group) == 3 for group in query_rows(runs) if group[0].query != "exploit")
    assert all(len(group) == 1 for group in query_rows(runs[:1]))
    html = query_table_html(runs)
    assert 'rowspan="4"' in html
    assert "hopper: 3 seeds" in html


def test_a_folder_of_seeds_stands_for_its_runs(tmp_path):
    folder = write_seeds(tmp_path / "hopper", (1.0, 2.0))
    for name in ("seed-10", "seed-2", "seed-x"):
        (folder / name).mkdir()
        (folder / name / "config.json").touch()
    assert [path.name for path in run_folders(folder)] == ["seed-0", "seed-1", "seed-2", "seed-10"]
    assert run_folders(folder / "seed-1") == [folder / "seed-1"]
    for name in ("seed-10", "seed-2", "seed-x"):
        (folder / name / "config.json").unlink()
    write_report([folder], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "over the means of the seeds" in text
    with pytest.raises(UserError, match="seed-1 is given twice"):
        write_report([folder, folder / "seed-1"], tmp_path / "page.html")


def test_a_folder_without_runs_gets_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "."):
        with pytest.raises(UserError, match="holds no run"):
            write_report([tmp_path / folder], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_command_for_one_run_names_those_of_a_folder_of_seeds(tmp_path):
    folder = write_seeds(tmp_path / "hopper")
    with pytest.raises(UserError, match=r"the runs of 3 seeds, expected one run; give one of .*seed-0, "):
        gac.load(folder)
    with pytest.raises(UserError, match="go on with --seeds 3"):
        claim(folder, resume=True, overwrite=False)


def test_rows_from_several_environments_say_which(tmp_path):
    records = {"exploit": evaluation("exploit"), "prior": evaluation("prior", env_id="Hopper-v3")}
    mixed = read_run(write_run(tmp_path / "mixed", records))
    alike = read_run(write_run(tmp_path / "alike", {"exploit": evaluation("exploit")}))
    assert "environment" not in printed(query_table([alike]))
    assert "environment" not in query_table_html([alike])
    for runs in ([mixed], [alike, mixed]):
        lines = printed(query_table(runs), 140).splitlines()
        assert "environment" in lines[0] + lines[1]
        assert any(line.startswith("prior") and "Hopper-v3" in line for line in lines) or len(runs) == 2
        assert "<td>Hopper-v3</td>" in query_table_html(runs)
        assert f"<td>{records['exploit']['env_id']}</td>" in query_table_html(runs)


def test_wrappers_make_another_environment_of_the_same_id(tmp_path):
    spec = json.dumps({"id": "Hopper-v5", "entry_point": "gymnasium:X", "max_episode_steps": 7})
    records = {name: evaluation(name, env_id="Hopper-v5") for name in ("exploit", "prior")}
    records["prior"]["env_spec"] = spec
    text = query_table_html([read_run(write_run(tmp_path / "run", records))])
    assert "<td>Hopper-v5</td>" in text
    assert "<td>Hopper-v5 (max_episode_steps=7)</td>" in text
