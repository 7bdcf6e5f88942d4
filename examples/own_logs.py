"""Own logs: one return per episode, no rewards, no environment. Run: python examples/own_logs.py [FOLDER]"""

import sys
from dataclasses import replace

import numpy as np

import gac


def make_logs(episodes: int = 40) -> gac.Episodes:
    """Stand-in for logs: a point on a line, pushed by one force; the return is how near to 1 it ends."""
    rng = np.random.default_rng(0)
    observations, actions, returns = [], [], []
    for gain in rng.uniform(0.0, 1.0, episodes):
        x, states, forces = 0.0, [[0.0, 0.0]], []
        for t in range(int(rng.integers(10, 20))):
            force = float(np.clip(gain * (1.0 - x) + 0.05 * rng.normal(), -1.0, 1.0))
            x += 0.2 * force
            forces.append([force])
            states.append([x, (t + 1) / 20])
        observations.append(np.asarray(states))  # T + 1 rows: the last is the state after the last action
        actions.append(np.asarray(forces))
        returns.append(-abs(1.0 - x))
    return gac.Episodes.from_arrays(observations, actions, returns=returns, name="own-logs")


def main(out: str = "runs/own-logs", updates: str = "200") -> np.ndarray:
    config = gac.presets.fast()
    config = replace(config, model=replace(config.model, embed_dim=16, heads=2))
    agent = gac.train(make_logs(), config, out=out, updates=int(updates), overwrite=True)

    now = np.zeros(2)
    plan = agent.plan(now, gac.Exploit())
    policy = agent.policy(plan)
    action = policy(now)
    print(f"plan promises a return of {plan.predicted_returns[0]:.2f}; first action {action}")
    return action


if __name__ == "__main__":
    main(*sys.argv[1:])
