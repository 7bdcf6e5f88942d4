"""Arrays as safetensors files, written as a whole and read strictly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from gac.errors import UserError
from gac.writing import whole_file as whole_file
from gac.writing import write_bytes as write_bytes
from gac.writing import write_text as write_text

Tree = TypeVar("Tree")


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
