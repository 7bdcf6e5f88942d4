"""Inner steps, outer steps, and what an update costs to compile and to hold."""

import dataclasses
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from gac.bench.arithmetic import inner_step_flops, outer_step_flops
from gac.bench.timing import Effort, Row, Spread, call_times, rates
from gac.bench.workload import ACTION_DIM, OBSERVATION_DIM, Workload
from gac.config import Config
from gac.data.windows import DeviceEpisodes
from gac.inference.posterior import Batch, fit_posterior
from gac.model.joint import GAC, Phi
from gac.training.scale.bank import filled, room
from gac.training.scale.devices import CUT, WHOLE, copied, everywhere, mesh_for, share_out
from gac.training.update import LAYOUT, global_steps, update
from gac.training.visits import Visit, make_visits

FEWEST_STEPS, MOST_STEPS = 2, 50
USUAL_SHARE = 0.3
"""Share of the machine's rate that a call's length is planned with."""


def inner_loop(work: Workload, gflops: float, effort: Effort) -> Row:
    """Steps of local inference on one batch, with the convergence test on but never met.

    Args:
        gflops: rate of the machine's matrix product, the limit.
    """
    config = work.config
    flops = inner_step_flops(config, OBSERVATION_DIM, ACTION_DIM)
    steps = _steps(flops, gflops, effort)
    posterior = dataclasses.replace(config.posterior, inner_tol=-math.inf)  # no early stop
    never_stops = dataclasses.replace(config, posterior=posterior)
    mesh = mesh_for(config.training.batch_size)

    def inferred(
        model: GAC, data: DeviceEpisodes, batch: Batch, phi0: Phi, key: PRNGKeyArray
    ) -> tuple[Phi, Array]:
        own, start = share_out((batch, phi0), mesh)
        phi, info = fit_posterior(model, data, own, start, never_stops, key, steps)
        return phi, info.steps

    fit = everywhere(inferred, mesh, given=CUT)
    phi0 = Phi.at_prior(config.training.batch_size, config.model)
    read = copied((work.state.theta, work.data, work.batch, phi0, jax.random.key(1)), mesh)
    if not (np.asarray(fit(*read)[1]) == steps).all():
        raise RuntimeError("an item converged: the steps counted would not be those taken")
    taken = call_times(lambda: fit(*read), effort)
    return _loop_row(config, rates(steps, taken), flops, gflops)


def outer_loop(work: Workload, gflops: float, effort: Effort) -> Row:
    """Steps of AdamW in theta on one batch, with the posteriors where new ones start."""
    flops = outer_step_flops(work.config, OBSERVATION_DIM, ACTION_DIM)
    steps = _steps(flops, gflops, effort)
    training = dataclasses.replace(work.config.training, outer_steps=steps)
    config = dataclasses.replace(work.config, training=training)
    phi, alike = Phi.at_prior(training.batch_size, config.model), jnp.ones(training.batch_size)
    visit = Visit(jnp.arange(training.batch_size, dtype=jnp.int32), alike)
    scale = float(work.episodes.lengths.mean())
    mesh = mesh_for(training.batch_size)
    run = everywhere(
        lambda state, batch, data, key: global_steps(
            state, share_out(phi, mesh), share_out(batch, mesh), data, config, scale, visit, key
        )[0],
        mesh,
    )
    read = copied((work.state, work.batch, work.data, jax.random.key(1)), mesh)
    taken = call_times(lambda: run(*read), effort)
    return _loop_row(config, rates(steps, taken), flops, gflops)


def _steps(flops: float, gflops: float, effort: Effort) -> int:
    """Steps of a call that takes about as long as the effort wants."""
    return int(np.clip(effort.call_seconds * USUAL_SHARE * gflops * 1e9 / flops, FEWEST_STEPS, MOST_STEPS))


def _loop_row(config: Config, steps_per_second: Spread, flops: float, gflops: float) -> Row:
    achieved = steps_per_second.times(flops / 1e9)
    return {
        "steps_per_second": steps_per_second,
        "trajectories": config.training.batch_size,
        "gflop_per_step": flops / 1e9,
        "gflops_per_second": achieved,
        "share_of_matrix_product": achieved.times(1.0 / gflops),
    }


def compilation(work: Workload, effort: Effort) -> Row:
    """Seconds to trace and to compile an update, and the memory of the device that it asks for, by XLA.

    Once at least, and again until the effort is spent.

    What is kept on disk is not used, unless JAX was told to (`JAX_COMPILATION_CACHE_DIR`).
    """
    config, episodes = work.config, work.episodes
    every = np.arange(episodes.num_episodes, dtype=np.int32)
    visits = make_visits(every, episodes.lengths, config)
    scale, mesh = float(episodes.lengths.mean()), mesh_for(config.training.batch_size)
    bank = filled(work.state.bank, room(episodes.num_episodes, mesh))
    traced: list[float] = []
    compiled: list[float] = []
    while not compiled or (len(compiled) < effort.repeats and sum(compiled) < effort.seconds):
        # A new function each time: JAX remembers what it traced of an old one.
        program = everywhere(
            lambda state, data: update(state, data, visits, config, scale, OBSERVATION_DIM, mesh),
            mesh,
            taken=(LAYOUT, WHOLE),
            given=(LAYOUT, WHOLE),
        )
        began = time.perf_counter()
        lowered = program.lower(work.state._replace(bank=bank), work.data)
        traced.append(time.perf_counter() - began)
        began = time.perf_counter()
        executable = lowered.compile()
        compiled.append(time.perf_counter() - began)
    sizes = executable.memory_analysis()
    names = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    known = sizes is not None and all(hasattr(sizes, name) for name in names)
    return {
        "trace_seconds": Spread.of(traced),
        "compile_seconds": Spread.of(compiled),
        "memory_mib": sum(getattr(sizes, name) for name in names) / 2**20 if known else None,
    }
