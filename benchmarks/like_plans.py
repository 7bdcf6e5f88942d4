"""How well the returns of the plans nearest to a plan tell its own, and exploit, by two measures of near.

    python benchmarks/like_plans.py RUN DATA --episodes 50 --json benchmarks/records/like-plans/RUN.json

RUN may be fine-tuned; DATA is what it was trained on offline. `within` is what regions go by: differences of
means in units of the scatter within episodes. `divergence` is what residuals go by: KL in both directions. Of
each of the episodes that are compared, the mean return of the 20 nearest, itself left out, against what it
returned; and what the critic says of it given tau alone. Then exploit plays, its residuals and regions by
either.
"""

import itertools
import json
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array
from numpy import ndarray
from tyro.conf import Positional, arg

import gac
from gac.data import load_data
from gac.files import write_text
from gac.inference import trust_region
from gac.inference.trust_region import apart
from gac.model.joint import GAC
from gac.online.buffer import joined, lesson
from gac.online.folder import batches
from gac.records import read_online
from gac.training import logged
from gac.training.checkpoint import read_arrays
from gac.training.logged import NEAREST, Compared, Fitted, divergence
from gac.training.offline import Trainer


def trainer_of(run: Path, data: str) -> Trainer:
    """A run, fine-tuned or not, as its last checkpoint left it."""
    agent, offline = gac.load(run), load_data(data)
    stages = [batches(run, stage) for stage in range(1, 1 + len(list(run.glob("stage-[1-9]*.json"))))]
    if not stages:
        trainer = Trainer(offline, agent.config, run)
    else:
        buffer = joined([offline, *(batch.episodes for stage in stages for batch in stage)])
        newest = sum(batch.episodes.num_episodes for batch in stages[-1])
        online = read_online(run)[1]
        how, _ = lesson(buffer, offline.num_episodes, newest, agent.standardiser, agent.config, online)
        trainer = Trainer(buffer, agent.config, run, how)
    trainer.begin_from(read_arrays(run, trainer.portable_state()), trainer.progress)
    return trainer


def agent_by(trainer: Trainer, measure: Any) -> tuple[gac.Agent, tuple[GAC, Fitted, Compared]]:
    """The agent whose residuals go by a measure, and what they are made of."""
    jax.clear_caches()
    trainer.kept = -1, trainer.kept[1]
    with (
        mock.patch.object(logged, "divergence", measure),
        mock.patch.object(logged, "_residuals", wraps=logged._residuals) as residuals,
    ):
        return trainer.agent(), residuals.call_args.args


def told(fitted: Fitted, compared: Compared, measure: Any) -> ndarray:
    """The weighted mean return of the nearest to every episode, itself left out; standardised."""

    def nearest(place: Array) -> Array:
        plan = jax.tree.map(lambda leaf: leaf[place][None], fitted.phi)
        _, near = jax.lax.top_k(-measure(plan, fitted.phi).at[place].set(jnp.inf), NEAREST)
        return jnp.average(fitted.y[near], weights=compared.weight[near])

    return np.asarray(jax.lax.map(nearest, jnp.arange(len(fitted.y))))


def main(
    run: Positional[Path],
    data: Positional[str],
    episodes: int = 0,
    seed: int = 7000,
    env_id: str | None = None,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Compare the measures on a run.

    Args:
        run: folder of the run.
        data: the data set that it was trained on offline.
        episodes: that exploit plays by either measure.
        seed: of the environment, for the first of them.
        env_id: of the environment; that of the data unless given.
        json_file: where to write the record.
    """
    trainer = trainer_of(run, data)
    measures = {"divergence": divergence, "within": apart}
    agent, (model, fitted, compared) = agent_by(trainer, divergence)
    y, best = np.asarray(fitted.y), np.asarray(compared.best)
    unit, raw = float(trainer.standardiser.return_std), trainer.standardiser.raw_return
    critic = np.asarray(model.predicted_return(fitted.s0, fitted.phi.mu))
    of_data = np.asarray(compared.index) < trainer.episodes.num_episodes - trainer.collected
    lowest = of_data & (y <= np.quantile(y[of_data], 0.25))
    record: dict[str, Any] = {
        "run": run.name,
        "data": Path(data).name,
        "compared": len(y),
        "episodes": episodes,
        "seed": seed,
        "kl_of_logged": float(jnp.mean(jnp.sum(fitted.phi.kl(), axis=-1)[of_data])),
        "lowest_quarter": {
            "returned": float(raw(y[lowest]).mean()),
            "promised": float(raw(critic[lowest]).mean()),
        },
        "sigma_a": np.asarray(model.generator.sigma_a()).tolist(),
        "heldout_elbo": trainer.heldout_elbo(),
    }
    ways = {"critic": critic}
    ways |= {name: told(fitted, compared, measure) for name, measure in measures.items()}
    for name, said in ways.items():
        error = unit * (said - y)
        record[name] = {
            "rmse": float(np.sqrt(np.mean(error**2))),
            "rmse_of_kept": float(np.sqrt(np.mean(error[best] ** 2))),
            "kept_quantiles_10_50_90": raw(np.quantile(said[best], [0.1, 0.5, 0.9])).tolist(),
        }
        print(f"{name}: rmse {record[name]['rmse']:.0f}, of the kept {record[name]['rmse_of_kept']:.0f}")
    for residuals, regions in itertools.product(measures, measures) if episodes else ():
        agent, _ = agent_by(trainer, measures[residuals])
        jax.clear_caches()
        with mock.patch.object(trust_region, "apart", measures[regions]):
            played = gac.evaluate(agent, env_id or agent.env_id, episodes=episodes, seed=seed)
        name = f"residuals by {residuals}, regions by {regions}"
        record[name] = {
            "achieved": played.mean,
            "std": played.std,
            "normalized_mean": played.normalized_mean,
            "promised": float(np.mean(played.predicted_returns)),
            "returns": played.returns,
        }
        print(f"{name}: achieved {played.mean:.0f} ± {played.std:.0f}")
    if json_file is not None:
        write_text(json_file, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
