"""The specification of a comparison: a TOML file of methods, data, seeds and budgets, read strictly.

    episodes = 100
    minutes = 15
    seeds = [0, 1, 2]

    [[runs]]
    table = "Returns alone"
    rewards = "return"
    methods = ["gac", "iql"]
    data = ["hopper-medium-replay", "maze2d-medium"]

Every method runs on every data set with every seed. What stands above the first `[[runs]]` holds for all of
them. Runs of the same table may stand in several `[[runs]]`.
"""

import itertools
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gac.errors import UserError, some_of
from gac.json_fields import is_number

RIVALS = ".venv-rivals/bin/python benchmarks/rivals/run.py"
"""The command of the rivals where a specification names none, as `make rivals-setup` prepares it."""
REWARDS = ("return", "given")
"""What methods learn from: each episode's return, or a reward at each step."""


@dataclass(frozen=True)
class Job:
    """One run: a method trained on a data set with a seed, and evaluated."""

    method: str
    data: str
    seed: int
    rewards: str
    minutes: float | None
    """Wall-clock minutes of training; None where `updates` or episodes alone are the budget."""
    updates: int | None
    online: int
    """New episodes to learn from after the data."""
    episodes: int
    """Of the evaluation."""

    @property
    def of(self) -> str:
        """The method without its preset: gac of gac:plain."""
        return self.method.partition(":")[0]

    @property
    def preset(self) -> str | None:
        """The preset that the method names; None for the method's own default."""
        return self.method.partition(":")[2] or None

    @property
    def budget(self) -> str:
        """The budget in words."""
        parts = [f"{self.minutes:g} min"] if self.minutes is not None else []
        parts += [f"{self.updates} updates"] if self.updates is not None else []
        parts += [f"{self.online} online episodes"] if self.online else []
        return ", ".join(parts)

    @property
    def name(self) -> str:
        """Its folder, below that of all runs: different runs have different names."""
        budget = self.budget.replace(", ", "-").replace(" ", "")
        last = f"{self.rewards}-{budget}-{self.episodes}episodes-seed{self.seed}"
        return "/".join(re.sub(r"[^\w.+-]+", "-", part) for part in (self.method, self.data, last))


@dataclass(frozen=True)
class Specification:
    """What to run, and in which tables to show it."""

    tables: Mapping[str, tuple[Job, ...]]
    """By title, in the order of the file."""
    rivals: tuple[str, ...]
    """The command of the methods that are not gac's own."""
    jobs: int | None
    """Runs side by side; one a core unless given."""
    text: str
    """The file."""

    @property
    def runs(self) -> list[Job]:
        """Every run once, seed by seed, so that an unfinished comparison has all methods."""
        every = dict.fromkeys(job for jobs in self.tables.values() for job in jobs)
        return sorted(every, key=lambda job: job.seed)


_FILE = ("rivals", "jobs", "runs")
_GROUP = ("table", "methods", "data", "seeds", "rewards", "minutes", "updates", "online", "episodes")
_USUAL: dict[str, Any] = {"table": "Scores", "seeds": [0], "rewards": "return", "online": 0, "episodes": 100}


def read_specification(path: Path) -> Specification:
    """Read a specification.

    Raises:
        UserError: no such file, not TOML, an unknown or missing key, a value of another kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML ({error}); mend the line") from None
    _check_keys(raw, (*_FILE, *_GROUP), str(path))
    groups = raw.get("runs", [{}])
    if not isinstance(groups, list) or not groups or not all(isinstance(group, dict) for group in groups):
        raise UserError(f"{path}: runs is no list of tables; write [[runs]] above each")
    shared = {key: value for key, value in raw.items() if key in _GROUP}
    tables: dict[str, dict[Job, None]] = {}
    for number, group in enumerate(groups):
        where = f"{path}: runs {number + 1}" if "runs" in raw else str(path)
        _check_keys(group, _GROUP, where)
        if {"minutes", "updates"} & group.keys():  # The budget of a group replaces that of the file.
            shared_now = {key: value for key, value in shared.items() if key not in ("minutes", "updates")}
        else:
            shared_now = shared
        title, jobs = _jobs(_USUAL | shared_now | group, where)
        tables.setdefault(title, {}).update(dict.fromkeys(jobs))
    rivals = raw.get("rivals", RIVALS)
    if not isinstance(rivals, str) or not rivals.strip():
        raise UserError(f"{path}: rivals is {rivals!r}, expected a command, such as {RIVALS!r}")
    side_by_side = raw.get("jobs")
    if side_by_side is not None:
        side_by_side = _whole(side_by_side, "jobs", 1, str(path))
    return Specification(
        {title: tuple(jobs) for title, jobs in tables.items()}, tuple(shlex.split(rivals)), side_by_side, text
    )


def _jobs(group: dict[str, Any], where: str) -> tuple[str, list[Job]]:
    """The title of the table, and the runs of a group."""
    title, rewards = group["table"], group["rewards"]
    if not isinstance(title, str) or not title.strip():
        raise UserError(f"{where}: table is {title!r}, expected a title")
    if rewards not in REWARDS:
        raise UserError(f"{where}: rewards is {rewards!r}, expected one of {', '.join(REWARDS)}")
    minutes, updates = group.get("minutes"), group.get("updates")
    if minutes is not None and updates is not None:
        raise UserError(f"{where}: minutes and updates are both given; give one of them")
    if minutes is not None and not (is_number(minutes) and 0 < minutes < float("inf")):
        raise UserError(f"{where}: minutes is {minutes!r}, expected a number above 0")
    online = _whole(group["online"], "online", 0, where)
    if minutes is None and updates is None and not online:
        raise UserError(f"{where} has no budget, expected minutes, updates or online; add minutes = 15")
    shared = {
        "rewards": rewards,
        "minutes": None if minutes is None else float(minutes),
        "updates": None if updates is None else _whole(updates, "updates", 1, where),
        "online": online,
        "episodes": _whole(group["episodes"], "episodes", 1, where),
    }
    methods, data = (_names(group, key, where) for key in ("methods", "data"))
    seeds = group["seeds"]
    if not isinstance(seeds, list) or not seeds:
        raise UserError(f"{where}: seeds is {seeds!r}, expected a list of whole numbers, such as [0, 1, 2]")
    seeds = [_whole(seed, "seeds", 0, where) for seed in seeds]
    return title, [
        Job(method, each, seed, **shared) for method, each, seed in itertools.product(methods, data, seeds)
    ]


def _names(group: dict[str, Any], key: str, where: str) -> list[str]:
    value = group.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(x, str) and x.strip() for x in value):
        said = "has no" if value is None else f"has {value!r} as"
        raise UserError(f'{where} {said} {key}, expected a list of names, such as {key} = ["…"]')
    return value


def _whole(value: Any, key: str, least: int, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{where}: {key} holds {value!r}, expected a whole number of {least} or more")
    return value


def _check_keys(raw: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if odd := sorted(set(raw) - set(known)):
        raise UserError(f"{where} has {some_of(odd)}, expected only {', '.join(known)}; mend the name")
