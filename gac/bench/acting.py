"""Plans to convergence, decisions, and episodes of evaluation."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gac.acting.evaluate import evaluate
from gac.agent import Agent
from gac.bench.arithmetic import query_step_flops
from gac.bench.timing import Effort, Row, Spread, call_times, rates
from gac.bench.workload import first_observations
from gac.inference.queries import Exploit, Explore, Prior


def plans(agent: Agent, gflops: float, effort: Effort, count: int) -> Row:
    """`count` plans at once: of explore, an ascent in which each goes on to its own stop; and of exploit.

    Args:
        gflops: rate of the machine's matrix product, the limit.
    """
    first = first_observations(agent, count)
    began = time.perf_counter()
    plan = agent.plan(first, Explore())
    jax.block_until_ready(plan.plans)  # type: ignore[no-untyped-call]
    with_compilation = time.perf_counter() - began
    taken = call_times(lambda: agent.plan(first, Explore()).plans, effort)
    assert plan.info is not None  # Explore optimises.
    # The batch goes on until its slowest plan has stopped.
    flops = int(np.max(plan.info.steps)) * query_step_flops(agent.config.model, agent.observation_dim, count)
    achieved = rates(flops / 1e9, taken)
    return {
        "plans_per_second": rates(count, taken),
        "batch": count,
        "seconds": Spread.of(taken),
        "seconds_with_compilation": with_compilation,
        "query_steps": float(np.mean(plan.info.steps)),
        "converged": float(np.mean(plan.info.converged)),
        "gflops_per_second": achieved,
        "share_of_matrix_product": achieved.times(1.0 / gflops),
        "exploit_seconds": Spread.of(call_times(lambda: agent.plan(first, Exploit()).plans, effort)),
    }


def decisions(agent: Agent, effort: Effort, count: int, in_a_row: int) -> Row:
    """Actions, observation in and action out: `count` environments at once, and one alone.

    Args:
        in_a_row: decisions of a repetition; of each repetition the median and the 99th percentile count.
    """
    first = first_observations(agent, count)
    many, one = agent.policy(agent.plan(first, Prior())), agent.policy(agent.plan(first[0], Prior()))
    row = _latencies("batched", count, lambda: many(first), effort, in_a_row)
    return {"batch": count} | row | _latencies("single", 1, lambda: one(first[0]), effort, in_a_row)


def _latencies(name: str, count: int, decide: Callable[[], Any], effort: Effort, in_a_row: int) -> Row:
    each = Effort(repeats=in_a_row, seconds=effort.seconds / effort.repeats)
    milliseconds = [1e3 * np.asarray(call_times(decide, each)) for _ in range(effort.repeats)]
    medians, tails = ([float(np.quantile(run, q)) for run in milliseconds] for q in (0.5, 0.99))
    return {
        f"decisions_per_second_{name}": Spread.of([1e3 * count / median for median in medians]),
        f"{name}_milliseconds_median": Spread.of(medians),
        f"{name}_milliseconds_p99": Spread.of(tails),
    }


def evaluation(agent: Agent, env_id: str, stepping: float, effort: Effort, episodes: int) -> Row:
    """Episodes under exploit, planning included; programs are compiled before.

    Args:
        stepping: steps of the environment per second without a policy, the limit.
    """
    results = []
    taken = call_times(lambda: results.append(evaluate(agent, env_id, episodes=episodes)), effort)
    counted = results[1:]  # The first call compiles.
    steps = Spread.of([result.steps_per_second for result in counted])
    return {
        "episodes_per_second": rates(episodes, taken),
        "episodes": episodes,
        "steps_per_episode": float(np.mean(counted[0].lengths)),
        "plan_seconds": Spread.of([result.plan_seconds for result in counted]),
        "steps_per_second": steps,
        "share_of_environment_stepping": steps.times(1.0 / stepping),
    }
