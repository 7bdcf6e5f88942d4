"""Batches shared out to devices: the same losses, up to rounding, and runs that go on bit for bit."""

import json
import socket
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import tiny
from many_devices import start
from safetensors.numpy import load_file

import gac
from gac.data import write_d4rl
from gac.training.scale import devices
from gac.training.scale.devices import MOST_ON_CPU, mesh_for, one_device_per_core, usable

UPDATES = 4


def train(out, count, updates=UPDATES, *more):
    """A run on so many virtual devices, in a process of its own."""
    assert start(out, count, updates, *more).wait() == 0
    return out


def train_together(out, updates, *more):
    """A run by two processes of one device each, which meet on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    both = [start(out, 1, updates, *more, "--join", at, process) for process in (0, 1)]
    assert [process.wait() for process in both] == [0, 0]
    return out


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run on one device and on two."""
    folder = tmp_path_factory.mktemp("devices")
    return [train(folder / str(count), count) for count in (1, 2)]


def assert_alike(one, two):
    """Two runs of the same losses and weights, up to rounding."""
    assert any("heldout_elbo" in line for line in metrics(one))
    for ours, theirs in zip(metrics(one), metrics(two), strict=True):
        for key in ours.keys() - {"seconds", "trajectories_per_second"}:
            np.testing.assert_allclose(theirs[key], ours[key], rtol=2e-3, atol=2e-3, err_msg=key)
    one, two = (gac.load(run).model for run in (one, two))
    for a, b in zip(jax.tree.leaves(one.generator), jax.tree.leaves(two.generator), strict=True):
        # The bias of keys has no gradient: rounding alone moves it, by a part of Adam's step of 3e-3.
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_two_devices_train_what_one_does(runs):
    assert_alike(*runs)


@pytest.mark.slow
def test_two_processes_train_what_one_does(runs, tmp_path):
    write_d4rl(tiny.make_episodes(60), tmp_path / "tiny.hdf5", contiguous=True)
    run = train_together(tmp_path / "run", 3)
    assert [line["update"] for line in metrics(run)] == [1, 3]
    # Going on, and episodes that stay on disk: the same run.
    train_together(run, UPDATES, tmp_path / "tiny.hdf5", "--resume")
    assert_alike(runs[0], run)
    one, two = (load_file(folder / "state.safetensors") for folder in (runs[0], run))
    assert one.keys() == two.keys()
    assert [key for key in one if one[key].shape != two[key].shape] == []


@pytest.mark.slow
def test_a_run_on_two_devices_goes_on_bit_for_bit(runs, tmp_path):
    train(tmp_path / "run", 2, 2)
    train(tmp_path / "run", 2, UPDATES, "--resume")
    for name in ("model.safetensors", "state.safetensors"):
        again, whole = (load_file(folder / name) for folder in (tmp_path / "run", runs[1]))
        assert again.keys() == whole.keys()
        assert [key for key in whole if not np.array_equal(again[key], whole[key])] == []


@pytest.mark.slow
def test_episodes_on_disk_are_shared_out_too(runs, tmp_path):
    write_d4rl(tiny.make_episodes(60), tmp_path / "tiny.hdf5", contiguous=True)
    on_disk, in_memory = (
        metrics(train(tmp_path / "run", 2, UPDATES, tmp_path / "tiny.hdf5")),
        metrics(runs[1]),
    )
    assert len(on_disk) == len(in_memory)
    for ours, theirs in zip(on_disk, in_memory, strict=True):
        for key in ("elbo", "kl", "prior_return_mean"):
            np.testing.assert_allclose(theirs[key], ours[key], rtol=2e-3, atol=2e-3, err_msg=key)


@pytest.mark.parametrize(
    ("batch", "count", "taken"), [(100, 1, 1), (100, 2, 2), (100, 3, 2), (100, 4, 4), (7, 4, 1), (3, 8, 3)]
)
def test_a_batch_is_shared_out_evenly(batch, count, taken):
    assert usable(batch, count) == taken


def test_a_number_of_devices_that_is_set_already_stays(monkeypatch):
    asked = []
    monkeypatch.setattr(jax.config, "update", lambda *option: asked.append(option))
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    one_device_per_core()
    assert asked == []
    monkeypatch.delenv("XLA_FLAGS")
    one_device_per_core()
    assert [name for name, _ in asked] == ["jax_num_cpu_devices"]
    assert 1 <= asked[0][1] <= MOST_ON_CPU


def test_where_jax_has_started_its_devices_stay():
    before = jax.devices()
    one_device_per_core()
    assert jax.devices() == before


class Core(SimpleNamespace):
    """A device of a CPU, as far as a mesh asks."""

    __hash__ = object.__hash__


def test_data_too_large_to_copy_stay_whole(monkeypatch):
    cores = [Core(platform="cpu", process_index=0) for _ in range(4)]
    monkeypatch.setattr(devices.jax, "local_devices", lambda: cores)
    monkeypatch.setattr(devices.jax, "devices", lambda: cores)
    monkeypatch.setattr(devices, "memory_in_all", lambda: 1000)
    sizes = [mesh.size if (mesh := mesh_for(100, size)) else 1 for size in (0, 10, 100, 125, 126, 2000)]
    assert sizes == [4, 4, 2, 2, 1, 1]
