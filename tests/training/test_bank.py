"""A bank of posteriors cut over devices gives and takes what one in one piece does, to the bit."""

import subprocess
import sys

SCRIPT = """
import jax
jax.config.update("jax_num_cpu_devices", 3)
import numpy as np
from gac.model.joint import Phi
from gac.training.scale.bank import filled, gathered, put, room, take
from gac.training.scale.devices import BATCH, CUT, WHOLE, copied, everywhere
from jax.sharding import Mesh

rng = np.random.default_rng(0)
mesh = Mesh(np.array(jax.devices()), (BATCH,))
whole = Phi(*(jax.numpy.asarray(rng.standard_normal((10, 2, 4)), "float32") for _ in range(2)))
assert room(10, mesh) == 12 and room(12, mesh) == 12 and room(10, None) == 10
cut = copied(filled(whole, room(10, mesh)), mesh, CUT)
assert [shard.data.shape for shard in cut.mu.addressable_shards] == [(4, 2, 4)] * 3
assert (np.asarray(cut.mu)[10:] == 0).all()

def equal(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))

assert equal(gathered(cut, 10, mesh), whole)
for index in (np.array([9, 0, 4, 3, 8, 7]), np.array([5, 1])):  # shared out evenly, and not
    taken = everywhere(lambda bank, index: take(bank, index, mesh), mesh, (CUT, WHOLE))(cut, index)
    assert equal(taken, take(whole, index, None))
    new = Phi(*(jax.numpy.asarray(rng.standard_normal((len(index), 2, 4)), "float32") for _ in range(2)))
    program = everywhere(lambda bank, index, new: put(bank, index, new, mesh), mesh, (CUT, WHOLE, WHOLE), CUT)
    cut, whole = program(cut, index, new), put(whole, index, new, None)
    assert [shard.data.shape for shard in cut.mu.addressable_shards] == [(4, 2, 4)] * 3
    assert equal(gathered(cut, 10, mesh), whole)
print("alike")
"""


def test_a_bank_that_is_cut_is_the_whole_one():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout == "alike\n", done.stderr
