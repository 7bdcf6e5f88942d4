"""What each addition to the paper's method is worth: all of them, none, and all but one.

    python benchmarks/ablation.py run DATA... --out runs/ablation --records benchmarks/records/ablation
    python benchmarks/ablation.py table --records benchmarks/records/ablation

Additions to training are left out of training; additions to queries are taken away from the trained models
that have all. Every run is a process of its own on a core of its own, as many side by side as there are
cores. What has a record is not run again, so the same command goes on after an interruption. Episodes are on
environment seeds that nothing else uses.
"""

import dataclasses
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from jobs import on_every_core, stem

from gac.config import AddedConfig
from gac.provenance import commit

ENVIRONMENT_SEED = 50_000
"""Environment seeds from here on; no other script or default uses them."""
QUERIES = ("searched", "errors")
"""Additions that a trained model can do without."""
FINE_TUNING = ("set_aims",)
"""Additions that nothing here uses."""
TRAINING = tuple(
    field.name for field in dataclasses.fields(AddedConfig) if field.name not in (*QUERIES, *FINE_TUNING)
)
EVERYTHING, NOTHING = "all", "plain"
QUARTILE = 0.25
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Job:
    """A model trained with a variant of the additions; with all, also evaluated without each of a query's."""

    data: str
    variant: str
    seed: int
    minutes: float
    episodes: int
    out: str
    records: str

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(self.out, stem(self.data), f"{self.variant}-{self.seed}")

    def record(self, variant: str) -> Path:
        """Of the evaluation of a variant."""
        return Path(self.records, stem(self.data), f"{variant}-{self.seed}.json")


def run(
    data: tyro.conf.Positional[tuple[str, ...]],
    /,
    *,
    out: Path = Path("runs/ablation"),
    records: Path = Path("benchmarks/records/ablation"),
    minutes: float = 5.0,
    seeds: tuple[int, ...] = (0, 1),
    episodes: int = 50,
    variants: tuple[str, ...] = (EVERYTHING, NOTHING, *(f"no-{name}" for name in TRAINING)),
) -> None:
    """Train and evaluate.

    Args:
        data: Names or paths of data sets.
        out: Folder of the runs.
        records: Folder of the records.
        minutes: Minutes of training, on one core.
        seeds: Seeds of training.
        episodes: Episodes of an evaluation.
        variants: What to train: all, plain, or no-FIELD.
    """
    jobs = [
        Job(each, variant, seed, minutes, episodes, str(out), str(records))
        for seed in seeds
        for variant in variants
        for each in data
    ]
    waiting = [job for job in jobs if not _done(job)]
    print(f"{len(waiting)} of {len(jobs)} models to go", flush=True)
    on_every_core(__file__, waiting)


def one(job: tyro.conf.Positional[str], /, *, core: int) -> None:
    """One model, on one core (called by `run`).

    Args:
        job: A `Job` as JSON.
        core: The core.
    """
    os.sched_setaffinity(0, {core})
    import gac

    this = Job(**json.loads(job))
    episodes = gac.load_data(this.data)
    config = dataclasses.replace(_config(this.variant), seed=this.seed)
    if (this.folder / "model.safetensors").exists():
        agent = gac.load(this.folder)
    else:
        agent = gac.train(episodes, config, out=this.folder, minutes=this.minutes, overwrite=True)
    names = (
        [this.variant, *(f"no-{name}" for name in QUERIES)] if this.variant == EVERYTHING else [this.variant]
    )
    for name in names:
        if not this.record(name).exists():
            _evaluate(this, name, agent)


def table(records: Annotated[Path, tyro.conf.arg(help="Folder of the records.")]) -> None:
    """Print interquartile means with intervals, and what taking each addition away changes."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(records.glob("*/*.json")):
        record = json.loads(path.read_text())
        found[record["data"]][record["variant"]].append(record)
    for data, variants in found.items():
        print(f"\n### {data}\n")
        print("| variant | seeds | interquartile mean | less than all | predicted / achieved | fallen |")
        print("|---|---|---|---|---|---|")
        whole = [record["returns"] for record in variants.get(EVERYTHING, [])]
        for name, each in variants.items():
            returns = [record["returns"] for record in each]
            low, high = interval(returns)
            change = ""
            if whole and name != EVERYTHING:
                loss, error = difference(whole, returns)
                change = f"{loss:.1f} ± {error:.1f}"
            ratio = np.mean([r["predicted_mean"] for r in each]) / np.mean(np.concatenate(returns))
            fallen = np.mean([record["fallen"] for record in each])
            print(
                f"| {name} | {len(each)} | {iqm(np.concatenate(returns)):.1f} [{low:.1f}, {high:.1f}] "
                f"| {change} | {ratio:.2f} | {fallen:.0%} |"
            )


def iqm(values: np.ndarray) -> float:
    """Interquartile mean: of what is left without the lowest and the highest quarter."""
    ordered = np.sort(np.asarray(values, np.float64))
    cut = int(QUARTILE * len(ordered))
    return float(ordered[cut : len(ordered) - cut].mean())


def interval(returns: list[list[float]], level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the interquartile mean, over seeds and within each seed over episodes."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        seeds = rng.integers(len(returns), size=len(returns))
        found.append(iqm(np.concatenate([rng.choice(returns[i], len(returns[i])) for i in seeds])))
    return tuple(np.quantile(found, [(1 - level) / 2, (1 + level) / 2]).tolist())  # type: ignore[return-value]


def difference(whole: list[list[float]], without: list[list[float]]) -> tuple[float, float]:
    """Mean return with all less that without an addition, and its standard error over seeds."""
    ones, others = (np.array([np.mean(each) for each in part]) for part in (whole, without))
    if len(ones) == len(others):  # The same seeds: paired.
        pairs = ones - others
        return float(pairs.mean()), float(pairs.std(ddof=1) / np.sqrt(len(pairs))) if len(
            pairs
        ) > 1 else np.nan
    return float(ones.mean() - others.mean()), float("nan")


def _done(job: Job) -> bool:
    names = [EVERYTHING, *(f"no-{name}" for name in QUERIES)] if job.variant == EVERYTHING else [job.variant]
    return all(job.record(name).exists() for name in names)


def _config(variant: str) -> Any:
    """The configuration of a variant, on the preset fast."""
    from gac import presets

    config, off = presets.fast(), presets.NOTHING_ADDED
    if variant == EVERYTHING:
        return config
    if variant == NOTHING:
        return presets.plain()
    name = variant.removeprefix("no-")
    added = dataclasses.replace(config.added, **{name: getattr(off, name)})
    return dataclasses.replace(config, added=added)


def _evaluate(job: Job, variant: str, agent: Any) -> None:
    """Play exploit with the additions of a variant, and write the record."""
    import gac
    from gac.inference.added.logged import unknown

    config = dataclasses.replace(_config(variant), seed=job.seed)
    searched = config.added.searched > 0
    logged = agent.logged if searched else unknown(0, config.model)
    variation = gac.Agent(agent.model, logged, agent.standardiser, config, agent.facts)
    result = gac.evaluate(variation, query=gac.Exploit(), episodes=job.episodes, seed=ENVIRONMENT_SEED)
    record = json.loads(result.to_json()) | {
        "data": job.data,
        "variant": variant,
        "training_seed": job.seed,
        "minutes": job.minutes,
        "predicted_mean": result.predicted_mean,
        "fallen": float(np.mean(np.array(result.lengths) < max(result.lengths))),
        "commit": commit(),
        "config": json.loads(config.to_json()),
    }
    path = job.record(variant)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{job.data} {variant} seed {job.seed}: {result.mean:.1f} ± {result.std:.1f}", flush=True)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "one": one, "table": table})
