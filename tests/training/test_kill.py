"""SIGKILL at moments that nobody chose: the run loads at each, and resumed it ends as if never killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

import gac
from gac.training.offline import train

KILLS = 2
UPDATES = 40
SCRIPT = """
import sys
import gac, tiny
from pathlib import Path
out = Path(sys.argv[1])
resume = (out / "state.safetensors").exists()
gac.train(tiny.make_episodes(), tiny.CONFIG, out=out, updates=int(sys.argv[2]), resume=resume)
"""


def start(out):
    """Training in a process of its own, which saves after every update."""
    here = Path(tiny.__file__).parent
    env = os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}"} | tiny.READS_COMPILED
    words = [sys.executable, "-c", SCRIPT, str(out), str(UPDATES)]
    return subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)


def wait_for_progress(process, state):
    """Return once this process has written a state, or has ended."""
    written = state.stat().st_mtime_ns if state.exists() else None
    while process.poll() is None:
        if state.exists() and state.stat().st_mtime_ns != written:
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_if_it_never_was(tmp_path, trained):
    out, moments, killed = tmp_path / "killed", random.Random(0), 0
    for _ in range(KILLS):
        process = start(out)
        wait_for_progress(process, out / "state.safetensors")
        time.sleep(moments.uniform(0.0, 1.0))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), errors
        killed += process.returncode != 0
        assert gac.load(out).plan([0.0] * tiny.OBSERVATION_DIM, gac.Prior()).predicted_returns.shape == (1,)
    assert killed > 0
    resumed = train(trained.episodes, trained.config, out=out, updates=UPDATES, resume=True)
    whole = train(trained.episodes, trained.config, out=tmp_path / "whole", updates=UPDATES)
    assert tiny.same(resumed.model, whole.model)
    assert not list(out.glob(".*.tmp"))
