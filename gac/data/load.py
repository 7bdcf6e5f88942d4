"""From a name or a path to episodes, and from episodes to a file or a Minari set."""

import difflib
import os
import shlex
import warnings
from pathlib import Path

from gac.data import d4rl_catalogue, names, recipes
from gac.data.d4rl_hdf5 import check_new, has_ways, read_d4rl, write_d4rl
from gac.data.episodes import Episodes
from gac.data.fetch import load_fetched
from gac.data.maze_recipe import MAZE_RECIPES
from gac.data.mazes import seldom_met
from gac.data.minari_sets import PREFIX, check_new_set, is_minari, read_minari, write_minari
from gac.data.reset_rows import dropping_reset_rows
from gac.data.tables import is_table, read_table
from gac.errors import UserError

_SUFFIXES = (".hdf5", ".h5")


def cache_folder() -> Path:
    """`$GAC_CACHE`, or `~/.cache/gac`."""
    chosen = os.environ.get("GAC_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "gac"


def fetched_folder() -> Path:
    """Where D4RL's own files are kept."""
    return cache_folder() / "d4rl"


def list_data() -> dict[str, str]:
    """The names that `load_data` makes by itself, each with a line about it."""
    return {
        name: f"{recipe.about}; takes {', '.join(recipe.parameters)}"
        for name, recipe in recipes.RECIPES.items()
    }


def load_data(
    name_or_path: str | os.PathLike[str],
    seed: int = 0,
    on_disk: bool | None = None,
    *,
    drop_reset_rows: bool = False,
) -> Episodes:
    """Episodes from a recipe, from D4RL's own files, from a Minari set, or from a file of yours.

    Args:
        name_or_path: A name of `list_data`, made once; `d4rl/` and the name of a D4RL set, such as
            `d4rl/hopper-medium-v2`, fetched once; `minari/` and the id of a Minari data set; the path of an
            `.hdf5` file in D4RL's layout, or that of a table whose columns have the usual names
            (`read_table`). Parameters follow the name, as in `hopper-medium:steps=1000000`; those of a recipe
            are in its line of `list_data`. The endless run of a maze takes `cut=horizon`, `cut=subgoal`,
            `cut=hold` or `cut=success`, a file's too: see `gac.data.mazes.cut`. Unless given, `horizon` is
            taken, or `hold` where most windows of a horizon never meet the target; `name` says so.
        seed: Seed of a recipe; other data has none and ignores it.
        on_disk: Leave the steps of an HDF5 file there, as `read_d4rl` says; nothing else can stay on disk.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes, and warn if there are none: see `gac.data.reset_rows`.

    Raises:
        UserError: neither a known name nor a file, a parameter that is unknown or no value of it, a cut
            for what is no maze, what cannot stay on disk and is asked to, or what `gac.data.fetch`, the
            readers or `without_reset_rows` refuse.
    """
    episodes = _load(name_or_path, seed, on_disk)
    if (ways := ways_of(name_or_path, episodes)) is not None:
        episodes = _load(ways, seed, on_disk)
    return dropping_reset_rows(episodes) if drop_reset_rows else episodes


def _load(name_or_path: str | os.PathLike[str], seed: int, on_disk: bool | None) -> Episodes:
    full = os.fspath(name_or_path)
    text, given = names.split(full)
    if text in recipes.RECIPES:
        _check_in_memory(full, on_disk)
        return _cached(full, text, seed)
    if is_minari(text) or is_table(text):
        names.values(full, given, {})
        _check_in_memory(text, on_disk)
        return read_minari(text.removeprefix(PREFIX)) if is_minari(text) else read_table(text)
    if _is_fetched(text) or Path(text).is_file() or text.endswith(_SUFFIXES):
        how = names.values(full, given, {"cut": names.CUT}).get("cut")
        return read_d4rl(_fetched(text) if _is_fetched(text) else text, how, on_disk, name=full)
    near = difflib.get_close_matches(text, [*recipes.RECIPES, *d4rl_catalogue.CATALOGUE], n=1)
    hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(recipes.RECIPES)}, or a file"
    raise UserError(f"{full!r} is neither a name of gac data list nor a file; {hint}")


def ways_of(name_or_path: str | os.PathLike[str], windows: Episodes) -> str | None:
    """The name of the same data cut by `hold`, where that is what it stands for; None where it is not.

    It is, if the name leaves open how the endless run of a maze is cut, and most of the windows of a horizon
    never meet the target (`gac.data.mazes.seldom_met`).

    Args:
        name_or_path: As `load_data` takes it.
        windows: The data cut by the horizon.
    """
    text, given = names.split(os.fspath(name_or_path))
    if "cut" in given or is_minari(text) or is_table(text):
        return None
    one_length = bool((windows.lengths == windows.lengths[0]).all())
    if not seldom_met(windows.env_id, one_length, float((windows.returns == 0).mean())):
        return None
    if text not in MAZE_RECIPES and not has_ways(_fetched(text) if _is_fetched(text) else Path(text)):
        return None
    return names.join(text, given | {"cut": "hold"})


def write_data(episodes: Episodes, name_or_path: str | os.PathLike[str], *, contiguous: bool = False) -> None:
    """Write episodes as a new Minari set, if that is what the name means, else as a new HDF5 file.

    Args:
        episodes: What to write.
        name_or_path: `minari/` and the id of the Minari set, or the path of the file.
        contiguous: Lay the file out so that its steps can stay on disk: see `write_d4rl`.

    Raises:
        UserError: what `check_new_data`, `write_minari` or `write_d4rl` refuses.
    """
    text = os.fspath(name_or_path)
    check_new_data(text, contiguous=contiguous)
    if is_minari(text):
        write_minari(episodes, text.removeprefix(PREFIX))
    else:
        write_d4rl(episodes, text, contiguous=contiguous)


def check_new_data(name_or_path: str | os.PathLike[str], *, contiguous: bool) -> None:
    """Refuse what no data set can be written to, before any work is done for it.

    Raises:
        UserError: the name of a table, a contiguous Minari set, what exists, or a folder that takes no file.
    """
    text = os.fspath(name_or_path)
    if is_table(text):
        raise UserError(f"{text} is the name of a table, expected a new .hdf5 file or {PREFIX}ID; rename it")
    if contiguous and is_minari(text):
        raise UserError(f"{text} is a Minari set, and only an HDF5 file can be contiguous; leave that out")
    if is_minari(text):
        check_new_set(text.removeprefix(PREFIX))
    else:
        check_new(Path(text))


def _check_in_memory(name: str, on_disk: bool | None) -> None:
    if on_disk:
        raise UserError(
            f"{name} is no HDF5 file and cannot stay on disk; "
            f"write one with gac data convert {shlex.quote(name)} FILE.hdf5 --contiguous"
        )


def _is_fetched(text: str) -> bool:
    """Whether this names one of D4RL's own sets rather than a file in a folder called so."""
    return text.startswith(d4rl_catalogue.PREFIX) and not text.endswith(_SUFFIXES)


def _fetched(name: str) -> Path:
    from gac.console import DownloadLines  # rich, which only a download needs

    # Lines, not a bar: whoever reads data may show progress of their own.
    return load_fetched(name, fetched_folder(), DownloadLines())


def _cached(full: str, base: str, seed: int) -> Episodes:
    path = cache_folder() / f"{base}-seed{seed}-{recipes.fingerprint(full)}.hdf5"
    if path.exists():
        try:
            return read_d4rl(path, on_disk=False, name=full)
        except UserError:
            pass  # A cache is disposable: a damaged file is made again.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be made ({error.strerror}); set GAC_CACHE to a folder"
        ) from None
    episodes = recipes.make(full, seed)
    try:
        write_d4rl(episodes, path, overwrite=True)
    except UserError as error:
        warnings.warn(f"{full} is made and not kept for the next time: {error}", stacklevel=3)
    return episodes
