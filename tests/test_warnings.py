"""What the library warns of is for a person, on the command line alone."""

import subprocess
import sys

import h5py
import numpy as np

WARNED = """
import warnings; usual = warnings.formatwarning
from gac.cli import main; assert warnings.formatwarning is usual
assert main(["data", "inspect", "unfinished.hdf5"]) == 0; assert warnings.formatwarning is usual
"""


def test_what_the_library_warns_of_is_one_plain_line(tmp_path):
    flags = {"terminals": [False] * 3 + [True] + [False] * 2, "timeouts": [False] * 6}
    with h5py.File(tmp_path / "unfinished.hdf5", "w") as file:
        for key, values in {
            **flags,
            "rewards": np.ones(6),
            "observations": np.eye(6),
            "actions": np.eye(6),
        }.items():
            file[key] = values
    words = [sys.executable, "-c", WARNED]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    said = "gac: warning: unfinished.hdf5: the last 2 steps are an unfinished episode and are left out"
    assert done.stderr.splitlines() == ["reading unfinished.hdf5", said]
