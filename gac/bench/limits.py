"""What the machine can do at best, measured on it: products, memory, environment steps."""

import os
import platform
import time
from importlib.metadata import version
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

import gac.envs  # noqa: F401 - registers the mazes
from gac.bench.timing import Effort, Row, Spread, call_times, rates
from gac.compilation import cores
from gac.data.goals import join
from gac.version import __version__

PRODUCT_SIZES = (512, 768, 1024, 1536, 2048, 4096, 8192)
SLOWEST_PRODUCT = 0.5
"""Seconds of a product after which no larger one is tried."""
MEMORY_BYTES = 2**27
ENVIRONMENT_STEPS = 2000


def machine() -> dict[str, Any]:
    """What the figures depend on, and how busy the machine was before they were measured."""
    device = jax.devices()[0]
    return {
        "device": f"{device.platform} {device.device_kind} {platform.machine()}",
        "devices": jax.device_count(),
        "cores": cores(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "compilation_cache": jax.config.jax_compilation_cache_dir is not None,  # type: ignore[attr-defined]
        "versions": {"gac": __version__}
        | {name: version(name) for name in ("jax", "jaxlib", "numpy", "gymnasium", "mujoco")},
    }


def matrix_product(effort: Effort, sizes: tuple[int, ...] = PRODUCT_SIZES) -> Row:
    """Rate of a square float32 matrix product at the size where it is best, at JAX's default precision."""
    product = jax.jit(jnp.matmul)
    best: tuple[Spread, int] | None = None
    for size in sizes:
        x = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
        taken = call_times(lambda x=x: product(x, x), effort)  # type: ignore[misc]
        rate = rates(2.0 * size**3 / 1e9, taken)
        if best is None or rate.maximum > best[0].maximum:
            best = rate, size
        if min(taken) > SLOWEST_PRODUCT:
            break
    assert best is not None  # There is a size.
    return {"gflops_per_second": best[0], "size": best[1]}


def memory(effort: Effort, size: int = MEMORY_BYTES) -> Row:
    """Bandwidth of x + 2 y over arrays far larger than any cache: two are read, one is written."""
    combine = jax.jit(lambda x, y: x + 2.0 * y)
    x, y = jnp.ones(size // 4, jnp.float32), jnp.full(size // 4, 2.0, jnp.float32)
    return {"gigabytes_per_second": rates(3.0 * size / 1e9, call_times(lambda: combine(x, y), effort))}


def environment(env_id: str, effort: Effort, steps: int = ENVIRONMENT_STEPS) -> Row:
    """Steps of one environment in one thread under random actions, resets included, with no policy."""
    env = join(gymnasium.make(gymnasium.spec(env_id)))
    space = env.action_space
    assert isinstance(space, gymnasium.spaces.Box)  # As `check_fits` demands.
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (steps, *space.shape)).astype(np.float32)
    taken: list[float] = []

    def play() -> float:
        env.reset(seed=0)
        began = time.perf_counter()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return time.perf_counter() - began

    play()
    while len(taken) < effort.repeats:
        taken.append(play())
    env.close()
    return {"steps_per_second": rates(steps, taken), "env_id": env_id}
