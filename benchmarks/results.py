"""docs/results.md, made from the records of comparisons.

    gac compare SPEC --out FOLDER
    python benchmarks/results.py collect FOLDER --name NAME
    python benchmarks/results.py write
    python benchmarks/results.py check

`collect` copies what the tables need of a comparison's folder to benchmarks/records/compare/NAME. `write`
makes docs/results.md of all that lies there, and `check` fails if the page says anything else.
"""

import json
import shutil
import sys
from pathlib import Path

import tyro

from gac.compare.launching import Places
from gac.compare.results import Table, read_table
from gac.compare.specification import Job, read_specification
from gac.compare.tables import SCORES_TEXT, sections
from gac.data import load_data
from gac.data.scores import normalized_score
from gac.errors import UserError
from gac.writing import write_text

RECORDS = Path(__file__).parent / "records" / "compare"
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
SPECIFICATION, DATA = "specification.toml", "data.json"
HEAD = """# Results

Made by `python benchmarks/results.py write` from the records in `benchmarks/records/compare`; do not edit.
How a comparison is made fair, and what the figures are: [compare.md](compare.md).
"""


def collect(folder: Path, /, *, name: str) -> None:
    """Copy the records of a comparison.

    Args:
        folder: What `gac compare --out` was given.
        name: Its name among the records.
    """
    source, target = Places(folder), Places(RECORDS / name)
    records = _records(source, "go on with gac compare --resume")
    shutil.rmtree(target.folder, ignore_errors=True)
    for job, record in records.items():
        to = target.folder / record.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(record, to)
        shutil.copy(source.finished(job), target.finished(job))
        metrics = source.run(job) / "metrics.jsonl"
        last = metrics.read_text(encoding="utf-8").strip().splitlines()[-1]
        write_text(target.run(job) / "metrics.jsonl", last + "\n")
    shutil.copy(folder / SPECIFICATION, target.folder / SPECIFICATION)
    names = dict.fromkeys(job.data for job in records)
    write_text(target.folder / DATA, json.dumps({each: _scores(each) for each in names}, indent=1) + "\n")


def _records(places: Places, advice: str) -> dict[Job, Path]:
    """The record of each run of a comparison; ends with one line if any is missing."""
    records = {}
    for job in read_specification(places.folder / SPECIFICATION).runs:
        record = places.record(job)
        if record is None:
            sys.exit(f"{places.folder} has no record of {job.name}; {advice}")
        records[job] = record
    return records


def _scores(name: str) -> dict[str, float | None]:
    """Normalised mean and best return of a data set's episodes; None where there is no reference."""
    data = load_data(name)
    scores = None if data.env_spec is not None else normalized_score(data.env_id, data.returns)
    return (
        {"mean": None, "best": None}
        if scores is None
        else {"mean": float(scores.mean()), "best": float(scores.max())}
    )


def page() -> str:
    """The text of docs/results.md."""
    parts = [HEAD.strip(), SCORES_TEXT]
    folders = sorted(path.parent for path in RECORDS.glob(f"*/{SPECIFICATION}"))
    if not folders:
        parts.append("No comparison has been recorded.")
    for folder in folders:
        _records(Places(folder), "commit it, or collect the comparison again")
        tables = read_specification(folder / SPECIFICATION).tables
        for title, jobs in tables.items():
            table = read_table(title, jobs, Places(folder))
            data = json.loads((folder / DATA).read_text(encoding="utf-8"))
            parts += [*sections(table), made(table, data, folder.name)]
    return "\n\n".join(parts) + "\n"


def made(table: Table, data: dict[str, dict[str, float | None]], name: str) -> str:
    """Who wins where, how good the data are, and what the table was made by."""
    results = [result for row in table.rows for result in row.results]
    records = [result.record for result in results]
    budgets, seeds = ({getattr(r.job, key) for r in results} for key in ("budget", "seed"))
    commits = sorted({record.commit or "unknown" for record in records})
    machines = sorted({record.machine or "unknown" for record in records})
    lines = [
        f"- {each}: the highest mean is that of {best(table, each)}{_data_words(data[each])}."
        for each in table.sets
    ]
    lines += [
        f"- {', '.join(sorted(budgets))} a run, training seeds {', '.join(map(str, sorted(seeds)))}, "
        f"{min(len(r.returns) for r in records)} episodes each.",
        f"- Code at {', '.join(commits)}; {'; '.join(machines)}.",
        f"- Records: `benchmarks/records/compare/{name}`. Made anew by "
        f"`gac compare benchmarks/records/compare/{name}/{SPECIFICATION} --out runs/{name}`.",
    ]
    return "\n".join(lines)


def _data_words(scores: dict[str, float | None]) -> str:
    if scores["mean"] is None:
        return ""
    return f"; the data's episodes score {scores['mean']:.1f} on average and {scores['best']:.1f} at most"


def best(table: Table, data: str) -> str:
    """The method of the highest mean return on a data set."""
    means = {
        row.label: sum(r.record.mean for r in found) / len(found)
        for row in table.rows
        if (found := row.of(data))
    }
    return max(means, key=lambda label: means[label])


def write() -> None:
    """Write docs/results.md."""
    write_text(PAGE, page())


def check() -> None:
    """Fail if docs/results.md is not what `write` would write."""
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/results.md is stale; run python benchmarks/results.py write")


if __name__ == "__main__":
    try:
        tyro.extras.subcommand_cli_from_dict({"collect": collect, "write": write, "check": check})
    except UserError as error:
        sys.exit(str(error))
