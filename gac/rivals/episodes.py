"""What the rivals ask of a data set, and how they draw its episodes."""

import jax.numpy as jnp
import numpy as np

from gac.data.episodes import Episodes
from gac.errors import UserError
from gac.training.visits import Visits, visit_rates


def check_episodes(episodes: Episodes, method: str) -> None:
    """Refuse data that training cannot read.

    Raises:
        UserError: steps that stay on disk.
    """
    if episodes.on_disk:
        raise UserError(
            f"{episodes.name} stays on disk, and {method} needs it in memory; use --method gac, or fewer "
            "episodes"
        )


def visits_by_length(episodes: Episodes, batch_size: int) -> Visits:
    """Draw episodes in proportion to their length, as both papers do; none twice in a batch."""
    count = episodes.num_episodes
    rates = visit_rates(episodes.lengths.astype(np.float64), min(batch_size, count))
    return Visits(jnp.arange(count, dtype=jnp.int32), jnp.asarray(rates))
