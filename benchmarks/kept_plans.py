"""Every plan that an agent keeps, acted out; and which of them exploit would choose, three ways.

    python benchmarks/kept_plans.py RUN DATA --starts 96 --json benchmarks/records/kept-plans/RUN.json

The choice is the largest promise from each first observation: of the critic alone; with the residual of the
nearest; with the residual drawn towards the mean by the luck in it, which is what exploit takes. What is
achieved is the logged plan's own, without the region around it and the ascent within.
"""

import json
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import jax.numpy as jnp
import numpy as np
import tyro
from numpy import ndarray
from tyro.conf import Positional, arg

import gac
from gac.acting.agent import Agent, Plan
from gac.acting.rollout import begin, rollout
from gac.data import load_data
from gac.envs.rows import Rows
from gac.files import write_text
from gac.inference.trust_region import Logged, nearest_of
from gac.model.joint import Phi
from gac.training import logged
from gac.training.offline import Trainer

WAYS = ("promise", "corrected", "without_luck")


def kept_plans(run: Path, data: str) -> tuple[Agent, Phi, dict[str, ndarray], float]:
    """The agent of a run, its kept plans, what each way adds to the promise of each, raw, and the standard
    error of what `corrected` adds, the root of its mean square.
    """
    episodes, config = load_data(data), gac.load(run).config
    trainer = Trainer(episodes, config, run)
    trainer.resume()
    with mock.patch.object(logged, "_residuals", wraps=logged._residuals) as residuals:
        agent = trainer.agent()
    model, fitted, compared = residuals.call_args.args
    count = nearest_of(len(fitted.y) - 1, logged.NEAREST)
    found, squared_error = logged.beyond_promise(model, fitted, compared, count)
    kept: Logged = agent.logged
    unit = float(np.diff(agent.standardiser.raw_return(np.array([0.0, 1.0])))[0])
    each = (jnp.zeros_like(found), found, kept.residual)
    added = {way: unit * np.asarray(more) for way, more in zip(WAYS, each, strict=True)}
    return agent, kept.phi, added, unit * float(jnp.sqrt(jnp.mean(squared_error)))


def act_out(agent: Agent, plans: Phi, starts: int, seed: int) -> tuple[ndarray, ndarray]:
    """Promised and achieved returns, `(plans, starts)`, raw; each start is the same for all plans."""
    count = plans.mu.shape[0]
    assert agent.environment is not None
    rows = Rows(agent.environment, agent.observation_dim)
    promised, achieved = np.zeros((count, starts)), np.zeros((count, starts))
    for start in range(starts):
        first = begin(rows, [seed + start] * count)
        own: Plan = agent.plan(first, gac.Prior())
        s0 = jnp.asarray(agent.standardiser.standardise_observation(first))
        z_y, z_traj = agent.model.prior(s0, plans.mu)
        promised[:, start] = agent.standardiser.raw_return(np.asarray(agent.model.critic.mean(z_y)))
        acted = own._replace(memory=agent.model.generator.remember(z_traj), epsilon=plans.mu)
        achieved[:, start] = rollout(agent, acted, rows, first).returns
    return promised, achieved


def main(
    run: Positional[Path],
    data: Positional[str],
    starts: int = 96,
    seed: int = 7000,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Act out the kept plans of a run.

    Args:
        run: folder of the run.
        data: the data set that it was trained on.
        starts: first observations.
        seed: seed of the environment, for the first of them.
        json_file: where to write the record.
    """
    agent, plans, added, error = kept_plans(run, data)
    promised, achieved = act_out(agent, plans, starts, seed)
    of_plan = achieved.mean(axis=1)
    best = achieved[:, ::2].mean(axis=1).argmax()
    record: dict[str, Any] = {
        "run": run.name,
        "data": Path(data).name,
        "starts": starts,
        "seed": seed,
        "plans": {"quantiles_0_10_50_90_100": np.quantile(of_plan, [0, 0.1, 0.5, 0.9, 1]).tolist()},
        # Chosen on one half of the starts, judged on the other.
        "best_in_hindsight": float(achieved[best, 1::2].mean()),
        # Where an episode follows from its start and plan: the most that choosing among these can reach.
        "best_for_each_start": float(achieved.max(axis=0).mean()),
        "corrected_error": error,
    }
    for way, more in added.items():
        expected = promised + more[:, None]
        chosen = expected.argmax(axis=0)
        taken = achieved[chosen, np.arange(starts)]
        record[way] = {
            "achieved": float(taken.mean()),
            "standard_error": float(taken.std() / starts**0.5),
            "expected": float(expected.max(axis=0).mean()),
            "correlation": float(np.corrcoef(expected.mean(axis=1), of_plan)[0, 1]),
            "added_std": float(more.std()),
        }
        print(f"{way}: achieved {taken.mean():.1f}, correlation {record[way]['correlation']:.2f}")
    if json_file is not None:
        write_text(json_file, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
