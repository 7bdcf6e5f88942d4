"""Own logs, a CSV file with one score per batch and no environment: python examples/own_logs.py [FOLDER]"""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import gac

MINUTES = 30


class Tank:
    """Stand-in for the process that was logged: a tank that a valve heats and the room cools."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.temperature = rng, 20.0 + 2.0 * rng.normal()

    def read(self) -> np.ndarray:
        """Temperature and pressure."""
        return np.array([self.temperature, 1.0 + 0.01 * (self.temperature - 20.0)], np.float32)

    def heat(self, valve: float) -> None:
        self.temperature += 6.0 * valve - 0.04 * (self.temperature - 20.0) + 0.2 * self.rng.normal()


def score(temperatures: list[float]) -> float:
    """The batch's yield, known at its end: the nearer to 80 degrees in its second half, the better."""
    return 100.0 - float(np.mean(np.abs(np.array(temperatures[MINUTES // 2 :]) - 80.0)))


def write_log(path: Path, batches: int = 200) -> None:
    """A row per minute; operators differ in the temperature that they aim at, and in how steady they are."""
    rng = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["batch", "minute", "temperature", "pressure", "valve", "yield"])
        for batch in range(batches):
            tank, aim, rows = Tank(rng), rng.uniform(40.0, 90.0), []
            for minute in range(MINUTES):
                temperature, pressure = tank.read()
                valve = float(np.clip(0.05 * (aim - temperature) + 0.4 + 0.1 * rng.normal(), 0.0, 1.0))
                rows.append([minute, float(temperature), float(pressure), valve])
                tank.heat(valve)
            result = score([row[1] for row in rows])
            writer.writerows([f"B{batch:03}", *row, result] for row in rows)


def run_batch(agent: gac.Agent, plan: gac.Plan, tank: Tank) -> float:
    """What a controller does: read the sensors, ask the policy, set the valve. Returns the yield."""
    policy, temperatures = agent.policy(plan), []
    for _ in range(MINUTES):
        observation = tank.read()
        temperatures.append(float(observation[0]))
        tank.heat(float(policy(observation)[0]))
    return score(temperatures)


def main(out: str = "runs/own-logs", updates: str = "300") -> float:
    log = Path(f"{out}.csv")
    log.parent.mkdir(parents=True, exist_ok=True)
    write_log(log)
    data = gac.read_table(
        log,
        episode="batch",
        step="minute",
        observations=["temperature", "pressure"],
        actions=["valve"],
        score="yield",
    )
    config = gac.presets.fast()
    config = replace(config, model=replace(config.model, embed_dim=16, heads=2))
    agent = gac.train(data, config, out=out, updates=int(updates), overwrite=True)

    tank = Tank(np.random.default_rng(1))
    plan = agent.plan(tank.read(), gac.Exploit())
    achieved = run_batch(agent, plan, tank)
    print(f"logged yields: mean {data.returns.mean():.1f}, best {data.returns.max():.1f}")
    print(f"the plan promises {plan.predicted_returns[0]:.1f}; this batch yielded {achieved:.1f}")
    return achieved


if __name__ == "__main__":
    main(*sys.argv[1:])
