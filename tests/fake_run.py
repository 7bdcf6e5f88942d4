"""Run folders with made-up but plausible records, for the tests of the report."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from gac.config import Config

# Mean and std of the achieved and mean of the predicted return, as on a Hopper data set of mixed quality.
PLAUSIBLE = {
    "exploit": (2310.0, 240.0, 2480.0),
    "explore": (1620.0, 610.0, 1540.0),
    "target": (2050.0, 520.0, 2790.0),
    "prior": (640.0, 520.0, 575.0),
}
LOW, HIGH = -20.272305, 3234.3


def evaluation(
    query: str, episodes: int = 100, seed: int = 0, shift: float = 0.0, **changes: Any
) -> dict[str, Any]:
    """The fields of an `eval-<query>.json`."""
    mean, std, predicted = PLAUSIBLE[query]
    random = np.random.default_rng([seed, len(query), ord(query[0]) + ord(query[-1])])
    returns = np.clip(random.normal(mean + shift, std, episodes), 15, 3300)
    promised = random.normal(predicted + shift, 0.25 * std, episodes)
    scores = 100 * (returns - LOW) / (HIGH - LOW)
    steps = 0 if query == "prior" else 120
    trace = [700 + (promised.mean() - 700) * (1 - math.exp(-step / 25)) for step in range(steps)]
    return {
        "query": query,
        "env_id": "Hopper-v5",
        "seed": seed,
        "returns": returns.tolist(),
        "lengths": np.clip(returns / 3, 10, 1000).astype(int).tolist(),
        "predicted_returns": promised.tolist(),
        "mean": float(returns.mean()),
        "std": float(returns.std()),
        "normalized_mean": float(scores.mean()),
        "normalized_std": float(scores.std()),
        "plan_seconds": 0.02 if query == "prior" else 1.37,
        "steps_per_second": 2150.0,
        "versions": {"gac": "0.1.0", "jax": "0.10.2", "gymnasium": "1.4.0", "mujoco": "4.0.0"},
        "trace": trace,
        "converged": 1.0 if query == "prior" else 0.97,
        "query_steps": float(steps),
    } | changes


def consistency(seed: int = 0, episodes: int = 50, **changes: Any) -> dict[str, Any]:
    """The fields of a `consistency.json`: commands are met up to about 2500."""
    random = np.random.default_rng(seed)
    commanded = np.linspace(20, 3180, 7)
    commanded = [*commanded, *(commanded[-1] + (commanded[1] - commanded[0]) * np.arange(1, 3))]
    returns = [random.normal(min(y, 2500.0), 50 + 0.1 * y, episodes) for y in commanded]
    return {
        "env_id": "Hopper-v5",
        "seed": seed,
        "commanded": list(map(float, commanded)),
        "usual": 2100.0,
        "returns": [row.tolist() for row in returns],
        "predicted_returns": [random.normal(y, 60, episodes).tolist() for y in commanded],
        "estimated_returns": [(0.8 * row + random.normal(200, 150, episodes)).tolist() for row in returns],
        "estimated_stds": [[400.0] * episodes for _ in returns],
        "versions": {"gac": "0.1.0", "jax": "0.10.2", "gymnasium": "1.4.0", "mujoco": "4.0.0"},
    } | changes


def metrics(updates: int = 1500, every: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`."""
    random = np.random.default_rng(seed)
    lines = []
    for update in range(every, updates + 1, every):
        rise = 1 - math.exp(-update / 250)
        tau = -4000 * math.exp(-update / 20) + 900 * rise - 700 + random.normal(0, 12)
        y = -1.3 + 1.1 * rise + random.normal(0, 0.03)
        kl = 26 * rise + random.normal(0, 0.5)
        line = {
            "update": update,
            "seconds": update * 0.16,
            "elbo": tau + y - kl,
            "log_p_tau": tau,
            "log_p_y": y,
            "kl": kl,
            "kl_per_token": [kl / 4] * 4,
            "active_dims": round(90 * rise + random.normal(0, 1.5)),
            "inner_steps": 10 - 3 * rise + random.normal(0, 0.2),
            "return_error": 300 * (1 - 0.7 * rise),
            "prior_return_mean": -0.9 * math.exp(-update / 300) + random.normal(0, 0.05),
            "prior_return_std": 0.2 + 0.75 * rise + random.normal(0, 0.03),
            "posterior_second_moment": 1 + 0.1 * rise,
            "trajectories_per_second": 620.0,
        }
        lines.append(line | ({"heldout_elbo": line["elbo"] - 9} if update % 100 == 0 else {}))
    return lines


def write_run(
    folder: Path,
    queries: dict[str, dict[str, Any]] | None = None,
    lines: list[dict[str, Any]] | None = None,
    config: Config | None = None,
    name: str = "hopper-medium-replay",
) -> Path:
    """Write a whole run's folder; every query with 100 episodes unless given."""
    folder.mkdir(parents=True, exist_ok=True)
    config = config or Config()
    random = np.random.default_rng(7)
    returns = np.concatenate([random.gamma(1.6, 210, 420), np.clip(random.normal(1500, 620, 130), 20, 3190)])
    lengths = np.clip(returns / 3, 10, 1000).astype(int)
    facts = {
        "name": name,
        "env_id": "Hopper-v5",
        "episodes": len(returns),
        "steps": int(lengths.sum()),
        "returns": returns.tolist(),
        "lengths": lengths.tolist(),
    }
    (folder / "config.json").write_text(config.to_json())
    (folder / "data.json").write_text(json.dumps(facts))
    rows = metrics(seed=config.seed) if lines is None else lines
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for record in (
        {query: evaluation(query) for query in PLAUSIBLE} if queries is None else queries
    ).values():
        (folder / f"eval-{record['query']}.json").write_text(json.dumps(record))
    return folder


def second_config() -> Config:
    """A configuration that differs from the default one in two settings."""
    config = Config(seed=1)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, context=4))
