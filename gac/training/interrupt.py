"""Ctrl-C at a moment of our choosing."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupt_later() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done.

    Python runs signal handlers in the main thread alone; elsewhere no Ctrl-C arrives, and nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[Any] = []
    usual = signal.signal(signal.SIGINT, lambda *args: arrived.append(args))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if arrived and callable(usual):
            usual(*arrived[0])
