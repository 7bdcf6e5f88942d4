"""A file is whole or not there; a file of another kind is refused in one line."""

import errno
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gac import writing
from gac.errors import UserError
from gac.files import read_metadata, read_tree, write_bytes, write_text, write_tree

TREE = {"weight": jnp.arange(6.0).reshape(2, 3), "count": jnp.int32(7), "nested": [jnp.zeros(0), jnp.ones(1)]}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "tree.safetensors"
    write_tree(path, TREE, {"schema_version": "1"})
    return path


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="needs a umask")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002, 0o077], indirect=True)
def test_a_file_may_be_read_by_whom_the_umask_says(umask, tmp_path):
    write_tree(tmp_path / "tree.safetensors", TREE, {})
    write_text(tmp_path / "a.txt", "text")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~umask}


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_arrays_come_back_to_the_bit_scalars_and_transposed_ones_too(saved):
    back = read_tree(saved, TREE)
    for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(TREE), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_array_equal(one, other)
    assert read_metadata(saved) == {"schema_version": "1"}
    turned = {"x": np.arange(6.0, dtype=np.float32).reshape(2, 3).T}
    write_tree(saved, turned, {})
    np.testing.assert_array_equal(read_tree(saved, turned)["x"], turned["x"])


def test_shape_structs_are_enough_to_read(saved):
    like = jax.eval_shape(lambda: TREE)
    np.testing.assert_array_equal(read_tree(saved, like)["weight"], TREE["weight"])


@pytest.mark.parametrize(
    ("like", "said"),
    [
        ({**TREE, "weight": jnp.zeros((3, 2))}, "weight"),
        ({**TREE, "weight": jnp.zeros((2, 3), jnp.int32)}, "int32"),
        ({**TREE, "bias": jnp.zeros(2)}, "bias"),
        ({"weight": TREE["weight"]}, "count"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(like, said, saved):
    with pytest.raises(UserError) as error:
        read_tree(saved, like)
    assert said in one_line(error)


@pytest.mark.parametrize("content", [b"", b"no such format", b"\x80\x04pickle", None])
def test_foreign_and_truncated_files_are_refused(content, saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: len(whole) - 5] if content is None else content)
    for read in (read_metadata, lambda path: read_tree(path, TREE)):
        with pytest.raises(UserError) as error:
            read(saved)
        assert str(saved) in one_line(error)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            read_metadata(path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(call, tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, call, full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new and longer")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    """/dev/full takes no byte; the temporary name leads there."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    (tmp_path / f".a.txt.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"x" * 100_000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
