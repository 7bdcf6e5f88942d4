"""Compiled programs on disk: found again, to the bit, and never the reason that something fails."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax.experimental.compilation_cache import compilation_cache

from gac import compilation

COUNTED = """
import sys
import jax
from gac.compilation import keep_compiled
keep_compiled()
found = {"cache_hits": 0, "cache_misses": 0}
def count(event, **_):
    name = event.rsplit("/", 1)[-1]
    if name in found:
        found[name] += 1
jax.monitoring.register_event_listener(count)
"""
TRAIN = """
import gac, tiny
config = tiny.replace(tiny.CONFIG, heldout_fraction=0.0)
config = tiny.dataclasses.replace(config, seed=int(sys.argv[2]))
gac.train(tiny.make_episodes(200), config, out=sys.argv[1], updates=4)
print(*found.values())
"""
SMALL = """
import jax.numpy as jnp
print(float(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.arange(64.0))), *found.values())
"""


def start(cache, script, *words, options=()):
    """A process of its own, whose JAX was told of no cache."""
    here = Path(tiny.__file__).parent
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    env |= {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}", "GAC_CACHE": str(cache), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *options, "-c", COUNTED + script, *map(str, words)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process):
    """What it printed; it must have ended well and without a word on stderr."""
    out, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    return out.split()


def entries(cache):
    return {path.name: path.stat().st_size for path in cache.glob("compiled/*/*-cache")}


@pytest.fixture
def no_cache_yet():
    """JAX without a cache of compiled programs, also afterwards."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


@pytest.mark.slow
def test_a_second_start_compiles_nothing_and_trains_the_same_to_the_bit(tmp_path):
    first, second, other_seed = (
        said(
            start(
                tmp_path / "cache",
                TRAIN,
                tmp_path / run,
                seed,
                options=("-W", "error"),
            )
        )
        for run, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert int(first[1]) > 0
    assert int(second[0]) > 0
    assert second[1] == other_seed[1] == "0"
    for name in ("state.safetensors", "model.safetensors"):
        # Metadata hold the seconds, which differ; the arrays follow.
        one, other = ((tmp_path / run / name).read_bytes() for run in ("a", "b"))
        assert (
            one[8 + int.from_bytes(one[:8], "little") :] == other[8 + int.from_bytes(other[:8], "little") :]
        )


def test_an_entry_cut_short_is_written_anew_without_a_word(tmp_path):
    value = said(start(tmp_path, SMALL))[0]
    whole = entries(tmp_path)
    for path in tmp_path.glob("compiled/*/*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    assert said(start(tmp_path, SMALL))[0] == value
    assert entries(tmp_path).keys() == whole.keys()
    assert min(entries(tmp_path).values()) > 100
    assert said(start(tmp_path, SMALL)) == [value, str(len(whole)), "0"]


def test_two_processes_may_fill_the_same_folder(tmp_path):
    both = [start(tmp_path, SMALL) for _ in range(2)]
    values = {said(process)[0] for process in both}
    assert len(values) == 1
    assert said(start(tmp_path, SMALL))[2] == "0"


def test_programs_for_other_numbers_of_cores_are_kept_apart(tmp_path, monkeypatch, no_cache_yet):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path))
    monkeypatch.setattr(compilation.warnings, "showwarning", compilation.warnings.showwarning)
    monkeypatch.setattr(compilation, "cores", lambda: 7)
    compilation.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "compiled" / "7-cores")


def test_a_folder_that_cannot_be_made_costs_one_line(tmp_path, monkeypatch, capsys, no_cache_yet):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GAC_CACHE", str(tmp_path / "file"))
    compilation.keep_compiled()
    assert jax.config.jax_compilation_cache_dir is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gac: compiled programs cannot be kept in {tmp_path}/file/compiled")
    assert "GAC_CACHE" in line


def test_a_folder_where_others_may_write_is_not_trusted(tmp_path, monkeypatch, capsys, no_cache_yet):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path))
    (tmp_path / "compiled").mkdir()
    (tmp_path / "compiled").chmod(0o777)
    compilation.keep_compiled()
    assert jax.config.jax_compilation_cache_dir is None
    assert "others may write there" in capsys.readouterr().err


def test_a_cache_of_the_users_own_stays(tmp_path, monkeypatch, no_cache_yet):
    monkeypatch.setenv("GAC_CACHE", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", "of the user's own")
    compilation.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == "of the user's own"
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_is_said_once_and_leaves_no_half_entry(tmp_path, capsys):
    (tmp_path / "jit_f-12-cache").write_bytes(b"half")
    (tmp_path / "jit_g-12-cache").write_bytes(b"whole")
    passed_on = []
    show = compilation._mending(tmp_path, lambda message, *_, **__: passed_on.append(message))
    for _ in range(2):
        show("Error writing persistent compilation cache entry for 'jit_f': OSError: disk full", None, "", 1)
    show("something else", UserWarning, "file.py", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["jit_g-12-cache"]
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert passed_on == ["something else"]


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    (tmp_path / "2-cores").mkdir()
    for age, name in enumerate(["newest", "middle", "oldest"]):
        path = tmp_path / "2-cores" / f"{name}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - 10))
    compilation._trim(tmp_path, 250)
    assert sorted(path.name for path in (tmp_path / "2-cores").iterdir()) == ["middle-cache", "newest-cache"]
    compilation._trim(tmp_path, 250)
    assert len(list((tmp_path / "2-cores").iterdir())) == 2


def test_small_programs_multiply_in_float32_whatever_jax_is_set_to():
    small = compilation.JitSmall(lambda x, w: jnp.einsum("bij,ijo->bo", x, w))
    x, w = jax.random.normal(jax.random.key(0), (3, 4, 5)), jnp.ones((4, 5, 6))
    with jax.default_matmul_precision("BF16_BF16_F32"):
        rounded = small(x, w)
        assert "bf16" not in small.compiled.lower(x, w).as_text()
    np.testing.assert_array_equal(rounded, small(x, w))
