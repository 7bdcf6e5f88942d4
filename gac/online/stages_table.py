"""The stages of a fine-tuned run, as a table."""

from pathlib import Path

import numpy as np
from rich.table import Table

from gac.online.folder import existing
from gac.online.record import StageRecord, read_record, record_path

HEADINGS = ("stage", "delta_y", "aims", "reached", "collected", "exploit", "score", "minutes")


def stages_table(run: Path) -> Table:
    """What each stage aimed at, achieved and is worth; returns are raw."""
    table = Table(*HEADINGS)
    for record in map(read_record, existing(run, record_path)):
        table.add_row(*stage_cells(record))
    return table


def stage_cells(record: StageRecord) -> list[str]:
    """What the table says of a stage, under `HEADINGS`."""
    cells = [str(record.stage), "", "", "", ""]
    if (found := record.collection) is not None:
        aims = [y for y in found.y_plus if y is not None]
        cells = [str(record.stage), f"{record.targets.delta_y:.2f}", f"{np.mean(aims):.1f}" if aims else "-"]
        cells += [f"{found.reached:.0%}" if aims else "-", f"{found.mean:.1f} ± {found.std:.1f}"]
    scores = record.after
    cells.append("-" if scores is None else f"{scores.mean:.1f} ± {scores.std:.1f}")
    known = scores is not None and scores.normalized_mean is not None
    cells.append(f"{scores.normalized_mean:.1f}" if scores is not None and known else "-")
    return [*cells, f"{sum(record.seconds.values()) / 60:.1f}"]
