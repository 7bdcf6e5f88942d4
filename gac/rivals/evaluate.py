"""Evaluation: episodes in which an agent is asked for a return."""

from typing import Any

from gac.acting.asked import evaluated_by
from gac.acting.evaluate import chosen_environment
from gac.acting.rollout import Decides
from gac.records import Evaluation
from gac.rivals.agent import Asked
from gac.rivals.returns import asked_target


def evaluate(
    agent: Asked,
    env_id: str | None = None,
    *,
    query: str | None = None,
    target: float | None = None,
    episodes: int = 100,
    seed: int = 0,
    **options: Any,
) -> Evaluation:
    """Play episodes.

    Args:
        agent: a trained agent.
        env_id: Gymnasium id; unless given, the data's own environment, as the data were recorded.
        query: one of the agent's `queries`, the first unless given.
        target: the return y* to ask for, raw and undiscounted; the paper's for the environment unless given.
        episodes: number of episodes; environment i, and what is drawn for it, begin at seed + i.
        seed: seed of the environments, of the plans and of what disturbs.
        options: `disturb`, `longest`, `on_step`, `progress`, as of `gac.acting.evaluate.evaluate`.

    Raises:
        UserError: what `gac.acting.evaluate.evaluate` refuses, an unknown query, no return to ask for.
    """
    query = agent.checked(query)
    where = chosen_environment(env_id, agent.environment).id
    y_star = None if query == "prior" else asked_target(target, where)

    def make_policy(first: Any, first_seed: int) -> tuple[Decides, tuple[float, ...]]:
        return agent.planned(len(first), query=query, target=y_star, seed=first_seed)

    return evaluated_by(
        make_policy, agent, env_id, query=query, episodes=episodes, seed=seed, y_star=y_star, **options
    )
