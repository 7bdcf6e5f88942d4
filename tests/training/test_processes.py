"""What processes of a run agree on; `test_devices` runs two of them for real."""

import signal
import socket

import jax
import numpy as np
import pytest

from gac.errors import UserError
from gac.training.scale import devices, processes
from gac.training.scale.devices import usable
from gac.training.scale.processes import Together, all_or_none, check_alike, connect, is_first


class Exchange:
    """Stands in for what JAX carries between processes: this process is `own` of `others`' number."""

    def __init__(self, monkeypatch, *others):
        self.others, self.sent = list(others), []
        monkeypatch.setattr(jax, "process_count", lambda: 1 + len(others))
        monkeypatch.setattr(processes.multihost_utils, "process_allgather", self)

    def __call__(self, value):
        self.sent.append(value)
        return np.stack([value, *(np.broadcast_to(other, np.shape(value)) for other in self.others)])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("here:1", None, None), "--coordinator HOST:PORT, --processes and --process together"),
        ((None, 2, 0), "--coordinator HOST:PORT"),
        (("auto", 2, None), "--coordinator auto alone"),
        (("here:1", 2, 2), "--process is 2 of --processes 2"),
        (("here:1", 2, -1), "--process is -1 of --processes 2"),
        (("here", 2, 1), "--coordinator is 'here', expected HOST:PORT"),
        (("here:", 2, 0), "--coordinator is 'here:', expected HOST:PORT"),
        (("here:99999", 2, 0), "--coordinator is 'here:99999', expected HOST:PORT"),
    ],
)
def test_flags_that_do_not_make_a_run_are_refused(given, words, monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_: pytest.fail("asked JAX"))
    with pytest.raises(UserError, match=words):
        connect(*given)


@pytest.fixture
def free():
    """An address on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"127.0.0.1:{server.getsockname()[1]}"
    return at


def test_flags_reach_jax(free, monkeypatch):
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *words: calls.append(words))
    connect(None, None, None)
    connect("auto", None, None)
    connect(free, 2, 0)
    with socket.create_server(("127.0.0.1", int(free.split(":")[1]))):
        connect(free, 2, 1)
    assert calls == [(None, None, None), (free, 2, 0), (free, 2, 1)]


def test_a_first_process_that_does_not_answer_is_one_line(free, monkeypatch):
    monkeypatch.setattr(processes, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_: pytest.fail("asked JAX"))
    with pytest.raises(UserError, match="process 0 does not answer at 127"):
        connect(free, 2, 1)


def test_a_port_in_use_is_one_line(monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_: pytest.fail("asked JAX"))
    with socket.create_server(("", 0)) as server, pytest.raises(UserError, match="cannot listen at port"):
        connect(f"127.0.0.1:{server.getsockname()[1]}", 2, 0)


def test_what_jax_refuses_is_one_line(free, monkeypatch):
    def fail(*_):
        raise RuntimeError("DEADLINE_EXCEEDED: nobody came\nmore")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(UserError, match=r"DEADLINE_EXCEEDED: nobody came$"):
        connect(free, 2, 0)


def test_one_process_asks_nobody(monkeypatch):
    monkeypatch.setattr(processes.multihost_utils, "process_allgather", lambda _: pytest.fail("asked"))
    assert is_first()
    check_alike("episodes", "00")
    with pytest.raises(UserError, match="mine"), all_or_none("begin"):
        raise UserError("mine")
    with Together() as together:
        assert together.now() <= together.now()
        together.stop_if_asked()


def test_a_failure_elsewhere_is_told(monkeypatch):
    Exchange(monkeypatch, False, True)
    with pytest.raises(UserError, match="process 2 could not read the data"), all_or_none("read the data"):
        pass


def test_an_own_failure_is_told_as_it_is(monkeypatch):
    exchange = Exchange(monkeypatch, False)
    with pytest.raises(UserError, match="no such file"), all_or_none("read the data"):
        raise UserError("no such file")
    assert exchange.sent == [True]  # and the others are not left waiting


def test_other_episodes_are_refused(monkeypatch):
    Exchange(monkeypatch, 0xAB)
    check_alike("episodes", "abab")
    with pytest.raises(UserError, match="process 1 has other episodes than process 0"):
        check_alike("episodes", "abac")


def test_ctrl_c_in_one_process_stops_all(monkeypatch):
    exchange = Exchange(monkeypatch, [7.0, False])
    with Together() as together:
        together.now()
        together.stop_if_asked()
        exchange.others = [[7.0, True]]
        together.now()
        with pytest.raises(KeyboardInterrupt):
            together.stop_if_asked()


def test_ctrl_c_here_waits_for_the_others(monkeypatch):
    Exchange(monkeypatch, [7.0, False])
    usual = signal.getsignal(signal.SIGINT)
    with Together() as together:
        signal.raise_signal(signal.SIGINT)
        together.stop_if_asked()  # the others do not know yet
        together.now()
        with pytest.raises(KeyboardInterrupt):
            together.stop_if_asked()
    assert signal.getsignal(signal.SIGINT) is usual


def test_the_clock_is_the_first_process_s(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    told = np.array([[11.0, 0.0], [99.0, 0.0]])
    monkeypatch.setattr(processes.multihost_utils, "process_allgather", lambda _: told)
    with Together() as together:
        assert together.now() == 11.0


def test_processes_take_as_many_devices_as_the_one_that_has_fewest(monkeypatch):
    taken = []
    monkeypatch.setattr(devices, "usable", lambda *numbers: taken.append(numbers) or 0)
    monkeypatch.setattr(jax, "local_devices", lambda: devices.jax.devices()[:1] * 4)
    for others in ((2,), (8,)):
        Exchange(monkeypatch, *others)
        with pytest.raises(UserError):
            devices.mesh_for(100)
    assert taken == [(100, 2, 2), (100, 4, 2)]


@pytest.mark.parametrize(
    ("batch", "count", "together", "taken"), [(100, 4, 2, 2), (100, 1, 4, 1), (100, 1, 3, 0), (96, 8, 3, 8)]
)
def test_a_batch_is_shared_out_to_all_processes(batch, count, together, taken):
    assert usable(batch, count, together) == taken


def test_a_batch_that_some_process_would_miss_is_refused(monkeypatch):
    Exchange(monkeypatch, 4, 4)
    with pytest.raises(UserError, match="a multiple of 3"):
        devices.mesh_for(100)
