"""What HDF5 would fill in for data that is missing is refused, wherever it is missing."""

import h5py
import numpy as np
import pytest

from gac.data import read_d4rl
from gac.errors import UserError


def write(folder, states):
    """A file of two episodes whose observations `states(file)` makes."""
    path = folder / "data.hdf5"
    with h5py.File(path, "w") as file:
        states(file)
        file["actions"] = np.zeros((10, 2), np.float32)
        file["rewards"] = np.ones(10, np.float32)
        file["terminals"] = np.zeros(10, bool)
        file["timeouts"] = np.isin(np.arange(10), [4, 9])
    return path


@pytest.fixture
def source(tmp_path):
    """Another file, which holds the states."""
    with h5py.File(tmp_path / "source.hdf5", "w") as file:
        file["states"] = np.arange(20.0).reshape(10, 2)
        file["few"] = np.arange(10.0).reshape(5, 2)
        file.create_dataset("unwritten", (10, 2), "f4")
    return tmp_path / "source.hdf5"


def virtual(rows=10, name="states", file_name="source.hdf5", at=None):
    """A virtual data set of ten rows, of which `rows` have a source."""

    def make(file):
        layout = h5py.VirtualLayout((10, 2), np.float64)
        layout[:rows] = h5py.VirtualSource(at or file_name, name, (10, 2))[:rows]
        file.create_virtual_dataset("observations", layout)

    return make


def refused(path):
    with pytest.raises(UserError) as raised:
        read_d4rl(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_virtual_data_set_with_its_source_is_read(tmp_path, source):
    path = write(tmp_path, virtual(at=str(source)))
    np.testing.assert_array_equal(read_d4rl(path).observations, np.arange(20.0).reshape(10, 2))
    assert read_d4rl(write(tmp_path, virtual())).num_steps == 10


def test_a_virtual_data_set_without_all_of_its_sources_is_refused(tmp_path, source):
    assert "is virtual and has sources for 12 of its 20 values" in refused(write(tmp_path, virtual(6)))
    assert "source.hdf5 has no gone" in refused(write(tmp_path, virtual(name="gone")))
    assert "has shape (5, 2), which is too small" in refused(write(tmp_path, virtual(name="few")))
    assert "unwritten in source.hdf5 was made and never" in refused(
        write(tmp_path, virtual(name="unwritten"))
    )
    path = write(tmp_path, virtual())
    source.unlink()
    said = refused(path)
    assert "observations is virtual and its source source.hdf5 is missing, and HDF5 gives 0.0 for" in said
    source.write_text("no HDF5")
    assert "source.hdf5 cannot be read" in refused(path)


def test_what_was_never_written_is_refused(tmp_path):
    def chunked(file):
        file.create_dataset("observations", (10, 2), "f4", chunks=(3, 2), fillvalue=-1.0)[:4] = 1.0

    assert "observations has 2 of its 4 chunks" in refused(write(tmp_path, chunked))
    made = write(tmp_path, lambda file: file.create_dataset("observations", (10, 2), "f4"))
    assert "observations was made and never written" in refused(made)

    def zeros(file):
        file.create_dataset("observations", data=np.zeros((10, 2)), chunks=(3, 2), compression="gzip")

    assert read_d4rl(write(tmp_path, zeros)).num_steps == 10


def test_an_external_file_that_is_missing_or_short_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # HDF5 looks for it from where the process is.

    def external(file):
        states = file.create_dataset("observations", (10, 2), "f4", external=[("raw.bin", 0, 80)])
        states[:] = 1.0

    path = write(tmp_path, external)
    assert read_d4rl(path).observations.min() == 1
    (tmp_path / "raw.bin").write_bytes(bytes(40))
    assert "observations lies in raw.bin, which has 40 of 80 bytes" in refused(path)
    (tmp_path / "raw.bin").unlink()
    assert "observations lies in raw.bin, which is missing" in refused(path)
