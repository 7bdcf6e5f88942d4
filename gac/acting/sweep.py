"""Consistency: what is achieved when a return is commanded, and what the critic makes of what was done.

The actor is consistent if the achieved returns follow the commanded ones. The critic is consistent if
p(y | tau), from a posterior inferred from the trajectory alone, tells what it earned: it never saw these
trajectories, and those of high commands are unlike the data.
"""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.acting.calibrate import POSTERIOR_STEPS, posterior
from gac.acting.evaluate import evaluate
from gac.acting.rollout import OnStep, Records
from gac.agent import Agent
from gac.config import LONGEST
from gac.data.episode_facts import all_alike
from gac.data.windows import to_device
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.inference.queries import Target
from gac.inference.spread import predictive
from gac.records import Consistency, Evaluation

BEYOND = 2
"""Commands above the data's best return."""
USUAL_QUANTILE = 0.95


def commanded_returns(returns: Float[ndarray, "episodes"], values: int) -> Float[ndarray, "values"]:
    """Evenly spaced from the data's least return to its best, and as evenly `BEYOND` further.

    Raises:
        UserError: too few values, or a data set in which all returns are alike.
    """
    if values < BEYOND + 2:
        raise UserError(f"values is {values}, expected {BEYOND + 2} or more; try 9")
    low, high = float(returns.min()), float(returns.max())
    if all_alike(returns):
        raise UserError(f"all returns of the data are {low:g}; a sweep needs returns that differ")
    step = (high - low) / (values - BEYOND - 1)
    return low + step * np.arange(values)


def consistency(
    agent: Agent,
    env_id: str | None = None,
    *,
    values: int = 9,
    episodes: int = 50,
    seed: int = 0,
    longest: int = LONGEST,
    progress: Callable[[Evaluation], None] | None = None,
) -> Consistency:
    """Command a sweep of returns, play, and infer p(y | tau) of every trajectory that came of it.

    Args:
        agent: a trained agent.
        env_id: Gymnasium id; the data's own environment unless given, as `evaluate` has it.
        values: commanded returns, two of them beyond the data's best.
        episodes: episodes of each; episode i is reset with seed + i under every command.
        seed: seed of the environments, the queries and the inference.
        longest: steps after which an episode counts as endless, where the environment has no time limit.
        progress: told of every command's evaluation.

    Raises:
        UserError: as `evaluate`; too few values; returns that do not differ.
    """
    returns = np.asarray(agent.facts.returns, np.float64)
    commanded = commanded_returns(returns, values)
    trajectories = Records(values * episodes)
    records = []
    for place, y_star in enumerate(commanded.tolist()):
        keep: OnStep = lambda i, step, before=place * episodes: trajectories(before + i, step)  # type: ignore[misc] # noqa: E731
        records.append(
            evaluate(
                agent,
                env_id,
                query=Target(y_star),
                episodes=episodes,
                seed=seed,
                longest=longest,
                on_step=keep,
            )
        )
        if progress is not None:
            progress(records[-1])
    environment = Environment(records[0].env_id, records[0].env_spec)
    estimates, stds = estimate_returns(agent, trajectories, environment, seed)
    return Consistency(
        env_id=environment.id,
        env_spec=environment.spec,
        seed=seed,
        commanded=tuple(commanded.tolist()),
        usual=float(np.quantile(returns, USUAL_QUANTILE)),
        returns=tuple(record.returns for record in records),
        predicted_returns=tuple(record.predicted_returns for record in records),
        estimated_returns=_rows(estimates, episodes),
        estimated_stds=_rows(stds, episodes),
        versions=records[0].versions,
    )


def estimate_returns(
    agent: Agent, records: Records, environment: Environment, seed: int = 0
) -> tuple[Float[ndarray, "trajectories"], Float[ndarray, "trajectories"]]:
    r"""Mean and standard deviation of $p(y | \tau) = E_{q(\epsilon | \tau)}[p_\gamma(y | z_y)]$, raw.

    The posterior maximises the bound on log p(tau | s0), in which the return has no part. NaN for a
    trajectory of one step, from which no window can be drawn.
    """
    means, stds = np.full((2, records.count), np.nan)
    episodes = records.episodes("collected", environment, agent.standardiser)
    if episodes is not None:
        data = to_device(episodes, agent.standardiser)
        phi = posterior(agent, data, given_return=False, seed=seed)
        # The one that follows those of the posterior's steps.
        key = jax.random.fold_in(jax.random.key(seed), POSTERIOR_STEPS)
        s0 = data.rows[data.starts, : agent.observation_dim]
        mean, std = predictive(agent.model, s0, phi, key)
        means[records.rows] = agent.standardiser.raw_return(np.asarray(mean))
        stds[records.rows] = np.asarray(std) * np.asarray(agent.standardiser.return_std)
    return means, stds


def _rows(values: Float[ndarray, "trajectories"], episodes: int) -> tuple[tuple[float | None, ...], ...]:
    table = values.reshape(-1, episodes).tolist()
    return tuple(tuple(None if value != value else value for value in row) for row in table)
