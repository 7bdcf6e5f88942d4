"""Runs on several virtual devices, each in a process of its own: a process's devices are set for good."""

import os
import subprocess
import sys
from pathlib import Path

import tiny

# As in test_seeds: more episodes in a batch than latent dimensions, and the refit last.
CONFIG = tiny.replace(tiny.CONFIG, batch_size=40, heldout_every=3, refit_every=4)

SCRIPT = """
import sys
import jax
import tiny
import gac
from gac.config import Config
from gac.training.scale.devices import mesh_for, share_out
from gac.training.scale.processes import connect
jax.config.update("jax_num_cpu_devices", int(sys.argv[3]))
if "--join" in sys.argv:
    at, process = sys.argv[sys.argv.index("--join") + 1:]
    connect(at, 2, int(process))
    assert jax.device_count() == 2 * int(sys.argv[3])
config = Config.from_json(sys.argv[2])
mesh = mesh_for(config.training.batch_size)
assert (mesh is not None) == (jax.device_count() > 1)
shared = jax.jit(lambda x: share_out(x, mesh))(jax.numpy.arange(config.training.batch_size))
assert shared.is_fully_replicated == (mesh is None)
episodes = tiny.make_episodes(60)
if sys.argv[5:] and not sys.argv[5].startswith("--"):
    episodes = gac.load_data(sys.argv[5], on_disk=True)
resume = "--resume" in sys.argv
agent = gac.train(episodes, config, out=sys.argv[1], updates=int(sys.argv[4]), resume=resume)
own = {jax.local_devices()[0]}
assert all(leaf.devices() == own for leaf in jax.tree.leaves((agent.model, agent.logged)))
agent.plan(tiny.make_episodes(1).observations[0], gac.Exploit())
"""


def start(out, count, updates, *more, config=CONFIG, **environment):
    """A process that trains so many updates on so many virtual devices."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-c", SCRIPT, out, config.to_json(), count, updates, *more]
    environment = {**os.environ, "PYTHONPATH": paths, "XLA_FLAGS": "", **environment}
    return subprocess.Popen([str(word) for word in words], env=environment)
