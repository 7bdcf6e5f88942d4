"""Rollouts of behaviour policies; runs as a script, so that a recipe can use several processes.

Imports little of gac: a worker starts in a fraction of a second, without JAX.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy import ndarray
from safetensors import safe_open

import gac.envs  # noqa: F401 - registers the noisy robot

LOG_STD_RANGE = (-20.0, 2.0)
"""Range of the policy's log standard deviation, as in sbx's SAC."""


class Policy(NamedTuple):
    """SAC's actor: a ReLU network with a mean and a log standard deviation, squashed by tanh."""

    hidden: list[tuple[ndarray, ndarray]]
    mean: tuple[ndarray, ndarray]
    log_std: tuple[ndarray, ndarray]

    def sample(self, observations: ndarray, noise: ndarray) -> ndarray:
        """`tanh(mean + sigma * noise)`: (batch, obs) and (batch, act) to actions (batch, act) in [-1, 1]."""
        x = observations
        for kernel, bias in self.hidden:
            x = np.maximum(x @ kernel + bias, 0.0)
        mean = x @ self.mean[0] + self.mean[1]
        log_std = np.clip(x @ self.log_std[0] + self.log_std[1], *LOG_STD_RANGE)
        actions: ndarray = np.tanh(mean + np.exp(log_std) * noise)
        return actions


@dataclass(frozen=True)
class Job:
    """Episodes of one policy, with a seed of its own: the same whoever runs it."""

    env_id: str
    """Gymnasium id."""
    bundle: str
    """Path of the safetensors file that holds the policy."""
    snapshot: int
    """The policy's training step in the bundle."""
    min_steps: int
    """No episode starts once this many steps are done; those under way are finished."""
    envs: int
    """Environments stepped in turn, so that one matrix product serves them all."""
    seed: list[int]
    """Entropy of every random draw."""


def load_policy(bundle: str, snapshot: int) -> Policy:
    """Read one policy of a bundle; float16 on disk, float32 in use."""
    with safe_open(bundle, framework="np") as file:

        def layer(name: str) -> tuple[ndarray, ndarray]:
            kernel, bias = (file.get_tensor(f"{snapshot}/{name}/{part}") for part in ("kernel", "bias"))
            return kernel.astype(np.float32), bias.astype(np.float32)

        return Policy([layer("hidden_0"), layer("hidden_1")], layer("mean"), layer("log_std"))


def play(job: Job) -> dict[str, ndarray]:
    """Whole episodes in the order of their ends, as the flat arrays of `Episodes`."""
    return play_policy(load_policy(job.bundle, job.snapshot), job)


def play_policy(policy: Policy, job: Job) -> dict[str, ndarray]:
    """As `play`, with the policy given.

    Whether an episode starts depends on the past alone and every one is finished, so episodes are not
    selected by their length (stopping all environments at once would drop long ones).
    """
    rng = np.random.default_rng(job.seed)
    # By its specification: by its id, Gymnasium would advise to take a newer version than is meant.
    spec = gymnasium.spec(job.env_id)
    envs = [gymnasium.make(spec, disable_env_checker=True) for _ in range(job.envs)]
    current = [
        env.reset(seed=int(seed))[0]
        for env, seed in zip(envs, rng.integers(2**31, size=job.envs), strict=True)
    ]
    action_dim = policy.mean[1].shape[0]
    finished: list[_Record] = []
    records: list[_Record | None] = [_Record() for _ in envs]
    steps = 0
    while any(record is not None for record in records):
        # All environments, running or not: the shape of the product, hence its rounding, stays the same.
        noise = rng.standard_normal((job.envs, action_dim), np.float32)
        actions = policy.sample(np.asarray(current, np.float32), noise)
        for i, (env, record) in enumerate(zip(envs, records, strict=True)):
            if record is None:
                continue
            following, reward, terminated, truncated, _ = env.step(actions[i])
            record.add(current[i], actions[i], float(reward))
            current[i] = following
            steps += 1
            if terminated or truncated:
                record.end(following, bool(terminated), bool(truncated))
                finished.append(record)
                more = steps < job.min_steps
                records[i] = _Record() if more else None
                current[i] = env.reset()[0] if more else following
    for env in envs:
        env.close()
    return _flat(finished)


class _Record:
    """An episode under way."""

    def __init__(self) -> None:
        self.observations: list[Any] = []
        self.actions: list[ndarray] = []
        self.rewards: list[float] = []
        self.final: Any = None
        self.terminated = self.truncated = False

    def add(self, observation: Any, action: ndarray, reward: float) -> None:
        self.observations.append(observation)
        self.actions.append(action)
        self.rewards.append(reward)

    def end(self, final: Any, terminated: bool, truncated: bool) -> None:
        self.final, self.terminated, self.truncated = final, terminated, truncated


def _flat(records: list[_Record]) -> dict[str, ndarray]:
    return {
        "observations": np.concatenate([np.asarray(r.observations, np.float32) for r in records]),
        "actions": np.concatenate([np.asarray(r.actions, np.float32) for r in records]),
        "rewards": np.concatenate([np.asarray(r.rewards, np.float32) for r in records]),
        "lengths": np.array([len(r.rewards) for r in records], np.int32),
        "terminated": np.array([r.terminated for r in records], bool),
        "truncated": np.array([r.truncated for r in records], bool),
        "final_observations": np.asarray([r.final for r in records], np.float32),
    }


def serve(job_type: Callable[..., Any], play: Callable[[Any], dict[str, ndarray]]) -> None:
    """Do the jobs that `gac.data.workers` put on standard input; each writes an .npz file."""
    for each in json.load(sys.stdin):
        arrays: dict[str, Any] = {**play(job_type(**each["job"]))}
        np.savez(each["out"], **arrays)


if __name__ == "__main__":
    try:
        serve(Job, play)
    except KeyboardInterrupt:
        sys.exit(130)
