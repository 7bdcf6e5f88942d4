"""`gac compare`: call the parts, print, and no more."""

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from gac.cli.flags import Switch
from gac.errors import UserError

if TYPE_CHECKING:
    from gac.compare.launching import Finished, Places


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
    from gac.console import activity
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
    failures = dict[str, str]()
    try:
        with runs_progress(len(waiting), len(specification.runs)) as tell:
            for ended in launch(waiting, places, specification.rivals, specification.jobs):
                tell(ended)
                if ended.failure is not None:
                    failures[ended.job.name] = ended.failure
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped, finished runs are kept; go on with: {again}") from None
    finally:
        keep_failures(places, failures)
        show(spec, places, failures)
    if failures:
        name, why = next(iter(failures.items()))
        raise UserError(
            f"{len(failures)} of {len(waiting)} runs failed, {name} with: {why}; see {out / 'logs'}, and "
            f"try them again with: {again}"
        )


@contextmanager
def runs_progress(waiting: int, total: int) -> Iterator[Callable[["Finished"], None]]:
    """Yield what is told of every run that ends: a line each, and on a terminal a bar below them."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from gac.console import remaining, stderr_console

    console, began, done = stderr_console(), time.monotonic(), 0
    columns = BarColumn(bar_width=None), TaskProgressColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("running", total=total, completed=total - waiting)
        console.print(f"{waiting} of {total} runs to go", markup=False)

        def tell(ended: "Finished") -> None:
            nonlocal done
            done += 1
            said = "done" if ended.failure is None else f"FAILED: {ended.failure}"
            line = f"{total - waiting + done}/{total} {ended.job.name}, {ended.seconds / 60:.1f} min: {said}"
            left = f"{remaining(time.monotonic() - began, done / waiting)} left"
            console.print(f"{line}; {left}", markup=False, soft_wrap=True)
            bar.update(task, advance=1, description=left)

        yield tell


def show(spec: Path, places: "Places", failures: dict[str, str]) -> None:
    """Write table.md and report.html from the records, and print the table."""
    from gac.compare.page import comparison_page
    from gac.compare.results import read_table
    from gac.compare.specification import read_specification
    from gac.compare.tables import to_markdown
    from gac.writing import write_text

    out = places.folder
    specification = read_specification(out / "specification.toml")
    tables = [read_table(title, jobs, places) for title, jobs in specification.tables.items()]
    command = shlex.join(["gac", "compare", str(spec), "--out", str(out)])
    text = to_markdown(tables, failures, command)
    write_text(out / "table.md", text)
    write_text(out / "report.html", comparison_page(tables, failures, command, specification.text))
    print(text)
    print(f"report: {out / 'report.html'}")
