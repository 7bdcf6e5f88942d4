"""Improve on own logs, batch by batch, without an environment: python examples/online_batches.py [FOLDER]

Goes on from the run of own_logs.py, and makes it first where it is missing.
"""

import sys
from pathlib import Path

import numpy as np
from own_logs import MINUTES, Tank, score
from own_logs import main as train_on_logs

import gac


def run_batches(agent: gac.Agent, plan: gac.Plan, tanks: list[Tank]) -> gac.Episodes:
    """What the plant does with the plans, one tank each; its log comes back as episodes."""
    policy, seen, acted = agent.policy(plan), [], []
    for _ in range(MINUTES):
        seen.append(np.stack([tank.read() for tank in tanks]))
        acted.append(policy(seen[-1]))
        for tank, action in zip(tanks, acted[-1], strict=True):
            tank.heat(float(action[0]))
    observations, actions = np.stack(seen, axis=1), np.stack(acted, axis=1)
    yields = [score(row[:, 0].tolist()) for row in observations]
    return gac.Episodes.from_arrays(list(observations), list(actions), returns=yields, name="new batches")


def main(run: str = "runs/own-logs", stages: str = "2", updates: str = "150") -> list[float]:
    if not Path(run, "config.json").exists():
        train_on_logs(run)
    columns = {"observations": ["temperature", "pressure"], "actions": ["valve"]}
    data = gac.read_table(f"{run}.csv", episode="batch", step="minute", score="yield", **columns)
    config = gac.OnlineConfig(updates=int(updates))
    online = gac.Online(gac.load(run), data, f"{run}-tuned", config, overwrite=True)
    rng, means = np.random.default_rng(2), [float(data.returns.mean())]
    for _ in range(int(stages)):
        tanks = [Tank(rng) for _ in range(20)]
        plan, aims = online.plans(np.stack([tank.read() for tank in tanks]))
        online.add(run_batches(online.agent, plan, tanks), aims)
        record = online.train()
        found = record.collection
        means.append(found.mean)
        print(f"stage {record.stage}: aimed at {np.mean(found.y_plus):.1f}, yielded {found.mean:.1f}")
    return means


if __name__ == "__main__":
    main(*sys.argv[1:])
