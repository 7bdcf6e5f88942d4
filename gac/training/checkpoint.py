"""The state of a run on disk: what makes resuming exact."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import numpy as np

from gac.config import Config, Settings
from gac.data.blocks import blocks
from gac.data.episodes import Episodes
from gac.errors import UserError
from gac.files import read_metadata, read_tree, write_text, write_tree
from gac.json_fields import read_text

STATE_SCHEMA = "2"
LEAST_EPISODES = 4
MAY_BE_ZERO = (
    "inner_tol",
    "free_bits",
    "weight_decay",
    "heldout_fraction",
    "checkpoint_seconds",
)
"""Settings that may be zero; so may all of `added`, where zero is off."""


class Progress(NamedTuple):
    """What the host keeps beside the device's state."""

    seconds: float
    """Seconds spent in updates so far, over all calls."""
    data: str
    """Fingerprint of the episodes."""


def fingerprint(episodes: Episodes, count: int | None = None) -> str:
    """SHA-256 of everything that training reads of the episodes, or of the first so many of them."""
    digest = hashlib.sha256()
    count = episodes.num_episodes if count is None else count
    rows = int(episodes.lengths[:count].sum(dtype=np.int64))
    arrays: tuple[np.ndarray, ...] = (episodes.observations[:rows], episodes.actions[:rows])
    arrays += episodes.returns[:count], episodes.lengths[:count]
    final = None if episodes.final_observations is None else episodes.final_observations[:count]
    others = (final, episodes.observation_offset)
    for array in (*arrays, *(each for each in others if each is not None)):
        for block in blocks(array):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def check_config(config: Config, num_episodes: int) -> None:
    """Refuse settings that cannot work, in one line each."""
    model, training, posterior = config.model, config.training, config.posterior
    parts = model, posterior, training, config.query, config.critics, config.added
    zero = {*MAY_BE_ZERO, *dataclasses.asdict(config.added)}
    for name, value in [pair for part in parts for pair in dataclasses.asdict(part).items()]:
        if isinstance(value, bool | str):
            continue
        if not (math.isfinite(value) and (value > 0 or (value == 0 and name in zero))):
            raise UserError(f"{name} is {value}, expected a finite number above 0; see gac train --help")
    if config.seed < 0:
        raise UserError(f"seed is {config.seed}, expected 0 or more")
    if model.embed_dim % model.heads:
        raise UserError(f"heads is {model.heads}, expected a divisor of embed_dim, {model.embed_dim}")
    if training.heldout_fraction >= 1.0 or config.added.averaging >= 1.0:
        raise UserError("heldout_fraction and averaging are shares, expected less than 1")
    if num_episodes < LEAST_EPISODES:
        raise UserError(
            f"the data has {num_episodes} episodes, expected at least {LEAST_EPISODES}; add episodes"
        )


def claim_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Take the folder for a run, refusing one in use; what an older run left is removed only on request."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, expected a folder; choose another name")
    if resume:
        if not (out / "state.safetensors").exists() or not (out / "config.json").exists():
            raise UserError(f"{out} holds no saved state to resume; train without --resume")
        drop_partial_files(out)
        return
    if out.is_dir() and any(out.iterdir()):
        if not overwrite:
            raise UserError(
                f"{out} is not empty; go on with --resume, replace it with --overwrite, or choose another"
            )
        # online.json first: what a kill leaves of fine-tuning is then nobody's.
        names = ("online.json", "state.safetensors", "model.safetensors", "metrics.jsonl", "config.json")
        for name in (*names, "data.json", "credit.json", "calibration.json", "consistency.json"):
            (out / name).unlink(missing_ok=True)
        # By their whole names: what else lies there is the user's.
        collected = ("collected/stage-*-batch-*.safetensors", "collected/stage-*-begun.json")
        for pattern in ("eval-*.json", "stage-[0-9]*.json", *collected):
            for record in out.glob(pattern):
                record.unlink()
        drop_partial_files(out)
        drop_partial_files(out / "collected")
        if (out / "collected").is_dir() and not any((out / "collected").iterdir()):
            (out / "collected").rmdir()
    out.mkdir(parents=True, exist_ok=True)


def drop_partial_files(out: Path) -> None:
    """Remove what a kill left of files that were being written."""
    for partial in out.glob(".*.tmp"):
        partial.unlink()


State = TypeVar("State")
"""The state of a run of any method: a NamedTuple, `update` and `key` among its fields."""


def write_state(out: Path, state: Any, progress: Progress) -> None:
    """Write state.safetensors: theta, its average, the optimiser, the posteriors, the update's number."""
    metadata = {"schema_version": STATE_SCHEMA, "progress": json.dumps(progress._asdict())}
    write_tree(out / "state.safetensors", saved_arrays(state), metadata)


def read_state(out: Path, like: State, progress: Progress, config: Settings) -> tuple[State, Progress]:
    """Read `write_state`'s file and cut metrics.jsonl back to it.

    Raises:
        UserError: another configuration, another data set, a newer schema, a damaged file.
    """
    saved = type(config).from_json(read_text(out / "config.json"), str(out / "config.json"))
    if saved != config:
        raise UserError(
            f"{out} was trained with another configuration ({_difference(saved, config)}); "
            "resume with the same"
        )
    stored = read_progress(out)
    if stored.data != progress.data:
        raise UserError(f"{out} was trained on other episodes than these; resume with the same data set")
    state: Any = read_arrays(out, like)
    _cut_metrics(out / "metrics.jsonl", int(state.update))
    return state, stored


def read_progress(out: Path) -> Progress:
    """What `write_state` noted beside the arrays.

    Raises:
        UserError: no state there, a newer schema, a damaged file.
    """
    metadata = read_metadata(out / "state.safetensors")
    version = metadata.get("schema_version")
    if version != STATE_SCHEMA or "progress" not in metadata:
        raise UserError(
            f"{out}/state.safetensors has schema {version}, this gac reads {STATE_SCHEMA}; train again"
        )
    return Progress(**json.loads(metadata["progress"]))


def read_arrays(out: Path, like: State) -> State:
    """The state of `write_state`'s file in the shapes of `like`, whose key it keeps."""
    state: Any = eqx.combine(read_tree(out / "state.safetensors", saved_arrays(like)), like)
    whole: State = state._replace(key=like.key)  # type: ignore[attr-defined]
    return whole


def saved_arrays(state: State) -> State:
    """The state's arrays alone; the key is left out, as it follows from the seed."""
    arrays: State = eqx.filter(
        state._replace(key=None),  # type: ignore[attr-defined]
        lambda leaf: isinstance(leaf, (jax.Array, np.ndarray)),
    )
    return arrays


def _difference(saved: Settings, config: Settings) -> str:
    for part in dataclasses.fields(config):
        old, new = getattr(saved, part.name), getattr(config, part.name)
        if dataclasses.is_dataclass(old) and old != new:
            return next(
                f"{field.name} {getattr(old, field.name)}, now {getattr(new, field.name)}"
                for field in dataclasses.fields(old)
                if getattr(old, field.name) != getattr(new, field.name)
            )
        if old != new:
            return f"{part.name} {old}, now {new}"
    return "no field differs"


def _cut_metrics(path: Path, last: int) -> None:
    """Drop lines of updates that the saved state has not seen, and a line cut off by a kill."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["update"] <= last:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError):
            continue
    write_text(path, "".join(kept))
