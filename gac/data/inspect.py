"""What a data set holds, in numbers: `describe` gathers the facts that findings and pictures tell from."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from gac.data.episode_facts import Ends, Lengths, Returns, duplicates_of, ends_of, lengths_of, returns_of
from gac.data.episodes import Episodes
from gac.data.reset_rows import reset_rows_of
from gac.data.sentinels import Sentinel, sentinels_of
from gac.data.step_facts import Bounds, Columns, Jumps, Saturation, columns_of, jumps_of, saturation_of
from gac.data.structure import Chance, Linearity, chance_of, linearity_of


@dataclass(frozen=True)
class Facts:
    """A data set in numbers; raw units, shares in [0, 1]."""

    name: str
    env_id: str | None
    episodes: int
    steps: int
    observation_dim: int
    action_dim: int
    has_rewards: bool
    has_final_observations: bool
    lengths: Lengths
    returns: Returns
    ends: Ends
    duplicated_episodes: int
    """Episodes whose states and actions are those of an earlier one, bit for bit."""
    reset_rows: int
    """Episodes whose first row is no step: see `gac.data.reset_rows`."""
    observations: Columns
    actions: Columns
    saturation: Saturation
    jumps: Jumps
    chance: Chance | None
    """How far chance decides the returns; None with too few episodes, or where all returns are equal."""
    linearity: Linearity | None
    """Whether the returns are linear in what was logged; None likewise."""
    sentinels: tuple[Sentinel, ...]
    """Values that look like 'not measured'."""
    env_spec: str | None = None
    """JSON of the environment's specification, where it is more than its id."""

    def to_dict(self) -> dict[str, Any]:
        """The facts ready for JSON, fields by their names."""
        return dataclasses.asdict(self)


def describe(episodes: Episodes, action_bounds: Bounds | None = None) -> Facts:
    """The facts of a data set.

    Args:
        episodes: The data.
        action_bounds: Lowest and highest action of the environment, each `(A,)`, where they are known;
            saturation is measured at the data's own extremes otherwise.
    """
    observations = columns_of(episodes.observations, episodes.observation_offset)
    std = np.array([each.std for each in observations.dimensions])
    return Facts(
        name=episodes.name,
        env_id=episodes.env_id,
        episodes=episodes.num_episodes,
        steps=episodes.num_steps,
        observation_dim=episodes.observation_dim,
        action_dim=episodes.action_dim,
        has_rewards=episodes.rewards is not None,
        has_final_observations=episodes.final_observations is not None,
        lengths=lengths_of(episodes),
        returns=returns_of(episodes),
        ends=ends_of(episodes),
        duplicated_episodes=duplicates_of(episodes),
        reset_rows=len(reset_rows_of(episodes).episodes),
        observations=observations,
        actions=columns_of(episodes.actions),
        saturation=saturation_of(episodes.actions, action_bounds),
        jumps=jumps_of(episodes, std),
        chance=chance_of(episodes),
        linearity=linearity_of(episodes),
        env_spec=episodes.env_spec,
        sentinels=sentinels_of(episodes),
    )
