"""Training: `gac.training.blocks` with Latent Plan Transformer."""

from pathlib import Path
from typing import Any

import numpy as np

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.records import DataFacts
from gac.rivals.episodes import prepare
from gac.rivals.lpt.agent import LPTAgent
from gac.rivals.lpt.config import LPTConfig, check_config
from gac.rivals.lpt.lpt import LPTState, advance, init_state
from gac.training.blocks import Algorithm, train_runs


def _begin(config: LPTConfig, episodes: Episodes) -> LPTState:
    return init_state(config, episodes.observation_dim, episodes.action_dim, episodes.num_episodes)


def _agent(state: LPTState, units: Standardiser, config: LPTConfig, facts: DataFacts, run: Path) -> LPTAgent:
    """theta acts, from where the chain of the best trajectory was left."""
    best = state.chain[int(np.argmax(facts.returns))]
    return LPTAgent((state.theta, best), units, config, facts, run=run)


ALGORITHM = Algorithm(
    check=check_config,
    prepare=prepare,
    begin=_begin,
    advance=advance,
    agent=_agent,
    advice="lower --learning-rate or --langevin-step",
    block=20,
)


def train(data: Episodes, config: LPTConfig, *, out: str | Path, **options: Any) -> LPTAgent:
    """Learn plans, trajectories and returns from one return per episode; options as of `gac.gtp.train`.

    Raises:
        UserError: a folder in use, a state of another configuration or data set, data that stay on disk,
            settings that cannot work, a value that is not finite.
        KeyboardInterrupt: after everything is saved.
    """
    agent: LPTAgent = train_runs(ALGORITHM, data, config, out=out, **options)[0]
    return agent


def train_seeds(
    data: Episodes, config: LPTConfig, *, seeds: int, out: str | Path, **options: Any
) -> list[LPTAgent]:
    """`train` for `config.seed` and the seeds that follow it, in one program; folders `out/seed-0` and so on.

    Raises:
        UserError: as `train`.
        KeyboardInterrupt: after everything is saved.
    """
    return train_runs(ALGORITHM, data, config, out=out, seeds=seeds, **options)
