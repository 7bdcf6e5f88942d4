"""Compiled programs on disk: a second start of a command compiles nothing."""

import functools
import glob
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import jax

from gac.data.load import cache_folder

P = ParamSpec("P")
R = TypeVar("R")

FOLDER = "compiled"
MOST_BYTES = 2**30
"""Compiled programs kept; those that were not used for longest go first."""

_FAILED = re.compile(
    r"Error (reading|writing) persistent compilation cache entry for '(.+?)': (.+)", re.DOTALL
)


def keep_compiled() -> None:
    """Have JAX keep what it compiles from here on, and read what was compiled before.

    For programs, not for libraries: it sets JAX's options for the whole process. An entry is named by JAX
    after the program, its own version, the compiler's options and the processor or accelerator. The number of
    cores, by which the compiler cuts loops without naming the entry so, sets the folder.

    A folder chosen in JAX's own way (`JAX_COMPILATION_CACHE_DIR`) stays, and `JAX_ENABLE_COMPILATION_CACHE=0`
    turns this off. Where nothing can be written, or others may write, one line says so, and every start
    compiles anew.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = cache_folder() / FOLDER / f"{cores()}-cores"
    try:
        _claim(folder)
        _trim(folder.parent, MOST_BYTES)
    except OSError as error:
        _say(f"{folder} ({error.strerror})")
        return
    options = {
        "jax_compilation_cache_dir": str(folder),
        # Small programs too: together they take longer to compile than to read.
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in options.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    warnings.showwarning = _mending(folder, warnings.showwarning)


class JitSmall(Generic[P, R]):
    """`jax.jit` for programs of tiny matrix products, without what XLA adds to them on a CPU.

    XLA hands products to YNNPACK there, which takes some 50 microseconds for each: acting for a hundred
    environments takes 2.9 ms so, and 1.2 ms without. A compiler that knows no such option is left alone.
    Their products are in float32, also where JAX is set to another precision.
    Options are of whole programs: within another one, call `function`.

    Args:
        function: the program.
        static_argnames: its arguments whose values a program is compiled for.
    """

    def __init__(self, function: Callable[P, R], static_argnames: str | Sequence[str] = ()) -> None:
        self.function, self._static = function, static_argnames
        functools.update_wrapper(self, function)

    @functools.cached_property
    def compiled(self) -> Any:
        """The jitted function; made at the first call, as asking the compiler starts JAX."""

        @functools.wraps(self.function)
        def program(*args: P.args, **kwargs: P.kwargs) -> R:
            with float32_products():
                return self.function(*args, **kwargs)

        return jax.jit(program, static_argnames=self._static, compiler_options=_ynnpack_for(""))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.compiled(*args, **kwargs)
        return result


def float32_products() -> AbstractContextManager[None]:
    """Products in float32 where JAX is set to another precision: of what acts, a CPU could not do all."""
    if jax.config.jax_default_matmul_precision is None:  # type: ignore[attr-defined]
        return nullcontext()
    precise: AbstractContextManager[None] = jax.default_matmul_precision("float32")
    return precise


def large_products() -> dict[str, str | bool]:
    """Compiler options of `jax.jit` for programs whose time is that of large matrix products.

    Left to itself XLA gives YNNPACK the sums around the products, too, which its own loops do faster: local
    inference takes a tenth less time with the products alone. A compiler that knows no such option is left
    alone, and accelerators do not read it.
    """
    return _ynnpack_for("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT")


@functools.cache
def _ynnpack_for(kinds: str) -> dict[str, str | bool]:
    """Compiler options that give YNNPACK these kinds of operations on a CPU, none of them where empty."""
    options: dict[str, str | bool] = {"xla_cpu_experimental_ynn_fusion_type": kinds}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _claim(folder: Path) -> None:
    """Make the folder, and see that this user alone may write in it: JAX runs what it finds there."""
    for each in (folder.parent, folder):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = each.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            raise PermissionError(0, "others may write there")
    with tempfile.TemporaryFile(dir=folder):
        pass


def _trim(folder: Path, most: int) -> None:
    """Remove the programs that were not used for longest until the rest takes no more than `most` bytes."""
    found = []
    for entry in folder.glob("*/*-cache"):
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue  # Another process is trimming.
        found.append((max(status.st_atime, status.st_mtime), status.st_size, entry))
    excess = sum(size for _, size, _ in found) - most
    for _, size, entry in sorted(found):
        if excess <= 0:
            return
        entry.unlink(missing_ok=True)
        excess -= size


def _mending(folder: Path, show: Callable[..., Any]) -> Callable[..., None]:
    """What shows warnings, with JAX's about a single entry taken out.

    JAX writes in place: a kill or a full disk leaves half an entry, of which it would warn at every start
    without ever replacing it. Removed while it warns, the entry is written anew by the same compilation.
    """
    said = False

    def showwarning(message: Any, *place: Any, **options: Any) -> None:
        nonlocal said
        failed = _FAILED.match(str(message))
        if failed is None:
            show(message, *place, **options)
            return
        doing, program, why = failed.groups()
        for entry in folder.glob(f"{glob.escape(program)}-*-cache"):
            entry.unlink(missing_ok=True)
        if doing == "writing" and not said:
            said = True
            _say(f"{folder} ({' '.join(why.split())})")

    return showwarning


def _say(where_and_why: str) -> None:
    print(
        f"gac: compiled programs cannot be kept in {where_and_why}: every start compiles anew; "
        "make room, or set GAC_CACHE to a folder of your own",
        file=sys.stderr,
    )
