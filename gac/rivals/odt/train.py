"""Training: `gac.training.blocks` with Online Decision Transformer."""

from pathlib import Path
from typing import Any

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.records import DataFacts
from gac.rivals.episodes import prepare
from gac.rivals.odt.agent import ODTAgent
from gac.rivals.odt.config import ODTConfig, check_config
from gac.rivals.odt.odt import ODTState, advance, init_state
from gac.training.blocks import Algorithm, train_runs


def _begin(config: ODTConfig, episodes: Episodes) -> ODTState:
    return init_state(config, episodes.observation_dim, episodes.action_dim)


def _agent(state: ODTState, units: Standardiser, config: ODTConfig, facts: DataFacts, run: Path) -> ODTAgent:
    return ODTAgent(state.theta, units, config, facts, run=run)


ALGORITHM = Algorithm(
    check=check_config,
    prepare=prepare,
    begin=_begin,
    advance=advance,
    agent=_agent,
    advice="lower --learning-rate",
    block=50,
)


def train(data: Episodes, config: ODTConfig, *, out: str | Path, **options: Any) -> ODTAgent:
    """Learn a policy that is asked for a return, from one return per episode; options as of `gac.gtp.train`.

    Raises:
        UserError: a folder in use, a state of another configuration or data set, data that stay on disk,
            settings that cannot work, a value that is not finite.
        KeyboardInterrupt: after everything is saved.
    """
    agent: ODTAgent = train_runs(ALGORITHM, data, config, out=out, **options)[0]
    return agent


def train_seeds(
    data: Episodes, config: ODTConfig, *, seeds: int, out: str | Path, **options: Any
) -> list[ODTAgent]:
    """`train` for `config.seed` and the seeds that follow it, in one program; folders `out/seed-0` and so on.

    Raises:
        UserError: as `train`.
        KeyboardInterrupt: after everything is saved.
    """
    return train_runs(ALGORITHM, data, config, out=out, seeds=seeds, **options)
