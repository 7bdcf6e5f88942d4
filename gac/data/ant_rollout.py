r"""The behaviour behind AntMaze's data; runs as a script, so that a recipe can use several processes.

An ant that has learned to walk to points (`gac.envs.ant_reach`) is led through the maze: along a shortest way
of cells, from waypoint to waypoint, to a goal that is not that of an evaluation. It stays there until the
time is over. Its action is

$$a = \text{clip}(\tanh(\mu + \sigma\,\epsilon) + 0.2\,\epsilon'), \quad \epsilon, \epsilon' \sim N(0, I),$$

clipped to [-1, 1], with the walker's \mu and \sigma.

Source: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219, and its code.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from gac.data.episodes import SHORTEST
from gac.data.maze_rollout import shortest_ways
from gac.data.rollout import load_policy, serve
from gac.envs.ant_layouts import ANT_LAYOUTS, ANT_TASKS, AntLayout, Cell, Point, cell_of, draw_way, middle
from gac.envs.ant_reach import ARRIVED, reach_observation
from gac.envs.antmaze import AntMaze

NOISE = 0.2
"""Standard deviation of the noise on each action, beside the walker's own."""
WAYPOINT_NOISE = 1.0
"""A waypoint lies up to so far beyond its cell's middle in each axis, as D4RL's do."""


@dataclass(frozen=True)
class Job:
    """Runs of one task, with a seed of its own: the same whoever does them."""

    task: str
    """A key of `ANT_TASKS`."""
    bundle: str
    """Path of the safetensors file that holds the walker."""
    snapshot: int
    """The walker's training step in the bundle."""
    min_steps: int
    """No run starts once this many steps are done; those under way are finished."""
    envs: int
    """Environments stepped in turn, so that one matrix product serves them all."""
    seed: list[int]
    """Entropy of every random draw."""


class Guide:
    """Leads from waypoint to waypoint; knows nothing of what walks."""

    def __init__(self, layout: AntLayout, rng: np.random.Generator) -> None:
        self._rng, self._free = rng, layout.free_cells
        self._onward: dict[Cell, dict[Cell, Cell]] = {}
        self._waypoints: list[Point] = []  # the next one is the last

    def go_to(self, goal: Point, x: float, y: float) -> None:
        """From (x, y) turn to a point in a free cell.

        The last waypoint is the point itself, those before it are drawn in the cells on the way.
        """
        cell, last = cell_of(x, y), cell_of(*goal)
        onward = self._onward.setdefault(last, shortest_ways(last, self._free))
        waypoints: list[Point] = []
        while cell != last and (cell := onward[cell]) != last:
            at_x, at_y = middle(cell) + self._rng.uniform(0.0, WAYPOINT_NOISE, 2)
            waypoints.append((float(at_x), float(at_y)))
        self._waypoints = [goal, *reversed(waypoints)]

    def waypoint(self, x: float, y: float) -> Point:
        """Where to go from (x, y): the first waypoint that is not yet reached, at last always the goal."""
        while len(self._waypoints) > 1 and math.dist(self._waypoints[-1], (x, y)) <= ARRIVED:
            self._waypoints.pop()
        return self._waypoints[-1]


class _Run:
    """An ant on one way after another, and what it has done on this one."""

    def __init__(self, task: str, rng: np.random.Generator) -> None:
        self._task, self._rng = ANT_TASKS[task], rng
        self._layout = ANT_LAYOUTS[self._task.size]
        self._env, self._guide = AntMaze(self._task.size), Guide(self._layout, rng)
        self.going = True
        self.begin()

    def begin(self) -> None:
        """Stand at the start of a new way."""
        start, goal = draw_way(self._task, self._rng)
        # Rewards are for the goal of an evaluation, whatever the ant is on its way to.
        options = {"goal": self._layout.target} | ({} if start is None else {"position": start})
        self.state = self._env.reset(seed=int(self._rng.integers(2**31)), options=options)[0]
        self._guide.go_to(goal, *self.state[:2].tolist())
        self._states = [self.state]
        self._actions: list[ndarray] = []
        self._rewards: list[float] = []

    @property
    def waypoint(self) -> Point:
        """Where the ant is to walk now."""
        return self._guide.waypoint(*self.state[:2].tolist())

    def step(self, action: ndarray) -> bool:
        """Whether the run is over with this step, as none but time ends it."""
        self.state, reward, _, _, _ = self._env.step(action)
        self._states.append(self.state)
        self._actions.append(action)
        self._rewards.append(reward)
        return len(self._rewards) == self._layout.horizon

    def episodes(self) -> list[dict[str, ndarray]]:
        """The run's episodes, in the fields of `Episodes`."""
        states, actions = np.asarray(self._states, np.float32), np.asarray(self._actions, np.float32)
        rewards = np.asarray(self._rewards, np.float32)
        return [
            {
                "observations": states[start:end],
                "actions": actions[start:end],
                "rewards": rewards[start:end],
                "lengths": np.array([end - start], np.int32),
                "terminated": rewards[end - 1 : end] > 0,
                "truncated": np.array([end == len(rewards)]),
                "final_observations": states[end : end + 1],
            }
            for start, end in episode_rows(rewards)
        ]


def episode_rows(rewards: ndarray) -> list[tuple[int, int]]:
    """First row of each episode of a run, and the row after its last.

    An episode ends with every reward and with the run, as the flags of D4RL's files say, where the ant walks
    on after it has reached the goal of an evaluation. Single steps, which stay at that goal, are in none.
    """
    ends = np.append(np.flatnonzero(rewards[:-1] > 0) + 1, len(rewards))
    starts = np.append(0, ends[:-1])
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if b - a >= SHORTEST]


def play(job: Job) -> dict[str, ndarray]:
    """Runs in the order of their ends, cut into episodes, as the flat arrays of `Episodes`."""
    policy = load_policy(job.bundle, job.snapshot)
    rng, *own = np.random.default_rng(job.seed).spawn(1 + job.envs)
    runs = [_Run(job.task, each) for each in own]
    shape, steps = (job.envs, policy.mean[1].shape[0]), 0
    finished: list[dict[str, ndarray]] = []
    while any(run.going for run in runs):
        # All ants, walking or not: the shape of the product, hence its rounding, stays the same.
        seen = reach_observation(
            np.stack([run.state for run in runs]), np.array([run.waypoint for run in runs])
        )
        sampled = policy.sample(seen, rng.standard_normal(shape, np.float32))
        actions = np.clip(sampled + np.float32(NOISE) * rng.standard_normal(shape, np.float32), -1.0, 1.0)
        for run, action in zip(runs, actions, strict=True):
            if not run.going:
                continue
            steps += 1
            if run.step(action):
                finished += run.episodes()
                run.going = steps < job.min_steps
                if run.going:
                    run.begin()
    return {key: np.concatenate([episode[key] for episode in finished]) for key in finished[0]}


if __name__ == "__main__":
    try:
        serve(Job, play)
    except KeyboardInterrupt:
        sys.exit(130)
