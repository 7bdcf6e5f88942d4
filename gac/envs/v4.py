"""Gymnasium's v4 robots: their physics and rewards are those of D4RL's v2, so the older version is meant."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_OUT_OF_DATE = r".*The environment (Hopper|Walker2d|HalfCheetah)-v4 is out of date"


@contextmanager
def v4_meant() -> Iterator[None]:
    """Within it, `gymnasium.make` does not advise to take a newer version of a v4 robot."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _OUT_OF_DATE, DeprecationWarning)
        yield
