"""D4RL's own files in the cache: fetched once, and the same bytes ever after.

The hash that a file must have is the one that the user gives, else the one that was recorded beside the
file when it came, else the published one. Where there is none, the first file that comes is trusted, and
its hash recorded.
"""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from gac.data.d4rl_catalogue import Entry, find, urls
from gac.data.download import Report, download, file_sha256
from gac.errors import UserError


def fetch(
    name: str, folder: Path, report: Report, *, mirrors: Sequence[str] = (), sha256: str | None = None
) -> Path:
    """The cached file of a name, fetched unless it is there with the right hash.

    Args:
        name: A name of the catalogue, such as `d4rl/hopper-medium-v2`.
        folder: Where fetched files are kept; made if it is missing.
        report: Told of a download's progress, and of the hash and why it is believed.
        mirrors: Where to look first; see `gac.data.d4rl_catalogue.urls`.
        sha256: The hash to insist on, instead of the recorded or the published one.

    Raises:
        UserError: an unknown name, a mirror that is no URL, a hash that is none, a folder that cannot be
            made, or what `download` refuses.
    """
    entry = find(name)
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UserError(f"sha256 is {sha256!r}, expected 64 hexadecimal digits; correct it")
    places = urls(entry, tuple(mirrors))
    path = cached(entry, folder)
    expected, why = (sha256.lower(), "as given") if sha256 else _expected(entry, path)
    found = file_sha256(path) if path.is_file() else None
    if found is None or found != (expected or found):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be made ({error.strerror}); set GAC_CACHE to a folder"
            ) from None
        found = download(places, path, expected, report)
    _record(path, found)
    report.say(f"SHA-256 {found}, {why}")
    return path


def load_fetched(name: str, folder: Path, report: Report) -> Path:
    """The cached file of a name: checked if it is there, else fetched.

    Unlike `fetch`, it replaces no file that has changed since it came.

    Raises:
        UserError: the file is not the one that came, or what `fetch` refuses.
    """
    entry = find(name)
    path = cached(entry, folder)
    if not path.is_file():
        return fetch(name, folder, report)
    expected, _ = _expected(entry, path)
    found = file_sha256(path)
    if expected is None:
        _record(path, found)
    elif found != expected:
        raise UserError(
            f"{path} has SHA-256 {found}, expected {expected}: it is damaged or another file; "
            f"gac data fetch {name} fetches it again"
        )
    return path


def _expected(entry: Entry, path: Path) -> tuple[str | None, str]:
    """The hash that a file must have, None where any is good; and why."""
    if recorded := _recorded(path):
        return recorded, "as recorded when it first came"
    if entry.sha256:
        return entry.sha256, "as published"
    return None, "trusted and recorded, as none is published for this file"


def cached(entry: Entry, folder: Path) -> Path:
    """Where the file of an entry is kept."""
    return folder / entry.file


def copy_file(source: Path, target: Path) -> None:
    """Copy a file to a new name; it appears whole or not at all.

    Raises:
        UserError: the target exists or cannot be written.
    """
    if target.exists():
        raise UserError(f"{target} exists, expected a new file; delete it or choose another name")
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, partial)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written ({error.strerror}); give a file in a folder that exists"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> str | None:
    """The hash in `<file>.sha256`, whose form is that of the program sha256sum."""
    record = _record_of(path)
    if not record.is_file():
        return None
    words = record.read_text(encoding="utf-8", errors="replace").split()
    if not words or not re.fullmatch(r"[0-9a-f]{64}", words[0]):
        raise UserError(f"{record} holds no SHA-256; delete it, and check the file beside it by other means")
    return words[0]


def _record(path: Path, sha256: str) -> None:
    record = _record_of(path)
    partial = record.with_name(f".{record.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
        os.replace(partial, record)
    except OSError as error:
        raise UserError(
            f"{record} cannot be written ({error.strerror}); make room, and fetch again"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
