"""The folder of fine-tuning in stages: whose it is, and which file is where."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gac.config import OnlineConfig
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.online.collected import Collected
from gac.records import read_online
from gac.training.checkpoint import claim_folder, drop_partial_files

MAY_CHANGE = ("stages", "longest", "step_seconds")
"""Settings that nothing which is done already depends on."""


def claim_stages(
    out: Path, identity: dict[str, Any], config: OnlineConfig, *, resume: bool, overwrite: bool
) -> None:
    """Take the folder for the stages, or check that it is theirs.

    Raises:
        UserError: a folder in use; nothing to resume; a resume with other settings, MAY_CHANGE aside.
    """
    path = out / "online.json"
    if not resume:
        for partial in out.glob(".online.json.*.tmp"):  # all that a kill at the first moment can leave
            partial.unlink()
        claim_folder(out, resume=False, overwrite=overwrite)
        return
    if not path.exists():
        raise UserError(f"{out} holds no fine-tuning to go on from; leave out --resume to begin one")
    drop_partial_files(out)
    if (out / "collected").is_dir():
        drop_partial_files(out / "collected")
    saved, old = read_online(out)
    for key, words in (("model", "another agent"), ("data", "other episodes")):
        if saved.get(key) != identity[key]:
            raise UserError(f"{out} was begun with {words} than this; resume with the same")
    was, now = (_environment(each) for each in (saved, identity))
    if was != now:
        raise UserError(
            f"{out} was begun with another env_id, {was or 'none'}, than {now or 'none'}; "
            "resume with the same"
        )
    for field in dataclasses.fields(OnlineConfig):
        was, now = getattr(old, field.name), getattr(config, field.name)
        if was != now and field.name not in MAY_CHANGE:
            raise UserError(f"{out} was begun with {field.name} {was}, now {now}; resume with the same")


def _environment(raw: Mapping[str, Any]) -> Environment | None:
    return None if raw.get("env_id") is None else Environment(raw["env_id"], raw.get("env_spec"))


def environment_begun_in(out: Path) -> Environment | None:
    """The environment that fine-tuning in a folder began with; None where it knows none, or is none.

    Raises:
        UserError: a record that cannot be read.
    """
    return _environment(read_online(out)[0]) if (out / "online.json").exists() else None


def existing(out: Path, path: Callable[[Path, int], Path]) -> list[Path]:
    """The files of stages 0, 1, … up to the first that is missing."""
    found: list[Path] = []
    while (following := path(out, len(found))).exists():
        found.append(following)
    return found


def batch_path(out: Path, stage: int, number: int) -> Path:
    """File of a batch of collected episodes."""
    return out / "collected" / f"stage-{stage}-batch-{number}.safetensors"


def begun_path(out: Path, stage: int) -> Path:
    """File that says where the training of a stage began."""
    return out / "collected" / f"stage-{stage}-begun.json"


def batches(out: Path, stage: int) -> list[Collected]:
    """What a stage collected, in the order of its batches."""
    return [
        Collected.read(path) for path in existing(out, lambda out, number: batch_path(out, stage, number))
    ]


def last_metrics(out: Path) -> dict[str, float | None]:
    """Numbers of the last line of metrics.jsonl, those of the clock left out."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    numbers = json.loads(lines[-1]) if lines else {}
    clock = ("update", "seconds", "trajectories_per_second", "heldout_elbo")
    return {k: v for k, v in numbers.items() if isinstance(v, int | float) and k not in clock}
