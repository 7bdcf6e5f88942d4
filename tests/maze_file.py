"""A small file in the layout of D4RL's own maze2d files, with the traps in it."""

import h5py
import numpy as np

STEPS, SUBGOAL_EVERY, TARGET_FROM, TARGET_TO = 1000, 70, 400, 650
"""The run is in the target at the states of rows 400 to 649."""


def write_maze(path, steps=STEPS, env_id=None, **changes):
    """A run whose states are numbered; the reward of row t is that of state t, as in D4RL's files."""
    row = np.arange(steps)
    columns = {
        "observations": np.stack([row, row * 0, row * 0 + 1, row * 0 + 2], axis=1).astype(np.float32),
        "actions": np.stack([row / steps, -row / steps], axis=1).astype(np.float32),
        "rewards": ((row >= TARGET_FROM) & (row < TARGET_TO)).astype(np.float32),
        "terminals": np.zeros(steps, bool),
        "timeouts": row % SUBGOAL_EVERY == SUBGOAL_EVERY - 1,
        "infos/goal": np.ones((steps, 2), np.float32),
        "infos/qpos": np.zeros((steps, 2), np.float32),
        "infos/qvel": np.zeros((steps, 2), np.float32),
    } | changes
    with h5py.File(path, "w") as file:
        for key, column in columns.items():
            if column is not None:
                file.create_dataset(key, data=column, compression="gzip")
        if env_id is not None:
            file.attrs["env_id"] = env_id
    return path
