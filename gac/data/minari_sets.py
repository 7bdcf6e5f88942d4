"""Minari data sets: local and remote ones as episodes, and episodes as one; minari itself is an extra."""

import contextlib
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import h5py
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy import ndarray

import gac.envs  # noqa: F401 - registers the mazes
from gac.data.environment import action_bounds, bounds_of, other_bounds
from gac.data.episodes import SHORTEST, Episode, Episodes
from gac.data.goals import PARTS, is_goal, is_vector, joined_space
from gac.data.hdf5_filled import check_filled
from gac.envs.specification import NOT_REBUILT, Environment, beyond_id
from gac.errors import UserError, one_line
from gac.writing import check_room, check_target

PREFIX = "minari/"
"""What stands before a Minari data set's id in the names of `load_data`."""

# Narrower than minari's own pattern: a version is there, and every part of the path has a name.
_ID = re.compile(r"(?:[\w-]+/)*[\w-]+-v\d+", re.ASCII)
_ROOT = "MINARI_DATASETS_PATH"
_LONGEST_REASON = 200
_NUMBERS = ("observations", "actions", "rewards", "terminations", "truncations")
_EPISODE_BYTES = 32_768
"""What the groups and chunks of an episode take beside its numbers: 15 to 26 KB were seen."""


def is_minari(name: str) -> bool:
    """Whether a name means a Minari set and no file: ids have no dot, so `minari/log.hdf5` is a path."""
    return name.startswith(PREFIX) and "." not in name


def read_minari(dataset_id: str) -> Episodes:
    """Read a Minari data set from the local ones; minari downloads it first if it is not among them.

    Observations and actions become float32 (`gac.data.precision` has the exception). The three parts of a
    goal environment's observation are joined: achieved goal, desired goal, observation. Episodes that have no
    end, or fewer than two steps, are left out with a warning. `env_id` is the id of the environment meant for
    evaluation, or else of the one that was recorded, and `env_spec` its specification, where it is more than
    the id: a warning says so. Nothing that the data set describes is imported: see `gac.envs.specification`.

    Args:
        dataset_id: Minari's id, such as `mujoco/hopper/medium-v0`.

    Raises:
        UserError: minari is not installed, an id that is none, a set that is neither here nor to be had,
            a damaged one, spaces other than vectors of numbers, or what `Episodes` refuses.
    """
    minari = _minari()
    name = PREFIX + _checked(dataset_id)
    data = _folder(dataset_id) / "data"
    if not data.exists():
        _download(minari, dataset_id)
    with _minaris_refusals(f"{name} cannot be read", f"if it is damaged: minari delete {dataset_id}"):
        metadata = json.loads((data / "metadata.json").read_text(encoding="utf-8"))
        # Without them minari would build the recorded environment, by whatever entry point the file names.
        if not {"observation_space", "action_space"} <= metadata.keys():
            raise UserError(f"{name} describes no spaces, which is not safe to read; load a newer version")
        _check_filled(data, name)
        dataset = minari.MinariDataset(data)
        environment = _environment_of(metadata, dataset.action_space, name)
        with np.errstate(over="ignore"):  # `Episodes` names a number beyond float32
            arrays = _arrays(dataset, name)
    env_id, spec = (None, None) if environment is None else (environment.id, environment.spec)
    return Episodes.from_arrays(**arrays, env_id=env_id, env_spec=spec, name=name)


def write_minari(episodes: Episodes, dataset_id: str) -> None:
    """Write episodes as a local Minari data set, with the environment of `env_id` and `env_spec`.

    Everything is kept to the bit but given returns, which become the sums of the rewards. The set appears
    whole or not at all. Where Gymnasium does not know `env_id`, the set names no environment, with a
    warning. Author, code and the like are left for who publishes the set.

    Args:
        episodes: What to write; with rewards and final observations, without which Minari has no episode.
        dataset_id: Minari's id, such as `mine/hopper/logs-v0`.

    Raises:
        UserError: minari is not installed, an id that is none or taken, no rewards or final observations,
            widths that are not the environment's, or a disk that refuses.
    """
    minari, name = _minari(), PREFIX + dataset_id
    check_new_set(dataset_id)
    final = episodes.final_observations
    if episodes.rewards is None or final is None:
        lacking, unit = ("rewards", "step") if episodes.rewards is None else ("final observations", "episode")
        raise UserError(
            f"{episodes.name} has no {lacking}, and Minari needs one per {unit}; write an HDF5 file instead"
        )
    spec, env = _environment(episodes)
    observation_space, action_space = _spaces(episodes, env)
    refusals = _minaris_refusals(f"{name} cannot be written", "make room", (OSError, RuntimeError))
    with refusals, _staging(minari) as staging, warnings.catch_warnings():
        # HDF5 crashes the process where the disk is full, and minari's file is not ours to guard.
        check_room(staging, _bytes_of(episodes))
        warnings.filterwarnings("ignore", r"`\w+` is set to None|env_spec is None", UserWarning)
        minari.create_dataset_from_buffers(
            dataset_id,
            [_buffer(minari, episodes[i]) for i in range(len(episodes))],
            env=spec,
            observation_space=observation_space,
            action_space=action_space,
            description=f"{Path(episodes.name).name}, converted by generative-actor-critic",
        )


def check_new_set(dataset_id: str) -> None:
    """Refuse a set that could not be written, before any work is done for it.

    Raises:
        UserError: minari is not installed, an id that is none or taken, or a folder that takes no file.
    """
    _minari()
    name, folder = PREFIX + _checked(dataset_id), _folder(dataset_id)
    if folder.exists():
        raise UserError(
            f"{name} exists, expected a new id; choose another version, or: minari delete {dataset_id}"
        )
    check_target(folder)


def _bytes_of(episodes: Episodes) -> int:
    """At least what minari's file of these episodes takes on the disk."""
    steps = 4 * (episodes.observation_dim + episodes.action_dim + 1) + 2
    return int(1.25 * steps * episodes.num_steps) + len(episodes) * (
        _EPISODE_BYTES + 4 * episodes.observation_dim
    )


def _minari() -> ModuleType:
    try:
        import minari
        import minari.data_collector
    except ImportError:
        raise UserError(
            "minari is not installed, which Minari data sets need; "
            "pip install 'generative-actor-critic[minari]'"
        ) from None
    module: ModuleType = minari
    return module


def _checked(dataset_id: str) -> str:
    from minari.dataset.minari_dataset import DATASET_ID_RE

    if not (_ID.fullmatch(dataset_id) and DATASET_ID_RE.fullmatch(dataset_id)):
        raise UserError(
            f"{dataset_id!r} is no id of a Minari data set, expected one such as mujoco/hopper/medium-v0; "
            f"give {PREFIX}ID, or a file as ./{PREFIX}FILE.hdf5"
        )
    return dataset_id


def _folder(dataset_id: str) -> Path:
    """Where minari keeps a data set."""
    from minari.storage import get_dataset_path

    return Path(get_dataset_path(dataset_id))


# Reading


def _download(minari: ModuleType, dataset_id: str) -> None:
    root = _folder("")
    where = f"{PREFIX}{dataset_id} is not in {root} and cannot be downloaded"
    refusals = _minaris_refusals(where, "check the name (minari list remote) and the connection")
    # Standard output belongs to the result, not to minari's progress.
    with refusals, _staging(minari), contextlib.redirect_stdout(sys.stderr):
        minari.download_dataset(dataset_id)


def _arrays(dataset: Any, name: str) -> dict[str, Any]:
    """The arguments of `Episodes.from_arrays` that the episodes give."""
    to_observations = _rows_of(dataset.observation_space, "observation", name)
    to_actions = _rows_of(dataset.action_space, "action", name)
    kept: dict[str, Any] = {
        key: [] for key in ("observations", "actions", "rewards", "terminated", "truncated")
    }
    left_out = steps = 0
    for i, episode in enumerate(dataset.iterate_episodes()):
        terminations, truncations = (
            np.asarray(flags, bool) for flags in (episode.terminations, episode.truncations)
        )
        last = len(episode.rewards) - 1
        steps += last + 1
        if not len(terminations) == len(truncations) == last + 1:
            raise UserError(
                f"episode {i} of {name} has {last + 1} rewards, {len(terminations)} terminations and "
                f"{len(truncations)} truncations, expected one of each per step; correct the data set"
            )
        ends = np.flatnonzero(terminations | truncations)
        if len(ends) and ends[0] < last:
            raise UserError(
                f"episode {i} of {name} ends at step {ends[0]} and goes on to step {last}, expected one end; "
                "correct the data set"
            )
        if not len(ends) or last + 1 < SHORTEST:
            left_out += 1
            continue
        kept["observations"].append(to_observations(episode.observations))
        kept["actions"].append(to_actions(episode.actions))
        kept["rewards"].append(np.asarray(episode.rewards))
        kept["terminated"].append(bool(terminations[-1]))
        kept["truncated"].append(bool(truncations[-1]))
    if steps != dataset.total_steps:
        warnings.warn(
            f"{name} says that it has {dataset.total_steps:,} steps, and its episodes hold {steps:,}: it may "
            "be half of a set; load it again",
            stacklevel=3,
        )
    if left_out:
        warnings.warn(
            f"{name}: {left_out} episodes without an end or with fewer than {SHORTEST} steps are left out",
            stacklevel=3,
        )
    return kept


def _check_filled(data: Path, name: str) -> None:
    """Refuse numbers that HDF5 would make up: see `gac.data.hdf5_filled`. Other formats have none."""
    path = data / "main_data.hdf5"
    if not path.is_file():
        return
    with h5py.File(path, "r") as file:
        for group, episode in file.items():
            for key in _NUMBERS:
                if isinstance(column := episode.get(key), h5py.Dataset):
                    check_filled(column, Path(name), f"{group}/{key}")


def _rows_of(space: spaces.Space[Any], what: str, name: str) -> Callable[[Any], ndarray]:
    """How an episode's entries of a space become rows of numbers."""
    if is_vector(space):
        return np.asarray
    if is_goal(space):
        return lambda seen: np.concatenate([seen[part] for part in PARTS], axis=1)
    found = f"Box of shape {space.shape}" if isinstance(space, spaces.Box) else type(space).__name__
    raise UserError(
        f"{name} has {what} space {found}, expected a Box of one axis (or a goal environment's Dict of "
        "three); choose another data set"
    )


def _environment_of(metadata: dict[str, Any], space: spaces.Space[Any], name: str) -> Environment | None:
    """The environment meant for evaluation, or else the recorded one, with all it was made with.

    A warning says what that is, where it is more than the id. The bounds of the recorded actions have to be
    those of the environment, where it can be made here: else it is not the one that was recorded.
    """
    text = metadata.get("eval_env_spec") or metadata.get("env_spec")
    if text is None:
        return None
    found = Environment(*beyond_id(text, f"the environment of {name}"))
    own = action_bounds(found.id, found.spec)
    recorded = bounds_of(space) if isinstance(space, spaces.Box) and is_vector(space) else None
    if own is not None and recorded is not None and other_bounds(recorded, own):
        given, specified = (f"from {low.min():g} to {high.max():g}" for low, high in (recorded, own))
        reason = f"its actions were recorded {given}, and those of what is specified go {specified}"
        raw = {**json.loads(found.spec or text), NOT_REBUILT: reason}
        found = Environment(*beyond_id(json.dumps(raw), f"the environment of {name}"))
    if found.spec is not None:
        try:
            found.specification()
            said = f"{name} was recorded in {found}, and is evaluated so; --env-id {found.id} is the bare one"
        except UserError as refusal:
            said = f"{name} cannot be evaluated as it was recorded: {refusal}"
        warnings.warn(said, stacklevel=3)
    return found


# Writing


def _environment(episodes: Episodes) -> tuple[EnvSpec | None, gymnasium.Env[Any, Any] | None]:
    """What to write down of the environment, and one for its spaces alone: it is closed at once."""
    named = Environment.of(episodes)
    if named is None:
        return None, None
    try:
        if ":" in named.id:
            # Gymnasium would import the module, and the id may come from a file that somebody else made.
            raise ValueError("an id with a module; register it and leave the module out of env_id")
        env = named.make()
        # ValueError: registered with a class instead of its name, which cannot be written down.
        assert env.spec is not None
        env.spec.to_json()
    except ValueError as error:
        if named.spec is not None:  # It is kept as it came, for whoever can make it.
            return _written(named.spec), None
        warnings.warn(
            f"{named} cannot be made or described here ({_reason(error)}), so the Minari set "
            "names no environment",
            stacklevel=3,
        )
        return None, None
    env.close()
    return env.spec if named.spec is None else _written(named.spec), env


def _written(spec: str) -> EnvSpec:
    """A specification as Minari holds it; nothing that it names is imported."""
    raw = json.loads(spec)
    raw.pop(NOT_REBUILT, None)
    return EnvSpec.from_json(json.dumps(raw))


def _spaces(episodes: Episodes, env: gymnasium.Env[Any, Any] | None) -> tuple[spaces.Box, spaces.Box]:
    """The environment's spaces as vectors of the type that is written; unbounded where unknown."""
    found = []
    for what, width in (("observation", episodes.observation_dim), ("action", episodes.action_dim)):
        wide = what == "observation" and episodes.observation_offset is not None
        dtype: type[np.floating[Any]] = np.float64 if wide else np.float32
        low, high = np.full(width, -np.inf, dtype), np.full(width, np.inf, dtype)
        if env is not None:
            space = joined_space(env.observation_space if what == "observation" else env.action_space)
            if not isinstance(space, spaces.Box) or space.shape != (width,):
                raise UserError(
                    f"{episodes.name} has {what}s of width {width}, but {episodes.env_id} has {what} space "
                    f"{type(space).__name__} of shape {space.shape}; correct env_id"
                )
            with np.errstate(over="ignore"):
                low, high = space.low.astype(dtype), space.high.astype(dtype)
        found.append(spaces.Box(low, high, dtype=dtype))
    return found[0], found[1]


def _buffer(minari: ModuleType, episode: Episode) -> Any:
    last = np.arange(len(episode.actions)) == len(episode.actions) - 1
    assert episode.final_observation is not None  # write_minari refuses the others; for the type checker
    return minari.data_collector.EpisodeBuffer(
        observations=np.concatenate([episode.observations, episode.final_observation[None]]),
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
        infos={},
    )


@contextlib.contextmanager
def _staging(minari: ModuleType) -> Iterator[Path]:
    """Let minari work in a hidden folder; the data sets that it leaves there are moved in place at the end.

    minari writes in place, where a kill would leave half a set that it then lists and loads. It takes its
    root from the environment at each call, and passes by hidden folders.
    """
    root, before = _folder(""), os.environ.get(_ROOT)
    with tempfile.TemporaryDirectory(prefix=".gac-", dir=root) as staging:
        os.environ[_ROOT] = staging
        try:
            yield Path(staging)
            for dataset_id in minari.list_local_datasets():
                _move(Path(staging), root, dataset_id)
        finally:
            if before is None:
                del os.environ[_ROOT]
            else:
                os.environ[_ROOT] = before


def _move(staging: Path, root: Path, dataset_id: str) -> None:
    """Move one data set, and what minari noted of its namespaces where it has not yet."""
    for namespace in reversed(Path(dataset_id).parents[:-1]):
        (root / namespace).mkdir(exist_ok=True)
        note = Path(namespace) / "namespace_metadata.json"
        if (staging / note).exists() and not (root / note).exists():
            os.replace(staging / note, root / note)
    if not (root / dataset_id / "data").exists():
        os.replace(staging / dataset_id, root / dataset_id)


@contextlib.contextmanager
def _minaris_refusals(
    what: str, fix: str, kinds: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """One line for whatever minari, h5py and the remote's client raise, which has no common class."""
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        raise UserError(f"{what} ({_reason(error)}); {fix}") from None


def _reason(error: BaseException) -> str:
    words = one_line(error)
    return words if len(words) <= _LONGEST_REASON else f"{words[:_LONGEST_REASON]}…"
