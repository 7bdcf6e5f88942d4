"""The methods: one table from the name of a method to what trains, loads and evaluates its runs.

A method is a package of its own. Its configuration has the method's name, and so do its runs, in
config.json; a run that names none is one of `gac`.
"""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from gac.config import Settings
from gac.errors import UserError
from gac.records import no_run

if TYPE_CHECKING:
    from gac.agent import Agent
    from gac.config import Config
    from gac.gtp.agent import GTPAgent
    from gac.gtp.config import GTPConfig
    from gac.rivals.lpt.agent import LPTAgent
    from gac.rivals.lpt.config import LPTConfig
    from gac.rivals.odt.agent import ODTAgent
    from gac.rivals.odt.config import ODTConfig


@dataclass(frozen=True)
class Method:
    """Where the parts of a method are, as `module:name`: nothing is imported before it is used."""

    words: str
    """Its name in full."""
    config: str
    """Its configuration, as `gac.config.Settings`."""
    train: str
    """`(episodes, config, *, out, minutes, updates, resume, overwrite, progress) -> agent`."""
    train_seeds: str
    """The same with `seeds`, to a list of agents."""
    load: str
    """`(folder) -> agent`."""
    evaluate: str
    """`(agent, env_id, *, episodes, seed, …) -> gac.records.Evaluation`."""
    command: str
    """`gac train` with the flags of this method."""
    presets: dict[str, str]
    """Functions of `gac.presets` by the names that --preset takes, the default first."""
    queries: tuple[str, ...]
    """Evaluations that a report expects of a run; none where a method has no queries."""
    asked: tuple[str, ...] = ()
    """Flags of `gac evaluate` that say what is asked of a run, but for gac's own."""

    def part(self, name: str) -> Any:
        """One of the parts that are named as `module:name`."""
        module, attribute = getattr(self, name).split(":")
        return getattr(importlib.import_module(module), attribute)

    def preset(self, name: str | None) -> Any:
        """The configuration of a preset, the default one unless named.

        Raises:
            UserError: no such preset.
        """
        from gac import presets

        name = next(iter(self.presets)) if name is None else name
        if name not in self.presets:
            raise UserError(f"--preset is {name}, expected one of {', '.join(self.presets)}")
        return getattr(presets, self.presets[name])()


METHODS = {
    "gac": Method(
        words="Generative Actor Critic",
        config="gac.config:Config",
        train="gac.training.offline:train",
        train_seeds="gac.training.scale.seeds:train_seeds",
        load="gac.agent:load",
        evaluate="gac.acting.evaluate:evaluate",
        command="gac.cli.commands:train",
        presets={"fast": "fast", "plain": "plain", "paper": "paper"},
        queries=("exploit", "explore", "target", "prior"),
    ),
    "gtp": Method(
        words="Generative Trajectory Policies",
        config="gac.gtp.config:GTPConfig",
        train="gac.gtp.train:train",
        train_seeds="gac.gtp.train:train_seeds",
        load="gac.gtp.agent:load",
        evaluate="gac.gtp.evaluate:evaluate",
        command="gac.gtp.commands:train",
        presets={"fast": "gtp", "paper": "gtp_paper"},
        queries=(),
        asked=("--steps",),
    ),
    "lpt": Method(
        words="Latent Plan Transformer",
        config="gac.rivals.lpt.config:LPTConfig",
        train="gac.rivals.lpt.train:train",
        train_seeds="gac.rivals.lpt.train:train_seeds",
        load="gac.rivals.lpt.agent:load",
        evaluate="gac.rivals.evaluate:evaluate",
        command="gac.rivals.commands:train_lpt",
        presets={"fast": "lpt", "paper": "lpt_paper"},
        queries=(),
        asked=("--query", "--target"),
    ),
    "odt": Method(
        words="Online Decision Transformer",
        config="gac.rivals.odt.config:ODTConfig",
        train="gac.rivals.odt.train:train",
        train_seeds="gac.rivals.odt.train:train_seeds",
        load="gac.rivals.odt.agent:load",
        evaluate="gac.rivals.evaluate:evaluate",
        command="gac.rivals.commands:train_odt",
        presets={"fast": "odt", "paper": "odt_paper"},
        queries=(),
        asked=("--query", "--target"),
    ),
}


def method_named(name: str) -> Method:
    """The method of a name.

    Raises:
        UserError: no such method.
    """
    if name not in METHODS:
        raise UserError(f"method is {name!r}, expected one of {', '.join(METHODS)}")
    return METHODS[name]


def method_of(run: Path) -> str:
    """The name of the method that a run is of.

    Raises:
        UserError: no run there, or one of an unknown method.
    """
    path = run / "config.json"
    if not path.is_file():
        raise no_run(run)
    try:
        raw = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except json.JSONDecodeError:
        raw = None  # Whoever reads the configuration says what is wrong with it.
    name = raw.get("method", "gac") if isinstance(raw, dict) else "gac"
    if name not in METHODS:
        raise UserError(f"{path} is of method {name!r}, this gac knows {', '.join(METHODS)}; use a newer gac")
    return str(name)


def read_config(run: Path) -> Any:
    """The configuration of a run of any method, read strictly."""
    path = run / "config.json"
    text = path.read_text(encoding="utf-8", errors="replace")
    return METHODS[method_of(run)].part("config").from_json(text, str(path))


def only_gac(run: Path, command: str) -> None:
    """Refuse a run of another method under a command that is of gac alone.

    Raises:
        UserError: a run of another method.
    """
    # What is no run is refused by whoever loads it.
    if (run / "config.json").is_file() and (name := method_of(run)) != "gac":
        raise UserError(
            f"{run} is a run of method {name}, and {command} is for runs of gac; give one of these"
        )


@overload
def train(data: Any, config: "Config", **options: Any) -> "Agent": ...
@overload
def train(data: Any, config: "GTPConfig", **options: Any) -> "GTPAgent": ...
@overload
def train(data: Any, config: "LPTConfig", **options: Any) -> "LPTAgent": ...
@overload
def train(data: Any, config: "ODTConfig", **options: Any) -> "ODTAgent": ...
def train(data: Any, config: Settings, **options: Any) -> Any:
    """Train by the method of the configuration, with the options of `gac.training.offline.train`."""
    return METHODS[config.method].part("train")(data, config, **options)


def train_seeds(data: Any, config: Settings, **options: Any) -> list[Any]:
    """`train` for several seeds at once; see `gac.training.scale.seeds.train_seeds`."""
    agents: list[Any] = METHODS[config.method].part("train_seeds")(data, config, **options)
    return agents


def load(folder: str | Path) -> Any:
    """The agent of a run's folder, of the method that the run is of.

    Raises:
        UserError: no run there, a newer schema, a truncated or foreign file.
    """
    return METHODS[method_of(Path(folder))].part("load")(folder)


def evaluate(agent: Any, env_id: str | None = None, **options: Any) -> Any:
    """Play episodes; see `gac.acting.evaluate`, `gac.gtp.evaluate` and `gac.rivals.evaluate`.

    Returns:
        The record, a `gac.records.Evaluation`.
    """
    return METHODS[agent.config.method].part("evaluate")(agent, env_id, **options)
