"""What holds for every test: shapes are checked, dtypes and ranks never mix silently."""

import copy
import gc
import os
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

# Shapes and types of gac's signatures are checked in tests only; the hook must come before gac is imported.
install_import_hook("gac", "typecheck.check")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Every run of training compiles anew; the cache, which processes that tests start share, spares most of it.
_COMPILED = tempfile.TemporaryDirectory(prefix="gac-compiled-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
jax.config.update("jax_compilation_cache_dir", _COMPILED.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

# A shell has what it starts in the background ignore Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no defect; what fails here fails again with the same examples.
hypothesis.settings.register_profile("gac", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gac")


_MAPS = Path("/proc/self/maps")  # Linux; elsewhere nothing bounds a process by it
_MOST_MAPS = 30_000


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """XLA maps some twenty regions of memory for a program; Linux aborts a process with more than 65,530."""
    yield
    if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the data sets that a person has cached."""
    monkeypatch.setenv("GAC_CACHE", str(tmp_path_factory.getbasetemp() / "gac-cache"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run, to look at only: `folder`, `agent`, `episodes`, `config`."""
    import tiny

    import gac

    folder = tmp_path_factory.mktemp("trained") / "run"
    episodes = tiny.make_episodes()
    agent = gac.train(episodes, tiny.CONFIG, out=folder, updates=tiny.UPDATES)
    return SimpleNamespace(folder=folder, agent=agent, episodes=episodes, config=tiny.CONFIG)


@pytest.fixture(scope="session")
def compiled_trainer(tmp_path_factory, trained):
    """A trainer whose programs are compiled once; tests take copies of it."""
    from gac.training.offline import Trainer

    return Trainer(trained.episodes, trained.config, tmp_path_factory.mktemp("unused"))


@pytest.fixture
def trainer(compiled_trainer, tmp_path):
    """A trainer at the start of a run in a folder of its own."""
    own = copy.copy(compiled_trainer)
    own.out = tmp_path / "run"
    own.out.mkdir()
    return own
