"""Training: `gac.training.blocks` with Algorithm 1, of one run or of seeds side by side."""

import functools
from collections.abc import Callable
from pathlib import Path

from gac.credit.record import CreditRecord, write_credit
from gac.credit.rewards import rewarded
from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.gtp.agent import GTPAgent
from gac.gtp.config import GTPConfig, check_config
from gac.gtp.transitions import transitions
from gac.gtp.update import TrainState, advance, init_state
from gac.records import DataFacts
from gac.training.blocks import Algorithm, Report, train_runs


def _begin(config: GTPConfig, episodes: Episodes) -> TrainState:
    return init_state(config, episodes.observation_dim, episodes.action_dim)


def _agent(
    state: TrainState, units: Standardiser, config: GTPConfig, facts: DataFacts, run: Path
) -> GTPAgent:
    """theta⁻ acts, the averaged weights."""
    return GTPAgent(state.averaged, units, config, facts, run=run)


GTP = Algorithm(
    check=check_config,
    prepare=transitions,
    begin=_begin,
    advance=advance,
    agent=_agent,
    advice="lower --learning-rate or --eta, or scale the rewards with --reward-scale",
    rewards=True,
)


def _rewarded(data: Episodes, config: GTPConfig) -> tuple[Episodes, Callable[[Path], None]]:
    """The episodes with the rewards that training reads, and what writes how these were learned."""
    check_config(config)
    data, credit = rewarded(data, config.credit)
    return data, functools.partial(_write, credit)


def _write(credit: CreditRecord | None, out: Path) -> None:
    if credit is not None:
        write_credit(out, credit)


def train(
    data: Episodes,
    config: GTPConfig,
    *,
    out: str | Path,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> GTPAgent:
    """Learn the map of noise to actions, weighted by the critics' advantages: Algorithm 1.

    Args:
        data: episodes in memory, with a reward at each step unless `config.credit` says to learn these.
        config: `gac.presets.gtp()`, perhaps with fields replaced.
        out: folder of the run.
        minutes: wall-clock minutes of this call, compilation included; 15 when neither is given.
        updates: instead of minutes, number of updates of the whole run.
        resume: go on from the state in `out`; its configuration and data must be the same.
        overwrite: replace what is in `out`.
        progress: called with the line of metrics and the share done after every block of updates.

    Returns:
        The agent, which is also saved in `out`.

    Raises:
        UserError: a folder in use, a state of another configuration or data set, data without rewards or
            with fewer than two transitions, credit that does not explain the returns, settings that cannot
            work, a value that is not finite.
        KeyboardInterrupt: after everything is saved.
    """
    data, begun = _rewarded(data, config)
    agents: list[GTPAgent] = train_runs(
        GTP,
        data,
        config,
        out=out,
        minutes=minutes,
        updates=updates,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
        begun=begun,
    )
    return agents[0]


def train_seeds(
    data: Episodes,
    config: GTPConfig,
    *,
    seeds: int,
    out: str | Path,
    minutes: float | None = None,
    updates: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> list[GTPAgent]:
    """`train` for `config.seed` and the seeds that follow it, in one program.

    The results are those of single runs up to rounding. Each is an ordinary run, in `out/seed-0` and so on.

    Raises:
        UserError: as `train`.
        KeyboardInterrupt: after everything is saved.
    """
    data, begun = _rewarded(data, config)
    return train_runs(
        GTP,
        data,
        config,
        out=out,
        seeds=seeds,
        minutes=minutes,
        updates=updates,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
        begun=begun,
    )
