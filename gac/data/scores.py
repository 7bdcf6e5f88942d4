"""Normalised scores: 0 is a random policy, 100 an expert.

Source of the references: J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep
Data-Driven Reinforcement Learning*, arXiv 2004.07219, and the `infos` of its code.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from gac.masks import unmasked


class Reference(NamedTuple):
    """Raw undiscounted returns of a random policy and of an expert."""

    random: float
    expert: float


REFERENCES = {
    "hopper": Reference(-20.272305, 3234.3),
    "walker2d": Reference(1.629008, 4592.3),
    "halfcheetah": Reference(-280.178953, 12135.0),
    "maze2d-umaze": Reference(23.85, 161.86),
    "maze2d-medium": Reference(13.13, 277.39),
    "maze2d-large": Reference(6.7, 273.99),
    # An episode's return is 1 or 0: the score is the share of successes, in per cent.
    "antmaze": Reference(0.0, 1.0),
}

# Gymnasium's and D4RL's names: Hopper-v5, gac/maze2d-umaze-v1, hopper-medium-v2. D4RL's dense mazes have
# references of their own, hence no word may follow a maze's size.
_ENV_ID = re.compile(
    r"(?:.*/)?(?:(hopper|walker2d|halfcheetah)(?:-[a-z-]+)?|(maze2d-(?:umaze|medium|large))"
    r"|(antmaze)-(?:umaze|umaze-diverse|(?:medium|large)-(?:play|diverse)))-v\d+",
    re.I,
)


def reference(env_id: str | None) -> Reference | None:
    """The reference returns of an environment, None where there are none."""
    found = _ENV_ID.fullmatch(env_id or "")
    return REFERENCES[found[found.lastindex or 0].lower()] if found else None


def normalized_score(env_id: str | None, returns: Sequence[float] | ndarray | float) -> ndarray | None:
    r"""$100 (y - y_\text{random}) / (y_\text{expert} - y_\text{random})$.

    The references were measured on Gym's v2 environments; on other versions the score is a convention.

    Args:
        env_id: A Gymnasium or D4RL id.
        returns: `y`, raw and undiscounted, any shape.

    Returns:
        float64 scores in the shape of `returns`; None where the environment has no reference.

    >>> normalized_score("Hopper-v5", [-20.272305, 3234.3]).round(6).tolist()
    [0.0, 100.0]
    """
    scale = reference(env_id)
    if scale is None:
        return None
    return (
        100.0
        * (np.asarray(unmasked(returns, "returns"), np.float64) - scale.random)
        / (scale.expert - scale.random)
    )
