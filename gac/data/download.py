"""One HDF5 file from the first of several URLs that serves it whole; a transfer that was cut off goes on."""

import errno
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import h5py

from gac.errors import UserError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
TIMEOUT = 30.0
"""Seconds that a server may stay silent."""

_BLOCK = 1 << 18
_TRIES = 10
"""Requests to one URL, as long as each brings the file further."""


@runtime_checkable
class Report(Protocol):
    """What a person is told while a file comes in."""

    def begin(self, url: str) -> None:
        """A URL is tried."""

    def progress(self, done: int, total: int | None) -> None:
        """Bytes that are there, and those that there will be, where the server says so."""

    def say(self, line: str) -> None:
        """Something else to know."""


class _Failure(Exception):
    """Why a URL gives no file."""


class _Cut(_Failure):
    """The transfer stopped after it brought some bytes; the next one may go on."""


def download(urls: Sequence[str], target: Path, sha256: str | None, report: Report) -> str:
    """Fetch an HDF5 file; it appears whole and checked, or not at all.

    The bytes go to `<target>.part`, which stays when the transfer stops; the next call goes on from it.

    Args:
        urls: Where the file may lie, the first to try first; http or https, certificates are checked.
        target: Where to put it; its folder must exist. A file that is there is replaced.
        sha256: The hash that the file must have, as 64 hex digits; None takes what comes.
        report: Told of progress and failures.

    Returns:
        The SHA-256 of the file.

    Raises:
        UserError: no URL gives the file (each one's reason is named), another process fetches it, or the
            disk refuses it.
    """
    failures = []
    with _part_of(target) as part:
        for url in urls:
            report.begin(url)
            try:
                found = _from_url(url, part, sha256, report)
            except _Failure as failure:
                failures.append(f"{url}: {failure}")
                report.say(failures[-1])
                continue
            part.become(target)
            return found
    raise UserError(
        f"{target.name} could not be fetched ({'; '.join(failures)}); check the network, or give --mirror URL"
    )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Part:
    """The bytes that are there so far, and the URL and version of the file that they come from.

    Bytes of different files must not be joined: where no hash is known beforehand, nothing would show it.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._note = path.with_name(f"{path.name}.from")

    @property
    def size(self) -> int:
        return self._file.seek(0, os.SEEK_END)

    @property
    def origin(self) -> tuple[str, str]:
        """URL and validator (ETag or date); empty where there is none."""
        lines = self._note.read_text(encoding="utf-8").split("\n") if self._note.exists() else []
        return (lines[0], lines[1]) if len(lines) > 1 else ("", "")

    def begin(self, url: str, validator: str) -> None:
        """Drop the bytes: those of another origin follow."""
        self._file.truncate(0)
        self._note.write_text(f"{url}\n{validator}\n", encoding="utf-8")

    def mix(self) -> None:
        """Bytes of another URL follow: only a known hash can tell whether they belong together."""
        self._note.unlink(missing_ok=True)

    def write(self, block: bytes) -> None:
        self._file.write(block)

    def sha256(self) -> str:
        self._file.flush()
        return file_sha256(self.path)

    def become(self, target: Path) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self.path, target)
        self._note.unlink(missing_ok=True)


@contextmanager
def _part_of(target: Path) -> Iterator[_Part]:
    """The part of a file, for this process alone; deleted at the end if it is empty."""
    path = target.with_name(f"{target.name}.part")
    try:
        with open(path, "a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{path} is in use, another process fetches it; wait for that one") from None
            part = _Part(path, file)
            try:
                yield part
            finally:
                if part.size == 0:
                    path.unlink(missing_ok=True)
                    part.mix()
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); make room, or set GAC_CACHE to another place, "
            "and fetch again: it goes on from what is there"
        ) from None


def _from_url(url: str, part: _Part, sha256: str | None, report: Report) -> str:
    """Fill `part` from one URL; returns its SHA-256, which is the expected one."""
    cut = _Failure()
    for _ in range(_TRIES):
        size = part.size if sha256 is not None or part.origin[0] == url else 0
        try:
            _transfer(url, part, size, report)
        except _Cut as failure:
            cut = failure
            continue
        found = part.sha256()
        if sha256 is None:
            _require_whole(part)
        if sha256 in (None, found):
            return found
        part.begin("", "")
        if not size:  # What was there before may be to blame: begin anew.
            raise _Failure(f"its SHA-256 is {found}, expected {sha256}; it is deleted")
    raise cut


def _transfer(url: str, part: _Part, size: int, report: Report) -> None:
    """One request: bring `part`, of which the first `size` bytes are good, to the last byte."""
    headers = {"User-Agent": "gac", "Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
        origin, validator = part.origin
        if origin == url and validator:
            headers["If-Range"] = validator
    with _open(url, headers) as answer:
        start, total = _extent(answer)
        if answer.status == 416 and total == size:
            return
        if answer.status == 416 or start not in (0, size):
            part.begin("", "")
            raise _Cut(f"has no bytes after {size:,}")
        block = _read(answer, start)
        if total is not None and shutil.disk_usage(part.path.parent).free < total - start:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if start == 0:
            _require_hdf5(block)
            part.begin(url, _validator(answer))
        elif part.origin[0] != url:
            part.mix()
        done = start
        while block:
            part.write(block)
            done += len(block)
            report.progress(done, total)
            block = _read(answer, done, some=done > start)
    if total is not None and done != total:
        raise (_Cut if done > start else _Failure)(f"cut off after {done:,} of {total:,} bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from a checked connection to an open one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("https:", "http:") if req.type == "http" else "https:"):
            raise _Failure(f"redirects to {newurl}, expected https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str]) -> Any:
    """The server's answer: 200, 206 or 416."""
    opener = urllib.request.build_opener(_Redirects)
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        error.close()
        raise _Failure(f"the server answers {error.code} {error.reason}".rstrip()) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failure(_words(error)) from None


def _extent(answer: Any) -> tuple[int, int | None]:
    """The place of the body's first byte in the file, and the size of the file where the server says so."""
    if answer.status in (206, 416):
        found = re.fullmatch(
            r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", "").strip()
        )
        start, total = (found[1] or "-1", found[2]) if found else ("-1", "*")
        return int(start), None if total == "*" else int(total)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _validator(answer: Any) -> str:
    """A strong ETag, or the date: what If-Range may hold."""
    etag: str = answer.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _read(answer: Any, done: int, *, some: bool = False) -> bytes:
    """The next block; `some` says that this answer has brought bytes already."""
    try:
        block: bytes = answer.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise (_Cut if some else _Failure)(f"cut off after {done:,} bytes ({_words(error)})") from None
    return block


def _require_hdf5(block: bytes) -> None:
    if block.startswith(HDF5_SIGNATURE):
        return
    begin = block[:512].lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise _Failure("it is a web page, expected an HDF5 file")
    raise _Failure("it is no HDF5 file" if block else "it is empty, expected an HDF5 file")


def _require_whole(part: _Part) -> None:
    """HDF5 knows its own length: where neither the server nor a hash tells, a cut shows here."""
    try:
        h5py.File(part.path, "r", locking=False).close()  # the lock is ours
    except OSError:
        part.begin("", "")
        raise _Failure("it is a damaged HDF5 file, or only the beginning of one") from None


def _words(error: BaseException) -> str:
    """The reason of a failed connection, in one line."""
    reason = getattr(error, "reason", error)
    words = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return " ".join((words or type(reason).__name__).split())
