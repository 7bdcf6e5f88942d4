"""Logs of scripted controllers, useless to good, in four environments that no setting of GAC was chosen on.

    python benchmarks/scripted_logs.py logs/

Writes one HDF5 file each, in D4RL's layout. Every episode has a controller with parameters of its own, drawn
apart from the environment's seed: what an episode returns is decided by these and by where it begins.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
from numpy import ndarray

Controller = Callable[[ndarray, int], Any]
"""`(observation, step) -> action`, before it is clipped."""


def pendulum(rng: np.random.Generator) -> Controller:
    """Pumps energy with a gain of either sign, and catches the pendulum where it is nearly upright."""
    gain, noise = rng.uniform(-1.0, 3.0), rng.uniform(0.1, 1.0)

    def act(observation: ndarray, step: int) -> Any:
        cos, sin, speed = observation
        angle, energy = np.arctan2(sin, cos), speed**2 / 6.0 + 5.0 * (cos - 1.0)
        upright = abs(angle) < 0.5
        torque = -10.0 * angle - 2.5 * speed if upright else -0.5 * gain * speed * energy
        return [torque + noise * rng.standard_normal()]

    return act


def swimmer(rng: np.random.Generator) -> Controller:
    """Two joints on sine waves, blind to what happens: any frequency, amplitude and lag."""
    frequency, amplitude = rng.uniform(0.2, 3.0), rng.uniform(0.0, 1.2)
    lag, start = rng.uniform(-np.pi, np.pi), rng.uniform(0.0, 2.0 * np.pi)

    def act(observation: ndarray, step: int) -> Any:
        phase = start + 2.0 * np.pi * frequency * 0.04 * step
        return amplitude * np.sin([phase, phase + lag]) + 0.1 * rng.standard_normal(2)

    return act


def reacher(rng: np.random.Generator) -> Controller:
    """A spring from fingertip to target, through the arm's Jacobian; weak, strong, or the wrong way."""
    stiffness, damping, noise = rng.uniform(-1.0, 6.0), rng.uniform(0.0, 1.5), rng.uniform(0.02, 0.3)

    def act(observation: ndarray, step: int) -> Any:
        cos, sin, speed, apart = observation[:2], observation[2:4], observation[6:8], observation[8:10]
        first, both = (sin[0], cos[0]), np.arctan2(sin, cos).sum()
        outer = np.array([-0.11 * np.sin(both), 0.11 * np.cos(both)])
        jacobian = np.stack([0.1 * np.array([-first[0], first[1]]) + outer, outer], axis=1)
        torque = -20.0 * stiffness * jacobian.T @ apart - 0.1 * damping * speed
        return torque + noise * rng.standard_normal(2)

    return act


def double_pendulum(rng: np.random.Generator) -> Controller:
    """Linear feedback with every gain off by its own amount: the poles soon fall."""
    usual = np.array([0.0, -3.0, -9.0, 0.0, -1.5, -1.6])
    gains = usual * rng.uniform(0.2, 1.8) + 0.8 * rng.standard_normal(6)
    noise = rng.uniform(0.02, 0.3)

    def act(observation: ndarray, step: int) -> Any:
        angles = np.arctan2(observation[1:3], observation[3:5])
        return [
            -gains @ np.array([observation[0], *angles, *observation[5:8]]) + noise * rng.standard_normal()
        ]

    return act


LOGS = {
    "pendulum": ("Pendulum-v1", pendulum, 400),
    "swimmer": ("Swimmer-v5", swimmer, 200),
    "reacher": ("Reacher-v5", reacher, 1000),
    "double-pendulum": ("InvertedDoublePendulum-v5", double_pendulum, 1000),
}


def log(env_id: str, make: Callable[[np.random.Generator], Controller], episodes: int) -> dict[str, ndarray]:
    """Columns of D4RL's layout, and by the way the returns in words."""
    env = gymnasium.make(env_id)
    rows: list[tuple[ndarray, ndarray, float, bool, bool]] = []
    returns = np.zeros(episodes)
    for i in range(episodes):
        controller = make(np.random.default_rng(10**6 + i))
        observation, step, over = env.reset(seed=i)[0], 0, False
        while not over:
            wanted = np.asarray(controller(observation, step), np.float32)
            action = np.clip(wanted, env.action_space.low, env.action_space.high)  # type: ignore[attr-defined]
            after, reward, terminated, truncated, _ = env.step(action)
            rows.append((observation, action, float(reward), terminated, truncated and not terminated))
            observation, step, over = after, step + 1, terminated or truncated
            returns[i] += float(reward)
    print(
        f"{env_id}: {episodes} episodes, {len(rows)} steps, return {returns.mean():.1f} ± {returns.std():.1f}"
    )
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    kinds = (np.float32, np.float32, np.float32, bool, bool)
    columns = zip(*rows, strict=True)
    return {name: np.array(column, kind) for name, column, kind in zip(names, columns, kinds, strict=True)}


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the files")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for name, (env_id, make, episodes) in LOGS.items():
        columns = log(env_id, make, episodes)
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            file.attrs["env_id"] = env_id
            for column, values in columns.items():
                file[column] = values


if __name__ == "__main__":
    main()
