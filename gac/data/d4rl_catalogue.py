"""D4RL's own files: their names, where they lie, and their SHA-256 where one is published.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219, and the `infos` of its code.
"""

import difflib
import os
from dataclasses import dataclass

from gac.errors import UserError

PREFIX = "d4rl/"
ROBOTS = {"hopper": "Hopper-v4", "walker2d": "Walker2d-v4", "halfcheetah": "HalfCheetah-v4"}
"""Gymnasium's environments of D4RL's v2 sets: v4 keeps the physics and rewards of Gym's v2, v5 does not."""
SETS = ("random", "medium", "medium-replay", "medium-expert", "expert")
MAZES = ("umaze", "medium", "large")

MIRRORS_VARIABLE = "GAC_D4RL_MIRRORS"

_ORIGINAL = "rail.eecs.berkeley.edu/datasets/offline_rl/{path}"
# A commit, not a branch: what lies behind it cannot change.
_COPY = "https://huggingface.co/datasets/imone/D4RL/resolve/9ed58d8a76c12f4c1cb5db51fa71389e703d2ec5/{file}"

# The pages of the copy's files state the hashes of hopper-medium-expert, hopper-expert and
# halfcheetah-random; users of the files have published the two of medium-replay. None is invented: a file
# without one is trusted when it first arrives.
_SHA256 = {
    "hopper_medium_expert-v2.hdf5": "9d51ad87f8c905be3880d84c6140bcdb7fbf39a19e046a237f238ba34fec9e26",
    "hopper_expert-v2.hdf5": "01aa219a5f8eea5e639eccdc636ec2bf40e317159a95cf4bf6e985f16909941b",
    "hopper_medium_replay-v2.hdf5": "e121c5f7c9857a307baa9edc6a2c3b48e85fedb9ac316ecddd0f48ca7ef4e39b",
    "walker2d_medium_replay-v2.hdf5": "e75de96a4f77acf7d4e0d6fdf0d7ccb177c26c44bb4388e4fd99f543ccfa18db",
    "halfcheetah_random-v2.hdf5": "25407aef85b5d16c0f36b4149341edb4acc6a9e88c1db529b2de19e7464874ba",
}


@dataclass(frozen=True)
class Entry:
    """One of D4RL's files."""

    name: str
    """What a person calls it, such as `d4rl/hopper-medium-v2`."""
    file: str
    """Its name on the hosts."""
    path: str
    """Its place below D4RL's own folder."""
    env_id: str
    """The Gymnasium id of the environment to evaluate on."""
    mirrors: tuple[str, ...]
    """Templates of URLs, the first to try first."""
    sha256: str | None
    """The published hash, None where none is known."""


def _robot_entry(robot: str, kind: str) -> Entry:
    file = f"{robot}_{kind.replace('-', '_')}-v2.hdf5"
    mirrors = (_COPY, f"https://{_ORIGINAL}", f"http://{_ORIGINAL}")
    name, path = f"{PREFIX}{robot}-{kind}-v2", f"gym_mujoco_v2/{file}"
    return Entry(name, file, path, ROBOTS[robot], mirrors, _SHA256.get(file))


def _maze_entry(size: str) -> Entry:
    file = f"maze2d-{size}-sparse-v1.hdf5"
    mirrors = (f"https://{_ORIGINAL}", f"http://{_ORIGINAL}")
    env_id = f"maze2d-{size}-v1"
    return Entry(f"{PREFIX}{env_id}", file, f"maze2d/{file}", env_id, mirrors, _SHA256.get(file))


CATALOGUE = {
    entry.name: entry
    for entry in (
        *(_robot_entry(robot, kind) for robot in ROBOTS for kind in SETS),
        *(_maze_entry(size) for size in MAZES),
    )
}
_BY_FILE = {entry.file: entry for entry in CATALOGUE.values()}


def find(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: an unknown name.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name, CATALOGUE, n=1)
    hint = f"did you mean {near[0]}?" if near else "see gac data list"
    raise UserError(f"{name!r} is none of D4RL's files known here; {hint}")


def by_file(file: str) -> Entry | None:
    """The entry of a file with D4RL's own name."""
    return _BY_FILE.get(file)


def gymnasium_id(env_id: str) -> str:
    """D4RL's name of an environment (`hopper-medium-v2`) as Gymnasium's (`Hopper-v4`); others stay."""
    entry = CATALOGUE.get(f"{PREFIX}{env_id}")
    return entry.env_id if entry else env_id


def summary() -> dict[str, str]:
    """A line per family, for a list: the names with the changing word in capitals, and what it may be."""
    robots = {
        f"{PREFIX}{robot}-SET-v2": f"D4RL's own file, for {env_id}; SET: {', '.join(SETS)}"
        for robot, env_id in ROBOTS.items()
    }
    mazes = f"D4RL's own file, an endless run (:cut=subgoal, see the docs); SIZE: {', '.join(MAZES)}"
    return robots | {f"{PREFIX}maze2d-SIZE-v1": mazes}


def urls(entry: Entry, mirrors: tuple[str, ...] = ()) -> list[str]:
    """Where to look for a file, in order: `mirrors`, then $GAC_D4RL_MIRRORS, then the catalogue's.

    Args:
        entry: The file.
        mirrors: Each the URL of the file itself (it ends in .hdf5 or .h5), of a folder that holds it, or a
            template with `{file}`, `{path}` (with D4RL's folder) or `{name}`.

    Raises:
        UserError: what is no http or https URL.
    """
    given = [*mirrors, *os.environ.get(MIRRORS_VARIABLE, "").split()]
    for mirror in given:
        if not mirror.startswith(("http://", "https://")):
            raise UserError(f"mirror {mirror!r} is no URL, expected one that begins with http:// or https://")
    return list(dict.fromkeys(_url(mirror, entry) for mirror in (*given, *entry.mirrors)))


def _url(mirror: str, entry: Entry) -> str:
    if "{" not in mirror:
        return mirror if mirror.endswith((".hdf5", ".h5")) else f"{mirror.rstrip('/')}/{entry.file}"
    short = entry.name.removeprefix(PREFIX)
    return mirror.replace("{file}", entry.file).replace("{path}", entry.path).replace("{name}", short)
