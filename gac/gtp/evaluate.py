"""Evaluation: episodes in which the policy samples an action at every step."""

from typing import Any

from gac.acting.asked import evaluated_by
from gac.acting.rollout import Decides
from gac.gtp.agent import GTPAgent
from gac.records import Evaluation


def evaluate(
    agent: GTPAgent,
    env_id: str | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
    steps: int | None = None,
    **options: Any,
) -> Evaluation:
    """Play episodes.

    Args:
        agent: a trained agent.
        env_id: Gymnasium id; unless given, the data's own environment, as the data were recorded.
        episodes: number of episodes; environment i, and the noise of its actions, begin at seed + i.
        seed: seed of the environments, of the noise and of what disturbs.
        steps: sampling steps K; the configuration's unless given.
        options: `disturb`, `longest`, `on_step`, `progress`, as of `gac.acting.evaluate.evaluate`.

    Returns:
        The record. It predicts no returns: the critics' values are discounted ones.

    Raises:
        UserError: what `gac.acting.evaluate.evaluate` refuses, and a number of steps that is none.
    """
    steps = agent.checked(steps)

    def make_policy(_: Any, first_seed: int) -> tuple[Decides, tuple[float, ...]]:
        return agent.policy(first_seed, steps), ()

    return evaluated_by(
        make_policy,
        agent,
        env_id,
        query=f"steps-{steps}",
        episodes=episodes,
        seed=seed,
        steps=steps,
        **options,
    )
