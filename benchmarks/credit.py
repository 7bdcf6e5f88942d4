"""Learned credit against true rewards that it never saw, on data sets that have these.

    python benchmarks/credit.py DATA... --record benchmarks/records/credit.json

What GTP makes of it is a setting of benchmarks/gtp.py:

    python benchmarks/gtp.py run DATA... --settings gtp credit-learned
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from gac.provenance import commit

SPAN = 50
"""Steps whose sums are compared as well: credit may be late or early by a few steps."""


def measured(data: str) -> dict[str, Any]:
    """Held-out R² of returns, and the correlations of credit with the true rewards."""
    import gac
    from gac.config import CreditConfig
    from gac.credit.record import correlation
    from gac.credit.ridge import learn

    episodes, config = gac.load_data(data), CreditConfig(rewards="learned")
    began = time.process_time()
    credit = learn(episodes, config)
    figures: dict[str, Any] = {"data": Path(data).name, "episodes": len(episodes)}
    figures |= {"steps": episodes.num_steps, "seconds": time.process_time() - began}
    figures["mean"], figures["std"] = float(episodes.returns.mean()), float(episodes.returns.std())
    if credit is None:
        return figures | {"r2": None, "accepted": False}
    figures |= {"r2": credit.r2, "penalty": credit.penalty, "accepted": credit.r2 > config.credit_least_r2}
    if episodes.rewards is None or np.ptp(episodes.rewards) == 0:
        return figures
    assigned = credit(episodes.observations, episodes.actions)
    return figures | {
        "correlation": correlation(assigned, episodes.rewards, episodes),
        "correlation_of_sums": correlation(assigned, episodes.rewards, episodes, SPAN),
    }


def main(data: tyro.conf.Positional[tuple[str, ...]], /, *, record: Path) -> None:
    """Measure, print a table, write a record.

    Args:
        data: Names or paths of data sets.
        record: The record to write.
    """
    from gac.bench.limits import machine

    found = []
    print("| data | episodes | R², held out | used | within an episode | sums of 50 steps | CPU, s |")
    print("|---|---|---|---|---|---|---|")
    for name in data:
        found.append(figures := measured(name))
        r2, used = figures["r2"], "yes" if figures["accepted"] else "refused"
        cells = [f"{figures[key]:.2f}" if figures.get(key) is not None else NOTHING for key in CORRELATIONS]
        shown = NOTHING if r2 is None else f"{np.floor(1e4 * r2) / 1e4:.4f}"
        columns = (figures["data"], f"{figures['episodes']:,}", shown, used, *cells)
        print(f"| {' | '.join(columns)} | {figures['seconds']:.1f} |", flush=True)
    about = {"commit": commit(), "machine": machine(), "span": SPAN}
    record.write_text(json.dumps(about | {"data": found}, indent=1) + "\n")


NOTHING = "\N{EN DASH}"
CORRELATIONS = ("correlation", "correlation_of_sums")

if __name__ == "__main__":
    tyro.cli(main)
