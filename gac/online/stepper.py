"""Environments in a process of their own; runs as a script, for `gac.online.crew`.

Imports no JAX. A message is a letter and its content; nothing is ever pickled.
"""

import json
import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy import ndarray

import gac.envs  # noqa: F401 - registers the mazes
from gac.data.goals import join

RESET, STEP = b"R", b"S"
OBSERVED, FAILED = b"O", b"F"


class RowError(Exception):
    """An environment failed; its row, and what it said."""

    def __init__(self, row: int, error: Exception) -> None:
        super().__init__(" ".join(f"{type(error).__name__}: {error}".split()))
        self.row = row


class Rows:
    """Environments side by side, new ones at every reset."""

    def __init__(self, env: dict[str, Any]) -> None:
        self._env = env
        self._rows: list[gymnasium.Env[Any, Any]] = []

    def reset(self, seeds: list[int]) -> bytes:
        for env in self._rows:
            env.close()
        self._rows = []
        # What an environment keeps over a reset could make an episode depend on those before it.
        for row, seed in enumerate(seeds):
            try:
                self._rows.append(join(self._make()))
                first = self._rows[-1].reset(seed=seed)[0]
            except Exception as error:
                raise RowError(row, error) from error
            if row == 0:
                self._observation = np.zeros((len(seeds), *np.shape(first)))
            self._observation[row] = first
        nothing = np.zeros(len(seeds)), np.zeros(len(seeds), bool), np.zeros(len(seeds), bool)
        return self._answer(*nothing)

    def _make(self) -> gymnasium.Env[Any, Any]:
        spec = self._env["spec"]
        made = gymnasium.make(
            self._env["id"] if spec is None else EnvSpec.from_json(spec), disable_env_checker=True
        )
        return made

    def step(self, actions: ndarray, active: ndarray) -> bytes:
        rewards = np.zeros(len(active))
        terminated, truncated = np.zeros(len(active), bool), np.zeros(len(active), bool)
        for row in np.flatnonzero(active):
            try:
                observed, reward, terminated[row], truncated[row], _ = self._rows[row].step(actions[row])
                self._observation[row], rewards[row] = observed, float(reward)
            except Exception as error:
                raise RowError(int(row), error) from error
        return self._answer(rewards, terminated, truncated)

    def _answer(self, rewards: ndarray, terminated: ndarray, truncated: ndarray) -> bytes:
        return b"".join(
            [OBSERVED, *(a.tobytes() for a in (rewards, self._observation, terminated, truncated))]
        )


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
                answer = rows.reset(json.loads(bytes(content)))
            else:
                count = len(content) // (4 * action_dim + 1)
                flat = np.frombuffer(content, np.float32, count * action_dim)
                active = np.frombuffer(content, bool, offset=flat.nbytes)
                # A copy: environments may write into the action that they are given.
                answer = rows.step(flat.reshape(count, action_dim).copy(), active)
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
    serve(Connection(order["channel"]), Rows(order["env"]), order["action_dim"])


if __name__ == "__main__":
    main()
