import dataclasses
import subprocess
import sys
from types import ModuleType

import pytest

from gac.data import maze_rollout, recipes, rollout, workers
from gac.errors import UserError

HOPPER = str(recipes.bundle_of("hopper"))
SNAPSHOT = recipes.rollouts("hopper-medium")[1][0].snapshot
JOBS = {
    rollout: [rollout.Job("Hopper-v4", HOPPER, SNAPSHOT, 50, 2, [seed]) for seed in range(3)],
    maze_rollout: [maze_rollout.Job("umaze", 50, [seed]) for seed in range(3)],
}


@pytest.mark.parametrize("module", list(JOBS))
def test_results_come_in_the_jobs_order_whatever_the_number_of_workers(module):
    here = [module.play(job) for job in JOBS[module]]
    for count in (1, 4):
        there = workers.run(module, JOBS[module], count)
        for left, right in zip(here, there, strict=True):
            assert left.keys() == right.keys()
            assert all(left[key].tobytes() == right[key].tobytes() for key in left)


def test_a_worker_that_fails_says_why():
    job = dataclasses.replace(JOBS[rollout][0], env_id="NoSuchEnvironment-v0")
    with pytest.raises(RuntimeError, match="NoSuchEnvironment"):
        workers.run(rollout, [job])


def test_a_worker_that_finds_the_disk_full_is_one_line(tmp_path):
    script = tmp_path / "full.py"
    script.write_text("raise OSError(28, 'No space left on device')")
    module = ModuleType("full")
    module.__file__ = str(script)
    with pytest.raises(UserError, match=r"cannot be written .No space left on device.; make room, or set"):
        workers.run(module, JOBS[rollout][:1], 1)


def test_a_worker_starts_without_jax():
    script = "import sys, gac.data.maze_rollout; assert 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
