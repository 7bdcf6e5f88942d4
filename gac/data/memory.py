"""How much memory there is."""

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container says what it may use, by version of control groups."""


def available_memory() -> int:
    """Bytes that can be used without swapping: what the system has left, or the container's limit if less.

    Where the system does not say what is left (macOS), half of all memory.
    """
    left = half = memory_in_all() // 2
    if _MEMINFO.is_file():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        left = 1024 * int(lines["MemAvailable"].split()[0]) if "MemAvailable" in lines else half
    return min(left, memory_in_all())


def memory_in_all() -> int:
    """Bytes of memory that the machine has, or the container's limit if less: the same at every call."""
    limits = [path.read_text().strip() for path in _LIMITS if path.is_file()]
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([most, *(int(limit) for limit in limits if limit.isdigit())])


def gigabytes(size: int) -> str:
    """A size in words."""
    return f"{size / 1e9:.1f} GB"
