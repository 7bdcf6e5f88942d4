"""The record of episodes that were played: what every evaluation of any method writes."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gac.acting.rollout import Played
from gac.config import Settings
from gac.data.scores import normalized_score
from gac.envs.specification import Environment
from gac.provenance import PACKAGES, commit, machine, versions
from gac.records import Evaluation


class Episodes(NamedTuple):
    """Episodes that were played in groups side by side."""

    groups: Sequence[Played]
    act_seconds: float
    """Wall-clock seconds of all steps, replanning left out."""
    plan_seconds: float = 0.0
    """Wall-clock seconds before the first steps."""
    predicted_returns: tuple[float, ...] = ()
    """Raw; one per episode, or none."""


def recorded(
    query: str,
    environment: Environment,
    seed: int,
    played: Episodes,
    config: Settings | None,
    *,
    packages: Sequence[str] = PACKAGES,
    **others: Any,
) -> Evaluation:
    """Sum up episodes.

    Args:
        query: name of the record.
        environment: what was played in.
        seed: environment seed of the first episode.
        played: the episodes.
        config: of the run that acted; None where gac trained none.
        packages: whose versions matter.
        others: further fields of the record.
    """
    returns, lengths, replans = (
        np.concatenate([getattr(each, name) for each in played.groups])
        for name in ("returns", "lengths", "replans")
    )
    # References are of the bare environment: with another limit, or other rewards, they say nothing.
    scores = None if environment.spec is not None else normalized_score(environment.id, returns)
    steps = float(lengths.sum())
    fields = dict.fromkeys(("converged", "query_steps", "y_star")) | {
        "query": query,
        "env_id": environment.id,
        "env_spec": environment.spec,
        "seed": seed,
        "returns": tuple(returns.tolist()),
        "lengths": tuple(lengths.tolist()),
        "mean": float(returns.mean()),
        "std": float(returns.std()),
        "normalized_mean": None if scores is None else float(scores.mean()),
        "normalized_std": None if scores is None else float(scores.std()),
        "predicted_returns": played.predicted_returns,
        "trace": (),
        "plan_seconds": played.plan_seconds,
        "steps_per_second": steps / played.act_seconds,
        "ms_per_step": 1e3 * sum(each.policy_seconds for each in played.groups) / steps,
        "replans": tuple(replans.tolist()),
        "replan_seconds": sum(each.replan_seconds for each in played.groups),
        "versions": versions(packages),
        "commit": commit(),
        "machine": machine(),
        "config": None if config is None else json.loads(config.to_json()),
    }
    return Evaluation(**(fields | others))
