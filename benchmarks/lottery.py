"""What each query does in a lottery, over kinds, chances, sizes of the data and seeds.

    python benchmarks/lottery.py run --records benchmarks/records/lottery
    python benchmarks/lottery.py table --records benchmarks/records/lottery

Not buying pays 1. Buying pays 0.5 on average, or 2 (the reverse): the prize is that over its chance. A seed
is that of the data and of training. Every run is a process of its own on a core of its own; what has a record
is not run again.
"""

import dataclasses
import itertools
import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jobs import on_every_core

from gac.provenance import commit

KINDS = ("seen", "hidden", "spread")
POOR, RICH = 0.5, 2.0
"""Expected returns of a ticket."""
SURE = 1.0
PLANS = 50
BATCH = 25
"""Episodes per update; the preset fast apart from that."""


@dataclasses.dataclass(frozen=True)
class Lottery:
    """One lottery, one model."""

    kind: str
    p: float
    episodes: int
    pays: float
    seed: int

    @property
    def data(self) -> str:
        """Name of the data set."""
        return f"lottery:kind={self.kind},p={self.p:g},win={self.pays / self.p:g},episodes={self.episodes}"

    def record(self, records: str) -> Path:
        """Its file."""
        name = f"{self.kind}-p{self.p:g}-n{self.episodes}-pays{self.pays:g}-seed{self.seed}.json"
        return Path(records, name)


@dataclasses.dataclass(frozen=True)
class Job:
    """All lotteries of a size and a seed, which share what is compiled."""

    episodes: int
    seed: int
    chances: tuple[float, ...]
    updates: int
    records: str

    def waiting(self) -> list[Lottery]:
        """Those without a record."""
        every = itertools.product((POOR, RICH), self.chances, KINDS)
        lotteries = [Lottery(kind, p, self.episodes, pays, self.seed) for pays, p, kind in every]
        return [each for each in lotteries if not each.record(self.records).exists()]


def run(
    *,
    records: Path = Path("benchmarks/records/lottery"),
    chances: tuple[float, ...] = (0.5, 0.05, 0.01),
    sizes: tuple[int, ...] = (200, 1000, 10_000),
    seeds: tuple[int, ...] = (0, 1, 2),
    updates: int = 150,
) -> None:
    """Train and ask.

    Args:
        records: Folder of the records.
        chances: Probabilities that a ticket wins.
        sizes: Numbers of episodes.
        seeds: Seeds of data and training.
        updates: Updates of training.
    """
    jobs = [Job(size, seed, chances, updates, str(records)) for seed in seeds for size in sizes]
    print(f"{sum(len(job.waiting()) for job in jobs)} models to go", flush=True)
    on_every_core(__file__, [job for job in jobs if job.waiting()])


def one(job: tyro.conf.Positional[str], /, *, core: int) -> None:
    """The models of a job, on one core (called by `run`).

    Args:
        job: A `Job` as JSON.
        core: The core.
    """
    os.sched_setaffinity(0, {core})
    this = Job(**json.loads(job))
    for lottery in this.waiting():
        record = _asked(lottery, this.updates)
        path = lottery.record(this.records)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(lottery.data, lottery.seed, record["queries"]["exploit"], flush=True)


def _asked(lottery: Lottery, updates: int) -> dict[str, Any]:
    """Train a model and ask it: the record."""
    import gac

    episodes = gac.load_data(lottery.data, seed=lottery.seed)
    config = gac.presets.fast()
    training = dataclasses.replace(config.training, batch_size=BATCH)
    config = dataclasses.replace(config, seed=lottery.seed, training=training)
    with tempfile.TemporaryDirectory() as folder:
        agent = gac.train(episodes, config, out=Path(folder, "run"), updates=updates)
    bought = episodes.actions[episodes.starts, 0] > 0.0
    s0 = np.repeat(episodes.observations[:1], PLANS, axis=0)
    queries = {"exploit": gac.Exploit(), "explore": gac.Explore(), "prior": gac.Prior()}
    return {
        **dataclasses.asdict(lottery),
        "data": lottery.data,
        "updates": updates,
        "mean_if_bought": float(episodes.returns[bought].mean()),
        "winners": int((episodes.returns[bought] > 0.0).sum()),
        "std": float(episodes.returns.std()),
        "queries": {name: _plans(agent, query, s0, lottery.pays) for name, query in queries.items()},
        "commit": commit(),
        "config": json.loads(config.to_json()),
    }


def _plans(agent: Any, query: Any, s0: np.ndarray, pays: float) -> dict[str, float]:
    """Share of plans that buy, and their promises less the truth in standard deviations of the returns."""
    plan = agent.plan(s0, query=query)
    buys = agent.policy(plan)(s0)[:, 0] > 0.0
    off = (plan.predicted_returns - np.where(buys, pays, SURE)) / agent.standardiser.return_std
    return {
        "buys": float(buys.mean()),
        "promise": float(np.mean(plan.predicted_returns)),
        "off": float(np.mean(off)),
    }


def table(records: Path) -> None:
    """Print a row for each chance and size, over kinds and seeds.

    Args:
        records: Folder of the records.
    """
    found = defaultdict(list)
    for path in sorted(records.glob("*.json")):
        record = json.loads(path.read_text())
        found[record["pays"], record["p"], record["episodes"]].append(record)
    print("| ticket pays | p | episodes | models | exploit buys | promise off, worst | explore | prior |")
    print("|---|---|---|---|---|---|---|---|")
    for (pays, p, size), each in sorted(found.items()):
        buys = {
            name: np.mean([r["queries"][name]["buys"] for r in each])
            for name in ("exploit", "explore", "prior")
        }
        off = max(abs(r["queries"]["exploit"]["off"]) for r in each)
        print(
            f"| {pays:g} | {p:g} | {size:,} | {len(each)} | {buys['exploit']:.0%} | {off:.2f} | "
            f"{buys['explore']:.0%} | {buys['prior']:.0%} |"
        )


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "one": one, "table": table})
