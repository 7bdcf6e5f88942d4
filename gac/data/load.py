"""From a name or a path to episodes."""

import dataclasses
import difflib
import os
from pathlib import Path

from gac.data import recipes
from gac.data.d4rl_hdf5 import read_d4rl, write_d4rl
from gac.data.episodes import Episodes
from gac.errors import UserError

_SUFFIXES = (".hdf5", ".h5")


def cache_folder() -> Path:
    """`$GAC_CACHE`, or `~/.cache/gac`."""
    chosen = os.environ.get("GAC_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "gac"


def list_data() -> dict[str, str]:
    """The names that `load_data` makes by itself, each with a line about it."""
    return {name: recipe.about for name, recipe in recipes.RECIPES.items()}


def load_data(name_or_path: str | os.PathLike[str], seed: int = 0) -> Episodes:
    """Episodes from a recipe's name (made once, then cached) or from a file in D4RL's layout.

    Args:
        name_or_path: A name of `list_data`, or the path of an `.hdf5` file.
        seed: Seed of a recipe; a file has none and ignores it.

    Raises:
        UserError: neither a known name nor a file, or what `read_d4rl` refuses.
    """
    text = os.fspath(name_or_path)
    if text in recipes.RECIPES:
        return _cached(text, seed)
    if Path(text).is_file() or text.endswith(_SUFFIXES):
        return read_d4rl(text)
    near = difflib.get_close_matches(text, recipes.RECIPES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(recipes.RECIPES)}, or a file"
    raise UserError(f"{text!r} is neither a data set made here nor an HDF5 file; {hint}")


def _cached(name: str, seed: int) -> Episodes:
    path = cache_folder() / f"{name}-seed{seed}-{recipes.fingerprint(name)}.hdf5"
    if path.exists():
        try:
            return _named(read_d4rl(path), name)
        except UserError:
            pass  # A cache is disposable: a damaged file is made again.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be made ({error.strerror}); set GAC_CACHE to a folder"
        ) from None
    episodes = recipes.make(name, seed)
    write_d4rl(episodes, path, overwrite=True)
    return episodes


def _named(episodes: Episodes, name: str) -> Episodes:
    """The file knows its path, the user the recipe's name."""
    return dataclasses.replace(episodes, name=name)
