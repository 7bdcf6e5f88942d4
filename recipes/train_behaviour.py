"""Train SAC with sbx-rl and save its actor as it learns: the source of the bundled snapshots.

    pip install -r recipes.lock
    python recipes/train_behaviour.py --out runs/behaviour/hopper --env-id Hopper-v5

Writes `<training step>.safetensors` (float32, flax's parameter names), from the untrained actor on, and
`training.json` with the settings. About 40 minutes on one core for 250,000 steps.
"""

import dataclasses
import json
import time
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import tyro
from safetensors.numpy import save_file
from sbx import SAC
from stable_baselines3.common.callbacks import BaseCallback


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the run; the rest is sbx's default SAC."""

    out: Path
    """Folder of the snapshots."""
    env_id: str = "Hopper-v5"
    """Gymnasium id."""
    seed: int = 0
    """Seed of everything random."""
    total_steps: int = 250_000
    """Environment steps."""
    every: int = 5_000
    """Steps between snapshots."""
    steps_per_update: int = 1
    """Environment steps per gradient step: more of them is more data for the same arithmetic."""


class Snapshots(BaseCallback):
    """Saves the actor, and prints the mean return of the last 20 training episodes."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.began = time.monotonic()

    def _on_training_start(self) -> None:
        self._save()

    def _on_step(self) -> bool:
        if self.num_timesteps % self.settings.every == 0:
            self._save()
        return True

    def _save(self) -> None:
        leaves = jax.tree_util.tree_leaves_with_path(self.model.policy.actor_state.params)
        tensors = {
            "/".join(str(key.key) for key in path): np.asarray(leaf, np.float32) for path, leaf in leaves
        }
        save_file(tensors, self.settings.out / f"{self.num_timesteps:07d}.safetensors")
        returns = [episode["r"] for episode in self.model.ep_info_buffer or []][-20:]
        mean = f"{np.mean(returns):.1f}" if returns else "none yet"
        print(f"step {self.num_timesteps}  {time.monotonic() - self.began:.0f} s  return {mean}", flush=True)


def main(settings: Settings) -> None:
    """Train, with snapshots on the way."""
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
        train_freq=settings.steps_per_update,
        policy_kwargs={"net_arch": [256, 256]},
    )
    model.learn(settings.total_steps, callback=Snapshots(settings))


if __name__ == "__main__":
    main(tyro.cli(Settings))
