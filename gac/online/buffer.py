r"""The replay buffer: it begins as the offline data, and recent and high returns count more in it.

Training maximises $\sum_i w_i\,ELBO_i$ over the buffer, with shares w that are *not* all the same. This is
no sampling trick whose weights are undone: the learned distribution is meant to move, towards the plans of
recent and good episodes; so is the prior's closed-form step, and so are the quantiles that aims are drawn
above. What is undone is only that long episodes are visited more often (`gac.training.visits`).
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gac.config import Config, OnlineConfig
from gac.data.episodes import Episodes
from gac.data.split import split_episodes
from gac.data.standardise import Standardiser, held_less
from gac.errors import UserError
from gac.training.offline import TrainingSplit


def shares(
    returns: Float[ndarray, "episodes"],
    newest: Bool[ndarray, "episodes"],
    return_power: float,
    new_share: float,
) -> Float[ndarray, "episodes"]:
    r"""Share $w_i$ of each episode in what is learned, $\sum_i w_i = 1$.

    $$w_i = (1 - m)\,\frac{u_i^a}{\sum_j u_j^a} + m\,\frac{[i \in New]\,u_i^a}{\sum_{j \in New} u_j^a}$$

    with $u_i$ the rank of return $y_i$. It has no units, so nothing depends on the scale of returns.
    Without m, the mean rank of what is learned is
    $(a + 1)/(a + 2)$: one half for a = 0, all alike, and three quarters for a = 2.

    Args:
        returns: y, raw.
        newest: True for the episodes of the newest stage.
        return_power: a, 0 or more.
        new_share: m, in [0, 1); 0 is taken where nothing is new.
    """
    power = ranks(returns) ** return_power
    fresh = power * newest
    m = new_share if newest.any() else 0.0
    share: ndarray = (1.0 - m) * power / power.sum() + (m * fresh / fresh.sum() if m else 0.0)
    return share


def ranks(values: Float[ndarray, "episodes"]) -> Float[ndarray, "episodes"]:
    """Rank of each value, (place - 1/2) / N in (0, 1); equal values share the mean of their places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_place = last - (counts - 1) / 2.0
    rank: ndarray = (mean_place[inverse] - 0.5) / len(values)
    return rank


def joined(parts: list[Episodes]) -> Episodes:
    """Several sets of episodes as one, called, placed and held as the first; what one lacks, the whole lacks.

    Raises:
        UserError: another width of observations or actions.
    """
    first = parts[0]
    for part in parts:
        check_widths(first, part)
    parts = [held_less(part, first.observation_offset) for part in parts]

    def flat(name: str) -> ndarray | None:
        arrays = [getattr(part, name) for part in parts]
        if any(array is None for array in arrays):
            return None
        return np.concatenate([array.astype(arrays[0].dtype, copy=False) for array in arrays])

    names = (
        "observations",
        "actions",
        "rewards",
        "returns",
        "lengths",
        "terminated",
        "truncated",
        "final_observations",
    )
    arrays: dict[str, ndarray | None] = {name: flat(name) for name in names}
    return Episodes(
        **arrays,  # type: ignore[arg-type]
        env_id=first.env_id,
        name=first.name,
        env_spec=first.env_spec,
        observation_offset=first.observation_offset,
    )


def check_widths(first: Episodes, part: Episodes) -> None:
    """Refuse episodes that do not go with the first.

    Raises:
        UserError: another width of observations or actions.
    """
    sizes = part.observation_dim, part.action_dim
    if sizes != (first.observation_dim, first.action_dim):
        raise UserError(
            f"{part.name} has observations and actions of widths {sizes[0]} and {sizes[1]}, expected "
            f"{first.observation_dim} and {first.action_dim} as in {first.name}"
        )


def split_buffer(
    buffer: Episodes,
    offline: int,
    newest: int,
    standardiser: Standardiser,
    config: Config,
    online: OnlineConfig,
    added: int = 0,
) -> tuple[TrainingSplit, Float[ndarray, "episodes"]]:
    """The split of a buffer for training, and the share of every one of its episodes.

    Held out is what was held out offline, so that the held-out ELBO goes on measuring the same thing and
    every collected episode is learned from.

    Args:
        buffer: offline episodes first, then collected ones in their order.
        offline: number of offline episodes.
        newest: number of episodes, at the end, that the newest stage collected.
        added: number of offline episodes, the last of them, that the run had not been trained on before.
    """
    count = buffer.num_episodes
    train_index, heldout_index = split_episodes(offline - added, config)
    new: Int[ndarray, "new"] = np.arange(offline - added, count, dtype=np.int32)
    share = shares(
        buffer.returns.astype(np.float64),
        np.arange(count) >= count - newest,
        online.return_power,
        online.new_share,
    )
    train_index = np.concatenate([train_index, new])
    of_train = share[train_index]
    of_train /= of_train.sum()
    return TrainingSplit(standardiser, train_index, heldout_index, of_train, count - offline, added), share
