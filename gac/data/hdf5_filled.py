"""Whether all of an HDF5 data set was ever written: for the rest, HDF5 silently gives its fill value."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from gac.errors import UserError

_DEEPEST = 8
"""Virtual data sets of virtual data sets that are followed."""


def check_filled(dataset: h5py.Dataset, path: Path, key: str) -> None:
    """Refuse a data set of which a part would be read as its fill value.

    Raises:
        UserError: chunks that were never written, a virtual data set whose source is missing or too small,
            an external file that is missing or too short.
    """
    hole = next(_holes(dataset, _DEEPEST), None)
    if hole is not None:
        raise UserError(
            f"{path}: {key} {hole}, and HDF5 gives {dataset.fillvalue} for what is missing; write the data "
            "set whole, or put the files that it needs back"
        )


def _holes(dataset: h5py.Dataset, deepest: int) -> Iterator[str]:
    """What keeps a data set from holding values of its own everywhere, in words."""
    if not dataset.size or deepest == 0:
        return
    if dataset.is_virtual:
        yield from _virtual_holes(dataset, deepest)
    elif dataset.external:
        yield from _external_holes(dataset)
    elif dataset.chunks is not None:
        chunks = math.prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True))
        if (written := dataset.id.get_num_chunks()) < chunks:
            yield f"has {written:,} of its {chunks:,} chunks, the others were never written"
    elif dataset.id.get_space_status() == h5py.h5d.SPACE_STATUS_NOT_ALLOCATED:
        yield "was made and never written"


def _virtual_holes(dataset: h5py.Dataset, deepest: int) -> Iterator[str]:
    covered = 0
    for source in dataset.virtual_sources():
        name = source.file_name
        if "%b" in name or "%b" in source.dset_name:
            return  # A pattern of names: the data set ends where the first of them is missing.
        places = [Path(dataset.file.filename)] if name == "." else _places(dataset, name, "HDF5_VDS_PREFIX")
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            yield f"is virtual and its source {name} is missing"
            return
        try:
            with h5py.File(found, "r") as file:
                if source.dset_name not in file:
                    yield f"is virtual and its source {name} has no {source.dset_name}"
                    return
                yield from (
                    f"is virtual and its source {source.dset_name} in {name} {hole}"
                    for hole in _source_holes(file[source.dset_name], source, deepest)
                )
            covered += source.vspace.get_select_npoints()
        except (OSError, RuntimeError) as error:
            yield f"is virtual and its source {name} cannot be read ({str(error).splitlines()[0]})"
            return
    if covered < dataset.size:
        yield f"is virtual and has sources for {covered:,} of its {dataset.size:,} values"


def _source_holes(source: h5py.Dataset, mapped: Any, deepest: int) -> Iterator[str]:
    """Those of a virtual data set's source, and whether it has shrunk below the part that is mapped."""
    chosen = mapped.src_space
    if chosen.get_select_type() == h5py.h5s.SEL_HYPERSLABS:
        last = chosen.get_select_bounds()[1]
        if any(place >= size for place, size in zip(last, source.shape, strict=False)):
            yield f"has shape {source.shape}, which is too small"
    elif source.size < mapped.vspace.get_select_npoints():
        yield f"has shape {source.shape}, which is too small"
    yield from _holes(source, deepest - 1)


def _external_holes(dataset: h5py.Dataset) -> Iterator[str]:
    for name, offset, size in dataset.external:
        name = os.fsdecode(name)
        found = next(
            (place for place in _places(dataset, name, "HDF5_EXTFILE_PREFIX") if place.is_file()), None
        )
        if found is None:
            yield f"lies in {name}, which is missing"
            return
        needed = offset + (dataset.nbytes if size == h5py.h5f.UNLIMITED else size)
        if (there := found.stat().st_size) < needed:
            yield f"lies in {name}, which has {there:,} of {needed:,} bytes"


def _places(dataset: h5py.Dataset, name: str, prefix: str) -> list[Path]:
    """Where HDF5 looks for another file that a data set names."""
    folder = Path(dataset.file.filename).parent
    given = os.environ.get(prefix, "").replace("${ORIGIN}", str(folder))
    return [*([Path(given) / name] if given else []), folder / name, Path(name), folder / Path(name).name]
