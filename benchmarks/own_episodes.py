"""What the episodes that fine-tuning collected do to a model, by their share in what it learns.

    python benchmarks/own_episodes.py RUN DATA TUNED --json FILE

All that TUNED collected is learned from at once, beginning with RUN, in several ways: as the buffer has it;
as a tenth of what is learned; those alone that return `good` or more; none of it, with the buffer's priority
among the offline episodes; none of it, and the offline episodes all alike, as in `gac train`. Then every
query plays.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import tyro
from numpy import ndarray
from tyro.conf import Positional, arg

import gac
from gac.config import NEAR
from gac.data import load_data
from gac.data.episodes import Episodes
from gac.files import write_text
from gac.inference.queries import Query
from gac.online import stages
from gac.online.folder import batches
from gac.training.offline import Lesson

NOTHING = 1e-9
"""A share of nothing that leaves every rate of visits above zero."""


def shared(way: str, share: ndarray, own: ndarray) -> ndarray:
    """Shares of the episodes of a buffer that fine-tuning would give `share`."""
    if way == "tenth":
        share = np.where(own, 0.1 * share / share[own].sum(), 0.9 * share / share[~own].sum())
    elif way == "none":
        share = np.where(own, NOTHING, share)
    elif way == "alike":
        share = np.where(own, NOTHING, 1.0)
    changed: ndarray = share / share.sum()
    return changed


def learned(run: Path, data: Episodes, tuned: Path, way: str, updates: int, good: float) -> gac.Agent:
    """The agent after one stage of updates on what `tuned` collected."""
    real = stages.lesson

    def lesson(buffer: Episodes, offline: int, *rest: Any) -> tuple[Lesson, ndarray]:
        how, share = real(buffer, offline, *rest)
        return how._replace(share=shared(way, how.share, how.train_index >= offline)), share

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(stages, "lesson", lesson):
        config = gac.OnlineConfig(updates=updates)
        online = gac.Online(gac.load(run), data, Path(folder) / "stage", config)
        for batch in (batch for stage in (1, 2, 3) for batch in batches(tuned, stage)):
            least = good if way == "good" else -np.inf
            taken = np.flatnonzero(batch.episodes.returns >= least)
            if len(taken):
                online.add(batch.episodes.select(taken), batch.aims.at(taken))
        online.train()
        return online.agent


def main(
    run: Positional[Path],
    data: Positional[str],
    tuned: Positional[Path],
    ways: tuple[str, ...] = ("no-update", "as-learned", "tenth", "good", "none", "alike"),
    updates: int = 360,
    good: float = 3000.0,
    targets: tuple[float, ...] = (3500.0,),
    episodes: int = 50,
    seed: int = 7000,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Learn from what was collected in several ways, and play.

    Args:
        run: folder of the run that everything begins with.
        data: its data set.
        tuned: folder of the fine-tuning whose episodes are learned from.
        ways: which of them.
        updates: of each.
        good: return from which an episode counts as good.
        targets: returns for the target query.
        episodes: played by each query.
        seed: of the environment, for the first of them.
        json_file: where to write the record.
    """
    offline, record = load_data(data), []
    settings = {"run": run.name, "data": Path(data).name, "tuned": tuned.name, "updates": updates}
    settings |= {"good": good, "episodes": episodes, "seed": seed}
    for way in ways:
        agent = gac.load(run) if way == "no-update" else learned(run, offline, tuned, way, updates, good)
        queries: list[tuple[str, Query]] = [("exploit", gac.Exploit()), ("prior", gac.Prior())]
        queries += [(f"target {y:g} near {near}", gac.Target(y, near)) for y in targets for near in NEAR]
        for name, query in queries:
            played = gac.evaluate(agent, offline.env_id, query=query, episodes=episodes, seed=seed)
            returns = np.asarray(played.returns)
            line = {
                "way": way,
                "query": name,
                "achieved": float(returns.mean()),
                "std": float(returns.std()),
                "promised": float(np.mean(played.predicted_returns)),
                "good": float((returns >= good).mean()),
            }
            record.append(line)
            print(" ".join(f"{v:.2f}" if isinstance(v, float) else v for v in line.values()), flush=True)
        if json_file is not None:
            write_text(json_file, json.dumps(settings | {"results": record}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
