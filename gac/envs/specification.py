"""An environment as data name it: its id, and whatever else it was made with, as Gymnasium specifies it."""

import dataclasses
import json
import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium
import gymnasium.wrappers
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from gac.envs.lottery import register_by_id
from gac.errors import UserError, one_line

SHOWING = frozenset(
    {
        "PassiveEnvChecker",
        "OrderEnforcing",
        "RecordEpisodeStatistics",
        "RecordVideo",
        "HumanRendering",
        "RenderCollection",
    }
)
"""Wrappers that check, record or draw: the environment is the same without them."""
LEARNING = frozenset({"NormalizeObservation", "NormalizeReward"})
"""Wrappers with statistics of what they saw, which no specification holds."""
NOT_REBUILT = "not_rebuilt"
"""Key of a specification that says why it does not give the environment that was recorded."""


@dataclass(frozen=True)
class Environment:
    """An environment to play in.

    Args:
        id: Gymnasium id.
        spec: JSON of Gymnasium's `EnvSpec` where the environment is more than its id; None where it is not.
    """

    id: str
    spec: str | None = None

    @classmethod
    def of(cls, data: Any) -> "Environment | None":
        """That of episodes, or of a run's facts about them."""
        return None if data.env_id is None else cls(data.env_id, data.env_spec)

    def __str__(self) -> str:
        """The id, and in brackets what was added to it: `Pendulum-v1 (g=1, RescaleAction(…))`."""
        if self.spec is None:
            return self.id
        spec = json.loads(self.spec)
        options = [*spec["kwargs"].items(), ("max_episode_steps", spec["max_episode_steps"])]
        usual = _usual(gymnasium.registry.get(self.id))
        words = [f"{key}={value}" for key, value in options if usual.get(key) != value]
        for wrapper in spec["additional_wrappers"]:
            given = ", ".join(f"{key}={value}" for key, value in (wrapper["kwargs"] or {}).items())
            words.append(f"{wrapper['name']}({given})")
        return f"{self.id} ({', '.join(words) or 'as recorded'})"

    def specification(self) -> EnvSpec | None:
        """What to make it by; None for an id that is not registered, which may name its module.

        Only the registered class is made, and only wrappers of Gymnasium's own are put around it: nothing
        else that a specification names is imported.

        Raises:
            UserError: a specification that cannot be rebuilt.
        """
        register_by_id(self.id)
        registered = gymnasium.registry.get(self.id)
        if self.spec is None:
            return registered
        spec = json.loads(self.spec)
        try:
            if NOT_REBUILT in spec:
                raise ValueError(spec[NOT_REBUILT])
            if registered is None:
                raise ValueError("its id is not registered here; import the package that registers it")
            if _package(spec["entry_point"]) != _package(registered.entry_point):
                raise ValueError(
                    f"it is {spec['entry_point']}, and that id is registered here as {registered.entry_point}"
                )
            wrappers = tuple(map(_wrapper, spec["additional_wrappers"]))
            if _names_module([spec["kwargs"], *(wrapper.kwargs for wrapper in wrappers)]):
                raise ValueError("an argument of it may name a module, as what contains a colon does")
        except ValueError as error:
            raise UserError(
                f"the data's environment {self} cannot be rebuilt: {one_line(error)}; to play in another "
                f"environment knowingly, give its id (--env-id {self.id} for the bare one)"
            ) from None
        return dataclasses.replace(
            registered,
            max_episode_steps=spec["max_episode_steps"],
            kwargs=spec["kwargs"],
            additional_wrappers=wrappers,
        )

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new one, as it was specified; its checker, which costs more than many a step, is left out.

        Raises:
            UserError: an unknown id, a missing dependency, a constructor that fails, or a specification that
                cannot be rebuilt.
        """
        spec = self.specification()  # By an id alone, Gymnasium would advise to take a newer version of it.
        try:
            with warnings.catch_warnings():
                if self.spec is not None:  # Its wrappers would say at every rebuilding what they round.
                    warnings.simplefilter("ignore", UserWarning)
                return gymnasium.make(self.id if spec is None else spec, disable_env_checker=True)
        except Exception as error:  # its constructor may be the user's own
            raise UserError(f"environment {str(self)!r} cannot be made ({one_line(error)})") from error


def beyond_id(text: str, where: str) -> tuple[str, str | None]:
    """The id of a specification, and the specification where it says more than the id.

    Args:
        text: JSON of Gymnasium's `EnvSpec`, of any version of it.
        where: what to call it in messages.

    Returns:
        The id; and JSON with `id`, `entry_point`, `kwargs`, `max_episode_steps` and `additional_wrappers`,
        without what only draws or records, or None where the registered environment is the same.

    Raises:
        UserError: no JSON, or not that of a specification.
    """
    try:
        raw = json.loads(text)
        spec = {
            "id": raw["id"],
            "entry_point": raw.get("entry_point"),
            "kwargs": dict(raw.get("kwargs") or {}),
            "max_episode_steps": raw.get("max_episode_steps"),
            "additional_wrappers": [
                {key: each[key] for key in ("name", "entry_point", "kwargs")}
                for each in raw.get("additional_wrappers") or ()
                if not (each["name"] in SHOWING and _own(each["entry_point"]))
            ],
        }
        if not isinstance(spec["id"], str) or not spec["id"]:
            raise TypeError("its id is no text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is no specification of an environment ({one_line(error)})") from None
    spec["kwargs"].pop("render_mode", None)
    if NOT_REBUILT in raw:
        spec[NOT_REBUILT] = str(raw[NOT_REBUILT])
    registered = gymnasium.registry.get(spec["id"])
    given = {**spec["kwargs"], "max_episode_steps": spec["max_episode_steps"]}
    same = (
        registered is not None
        and NOT_REBUILT not in spec
        and given == _usual(registered)
        and not spec["additional_wrappers"]
        and _package(spec["entry_point"]) == _package(registered.entry_point)
    )
    return spec["id"], None if same else json.dumps(spec)


def checked_spec(text: str, env_id: str | None, where: str) -> str | None:
    """A specification that somebody may have edited, as `beyond_id` gives it.

    Raises:
        UserError: what is none, or is that of another id.
    """
    found, spec = beyond_id(text, f"env_spec of {where}")
    if found != env_id:
        raise UserError(
            f"env_spec of {where} is that of {found}, and env_id is {env_id}; correct env_id, or leave out "
            "env_spec for the bare environment"
        )
    return spec


def _usual(registered: EnvSpec | None) -> dict[str, Any]:
    """What an id alone stands for, as JSON has it."""
    if registered is None:
        return {}
    kwargs = json.loads(json.dumps(registered.kwargs, default=str))
    kwargs.pop("render_mode", None)
    return {**kwargs, "max_episode_steps": registered.max_episode_steps}


def _names_module(value: Any) -> bool:
    """Whether text with a colon is somewhere in arguments: an environment may take it for an id to make."""
    if isinstance(value, dict):
        return any(map(_names_module, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_names_module, value))
    return isinstance(value, str) and ":" in value


def _package(entry_point: Any) -> str:
    """The package of an entry point; modules within it move from version to version."""
    module = entry_point if isinstance(entry_point, str) else getattr(entry_point, "__module__", "")
    return module.split(":")[0].split(".")[0]


def _own(entry_point: Any) -> bool:
    """Whether an entry point names a wrapper of Gymnasium's own."""
    module, _, name = str(entry_point).partition(":")
    return module.split(".")[:2] == ["gymnasium", "wrappers"] and name in gymnasium.wrappers.__all__


def _wrapper(raw: dict[str, Any]) -> WrapperSpec:
    name, entry_point, kwargs = raw["name"], raw["entry_point"], raw["kwargs"]
    if not _own(entry_point):
        raise ValueError(f"its wrapper {name} ({entry_point}) is none of Gymnasium's own")
    if entry_point.partition(":")[2] in LEARNING:
        raise ValueError(f"the statistics of its wrapper {name} are not among the data")
    if not isinstance(kwargs, dict):
        raise ValueError(f"the arguments of its wrapper {name} are not among the data")
    try:
        found: type = getattr(gymnasium.wrappers, entry_point.partition(":")[2])
    except ImportError as error:
        raise ValueError(f"its wrapper {name} needs what is not installed ({one_line(error)})") from None
    return WrapperSpec(name, f"{found.__module__}:{found.__name__}", kwargs)
