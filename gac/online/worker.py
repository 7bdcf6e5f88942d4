"""Environments in a process of their own; runs as a script, for `gac.online.processes`.

Imports no JAX. A message is a letter and its content; nothing is ever pickled.
"""

import json
import os
import sys
import threading
import time
from multiprocessing.connection import Connection

import numpy as np
from gymnasium.envs.registration import EnvSpec

import gac.envs  # noqa: F401 - registers the mazes
from gac.envs.rows import RowError, Rows, Steps
from gac.envs.specification import Environment

RESET, STEP = b"R", b"S"
OBSERVED, FAILED = b"O", b"F"


class Given(Environment):
    """The environment of an order: what the other process specified, whatever is registered in this one."""

    def specification(self) -> EnvSpec | None:
        return None if self.spec is None else EnvSpec.from_json(self.spec)


def serve(channel: Connection, rows: Rows, action_dim: int) -> None:
    """Answer messages until the other side is gone."""
    while True:
        try:
            message = channel.recv_bytes()
        except EOFError:
            return
        content = memoryview(message)[1:]
        try:
            if message[:1] == RESET:
                first = rows.reset(json.loads(bytes(content)))
                count = len(first)
                nothing = np.zeros(count, bool)
                steps = Steps(first, np.zeros(count), nothing, nothing)
            else:
                count = len(content) // (4 * action_dim + 1)
                flat = np.frombuffer(content, np.float32, count * action_dim)
                active = np.frombuffer(content, bool, offset=flat.nbytes)
                steps = rows.step(flat.reshape(count, action_dim), active)
            parts = (steps.reward, steps.observation, steps.terminated, steps.truncated)
            answer = b"".join([OBSERVED, *(part.tobytes() for part in parts)])
        except RowError as error:
            answer = FAILED + json.dumps({"row": error.row, "error": str(error)}).encode()
        channel.send_bytes(answer)


def _end_with_parent(parent: int) -> None:
    """Do not outlive a killed parent, even in the middle of a step that never ends."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def main() -> None:
    """Take orders through the file descriptor that the first argument names."""
    order = json.loads(sys.argv[1])
    threading.Thread(target=_end_with_parent, args=(order["parent"],), daemon=True).start()
    rows = Rows(Given(**order["env"]), order["observation_dim"])
    serve(Connection(order["channel"]), rows, order["action_dim"])


if __name__ == "__main__":
    main()
