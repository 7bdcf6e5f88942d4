"""Train SAC with sbx-rl until it is expert and save its actor as it learns: the source of the snapshots.

    pip install -r recipes.lock
    python recipes/train_behaviour.py --out runs/behaviour/hopper --env-id Hopper-v4 --until 3300

Writes `<training step>.safetensors` (float32, flax's parameter names), from the untrained actor on, and
`training.json` with the settings. The same command goes on where an interrupted run stopped: what training
needs for that is in `state.safetensors`. A core makes about 250 gradient and 500 environment steps a second.
"""

import dataclasses
import json
import os
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from safetensors.numpy import load_file, save_file
from sbx import SAC
from stable_baselines3.common.callbacks import BaseCallback

STATES = ("actor_state", "qf_state")
REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the run; the rest is sbx's default SAC. Batch and rates are as in Spinning Up, CleanRL."""

    out: Path
    """Folder of the snapshots."""
    env_id: str = "Hopper-v4"
    """Gymnasium id."""
    seed: int = 0
    """Seed of everything random."""
    total_steps: int = 4_000_000
    """Environment steps after which training ends in any case."""
    until: float = float("inf")
    """Training ends once the mean return of the last 100 episodes reaches this."""
    every: int = 5_000
    """Steps between snapshots."""
    save_every: int = 50_000
    """Steps between states to go on from."""
    steps_per_update: int = 2
    """Environment steps per gradient step: more of them is more data for the same arithmetic."""
    updates_at_once: int = 8
    """Gradient steps in one call of the compiled program."""
    batch_size: int = 128
    """Transitions of a gradient step: half of sbx's default, so that one core makes twice as many."""
    policy_delay: int = 2
    """Gradient steps of the critics for one of the actor."""
    learning_rate: float = 6e-4
    """Adam's rate of the actor: twice the usual, which makes up for the delay."""
    qf_learning_rate: float = 1e-3
    """Adam's rate of the critics."""


class Snapshots(BaseCallback):
    """Saves the actor and what training goes on from, prints the mean return, and ends training."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.began = time.monotonic()

    def _on_training_start(self) -> None:
        if self.num_timesteps == 0:
            self._save()

    def _on_step(self) -> bool:
        if self.num_timesteps % self.settings.every == 0:
            self._save()
        if self.num_timesteps % self.settings.save_every == 0:
            save_state(self.model, self.settings.out)
        return self._mean_return() < self.settings.until

    def _mean_return(self) -> float:
        """Mean return of the last 100 episodes, whose actions are sampled; -inf before there are 100."""
        episodes = self.model.ep_info_buffer or []
        return float(np.mean([e["r"] for e in episodes])) if len(episodes) == 100 else -float("inf")

    def _save(self) -> None:
        tensors = _named(self.model.policy.actor_state.params)
        save_file(tensors, self.settings.out / f"{self.num_timesteps:07d}.safetensors")
        episodes = [e["r"] for e in self.model.ep_info_buffer or []][-20:]
        mean = f"{np.mean(episodes):.1f}" if episodes else "none yet"
        print(f"step {self.num_timesteps}  {time.monotonic() - self.began:.0f} s  return {mean}", flush=True)


def _named(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree of dictionaries, each under its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(key.key) for key in path): np.asarray(leaf, np.float32) for path, leaf in leaves}


def _parts(model: SAC) -> dict[str, Any]:
    """The parts of the model that change while it is trained, as trees of arrays."""
    states = {name: getattr(model.policy, name) for name in STATES}
    return {**states, "ent_coef_state": model.ent_coef_state, "key": model.key}


def save_state(model: SAC, folder: Path) -> None:
    """Write all that training goes on from, in place of what is there."""
    tensors = {
        f"{name}/{i}": np.asarray(leaf)
        for name, tree in _parts(model).items()
        for i, leaf in enumerate(jax.tree_util.tree_leaves(tree))
    }
    replay = model.replay_buffer
    filled = replay.buffer_size if replay.full else replay.pos
    tensors |= {f"replay/{name}": np.ascontiguousarray(getattr(replay, name)[:filled]) for name in REPLAY}
    counts = {"steps": model.num_timesteps, "updates": model._n_updates, "position": replay.pos}
    temporary = folder / ".state.safetensors.tmp"
    save_file(tensors, temporary, {key: str(value) for key, value in counts.items()})
    os.replace(temporary, folder / "state.safetensors")


def load_state(model: SAC, folder: Path) -> None:
    """Set a new model to where the stored one stopped; its next episode begins anew."""
    from safetensors import safe_open

    path = folder / "state.safetensors"
    tensors = load_file(path)
    with safe_open(path, framework="np") as file:
        counts = {key: int(value) for key, value in file.metadata().items()}
    for name, tree in _parts(model).items():
        old, structure = jax.tree_util.tree_flatten(tree)
        stored = [jax.numpy.asarray(tensors[f"{name}/{i}"]) for i in range(len(old))]
        owner = model.policy if name in STATES else model
        setattr(owner, name, jax.tree_util.tree_unflatten(structure, stored))
    replay = model.replay_buffer
    for name in REPLAY:
        stored = tensors[f"replay/{name}"]
        getattr(replay, name)[: len(stored)] = stored
        replay.full = len(stored) == replay.buffer_size
    replay.pos = counts["position"]
    model.num_timesteps, model._n_updates = counts["steps"], counts["updates"]


def main(settings: Settings) -> None:
    """Train, with snapshots on the way."""
    warnings.filterwarnings("ignore", message=".*out of date.*")  # v4 is meant: D4RL's physics and rewards.
    settings.out.mkdir(parents=True, exist_ok=True)
    packages = ("sbx-rl", "stable-baselines3", "gymnasium", "mujoco", "jax")
    record = dataclasses.asdict(settings) | {
        "out": str(settings.out),
        "versions": {p: version(p) for p in packages},
    }
    (settings.out / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    model = SAC(
        "MlpPolicy",
        settings.env_id,
        seed=settings.seed,
        train_freq=settings.steps_per_update * settings.updates_at_once,
        gradient_steps=settings.updates_at_once,
        batch_size=settings.batch_size,
        policy_delay=settings.policy_delay,
        learning_rate=settings.learning_rate,
        qf_learning_rate=settings.qf_learning_rate,
        policy_kwargs={"net_arch": [256, 256]},
    )
    if (settings.out / "state.safetensors").exists():
        load_state(model, settings.out)
        print(f"going on after {model.num_timesteps} steps", flush=True)
    left = settings.total_steps - model.num_timesteps
    model.learn(left, callback=Snapshots(settings), reset_num_timesteps=False)
    save_state(model, settings.out)


if __name__ == "__main__":
    main(tyro.cli(Settings))
