"""Statistics of the returns of D4RL's v2 sets, which the robots' recipes aim at.

Source: the data of J. Fu, A. Kumar, O. Nachum, G. Tucker, S. Levine, *D4RL: Datasets for Deep Data-Driven
Reinforcement Learning*, arXiv 2004.07219, version 2: raw undiscounted returns of whole episodes.
"""

import math
from typing import NamedTuple


class Returns(NamedTuple):
    """Statistics of the returns of a set's episodes."""

    mean: float
    std: float
    max: float
    min: float


TOLERANCE = {"mean": 0.10, "std": 0.25, "max": 0.10}
"""How far ours may be from the published value, as a share of it. The minimum is one unlucky episode's."""

PUBLISHED = {
    "hopper-medium": Returns(1422.06, 378.95, 3222.36, 315.87),
    "hopper-medium-replay": Returns(467.30, 511.03, 3192.93, -1.44),
    "hopper-expert": Returns(3511.36, 328.59, 3759.08, 1645.28),
    "walker2d-medium": Returns(2852.09, 1095.44, 4226.94, -6.61),
    "walker2d-medium-replay": Returns(682.70, 895.96, 4132.00, -50.20),
    "walker2d-expert": Returns(4920.51, 136.39, 5011.69, 763.42),
    "halfcheetah-medium": Returns(4770.33, 355.75, 5309.38, -310.23),
    "halfcheetah-medium-replay": Returns(3093.29, 1680.69, 4985.14, -638.49),
    "halfcheetah-expert": Returns(10656.43, 441.68, 11252.04, 2045.83),
}


def together(one: Returns, other: Returns, share: float) -> Returns:
    """The statistics of two sets put together, the first with this share of the episodes."""
    mean = share * one.mean + (1 - share) * other.mean
    square = share * (one.std**2 + one.mean**2) + (1 - share) * (other.std**2 + other.mean**2)
    return Returns(mean, math.sqrt(square - mean**2), max(one.max, other.max), min(one.min, other.min))


def off(ours: Returns, published: Returns) -> dict[str, float]:
    """How far ours are from the published values, in tolerances: beyond 1 is too far."""
    return {
        name: (getattr(ours, name) / getattr(published, name) - 1) / tolerance
        for name, tolerance in TOLERANCE.items()
    }
