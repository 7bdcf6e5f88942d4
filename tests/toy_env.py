"""An environment that other processes can import, with the widths of `tiny` and a fault on request."""

import os
import signal
import time
from pathlib import Path

import gymnasium
import numpy as np
import tiny
from gymnasium.spaces import Box

ID = "toy_env:GacWalk-v0"
SHORTEST, LONGEST, FAULT_AT = 3, 8, 5


class Walk(gymnasium.Env):
    """Pays 5 plus the sum of the action at each step; the length and the walk follow from the seed.

    Args:
        fault: what goes wrong at step FAULT_AT of an episode whose seed is divisible by `every`.
        every: see `fault`.
        unless: a file; while it exists, nothing goes wrong.
        log: a file to which each finished episode adds a line with its seed.
        pause: seconds that a step takes.
    """

    def __init__(self, fault=None, every=1, unless=None, log=None, pause=0.0):
        self.observation_space = Box(-100.0, 100.0, (tiny.OBSERVATION_DIM,), np.float32)
        self.action_space = Box(-1.0, 1.0, (tiny.ACTION_DIM,), np.float32)
        self.fault, self.every, self.unless, self.log, self.pause = fault, every, unless, log, pause

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed, self.time = seed, 0
        self.length = int(self.np_random.integers(SHORTEST, LONGEST + 1))
        self.place = self.np_random.normal(size=tiny.OBSERVATION_DIM)
        return self.place.astype(np.float32), {}

    def step(self, action):
        time.sleep(self.pause)
        self.time += 1
        self.place = self.place + 0.3 * self.np_random.normal(size=tiny.OBSERVATION_DIM)
        self.place[: tiny.ACTION_DIM] += 0.1 * action
        observed, reward = self.place.astype(np.float32), 5.0 + float(np.sum(action))
        mended = self.unless is not None and Path(self.unless).exists()
        fault = None if mended or self.seed % self.every else self.fault
        ended = fault != "endless" and (self.time >= self.length or fault == "short")
        if fault and self.time == FAULT_AT:
            if fault == "raise":
                raise ValueError("the motor\nis hot")
            if fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "hang":
                time.sleep(1000.0)
            reward = float("nan") if fault == "reward" else reward
            observed[1] = np.inf if fault == "observation" else observed[1]
        if ended and self.log:
            with open(self.log, "a") as file:
                file.write(f"{self.seed}\n")
        return observed, reward, ended and self.length % 2 == 0, ended and self.length % 2 == 1, {}


gymnasium.register("GacWalk-v0", Walk)
