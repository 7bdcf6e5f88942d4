"""Does trying out plans after training tell which ones exploit should choose?

    python benchmarks/trials.py RUN --env-id Hopper-v5 --json benchmarks/records/trials/RUN.json

Each of `trials` first observations gets the plan that `exploit` would choose among those that the agent
keeps, none twice: the mean of the region around it acts out one episode. What the nearest five that were
tried returned beyond what was expected of them is added to every kept plan's residual, as it is (`plain`) or
drawn to the mean by how much of it is luck (`shrunk`), and exploit plays other episodes before and after.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from numpy import ndarray
from tyro.conf import Positional, arg

import gac
from gac.acting.agent import _read_out
from gac.acting.rollout import Stepper, begin, rollout
from gac.envs.rows import Rows
from gac.envs.specification import Environment
from gac.files import write_text
from gac.inference.trust_region import REGION, _around, apart, returns_from
from gac.training.logged import without_luck


def try_out(agent: gac.Agent, stepper: Stepper, trials: int, seed: int) -> tuple[ndarray, dict[str, ndarray]]:
    """Returns of the tried plans, raw, and what to add to the residual of each kept plan."""
    first = begin(stepper, [seed + i for i in range(trials)])
    s0, logged = jnp.asarray(agent.standardiser.standardise_observation(first)), agent.logged
    expected = np.stack([np.asarray(returns_from(agent.model, state, logged)) for state in s0])
    left, tried = expected.copy(), np.zeros(trials, int)
    for row in range(trials):
        tried[row] = left[row].argmax()
        left[:, tried[row]] = -np.inf
    places = jnp.arange(len(logged.residual))
    regions = jax.lax.map(lambda place: _around(logged.phi, place), places)
    epsilon = regions.mu[tried]
    base = agent.plan(first, gac.Prior(), seed=seed)
    plan = base._replace(epsilon=epsilon, memory=_read_out(agent.model, s0, epsilon)[1])
    returns = rollout(agent, plan, stepper, first).returns
    beyond = agent.standardiser.standardise_return(returns) - expected[np.arange(trials), tried]
    kept = [jax.tree.map(lambda leaf, place=place: leaf[place][None], logged.phi) for place in places]
    far = np.stack([np.asarray(apart(one, logged.phi)) for one in kept])[:, tried]
    nearest = beyond[np.argsort(far, axis=1, kind="stable")[:, :REGION]]
    mean, error = nearest.mean(axis=1), nearest.var(axis=1, ddof=1) / REGION
    return returns, {"plain": mean, "shrunk": np.asarray(without_luck(jnp.asarray(mean), jnp.asarray(error)))}


def main(
    run: Positional[Path],
    trials: int = 25,
    repeats: int = 3,
    episodes: int = 100,
    seed: int = 7000,
    tried_seed: int = 50000,
    env_id: str | None = None,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Play exploit before and after trying out its plans.

    Args:
        run: folder of the run.
        trials: episodes that plans are tried in.
        repeats: how often, each time in episodes of its own.
        episodes: that exploit plays.
        seed: of the environment, for the first of them.
        tried_seed: the same for the first trial; the next time it is a thousand more.
        env_id: of the environment; the agent's unless given.
        json_file: where to write the record.
    """
    agent = gac.load(run)
    name, logged = env_id or agent.env_id, agent.logged
    assert name is not None
    record: dict[str, Any] = {"run": run.name, "env_id": name, "trials": trials, "seed": seed}

    def exploit(key: str, tried: ndarray | None = None) -> None:
        played = gac.evaluate(agent, name, episodes=episodes, seed=seed)
        record[key] = {"achieved": played.mean, "std": played.std, "returns": played.returns}
        record[key] |= {} if tried is None else {"tried": tried.tolist()}
        print(f"{run.name} {key}: {played.mean:.0f} ± {played.std:.0f}", flush=True)

    exploit("as it is")
    stepper = Rows(Environment(name), agent.observation_dim)
    for repeat in range(repeats):
        agent.logged = logged
        returns, found = try_out(agent, stepper, trials, tried_seed + 1000 * repeat)
        for way, beyond in found.items():
            agent.logged = logged._replace(residual=logged.residual + jnp.asarray(beyond))
            exploit(f"{way}, {repeat}", returns)
    if json_file is not None:
        write_text(json_file, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
