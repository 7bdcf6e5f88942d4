"""Speed and memory on the machine that this runs on.

    python benchmarks/speed.py [--run RUN] [--json FILE]

Run it on an idle machine. It prints a table and, with `--json`, writes every figure.
"""

import dataclasses
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import arg

import gac
from gac.config import Config, ModelConfig
from gac.data.standardise import Standardiser
from gac.data.windows import to_device
from gac.inference.posterior import fit_posterior, load_batch
from gac.model.joint import GAC, Phi

OBSERVATION_DIM, ACTION_DIM = 11, 3  # Hopper's
PRODUCT_SIZES = (512, 768, 1024, 1536, 2048)
INNER_STEPS, PLANS, DECISIONS = 50, 100, 1000
MEMORY_EPISODES, MEMORY_STEPS, MEMORY_UPDATES = 2000, 500, 3

Row = dict[str, Any]


def multiply_adds(c: ModelConfig, observation_dim: int, action_dim: int, windows: int) -> int:
    """Multiply-adds of one forward pass of the ELBO of one trajectory, as the code carries it out.

    Matrix products and attention alone; softmax, norms and densities are left out. Cross-attention is
    counted folded (`gac.model.generator.PlanMemory`), self-attention with the pairs that causality allows.
    """
    d, n_z, s, a = c.embed_dim, c.latent_tokens, observation_dim, action_dim
    tokens = n_z + 1
    encoder_layer = (
        tokens * (4 * d * d + 8 * d * d) + 2 * tokens * tokens * d
    )  # qkv and out, feed-forward; attention
    prior = (
        (n_z * d) ** 2 + s * d + n_z * d * d + c.encoder_layers * encoder_layer
    )  # base noise, tokens, layers
    critic = d * d + d
    # The folded plan: key and value 2, read 1, write 1; bias.
    remember = c.decoder_layers * (4 * n_z * d * d + n_z * d)
    tokens = 2 * c.context
    read_plan = 2 * tokens * d * c.heads * n_z
    decoder_layer = tokens * 12 * d * d + tokens * (tokens + 1) * d + read_plan
    window = c.context * (s + a) * d + c.decoder_layers * decoder_layer + tokens * d * (s + a)
    return prior + critic + remember + windows * window


def inner_step_flops(config: Config) -> float:
    """FLOPs of one inner step of a batch: two per multiply-add, and backward to phi as much as forward.

    Weights get no gradient here. What this leaves out cancels nearly: XLA's own count for the compiled
    gradient of the preset `fast` is 1 % lower.
    """
    forward = multiply_adds(config.model, OBSERVATION_DIM, ACTION_DIM, config.posterior.inner_windows)
    return 2.0 * 2.0 * forward * config.training.batch_size


def synthetic(lengths: np.ndarray) -> gac.Episodes:
    """Noise in Hopper's shapes: speed and memory depend on the shapes alone."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((lengths.sum() + len(lengths), OBSERVATION_DIM), np.float32)
    actions = rng.uniform(-1.0, 1.0, (lengths.sum(), ACTION_DIM)).astype(np.float32)
    rows, ends = np.cumsum(lengths + 1)[:-1], np.cumsum(lengths)[:-1]
    return gac.Episodes.from_arrays(np.split(states, rows), np.split(actions, ends), returns=lengths)


def like_replay() -> gac.Episodes:
    """As many episodes as hopper-medium-replay has, of about its lengths: 29 to 1000, mean about 170."""
    lengths = 29 + np.random.default_rng(0).exponential(140.0, 1281)
    return synthetic(np.minimum(lengths, 1000).astype(int))


def seconds(function: Callable[[], Any], repeats: int) -> list[float]:
    """Wall-clock seconds of each call, after one call that compiles."""
    jax.block_until_ready(function())
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function())
        taken.append(time.perf_counter() - began)
    return taken


def product_rate() -> Row:
    """Best float32 rate of a jitted square matrix product."""
    product, best = jax.jit(jnp.matmul), (0.0, 0)
    for size in PRODUCT_SIZES:
        x = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
        fastest = min(seconds(lambda x=x: product(x, x), repeats=8))
        best = max(best, (2.0 * size**3 / fastest, size))
    return {"gflops": best[0] / 1e9, "size": best[1]}


def inner_loop(config: Config, gflops: float) -> Row:
    """Steps of local inference on one batch, with the convergence test on but never met."""
    episodes = like_replay()
    data = to_device(episodes, Standardiser.fit(episodes))
    model = GAC(config.model, OBSERVATION_DIM, ACTION_DIM, jax.random.key(0))
    posterior = dataclasses.replace(config.posterior, inner_tol=0.0)
    batch_size = config.training.batch_size
    batch = load_batch(data, jnp.arange(batch_size, dtype=jnp.int32), OBSERVATION_DIM)
    phi0 = Phi.at_prior(batch_size, config.model)
    fit = eqx.filter_jit(
        lambda phi0: fit_posterior(model, data, batch, phi0, posterior, jax.random.key(1), INNER_STEPS)
    )
    if not (np.asarray(fit(phi0)[1].steps) == INNER_STEPS).all():
        raise RuntimeError("an item converged: the steps counted would not be those taken")
    steps_per_second = INNER_STEPS / statistics.median(seconds(lambda: fit(phi0), repeats=5))
    achieved = inner_step_flops(config) * steps_per_second / 1e9
    return {
        "batch_size": batch_size,
        "steps_per_second": steps_per_second,
        "mflops_per_step": inner_step_flops(config) / 1e6,
        "gflops": achieved,
        "share_of_product_rate": achieved / gflops,
    }


def exploit_plans(agent: gac.Agent) -> Row:
    """`PLANS` plans by the default exploit query, each to its stop; twice, since the first call compiles."""
    first = _observations(agent)
    began = time.perf_counter()
    jax.block_until_ready(agent.plan(first, gac.Exploit(), seed=0).memory)
    with_compilation = time.perf_counter() - began
    began = time.perf_counter()
    plan = agent.plan(first, gac.Exploit(), seed=0)
    jax.block_until_ready(plan.memory)
    taken = time.perf_counter() - began
    assert plan.info is not None  # exploit optimises; for the type checker
    return {
        "plans": PLANS,
        "seconds": taken,
        "seconds_with_compilation": with_compilation,
        "query_steps": float(np.mean(plan.info.steps)),
        "query_steps_slowest": int(np.max(plan.info.steps)),
        "converged": float(np.mean(plan.info.converged)),
    }


def decisions(agent: gac.Agent) -> Row:
    """Actions of the policy, observation in and action out, at batch 100 and for one environment."""
    first = _observations(agent)
    many = agent.policy(agent.plan(first, gac.Prior()))
    batched = statistics.median(seconds(lambda: many(first), DECISIONS))
    one = agent.policy(agent.plan(first[0], gac.Prior()))
    single = [1e3 * taken for taken in seconds(lambda: one(first[0]), DECISIONS)]
    return {
        "decisions_per_second_batch_100": PLANS / batched,
        "ms_per_decision_median": statistics.median(single),
        "ms_per_decision_p99": float(np.quantile(single, 0.99)),
    }


def peak_memory() -> Row:
    """Peak resident memory of a process that trains on a million steps, held-out ELBO included."""
    command = [sys.executable, __file__, "--measure-memory"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def train_a_little() -> Row:
    """The work of `peak_memory`'s process: load, train, checkpoint, report its own peak."""
    episodes = synthetic(np.full(MEMORY_EPISODES, MEMORY_STEPS))
    config = gac.presets.fast()
    training = dataclasses.replace(config.training, heldout_every=MEMORY_UPDATES)
    with tempfile.TemporaryDirectory() as out:
        gac.train(episodes, dataclasses.replace(config, training=training), out=out, updates=MEMORY_UPDATES)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes, Linux in KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"episodes": len(episodes), "steps": episodes.num_steps, "peak_rss_mib": peak / 2**20}


def _observations(agent: gac.Agent) -> np.ndarray:
    """First observations in the likeness of the data's: its mean, and a tenth of its spread."""
    s = agent.standardiser
    noise = np.random.default_rng(0).standard_normal((PLANS, agent.observation_dim), np.float32)
    return s.observation_mean + np.float32(0.1) * s.observation_std * noise


def machine() -> Row:
    """What the figures depend on."""
    return {
        "device": f"{jax.devices()[0].platform} {jax.devices()[0].device_kind} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {"gac": gac.__version__} | {name: version(name) for name in ("jax", "jaxlib", "numpy")},
    }


def print_table(figures: dict[str, Row]) -> None:
    table = Table("measure", "figure", "value")
    for measure, row in figures.items():
        for place, (name, value) in enumerate(row.items()):
            text = f"{value:,.{0 if value > 1000 else 3}f}" if isinstance(value, float) else str(value)
            table.add_row("" if place else measure, name, text)
    Console().print(table)


def main(
    run: Path | None = None,
    json_file: Annotated[Path | None, arg(name="json")] = None,
    measure_memory: bool = False,
) -> None:
    """Measure speed and memory.

    Args:
        run: Trained run to plan and act with; unless given, one is trained for a minute.
        json_file: Also write the figures here.
        measure_memory: Only train a little and print this process's peak memory.
    """
    if measure_memory:
        print(json.dumps(train_a_little()))
        return
    # Memory first: on Linux a child's peak begins at what its parent held, so the parent must be small.
    memory, config, data = peak_memory(), gac.presets.fast(), "hopper-medium-replay"
    figures = {"machine": machine(), "matrix product, float32": product_rate()}
    figures["inner loop, preset fast"] = inner_loop(config, figures["matrix product, float32"]["gflops"])
    with tempfile.TemporaryDirectory() as out:
        agent = gac.load(run) if run else gac.train(gac.load_data(data), config, out=out, minutes=1)
    figures |= {"exploit plans": exploit_plans(agent), "decisions": decisions(agent), "memory": memory}
    print_table(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
