"""Steps of logged episodes as transitions, in the units of the model."""

import jax.numpy as jnp
import numpy as np

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.gtp.config import GTPConfig
from gac.gtp.critic import Transitions

LEAST_TRANSITIONS = 2
"""Fewest that a standard deviation of advantages can be taken of."""


def transitions(episodes: Episodes, standardiser: Standardiser, config: GTPConfig) -> Transitions:
    """All steps whose next state is known or does not matter.

    A step that terminated its episode has no next state. Of an episode that a time limit cut off, the last
    step leads to the state after it; where the data lacks that state, the step is left out.

    Raises:
        UserError: no reward per step while eta is not 0, data that stay on disk, fewer than two transitions.
    """
    if episodes.rewards is None and config.eta:
        raise UserError(
            f"{episodes.name} is without rewards here, and gtp learns from one at each step; learn them from "
            "the returns (--rewards learned), train with --method gac, or with --eta 0 (GTP-BC, needs none)"
        )
    if episodes.on_disk:
        raise UserError(
            f"{episodes.name} stays on disk, and gtp needs it in memory; use --method gac, or fewer episodes"
        )
    last = np.zeros(episodes.num_steps, bool)
    ends = episodes.starts + episodes.lengths - 1
    last[ends] = True
    terminated = np.zeros(episodes.num_steps, bool)
    terminated[ends] = episodes.terminated
    state = standardiser.standardise_observation(episodes.observations)
    following = np.concatenate([state[1:], state[-1:]])
    kept = ~last | terminated
    if episodes.final_observations is not None:
        following[ends] = standardiser.standardise_observation(episodes.final_observations)
        kept[:] = True
    reward = np.zeros(episodes.num_steps, np.float32) if episodes.rewards is None else episodes.rewards
    reward = (reward - config.reward_shift) * config.reward_scale
    if kept.sum() < LEAST_TRANSITIONS:
        raise UserError(
            f"{episodes.name} has {kept.sum()} transition{'' if kept.sum() == 1 else 's'}, expected "
            f"{LEAST_TRANSITIONS} or more; add episodes"
        )
    columns = state, standardiser.standardise_action(episodes.actions), reward, following
    of_state, of_action, of_reward, of_following = (jnp.asarray(each[kept], jnp.float32) for each in columns)
    return Transitions(of_state, of_action, of_reward, of_following, jnp.asarray(terminated[kept]))
