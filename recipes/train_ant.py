"""Train the ant that walks to points by SAC: the source of the bundled walker behind AntMaze's data.

    pip install -r recipes.lock
    python recipes/train_ant.py --out runs/behaviour/ant

The training, its files and how it goes on after an interruption are those of train_behaviour.py; the
environment is `gac/AntReach-v0` (gac/envs/ant_reach.py). Then bundle_ant.py chooses and writes the walker.
"""

import dataclasses

import train_behaviour
import tyro

import gac.envs  # registers the environment


@dataclasses.dataclass(frozen=True)
class Settings(train_behaviour.Settings):
    """Settings of the run; the rest is sbx's default SAC."""

    env_id: str = "gac/AntReach-v0"
    """Gymnasium id."""
    total_steps: int = 2_000_000
    """Environment steps after which training ends in any case."""
    every: int = 50_000
    """Steps between snapshots."""


if __name__ == "__main__":
    assert gac.envs.ANT_LAYOUTS  # the import is for what it registers
    train_behaviour.main(tyro.cli(Settings))
