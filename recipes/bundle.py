"""Choose behaviour snapshots for a robot's sets and write them as one small file.

    python recipes/bundle.py runs/behaviour/hopper runs/behaviour/walker2d runs/behaviour/halfcheetah

Plays the snapshots as they will be used (float16, actions sampled), keeps their returns in `played.json`
beside them, and chooses for each set snapshots and their shares of the steps (`shares.py`), such that the
returns have D4RL's mean, standard deviation and maximum (`published.py`):

- medium, expert: one snapshot, or two of about the same mean return.
- medium-replay: snapshots evenly spaced in training time, from the first trained one to the one for which
  their shares are most even.

medium-expert is half of each and needs no snapshots of its own.
"""

import dataclasses
import json
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from published import PUBLISHED
from safetensors.numpy import load_file, save_file
from shares import Choice, Sample, fit, level, replay

from gac.data import rollout, workers
from gac.data.recipes import bundle_of
from gac.errors import UserError
from gac.writing import whole_file, write_text

LAYERS = {"Dense_0": "hidden_0", "Dense_1": "hidden_1", "Dense_2": "mean", "Dense_3": "log_std"}
"""Flax's names of the actor's layers, in the order in which sbx's SAC makes them, and ours."""
AT_ONCE = 8
"""Snapshots that are played before their returns are kept."""

Tensors = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to choose from."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of train_behaviour.py's snapshots, one per robot."""
    sets: tuple[Literal["medium", "medium-replay", "expert"], ...] = ("medium", "medium-replay", "expert")
    """Sets to choose for; the others are left out."""
    out: Path = bundle_of("hopper").parent
    """Folder of the bundles."""
    every: int = 5_000
    """Training steps from one snapshot that is played to the next."""
    play_steps: int = 20_000
    """About so many steps tell a snapshot's returns."""
    long_steps: int = 100_000
    """About so many tell those of the candidates."""
    candidates: int = 10
    """Choices for a level of skill that are played at length."""
    replay_count: int = 10
    """Snapshots of medium-replay."""
    set_steps: int = 250_000
    """Steps of a set, for what its maximum will be."""
    trained_with: str = "sbx-rl SAC, net_arch 256x256; recipes/train_behaviour.py"
    """How the snapshots were trained."""
    workers: int = workers.WORKERS
    """Processes that play."""


def half(path: Path) -> Tensors:
    """A snapshot as `<layer>/<kernel|bias>` in float16."""
    tensors = {}
    for key, value in load_file(path).items():
        _, layer, part = key.split("/")
        tensors[f"{LAYERS[layer]}/{part}"] = value.astype(np.float16)
    return tensors


class Run:
    """The snapshots of a training, and the returns that they were seen to have."""

    def __init__(self, folder: Path, processes: int) -> None:
        if not (folder / "training.json").is_file():
            raise UserError(f"{folder} has no training.json; give a folder that train_behaviour.py wrote")
        self.env_id: str = json.loads((folder / "training.json").read_text())["env_id"]
        self.robot = self.env_id.partition("-")[0].lower()
        self.paths = {int(path.stem): path for path in sorted(folder.glob("[0-9]*.safetensors"))}
        self._kept, self._workers = folder / "played.json", processes
        self._played = json.loads(self._kept.read_text()) if self._kept.is_file() else {}

    def samples(self, steps: list[int], min_steps: int) -> dict[int, Sample]:
        """Whole episodes of the snapshots, about `min_steps` of each; played once."""
        # By what the snapshot is: another training may write to the same folder.
        keys = {step: f"{step}-{zlib.crc32(self.paths[step].read_bytes()):08x}-{min_steps}" for step in steps}
        missing = [step for step in steps if keys[step] not in self._played]
        for start in range(0, len(missing), AT_ONCE):
            part = missing[start : start + AT_ONCE]
            for step, flat in zip(part, self._play(part, min_steps), strict=True):
                starts = np.cumsum(flat["lengths"]) - flat["lengths"]
                returns = np.add.reduceat(flat["rewards"].astype(np.float64), starts)
                self._played[keys[step]] = [returns.round(2).tolist(), flat["lengths"].tolist()]
                print(f"{self.robot} {step:7d}: {returns.mean():7.1f} ± {returns.std():6.1f}", flush=True)
            write_text(self._kept, json.dumps(self._played))
        return {step: Sample(*map(np.asarray, self._played[keys[step]])) for step in steps}

    def _play(self, steps: list[int], min_steps: int) -> list[dict[str, np.ndarray]]:
        with tempfile.TemporaryDirectory(prefix="gac-") as folder:
            bundle = f"{folder}/snapshots.safetensors"
            save_file(self.tensors(steps), bundle)
            jobs = [
                rollout.Job(self.env_id, bundle, step, min_steps, envs=8, seed=[0, step]) for step in steps
            ]
            return workers.run(rollout, jobs, self._workers)

    def every(self, apart: int) -> list[int]:
        """The snapshots so many training steps apart."""
        return [step for step in self.paths if step % apart == 0]

    def tensors(self, steps: list[int]) -> Tensors:
        """Snapshots as a bundle holds them."""
        return {f"{step}/{key}": value for step in steps for key, value in half(self.paths[step]).items()}


def choose_level(run: Run, name: str, settings: Settings) -> Choice:
    """Snapshots of one level of skill: of the best choices, the best when played at length."""
    aim, near = PUBLISHED[f"{run.robot}-{name}"], run.samples(run.every(settings.every), settings.play_steps)
    found: list[Choice] = []
    for choice in level(near, aim, settings.set_steps, settings.candidates):
        at_length = run.samples(list(choice.shares), settings.long_steps)
        found += level(at_length, aim, settings.set_steps, 1)
    if not found:
        raise UserError(
            f"{run.robot} has no snapshot near {name}'s mean of {aim.mean:.0f} yet; "
            f"train longer than {max(near):,} steps, or name the other sets in --sets"
        )
    return min(found, key=lambda choice: choice.distance)


def choose_replay(run: Run, settings: Settings) -> Choice:
    """Snapshots of a replay buffer, with shares as they are when played at length."""
    aim, near = (
        PUBLISHED[f"{run.robot}-medium-replay"],
        run.samples(run.every(settings.every), settings.play_steps),
    )
    choice = replay(near, aim, settings.set_steps, settings.replay_count)
    return fit(run.samples(list(choice.shares), settings.long_steps), aim, settings.set_steps)


def choose(run: Run, settings: Settings) -> dict[str, Choice]:
    """The sets that are asked for.

    Raises:
        UserError: a set whose statistics are beyond the tolerances.
    """
    chosen = {}
    for name in settings.sets:
        replayed = name == "medium-replay"
        choice = choose_replay(run, settings) if replayed else choose_level(run, name, settings)
        if choice.distance > 1:
            both = choice.expected, PUBLISHED[f"{run.robot}-{name}"]
            ours, theirs = (f"{x.mean:.0f} ± {x.std:.0f} up to {x.max:.0f}" for x in both)
            raise UserError(
                f"{run.robot}-{name} comes to {ours} instead of {theirs}; "
                f"train longer than {max(run.paths):,} steps, or name the other sets in --sets"
            )
        chosen[name] = choice
    return chosen


def write(run: Run, chosen: dict[str, Choice], settings: Settings) -> None:
    """Write the bundle of a robot."""
    out = settings.out / bundle_of(run.robot).name
    metadata = {
        "env_id": run.env_id,
        "sets": json.dumps({name: choice.shares for name, choice in chosen.items()}),
        "trained_with": settings.trained_with,
    }
    steps = sorted({step for choice in chosen.values() for step in choice.shares})
    with whole_file(out) as partial:
        save_file(run.tensors(steps), partial, metadata)
    for name, choice in chosen.items():
        aim, ours = PUBLISHED[f"{run.robot}-{name}"], choice.expected
        print(f"{run.robot}-{name}: {ours.mean:.0f} ± {ours.std:.0f} up to {ours.max:.0f}; ", end="")
        print(f"D4RL {aim.mean:.0f} ± {aim.std:.0f} up to {aim.max:.0f}; ", end="")
        print("shares " + ", ".join(f"{step} {share:.3f}" for step, share in choice.shares.items()))
    print(f"{out}: {len(steps)} snapshots, {out.stat().st_size:,} bytes")


def main(settings: Settings) -> None:
    """Play, choose, write."""
    for folder in settings.runs:
        run = Run(folder, settings.workers)
        write(run, choose(run, settings), settings)


if __name__ == "__main__":
    try:
        main(tyro.cli(Settings))
    except UserError as error:
        print(f"bundle.py: {error}", file=sys.stderr)
        sys.exit(2)
