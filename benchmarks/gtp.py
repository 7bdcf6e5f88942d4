"""Generative Trajectory Policies: what the open choices and the parts of the method are worth, and speed.

    python benchmarks/gtp.py run DATA... --out runs/gtp --records benchmarks/records/gtp
    python benchmarks/gtp.py table --records benchmarks/records/gtp
    python benchmarks/gtp.py speed --json-file FILE

Every run is a process of its own on a core of its own. It trains for a number of updates, not of minutes, so
that a busy machine changes nothing but the time. What has a record is not run again, and a run that was
interrupted goes on from its last checkpoint: the same command goes on. The last weights are evaluated, never
the best ones, on environment seeds that nothing else uses.
"""

import dataclasses
import functools
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jobs import on_every_core, stem

from gac.config import CreditConfig
from gac.provenance import commit

ENVIRONMENT_SEED = 60_000
"""Environment seeds from here on; no other script or default uses them."""
SETTINGS: dict[str, dict[str, Any]] = {
    "gtp": {},
    # Open: the strength of guidance, V, the losses' balance, the times.
    "eta-3": {"eta": 3.0},
    "v-expectile": {"value": "expectile"},
    "v-1-sample": {"value_samples": 1},
    "flow-0.1": {"lambda_flow": 0.1},
    "times-log-uniform": {"times_std": 20.0},
    "levels-40": {"levels_last": 40},
    "sigma-max-5": {"sigma_max": 5.0},
    # Ablations.
    "gtp-bc": {"eta": 0.0},
    "no-consistency": {"consistency": 0.0},
    "no-flow": {"lambda_flow": 0.0},
    "score": {"intermediate": "score"},
    "solver": {"intermediate": "solver"},
    "exponential": {"weighting": "exponential"},
    # Returns alone: rewards learned from them.
    "credit-learned": {"credit": CreditConfig(rewards="learned")},
    # Other policies as special cases of the map: no value anywhere.
    "bc-mean": {"eta": 0.0, "consistency": 0.0, "sampler": "euler", "steps": 1},
    "diffusion-bc": {"eta": 0.0, "consistency": 0.0, "sampler": "euler", "steps": 20},
    "score-bc": {"eta": 0.0, "intermediate": "score"},
    "bc-flow-0.1": {"eta": 0.0, "lambda_flow": 0.1},
}
"""Fields that differ from the preset."""
STEPS = (1, 2, 5)
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Job:
    """A model trained by a setting, and evaluated at several numbers of sampling steps."""

    data: str
    setting: str
    seed: int
    updates: int
    episodes: int
    out: str
    records: str

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(self.out, stem(self.data), f"{self.setting}-{self.seed}")

    @property
    def record(self) -> Path:
        """Of what came of it."""
        return Path(self.records, stem(self.data), f"{self.setting}-{self.seed}.json")


def run(
    data: tyro.conf.Positional[tuple[str, ...]],
    /,
    *,
    out: Path = Path("runs/gtp"),
    records: Path = Path("benchmarks/records/gtp"),
    updates: int = 50_000,
    seeds: tuple[int, ...] = (0, 1, 2),
    episodes: int = 50,
    settings: tuple[str, ...] = tuple(SETTINGS),
) -> None:
    """Train and evaluate.

    Args:
        data: Names or paths of data sets with a reward at each step.
        out: Folder of the runs.
        records: Folder of the records.
        updates: Updates of training.
        seeds: Seeds of training.
        episodes: Episodes of an evaluation.
        settings: What to train; all unless given.
    """
    if unknown := sorted(set(settings) - SETTINGS.keys()):
        sys.exit(f"settings {', '.join(unknown)} are unknown, expected some of {', '.join(SETTINGS)}")
    paths = str(out), str(records)
    jobs = [
        Job(d, name, seed, updates, episodes, *paths) for seed in seeds for name in settings for d in data
    ]
    waiting = [job for job in jobs if not job.record.exists()]
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
    from gac.bench.limits import machine
    from gac.compilation import keep_compiled

    keep_compiled()
    this = Job(**json.loads(job))
    fields = SETTINGS[this.setting]
    config = dataclasses.replace(gac.presets.gtp(), seed=this.seed, **fields)
    episodes = gac.load_data(this.data)
    begun = (this.folder / "state.safetensors").exists()
    agent = gac.train(
        episodes, config, out=this.folder, updates=this.updates, resume=begun, overwrite=not begun
    )
    steps = sorted({*STEPS, config.steps}) if config.sampler == "map" else [config.steps]
    played = {
        str(each): json.loads(
            gac.evaluate(agent, episodes=this.episodes, seed=ENVIRONMENT_SEED, steps=each).to_json()
        )
        for each in steps
    }
    last = json.loads((this.folder / "metrics.jsonl").read_text().splitlines()[-1])
    record = {
        "data": episodes.name,
        "data_mean": float(episodes.returns.mean()),
        "setting": this.setting,
        "seed": this.seed,
        "commit": commit(),
        "machine": machine(),
        "config": json.loads(config.to_json()),
        "metrics": last,
        "evaluations": played,
        "samples": {str(each): distances(agent, episodes, each) for each in steps},
    }
    this.record.parent.mkdir(parents=True, exist_ok=True)
    partial = this.record.with_suffix(".tmp")
    partial.write_text(json.dumps(record, indent=1))
    partial.replace(this.record)


def distances(agent: Any, episodes: Any, steps: int, rows: int = 600, count: int = 12) -> dict[str, float]:
    """How sampled actions lie to logged ones, in logged states: what a clone's return shows only with noise.

    Returns:
        Of scaled actions: the energy score E|a - a'| - E|a' - a"|/2 of samples a', a" and the logged a, least
        for samples of the data's own distribution; and the variance of samples over the squared error of
        their mean, which is then 1, both freed of the bias of so few samples.
    """
    standardiser = agent.standardiser
    chosen = np.random.default_rng(0).choice(episodes.num_steps, rows)
    logged = standardiser.standardise_action(episodes.actions[chosen])
    policy, seen = agent.policy(seed=0, steps=steps), episodes.observations[chosen]
    drawn = np.stack([standardiser.standardise_action(policy(seen)) for _ in range(count)])
    apart = np.linalg.norm(drawn[:, None] - drawn, axis=-1).sum(axis=(0, 1)) / (count * (count - 1))
    score = np.linalg.norm(drawn - logged, axis=-1).mean(axis=0) - apart / 2
    spread = drawn.var(axis=0, ddof=1).mean()
    error = ((logged - drawn.mean(axis=0)) ** 2).mean() - spread / count
    return {"energy_score": float(score.mean()), "spread": float(spread / error)}


def table(*, records: Path = Path("benchmarks/records/gtp")) -> None:
    """Print mean returns over seeds and episodes with 95 % bootstrap intervals, by number of sampling steps.

    The last column is the mean energy score at the configuration's own number.

    Args:
        records: Folder of the records.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(records.glob("*/*.json")):
        record = json.loads(path.read_text())
        found[path.parent.name][record["setting"]].append(record)
    for data, settings in found.items():
        every = [record for each in settings.values() for record in each]
        print(f"\n### {data}: mean return of the data {every[0]['data_mean']:.0f}\n")
        columns = sorted({int(steps) for record in every for steps in record["evaluations"]})
        print(
            "| setting | seeds | updates | "
            + " | ".join(f"K = {steps}" for steps in columns)
            + " | energy score |"
        )
        print("|---" * (4 + len(columns)) + "|")
        for name in (name for name in SETTINGS if name in settings):
            each = settings[name]
            updates = "/".join(sorted({str(record["metrics"]["update"]) for record in each}))
            cells = [_cell([r["evaluations"].get(str(steps)) for r in each]) for steps in columns]
            scores = [r["samples"][str(r["config"]["steps"])]["energy_score"] for r in each]
            print(
                f"| {name} | {len(each)} | {updates} | "
                + " | ".join([*cells, f"{np.mean(scores):.3f}"])
                + " |"
            )


def _cell(evaluations: list[dict[str, Any] | None]) -> str:
    """Mean and interval, resampled over seeds and over episodes."""
    returns = [np.array(each["returns"]) for each in evaluations if each is not None]
    if not returns:
        return ""
    rng, means = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(returns), size=len(returns))
        means.append(np.mean([rng.choice(returns[i], len(returns[i])).mean() for i in chosen]))
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{np.mean([each.mean() for each in returns]):.0f} [{low:.0f}, {high:.0f}]"


def speed(*, json_file: Path | None = None, updates: int = 50, repeats: int = 8) -> None:
    """Updates per second beside what the arithmetic allows, and milliseconds of a decision.

    On one core, in processor time: other work on the machine then counts little. The best of several repeats
    counts, as it only adds time.

    Args:
        json_file: Also write the figures here.
        updates: Updates of a repeat.
        repeats: Repeats of each measure.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax
    import jax.numpy as jnp

    import gac
    from gac.bench.limits import machine
    from gac.gtp.critic import Transitions
    from gac.gtp.train import GTP
    from gac.gtp.update import init_state
    from gac.training.blocks import program

    peak = _peak(repeats)
    print(f"matrix products: {peak / 1e9:.1f} G multiply-adds/s at best")
    obs, act, rows = 11, 3, 20_000
    keys = jax.random.split(jax.random.key(0), 4)
    state, action = jax.random.normal(keys[0], (rows, obs)), jnp.tanh(jax.random.normal(keys[1], (rows, act)))
    data = Transitions(state, action, jax.random.normal(keys[2], (rows,)), state, state[:, 0] > 9.0)
    figures: dict[str, Any] = {"machine": machine(), "peak_multiply_adds_per_second": peak}
    for name in ("gtp", "gtp-bc", "v-expectile"):
        config = dataclasses.replace(gac.presets.gtp(), **SETTINGS[name])
        count = multiply_adds(config, obs, act)
        run_all = functools.partial(
            program(GTP, config), init_state(config, obs, act), data, jnp.int32(updates)
        )
        seconds = _best(lambda call=run_all: jax.block_until_ready(call()), repeats)
        rate = updates / seconds
        share = rate * count / peak
        figures[name] = {"updates_per_second": rate, "multiply_adds": count, "share_of_peak": share}
        print(
            f"{name}: {rate:.1f} updates/s, {count / 1e9:.2f} G multiply-adds each, {share:.0%} of the peak"
        )
    figures["act_ms"] = acting(obs, act, repeats)
    print("a decision: " + ", ".join(f"K = {k} {ms:.3f} ms" for k, ms in figures["act_ms"].items()))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1))


PRODUCTS = (2048, 256, 256), (512, 512, 512), (1024, 1024, 1024), (1536, 1536, 1536)
"""Shapes of the products the best of whose rates is the peak."""


def multiply_adds(config: Any, obs: int, act: int) -> int:
    """Of one update: matrix products alone. A backward pass counts as two forward ones."""
    batch, width, critic = config.batch_size, config.width, config.critic_width
    inner = (config.layers - 1) * width**2
    step = act * width + inner + width * act  # one sampling step: the state's part and the times' are shared
    forward = step + (obs + 2 * config.time_features) * width + 8 * config.time_features**2
    q = (obs + act) * critic + (config.critic_layers - 1) * critic**2 + critic
    total = 3 * forward * (bool(config.consistency) + bool(config.lambda_flow))
    # The EMA network's target, from a point at u that it may have to make.
    made = {"score": 0, "composition": 1, "solver": config.solver_steps}[config.intermediate]
    total += forward * (1 + made) * bool(config.consistency)
    if config.eta:
        sampled = obs * width + config.target_steps * step
        total += config.backup_samples * (sampled + 2 * q) + 3 * 2 * q + 2 * q
        samples = config.value_samples
        total += samples * (sampled + 2 * q) if config.value == "samples" else 3 * q + q
    return int(batch * total)


def acting(obs: int, act: int, repeats: int) -> dict[int, float]:
    """Milliseconds of a decision for one environment, by the number of sampling steps."""
    import jax

    import gac
    from gac.gtp.acting import Noise, Sampler
    from gac.gtp.map import FlowMap

    config, seen = gac.presets.gtp(), np.zeros(obs, np.float32)
    actor, found = FlowMap(config, obs, act, jax.random.key(0)), {}
    for steps in STEPS:
        sampler, noise = Sampler(actor, config, steps), Noise(0, act)

        def many(sampler: Any = sampler, noise: Any = noise) -> None:
            for _ in range(200):
                sampler(seen, noise(1)[0])

        found[steps] = 1e3 * _best(many, repeats) / 200
    return found


def _peak(repeats: int) -> float:
    """Multiply-adds per second of a matrix product, the best of `PRODUCTS`."""
    import jax
    import jax.numpy as jnp

    product, found = jax.jit(jnp.matmul), []
    for rows, inner, columns in PRODUCTS:
        x, y = jnp.ones((rows, inner)), jnp.ones((inner, columns))
        seconds = _best(lambda x=x, y=y: jax.block_until_ready(product(x, y)), repeats)
        found.append(rows * inner * columns / seconds)
    return max(found)


def _best(work: Any, repeats: int) -> float:
    """Least processor seconds of so many calls, after a first one."""
    work()
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "one": one, "table": table, "speed": speed})
