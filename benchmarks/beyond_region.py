"""Exploit near logged plans alone, near the prior alone, and as it is, which takes either.

    python benchmarks/beyond_region.py RUN --episodes 50 --json FILE

The same environments each time. Which is right hangs on the data: docs/research.md, "A plan beyond the
logged ones".
"""

import json
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional, arg

import gac
from gac.acting.agent import Agent
from gac.files import write_text
from gac.inference import solve
from gac.inference.trust_region import Logged
from gac.model.joint import GAC, Phi

NEVER_ENOUGH = 1e6
"""As sigma_y: no promise is so much higher that exploit would leave what it is held near first."""


def unmoved(agent: Agent) -> Agent:
    """The agent with a critic that tells nothing apart; no query that has one hold asks for sigma_y."""
    model: GAC = eqx.tree_at(
        lambda model: model.critic.sigma_y.log_value, agent.model, jnp.full(1, np.log(NEVER_ENOUGH))
    )
    return Agent(model, agent.logged, agent.standardiser, agent.config, agent.facts)


def prior(model: GAC, s0: Any, logged: Logged) -> Phi:
    """In the place of the region."""
    return Phi.at_prior(s0.shape[0], model.config)


def main(
    run: Positional[Path],
    episodes: int = 50,
    seed: int = 7000,
    kl_weight: tuple[float, ...] = (0.2, 0.05),
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Play exploit three ways.

    Args:
        run: folder of the run.
        episodes: of each way.
        seed: seed of the environment, for the first of them.
        kl_weight: weights of the hold near the prior; the others have the default's.
        json_file: where to write the record.
    """
    agent = gac.load(run)
    rows = []

    def played(hold: str, who: Agent, query: gac.Exploit) -> None:
        # What is patched is part of compiled programs.
        jax.clear_caches()
        result = gac.evaluate(who, query=query, episodes=episodes, seed=seed)
        predicted = float(np.mean(result.predicted_returns))
        print(
            f"{hold}, {query.kl_weight:g}: {result.mean:.1f} ± {result.std:.1f} ({predicted:.1f})", flush=True
        )
        rows.append(
            {
                "run": run.name,
                "hold": hold,
                "kl_weight": query.kl_weight,
                "episodes": episodes,
                "seed": seed,
                "mean": result.mean,
                "std": result.std,
                "predicted": predicted,
                "returns": list(result.returns),
            }
        )

    played("as it is", agent, gac.Exploit())
    played("region", unmoved(agent), gac.Exploit())
    with mock.patch.object(solve, "trust_region", prior):
        for weight in kl_weight:
            played("prior", unmoved(agent), gac.Exploit(weight))
    if json_file is not None:
        write_text(json_file, json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
