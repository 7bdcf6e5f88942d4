"""Files that are whole or not there: atomic writes, arrays as safetensors, strict reading."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from gac.errors import UserError

Tree = TypeVar("Tree")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name to write to, flushed and then renamed: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_tree(path: Path, tree: Any, metadata: Mapping[str, str]) -> None:
    """The arrays of a tree as a safetensors file, each under its path in the tree."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf, order="C") for path, leaf in leaves}
    with whole_file(path) as partial:  # Array by array: as one string they would take their memory again.
        safetensors.numpy.save_file(arrays, partial, dict(metadata))


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        UserError: no such file, or a truncated or foreign one.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the folder of a run that gac train wrote")
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise UserError(f"{path} is truncated or no safetensors file ({error}); train again") from None


def read_tree(path: Path, like: Tree) -> Tree:
    """Read `write_tree`'s file into the shape of `like` (arrays or shape structs), strictly.

    Raises:
        UserError: a truncated or foreign file, or arrays that do not fit.
    """
    read_metadata(path)
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    with safe_open(path, framework="numpy") as file:
        names = [jax.tree_util.keystr(where) for where, _ in leaves]
        if set(names) != set(file.keys()):
            odd = sorted(set(names) ^ set(file.keys()))[0]
            raise UserError(
                f"{path}: array {odd} is missing or unknown; was it written by this version of gac?"
            )
        arrays = [file.get_tensor(name) for name in names]
    for name, array, (_, leaf) in zip(names, arrays, leaves, strict=True):
        if array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise UserError(
                f"{path}: array {name} is {array.dtype}{array.shape}, expected {leaf.dtype}{leaf.shape}"
            )
    # An array that `like` keeps on the host stays there.
    placed = [
        array if isinstance(leaf, np.ndarray) else jax.numpy.asarray(array)
        for array, (_, leaf) in zip(arrays, leaves, strict=True)
    ]
    tree: Tree = jax.tree_util.tree_unflatten(structure, placed)
    return tree
