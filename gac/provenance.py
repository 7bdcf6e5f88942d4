"""Where a record comes from: the commit of the code, the machine, the versions."""

import functools
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from gac.version import __version__

PACKAGES = ("jax", "gymnasium", "mujoco")


@functools.cache
def commit() -> str | None:
    """The commit of the package's checkout, marked where files changed since; None outside of one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    line = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        said = subprocess.run(line, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


@functools.cache
def machine() -> str:
    """Processor, cores that this process may use, and operating system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{_processor()}, {cores} of {os.cpu_count()} cores, {platform.system()}"


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of gac and of the packages that a figure depends on."""
    return {"gac": __version__} | {name: version(name) for name in packages}


def _processor() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
