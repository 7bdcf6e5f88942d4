"""Never, every N steps, or at the trigger: what replanning gains, with and without disturbances.

    python benchmarks/replanning.py runs/hopper-medium-0 runs/hopper-medium-1 --json FILE
    python benchmarks/replanning.py runs/maze2d-medium-0 --disturb none --json FILE

Every way of replanning plays the same environments with the same pushes and the same noise, episode by
episode, and the gain is the paired difference to never. Intervals are 95 % bootstrap intervals: of episodes
in one run, of runs and then of their episodes over several. Programs are compiled before the clock starts.
"""

import dataclasses
import json
import os
import platform
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

import gac
from gac.acting.evaluate import MOST_ENVIRONMENTS
from gac.acting.replan import Every, Replan, parse_replan
from gac.cli.acting import calibrated, environment_of
from gac.envs.disturb import parse_disturbance
from gac.files import write_text

RESAMPLES = 10_000
NONE = "none"

Record = dict[str, Any]


def warm_up(agent: gac.Agent, query: gac.Exploit, replans: list[Replan], batch: int) -> None:
    """Compile what acting needs: planning and acting once in every way, and one new plan."""
    plan = agent.plan(np.tile(agent.standardiser.observation_mean, (batch, 1)), query)
    for replan in [*replans, Every(1)]:
        policy = agent.policy(plan, replan)
        for _ in range(2):
            policy(np.tile(agent.standardiser.observation_mean, (batch, 1)))


def bootstrap(runs: list[np.ndarray], seed: int = 0) -> tuple[float, float, float]:
    """Mean over runs of the means over episodes, and the ends of its 95 % interval."""
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        chosen = rng.integers(len(runs), size=len(runs))
        means[i] = np.mean([rng.choice(runs[c], len(runs[c])).mean() for c in chosen])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean([run.mean() for run in runs])), float(low), float(high)


def summarise(records: list[Record]) -> Record:
    """The figures of one way of replanning under one disturbance, over one run or several.

    Args:
        records: Evaluations, each with the returns of never replanning in the same environments.
    """
    returns = [np.asarray(record["returns"]) for record in records]
    gained = [np.asarray(record["returns"]) - np.asarray(record["never_returns"]) for record in records]
    replans = np.concatenate([record["replans"] for record in records])
    lengths = np.concatenate([record["lengths"] for record in records])
    return {
        "return": bootstrap(returns),
        "gained": bootstrap(gained),
        "normalized_mean": mean_of(records, "normalized_mean"),
        "replans_per_episode": float(replans.mean()),
        "replanned_episodes": float(np.mean(replans > 0)),
        "replans_per_1000_steps": float(1000 * replans.sum() / lengths.sum()),
        "ms_per_step": mean_of(records, "ms_per_step"),
        "episodes": len(replans),
    }


def mean_of(records: list[Record], key: str) -> float | None:
    values = [record[key] for record in records]
    return None if None in values else float(np.mean(values))


def measure(
    run: Path,
    replans: list[Replan],
    disturbs: list[str],
    episodes: int,
    seed: int,
    query: gac.Exploit,
    env_id: str | None,
) -> list[Record]:
    """Evaluate a run in every way under every disturbance."""
    agent = gac.load(run)
    environment_of(run, agent, env_id)
    records: list[Record] = []
    if any(isinstance(replan, gac.Trigger) for replan in replans):
        calibrated(run, agent, None)
    warm_up(agent, query, replans, min(episodes, MOST_ENVIRONMENTS))
    for words in disturbs:
        disturb = None if words == NONE else parse_disturbance(words)
        never: Record = {}
        for replan in replans:
            result = gac.evaluate(
                agent,
                env_id,
                query=query,
                episodes=episodes,
                seed=seed,
                replan=replan,
                disturb=disturb,
            )
            record = dataclasses.asdict(result) | {"run": run.name}
            never = record if isinstance(replan, gac.Never) else never
            records.append(record | {"never_returns": never["returns"]})
            print(f"{run.name}, {words}, {replan}: {result.mean:.1f}", flush=True)
    return records


def tables(records: list[Record]) -> list[Record]:
    """Summaries of every run, and of all together where there are several."""
    names = list(dict.fromkeys(record["run"] for record in records))
    found = []
    for name in [*names, *(["all runs"] if len(names) > 1 else [])]:
        own = [record for record in records if name in (record["run"], "all runs")]
        for key in dict.fromkeys((record["disturb"], record["replan"]) for record in own):
            same = [record for record in own if (record["disturb"], record["replan"]) == key]
            found.append({"run": name, "disturb": key[0] or NONE, "replan": key[1], **summarise(same)})
    return found


def print_table(rows: list[Record]) -> None:
    table = Table("run", "disturbed", "replan", "return", "gained", "replans", "episodes with", "ms / step")
    for row in rows:
        table.add_row(
            row["run"],
            row["disturb"],
            row["replan"],
            "{:.1f} [{:.1f}, {:.1f}]".format(*row["return"]),
            "-" if row["replan"] == "never" else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*row["gained"]),
            f"{row['replans_per_episode']:.2f}",
            f"{row['replanned_episodes']:.0%}",
            f"{row['ms_per_step']:.2f}",
        )
    Console(width=140).print(table)


def main(
    runs: Positional[tuple[Path, ...]],
    replan: tuple[str, ...] = (
        "never",
        "every:50",
        "every:200",
        "trigger:0.05:surprise",
        "trigger:0.05:fall",
        "trigger:0.05:either",
    ),
    disturb: tuple[str, ...] = (NONE, "push:1", "noise:0.3"),
    episodes: int = 100,
    seed: int = 1000,
    env_id: str | None = None,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Compare ways of replanning.

    Args:
        runs: Folders of trained runs, several seeds of one data set.
        replan: Ways of replanning; never is always among them, and first.
        disturb: Disturbances; none for the environment as it is.
        episodes: Episodes of each run, way and disturbance.
        seed: Seed of the environments, the queries and the disturbances.
        env_id: Gymnasium id of the environment; the data set's unless given.
        json_file: Also write every episode and every figure here, anew after each run.
    """
    if not runs:
        raise SystemExit("no run is given; try: python benchmarks/replanning.py RUN… --json FILE")
    ways = [gac.Never(), *(way for way in map(parse_replan, replan) if way != gac.Never())]
    machine = {"machine": platform.machine(), "cores": len(os.sched_getaffinity(0))}
    records: list[Record] = []
    for run in runs:
        records += measure(run, ways, list(disturb), episodes, seed, gac.Exploit(), env_id)
        if json_file is not None:
            kept = [{key: value for key, value in one.items() if key != "never_returns"} for one in records]
            figures = {"machine": machine, "summary": tables(records), "evaluations": kept}
            write_text(json_file, json.dumps(figures, indent=1) + "\n")
    print_table(tables(records))


if __name__ == "__main__":
    tyro.cli(main)
