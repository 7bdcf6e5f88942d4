"""Evaluation of methods that decide without a plan of the first observation."""

from typing import Any

from gac.acting.evaluate import MakePolicy, places, play_all
from gac.acting.record import recorded
from gac.acting.rollout import OnStep, Progress
from gac.config import LONGEST
from gac.envs.disturb import Disturbance
from gac.records import Evaluation
from gac.trained import Trained


def evaluated_by(
    make_policy: MakePolicy,
    agent: Trained,
    env_id: str | None,
    *,
    query: str,
    episodes: int = 100,
    seed: int = 0,
    disturb: Disturbance | None = None,
    longest: int = LONGEST,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
    **asked: Any,
) -> Evaluation:
    """Play episodes by policies that are made for each group of environments.

    Args:
        make_policy: makes them.
        agent: for its units and its data's environment.
        env_id: like what follows, as of `gac.acting.evaluate.evaluate`.
        query: name of the record.
        asked: fields of the record that say what was asked, such as y_star.

    Raises:
        UserError: what `gac.acting.evaluate.evaluate` refuses, and what `make_policy` does.
    """
    with places(agent, env_id, episodes, seed, disturb, longest) as (environment, rows, limit):
        played = play_all(
            make_policy, rows, episodes, seed, longest=limit, on_step=on_step, progress=progress
        )
    disturbed = None if disturb is None else str(disturb)
    return recorded(query, environment, seed, played, agent.config, disturb=disturbed, **asked)
