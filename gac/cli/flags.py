"""The kinds of flags that several commands have."""

from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

DataName = Annotated[Positional[str], arg(metavar="DATA")]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
Switch = FlagCreatePairsOff[bool]
Number = Annotated[float | None, arg(metavar="X")]
Count = Annotated[int | None, arg(metavar="N")]
FileName = Annotated[Path | None, arg(metavar="FILE")]
Address = Annotated[str | None, arg(metavar="HOST:PORT")]
EnvId = Annotated[str | None, arg(metavar="ID")]
DataSet = Annotated[str | None, arg(metavar="DATA")]
