"""The commands of `gac data`, each a function of its flags: call the library, print, and no more."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from gac.cli.flags import DataName, FileName, Switch
from gac.errors import UserError
from gac.writing import check_target, write_or_print

Name = Annotated[str | None, arg(metavar="NAME")]
Names = Annotated[str | None, arg(metavar="NAME,NAME,…")]


def data_list() -> None:
    """List the data sets that a recipe makes here, and D4RL's own files that can be fetched."""
    from gac.data import list_data
    from gac.data.d4rl_catalogue import summary

    for name, about in (list_data() | summary()).items():
        print(f"{name:<28}{about}")


def data_make(
    name: Annotated[Positional[str], arg(metavar="NAME")], /, *, seed: int = 0, out: FileName = None
) -> None:
    """Make a data set by its recipe and cache it; the same seed gives the same data.

    Args:
        name: Name of a recipe, perhaps with parameters, such as hopper-medium:steps=1000000 or
            maze2d-umaze:cut=subgoal; see gac data list.
        seed: Seed of the recipe. gac train NAME takes seed 0; to train on another, write it with --out.
        out: Also write the data set here, in D4RL's flat HDF5 layout.
    """
    from gac.console import activity
    from gac.data import load_data, write_d4rl
    from gac.data.d4rl_hdf5 import check_new
    from gac.data.recipes import chosen

    chosen(name, seed)
    if out is not None:
        check_new(out)
    with activity(f"making {name}, seed {seed}"):
        episodes = load_data(name, seed=seed)
    if out is not None:
        write_d4rl(episodes, out)
    print(f"{out or name}: {episodes.num_episodes} episodes, {episodes.num_steps} steps")


def data_fetch(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    /,
    *,
    mirror: Annotated[str | None, arg(metavar="URL")] = None,
    sha256: Annotated[str | None, arg(metavar="HEX")] = None,
    out: FileName = None,
) -> None:
    """Fetch one of D4RL's own files and cache it; what was cut off goes on.

    Args:
        name: Name of a D4RL set, such as d4rl/hopper-medium-v2; see gac data list.
        mirror: Where to look first: the URL of the file or of its folder, or one with {file} or {path} in it.
        sha256: The hash that the file must have, instead of the recorded or the published one.
        out: Also copy it to this file.
    """
    from gac.console import download_progress
    from gac.data.fetch import copy_file, fetch
    from gac.data.load import fetched_folder

    if out is not None and out.exists():
        raise UserError(f"--out {out} exists, expected a new file; delete it or choose another name")
    if out is not None:
        check_target(out, make_folder=False)
    mirrors = [] if mirror is None else [mirror]
    try:
        with download_progress() as report:
            path = fetch(name, fetched_folder(), report, mirrors=mirrors, sha256=sha256)
    except KeyboardInterrupt:
        again = f"gac data fetch {shlex.quote(name)}"
        raise KeyboardInterrupt(f"stopped, what came is kept; go on with: {again}") from None
    if out is not None:
        copy_file(path, out)
    print(f"{name}: {out or path}")


def data_inspect(
    data: DataName,
    /,
    *,
    seed: int = 0,
    drop_reset_rows: Switch = False,
    json: FileName = None,
    html: FileName = None,
) -> None:
    """Print what a data set holds and, in words, what of it will hurt training.

    Args:
        data: Name or path of a data set.
        seed: Seed of the recipe, where the data set is made by one.
        drop_reset_rows: Look at it without the rows that a vector environment with next-step autoreset logs
            between episodes.
        json: Also write every figure and finding here.
        html: Also write a page with pictures here, with all it needs inside.
    """
    from gac.console import activity
    from gac.data import describe, findings, load_data
    from gac.data.environment import action_bounds, warn_beyond_bounds
    from gac.data.names import split
    from gac.data.words import data_json, print_data

    if json is not None and html is not None and json.resolve() == html.resolve():
        raise UserError(f"--json and --html are both {json}; give two names")
    source = Path(split(data)[0]).resolve()
    for flag, out in (("--json", json), ("--html", html)):
        if out is not None and out.resolve() == source:
            raise UserError(f"{flag} {out} is the data itself; give another name")
        if out is not None:
            check_target(out)
    with activity(f"reading {data}"):
        episodes = load_data(data, seed=seed, drop_reset_rows=drop_reset_rows)
        warn_beyond_bounds(episodes)
        facts = describe(episodes, action_bounds(episodes.env_id, episodes.env_spec))
    found = findings(facts)
    print_data(facts, found)
    if json is not None:
        write_or_print(json, data_json(facts, found))
        print(f"json: {json}")
    if html is not None:
        from gac.report.data_page import write_data_page

        with activity(f"drawing {html}"):
            write_data_page(episodes, facts, found, html)
        print(f"html: {html}")


def data_convert(
    src: Annotated[Positional[str], arg(metavar="SRC")],
    dst: Annotated[Positional[str], arg(metavar="DST")],
    /,
    *,
    seed: int = 0,
    contiguous: Switch = False,
    drop_reset_rows: Switch = False,
    clip_actions: Switch = False,
    observations: Names = None,
    actions: Names = None,
    episode: Name = None,
    score: Name = None,
    scores: FileName = None,
    reward: Name = None,
    step: Name = None,
    terminated: Name = None,
    env_id: Annotated[str | None, arg(metavar="ID")] = None,
) -> None:
    """Write any data set as an HDF5 file in D4RL's flat layout, or as a Minari data set.

    The options after --clip-actions say which column of a table (.csv, .tsv, .parquet) is what.

    Args:
        src: Name or path of a data set.
        dst: The file to write, or minari/ and the id of the Minari set; it must not exist.
        seed: Seed of the recipe, where the data set is made by one.
        contiguous: Uncompressed, so that the steps can stay on disk; SRC may be an HDF5 file of any size.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes.
        clip_actions: Clip actions to the bounds of the data's environment, as it did where they were logged
            before that.
        observations: Columns of the observation; those called observation_… or obs_… unless given.
        actions: Columns of the action; those called action_… or act_… unless given.
        episode: Column that names the episode; episode unless given.
        score: Column of the episode's score; return unless given.
        scores: A second table, with one row per episode: its name and its score.
        reward: Column of rewards; reward, if there is one, unless given.
        step: Column that increases within an episode; step, if there is one, unless given.
        terminated: Column of 0 and 1; terminated, if there is one, unless given.
        env_id: Gymnasium id of the environment, if there is one.
    """
    from gac.data import load_data, read_table, unpack_d4rl, write_data
    from gac.data.environment import clipped
    from gac.data.load import check_new_data
    from gac.data.tables import is_table

    asked: dict[str, Any] = {
        "observations": column_names(observations),
        "actions": column_names(actions),
        "episode": episode,
        "score": score,
        "scores": scores,
        "reward": reward,
        "step": step,
        "terminated": terminated,
        "env_id": env_id,
    }
    columns = {key: value for key, value in asked.items() if value is not None}
    if columns and not is_table(src):
        flag = "--" + next(iter(columns)).replace("_", "-")
        raise UserError(f"{flag} is for a table, and {src} is none (.csv, .tsv, .parquet); leave it out")
    check_new_data(dst, contiguous=contiguous)
    changes = drop_reset_rows or clip_actions
    if contiguous and Path(src).is_file() and not is_table(src) and not changes:
        count, steps = unpack_d4rl(src, dst)
    else:
        if is_table(src):
            episodes = read_table(src, **columns, drop_reset_rows=drop_reset_rows)
        else:
            in_memory = False if drop_reset_rows and Path(src).is_file() else None
            episodes = load_data(src, seed=seed, on_disk=in_memory, drop_reset_rows=drop_reset_rows)
        episodes = clipped(episodes) if clip_actions else episodes
        write_data(episodes, dst, contiguous=contiguous)
        count, steps = episodes.num_episodes, episodes.num_steps
    print(f"{dst}: {count} episodes, {steps} steps")


def data(
    action: Annotated[
        Positional[Literal["list", "make", "fetch", "inspect", "convert"]], arg(metavar="ACTION")
    ],
    /,
) -> None:
    """Data sets: list | make NAME | fetch NAME | inspect DATA | convert SRC DST; each has its own --help.

    Args:
        action: One of list, make, fetch, inspect, convert.
    """


def column_names(text: str | None) -> list[str] | None:
    """The names in a list with commas."""
    return None if text is None else [name.strip() for name in text.split(",")]
