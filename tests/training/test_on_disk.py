"""Training from disk is training in memory, to the bit, with a bank on the host and a file that may fail."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from safetensors import safe_open

from gac.data import read_d4rl, write_d4rl
from gac.data.windows import to_device
from gac.errors import UserError
from gac.model.joint import Phi
from gac.model.prior import BaseNoise
from gac.training.added import refit
from gac.training.added.refit import refit_base, refit_on_host
from gac.training.interrupt import interrupt_later
from gac.training.offline import Trainer, train
from gac.training.scale.on_disk import DiskEpisodes
from gac.training.visits import make_visits, visited


@pytest.fixture(scope="module")
def path(tmp_path_factory, trained):
    """The episodes of `trained`, on disk."""
    path = tmp_path_factory.mktemp("disk") / "tiny.hdf5"
    write_d4rl(trained.episodes, path, contiguous=True)
    return path


@pytest.fixture(scope="module")
def finished(path, trained, tmp_path_factory):
    """Folder of the run of `trained`, but from disk."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(read_d4rl(path, on_disk=True), trained.config, out=folder, updates=tiny.UPDATES)
    return folder


def arrays(folder, name="state.safetensors"):
    with safe_open(folder / name, framework="numpy") as file:
        return {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118


def lines(folder):
    parsed = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "trajectories_per_second")} for line in parsed
    ]


def test_a_run_from_disk_is_the_run_in_memory_to_the_bit(finished, trained):
    """Twelve updates, with four refits and three held-out ELBOs among them."""
    for name in ("state.safetensors", "model.safetensors"):
        assert arrays(finished, name) == arrays(trained.folder, name)
    assert lines(finished) == lines(trained.folder)


def test_a_run_goes_on_wherever_its_data_are(path, trained, tmp_path):
    places = [trained.episodes, read_d4rl(path, on_disk=True)]
    for stop, data in zip((3, 7, tiny.UPDATES), [places[1], places[0], places[1]], strict=True):
        train(data, trained.config, out=tmp_path / "run", updates=stop, resume=stop > 3)
    assert arrays(tmp_path / "run") == arrays(trained.folder)


def reader(path, trained, batch_size=3):
    train_index = np.asarray([0, 2, 3, 5, 6, 8, 9], np.int32)
    episodes = read_d4rl(path, on_disk=True)
    config = tiny.replace(tiny.CONFIG, batch_size=batch_size)
    visits = make_visits(train_index, episodes.lengths[train_index], config)
    return DiskEpisodes(episodes, trained.agent.standardiser, visits, batch_size, jax.random.key(7))


def test_batches_are_those_of_training_in_memory_in_any_order_of_asking(path, trained):
    data = reader(path, trained)
    key, _ = jax.random.split(jax.random.key(7))
    for update in (0, 1, 2, 5, 1):
        index, visit, batch = data.batch(update)
        expected = visited(data._visits, 3, jnp.int32(update), key)
        np.testing.assert_array_equal(index, expected.index)
        np.testing.assert_array_equal(visit.index, range(3))
        np.testing.assert_allclose(visit.weight, expected.weight, rtol=1e-6)
        alone = to_device(trained.episodes.select(index), trained.agent.standardiser)
        np.testing.assert_array_equal(batch.rows[: len(alone.rows)], alone.rows)
        assert tiny.same(batch[1:], alone[1:])


def test_every_batch_has_the_same_shape(path, trained):
    data = reader(path, trained)
    assert len({data.batch(update)[2].rows.shape for update in range(8)}) == 1
    with_longest = np.sort(trained.episodes.lengths[np.asarray(data._visits.index)])[-3:].sum() + 3
    assert data.batch(0)[2].rows.shape[0] == with_longest


def test_a_file_that_changes_or_vanishes_stops_the_run_which_is_saved(path, trained, tmp_path):
    own = tmp_path / "own.hdf5"
    own.write_bytes(path.read_bytes())
    out, episodes = tmp_path / "run", read_d4rl(own, on_disk=True)
    model = []

    def vanish(line, share):
        if line["update"] == 4:
            model.append((out / "model.safetensors").read_bytes())
            own.rename(tmp_path / "away.hdf5")

    with pytest.raises(UserError, match=r"own.hdf5 has vanished .*--resume") as error:
        train(episodes, trained.config, out=out, updates=tiny.UPDATES, progress=vanish)
    assert "\n" not in str(error.value)
    assert np.frombuffer(arrays(out)[".update"], np.int32).item() == 4
    # What acts stays as it was saved last: weights and posteriors of one moment, or they do not fit.
    assert (out / "model.safetensors").read_bytes() == model[0]
    (tmp_path / "away.hdf5").rename(own)
    train(read_d4rl(own, on_disk=True), trained.config, out=out, updates=tiny.UPDATES, resume=True)
    assert arrays(out) == arrays(trained.folder)
    data = reader(own, trained)
    os.utime(own, (1, 1))
    with pytest.raises(UserError, match="has changed"):
        data.batch(0)


def test_a_value_that_is_not_finite_leaves_the_bank_alone(path, trained, tmp_path):
    (tmp_path / "run").mkdir()
    trainer = Trainer(read_d4rl(path, on_disk=True), trained.config, tmp_path / "run")
    bank = [np.copy(leaf) for leaf in trainer.state.bank]
    read = trainer.data.read

    def spoilt(*args):
        batch = read(*args)
        return batch._replace(y=jnp.full_like(batch.y, jnp.nan))

    trainer.data.read = spoilt
    with pytest.raises(UserError, match="not finite"):
        trainer.step()
    assert int(trainer.state.update) == 0
    for before, after in zip(bank, trainer.state.bank, strict=True):
        np.testing.assert_array_equal(before, after)


# --- the refit of a bank on the host


def a_bank(count=40, seed=0):
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(count, 2, 3)) * np.asarray([1.0, 3.0, 0.2])
    return Phi(np.float32(spread + 2.0), np.float32(rng.normal(-1.0, 0.3, size=(count, 2, 3))))


def test_a_refit_in_blocks_is_the_refit_at_once_up_to_the_signs_of_the_axes(monkeypatch):
    base, bank = BaseNoise(6), a_bank()
    drawn = np.asarray([i for i in range(40) if i % 5], np.int32)
    at_once = jax.jit(refit_base)(base, jax.tree.map(jnp.asarray, bank), jnp.asarray(drawn))
    monkeypatch.setattr(refit, "WHOLE_BYTES", 0)
    monkeypatch.setattr("gac.data.blocks.BLOCK_BYTES", 7 * 24)  # seven rows a block
    new_base = refit_on_host(base, bank, drawn)
    signs = np.sign(np.sum(np.asarray(new_base.matrix) * np.asarray(at_once[0].matrix), axis=0))
    np.testing.assert_allclose(new_base.matrix * signs[None], at_once[0].matrix, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new_base.offset, at_once[0].offset, rtol=1e-5)
    np.testing.assert_allclose(bank.mu.reshape(40, 6) * signs, at_once[1].mu.reshape(40, 6), atol=1e-4)
    np.testing.assert_allclose(bank.log_sigma, at_once[1].log_sigma, atol=1e-4)
    second_moment = np.mean(bank.mu[drawn] ** 2 + np.exp(2.0 * bank.log_sigma[drawn]), axis=0)
    np.testing.assert_allclose(second_moment, 1.0, rtol=1e-4)


# --- Ctrl-C


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []
    # A shell's background job, such as these tests, may ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupt_later():  # noqa: PT012
            os.kill(os.getpid(), signal.SIGINT)
            done.append(True)
        assert done
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


# --- memory

MEGABYTES, STEPS, SEARCHED = 600, 1000, 64
TRAIN = """
    import sys, tempfile, tiny, gac
    from pathlib import Path

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

    def run(path):
        config = tiny.replace(tiny.CONFIG, heldout_fraction=0.0, searched=int(sys.argv[3]))
        config = tiny.replace(config, critic_episodes=int(sys.argv[3]))
        with tempfile.TemporaryDirectory() as out:
            gac.train(gac.data.read_d4rl(path, on_disk=True), config, out=out, updates=6)

    run(sys.argv[1])
    before = peak()
    run(sys.argv[2])
    print(peak() - before)
"""


def write_noise(path, episodes):
    """Episodes of STEPS steps, written without the library."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["observations"] = np.tile(rng.normal(size=(STEPS, 3)).astype(np.float32), (episodes, 1))
        file["actions"] = np.tile(rng.uniform(-1, 1, (STEPS, 2)).astype(np.float32), (episodes, 1))
        file["returns"] = rng.normal(size=episodes).astype(np.float32)
        file["timeouts"] = np.tile(np.arange(STEPS) == STEPS - 1, episodes)
        file["terminals"] = np.zeros(STEPS * episodes, bool)
    return path


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's account of memory")
def test_memory_does_not_grow_with_the_data(tmp_path):
    """All that is resident, mapped pages included: training on 600 MB beside training on a few."""
    small = write_noise(tmp_path / "small.hdf5", 2 * SEARCHED)
    large = write_noise(tmp_path / "large.hdf5", MEGABYTES * 10**6 // (4 * 5 * STEPS))
    assert large.stat().st_size > MEGABYTES * 10**6
    command = [sys.executable, "-c", textwrap.dedent(TRAIN), small, large, str(SEARCHED)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(tiny.__file__).parent), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MEGABYTES // 2
