"""The smallest bundle of a walker: it flails, but as a trained one would be called to."""

import numpy as np
from safetensors.numpy import save_file

SNAPSHOT = 7


def write_walker(path):
    """A random policy of AntReach's sizes, in the layout of the bundles; returns the path."""
    rng = np.random.default_rng(0)
    sizes = {"hidden_0": (30, 16), "hidden_1": (16, 16), "mean": (16, 8), "log_std": (16, 8)}
    tensors = {}
    for name, (rows, columns) in sizes.items():
        tensors[f"{SNAPSHOT}/{name}/kernel"] = (rng.normal(size=(rows, columns)) / 4).astype(np.float16)
        tensors[f"{SNAPSHOT}/{name}/bias"] = np.zeros(columns, np.float16)
    save_file(tensors, path, {"snapshot": str(SNAPSHOT)})
    return path
