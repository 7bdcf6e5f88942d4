"""The reward of each step that a method learns from: the data's own, learned from returns, or none."""

import dataclasses

import numpy as np

from gac.config import CreditConfig
from gac.credit.record import CreditRecord, record_of
from gac.credit.ridge import learn
from gac.data.blocks import sums_of_runs
from gac.data.episodes import Episodes
from gac.data.precision import hold_numbers
from gac.errors import UserError


def rewarded(episodes: Episodes, config: CreditConfig) -> tuple[Episodes, CreditRecord | None]:
    """The episodes with the rewards that are learned from, and what to tell of them where they are credit.

    Learned credit never sees rewards. What a return exceeds the sum of its credit by, which credit does not
    explain, is spread evenly over the episode: then the rewards of an episode sum to its return.

    Raises:
        UserError: learned credit that does not beat the mean of the returns, or nothing to learn it from.
    """
    if config.rewards == "given":
        return episodes, None
    if config.rewards == "none":
        return dataclasses.replace(episodes, rewards=None), None
    credit = learn(episodes, config)
    name = episodes.name
    if credit is None:
        equal = len(episodes) >= config.credit_fewest
        found = "returns that are all equal" if equal else f"{len(episodes)} episodes"
        expected = "different ones" if equal else f"{config.credit_fewest} or more"
        raise UserError(f"{name} has {found}, expected {expected} to learn rewards from; give more data")
    if not credit.r2 > config.credit_least_r2:
        raise UserError(
            f"{name}: learned credit explains {max(credit.r2, 0.0):.0%} of the variance of held-out returns, "
            f"expected more than {config.credit_least_r2:.0%}: the return is hardly a sum over steps of what "
            "was logged; use --method gac, which needs no rewards"
        )
    reward = credit(episodes.observations, episodes.actions)
    left = episodes.returns.astype(np.float64) - sums_of_runs(reward, episodes.lengths, np.asarray)
    reward += np.repeat(left / episodes.lengths, episodes.lengths)
    record = record_of(credit, reward, episodes)
    return dataclasses.replace(episodes, rewards=hold_numbers(reward)), record
