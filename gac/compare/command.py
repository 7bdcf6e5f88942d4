"""`gac compare`: call the parts, print, and no more."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from gac.errors import UserError
from gac.flags import Switch


def compare(
    spec: Annotated[Positional[Path], arg(metavar="SPEC")],
    /,
    *,
    out: Annotated[Path, arg(metavar="FOLDER")],
    resume: Switch = False,
) -> None:
    """Train and evaluate several methods on several data sets, and write table.md and report.html.

    Each run is a process on a core of its own, with a log in FOLDER/logs. A run that fails is named, and the
    others go on.

    Args:
        spec: TOML file of methods, data, seeds and budgets; see docs/compare.md.
        out: Folder of the runs and of what is made of them.
        resume: Go on: what has finished is kept, all else runs. SPEC may have more runs than before.
    """
    from gac.compare.launching import Places, check_methods, keep_failures, launch, prepare
    from gac.compare.specification import read_specification
    from gac.console import activity, stderr_console
    from gac.writing import check_target, write_text

    specification = read_specification(spec)
    places = Places(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file, expected a folder; choose another name")
    if not resume and out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; go on with --resume, or choose another folder")
    check_methods(specification)
    check_target(out / "table.md")
    waiting = [job for job in specification.runs if places.record(job) is None]
    prepare(waiting, places, activity)
    write_text(out / "specification.toml", specification.text)
    again = shlex.join(["gac", "compare", str(spec), "--out", str(out), "--resume"])
    console, total = stderr_console(), len(specification.runs)
    done, failures, began = total - len(waiting), dict[str, str](), time.monotonic()
    console.print(f"{len(waiting)} of {total} runs to go", markup=False)
    try:
        for ended in launch(waiting, places, specification.rivals, specification.jobs):
            done += 1
            said = "done" if ended.failure is None else f"FAILED: {ended.failure}"
            left = (time.monotonic() - began) / 60 / (done - total + len(waiting)) * (total - done)
            line = f"{done}/{total} {ended.job.name}, {ended.seconds / 60:.1f} min: {said}"
            console.print(f"{line}; about {left:.0f} min left", markup=False, soft_wrap=True)
            if ended.failure is not None:
                failures[ended.job.name] = ended.failure
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped, finished runs are kept; go on with: {again}") from None
    finally:
        keep_failures(places, failures)
        show(spec, out, failures)
    if failures:
        name, why = next(iter(failures.items()))
        raise UserError(
            f"{len(failures)} of {total} runs failed, {name} with: {why}; see {places.folder / 'logs'}, and "
            f"try them again with: {again}"
        )


def show(spec: Path, out: Path, failures: dict[str, str]) -> None:
    """Write table.md and report.html from the records, and print the table."""
    from gac.compare.launching import Places
    from gac.compare.page import comparison_page
    from gac.compare.results import Table, read_table
    from gac.compare.specification import read_specification
    from gac.compare.tables import to_markdown
    from gac.writing import write_text

    specification, places = read_specification(out / "specification.toml"), Places(out)
    tables: Sequence[Table] = [
        read_table(title, jobs, places) for title, jobs in specification.tables.items()
    ]
    command = shlex.join(["gac", "compare", str(spec), "--out", str(out)])
    text = to_markdown(tables, failures, command)
    write_text(out / "table.md", text)
    write_text(out / "report.html", comparison_page(tables, failures, command, specification.text))
    print(text)
    print(f"report: {out / 'report.html'}")
