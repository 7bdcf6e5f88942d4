"""Which episodes are trained on, and which are held out."""

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from gac.config import MOST_HELDOUT, Config


def split_episodes(
    num_episodes: int, config: Config
) -> tuple[Int[ndarray, "train"], Int[ndarray, "heldout"]]:
    """Episodes to train on and episodes held out (at most MOST_HELDOUT), a function of the seed."""
    heldout = min(MOST_HELDOUT, int(num_episodes * config.training.heldout_fraction))
    order = np.random.default_rng(config.seed).permutation(num_episodes).astype(np.int32)
    return np.sort(order[heldout:]), np.sort(order[:heldout])
