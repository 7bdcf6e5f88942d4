"""`gac train` with the rivals: their flags; the work is that of `gac.cli.commands.train`."""

from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes

from gac.cli import commands
from gac.cli.flags import Count, DataName, Number, Switch
from gac.rivals.lpt.config import LPTConfig
from gac.rivals.odt.config import ODTConfig


def train_lpt(
    data: DataName,
    /,
    *,
    out: Path,
    config: OmitArgPrefixes[LPTConfig],
    method: Literal["lpt"] = "lpt",
    minutes: Number = None,
    updates: Count = None,
    seeds: Count = None,
    resume: Switch = False,
    overwrite: Switch = False,
    drop_reset_rows: Switch = False,
) -> None:
    """Train Latent Plan Transformer on a data set with a return per episode.

    Every field of the configuration is a flag; unset ones keep the preset's value.

    Args:
        data: Name or path of a data set; see gac data list.
        out: Folder of the run.
        config: The run's configuration.
        method: The method that these flags are of.
        minutes: Wall-clock minutes of training in this call; 15 unless --updates is given.
        updates: Number of updates of the whole run, instead of minutes.
        seeds: Train so many models at once, of --seed and the seeds after it; the folders seed-0, seed-1 and
            so on in the run's folder are theirs.
        resume: Go on from the run in the folder, whose configuration then is the start, not the preset's.
        overwrite: Replace an existing run in the folder.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes.
    """
    commands.train_and_tell(
        data,
        out=out,
        config=config,
        minutes=minutes,
        updates=updates,
        seeds=seeds,
        resume=resume,
        overwrite=overwrite,
        drop_reset_rows=drop_reset_rows,
    )


def train_odt(
    data: DataName,
    /,
    *,
    out: Path,
    config: OmitArgPrefixes[ODTConfig],
    method: Literal["odt"] = "odt",
    minutes: Number = None,
    updates: Count = None,
    seeds: Count = None,
    resume: Switch = False,
    overwrite: Switch = False,
    drop_reset_rows: Switch = False,
) -> None:
    """Train Online Decision Transformer on a data set with a return per episode.

    Every field of the configuration is a flag; unset ones keep the preset's value.

    Args:
        data: Name or path of a data set; see gac data list.
        out: Folder of the run.
        config: The run's configuration.
        method: The method that these flags are of.
        minutes: Wall-clock minutes of training in this call; 15 unless --updates is given.
        updates: Number of updates of the whole run, instead of minutes.
        seeds: Train so many models at once, of --seed and the seeds after it; the folders seed-0, seed-1 and
            so on in the run's folder are theirs.
        resume: Go on from the run in the folder, whose configuration then is the start, not the preset's.
        overwrite: Replace an existing run in the folder.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes.
    """
    commands.train_and_tell(
        data,
        out=out,
        config=config,
        minutes=minutes,
        updates=updates,
        seeds=seeds,
        resume=resume,
        overwrite=overwrite,
        drop_reset_rows=drop_reset_rows,
    )
