"""Episodes whose return is a known sum over steps."""

import numpy as np

from gac.data.episodes import Episodes


def reward_of(states, actions):
    """A reward that learned credit can express."""
    return 0.5 + states[:, 0] - 0.3 * np.square(states[:, 1]) - 0.2 * np.square(actions[:, 0])


def summed(count=80, seed=0, noise=0.0, shown=False, lengths=None, name="summed"):
    """Episodes of steps drawn alone, whose returns sum `reward_of`, plus noise in shares of their spread."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(10, 50, count) if lengths is None else np.full(count, lengths)
    states = [rng.normal(rng.normal(), 1.0, (t, 3)) for t in lengths]
    actions = [np.clip(rng.normal(0.0, 0.5, (t, 2)), -1, 1) for t in lengths]
    rewards = [reward_of(s, a) for s, a in zip(states, actions, strict=True)]
    y = np.array([each.sum() for each in rewards])
    y = y + noise * y.std() * rng.normal(size=count)
    return Episodes.from_arrays(
        states, actions, rewards=rewards if shown else None, returns=None if shown else y, name=name
    )
