"""Files that appear whole or not at all, and targets that are looked at before the work for them is done."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gac.errors import UserError

_PROBE = 4096
"""Bytes that are written to see whether a disk takes any."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name to write to, flushed and then renamed: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path)
    try:
        with open(partial, "wb") as file:
            mode = os.fstat(file.fileno()).st_mode
        yield partial
        # safetensors puts a file of its own there, which its owner alone may read whatever the umask says.
        if partial.stat().st_mode != mode:
            partial.chmod(stat.S_IMODE(mode))
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def partial_name(path: Path) -> Path:
    """The hidden name beside a file under which this process writes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_or_print(path: Path, text: str) -> None:
    """Write a result; where that fails, print it instead, so that the work for it is not lost.

    Raises:
        UserError: it could not be written.
    """
    try:
        write_text(path, text)
    except OSError as error:
        print(text, flush=True)
        raise UserError(
            f"{path} cannot be written ({error.strerror}); what it would hold is printed instead"
        ) from None


def check_target(path: Path, *, make_folder: bool = True) -> None:
    """Refuse a file that could not be written, before any work is done for it. Nothing is left behind.

    Args:
        path: The file, which may exist.
        make_folder: Whether a missing folder will be made.

    Raises:
        UserError: a folder or device of that name, a missing folder, or one that takes no file.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no file that can be replaced, expected a new name; choose another")
        folder = path.parent
        while make_folder and not folder.exists() and folder != folder.parent:
            folder = folder.parent
        probe = folder / partial_name(path).name
        try:
            with open(probe, "wb", buffering=0) as file:
                file.write(bytes(_PROBE))
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); give a file in a folder that exists and has room"
        ) from None


def check_room(folder: Path, size: int) -> None:
    """Take so many bytes of a folder's disk for a moment, as a limit or a quota shows only then.

    Raises:
        OSError: there is no room, as the system says it.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        except (AttributeError, OSError) as error:
            # Where nothing can be reserved, what is free is all that can be known.
            if isinstance(error, OSError) and error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            if shutil.disk_usage(folder).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
