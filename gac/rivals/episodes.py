"""What the rivals ask of a data set, and how they draw its episodes."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.data.windows import DeviceEpisodes, to_device
from gac.errors import UserError
from gac.rivals.lpt.config import LPTConfig
from gac.rivals.odt.config import ODTConfig
from gac.rivals.returns import unit_of
from gac.training.visits import Visits, visit_rates


class Data(NamedTuple):
    """Episodes on the device."""

    episodes: DeviceEpisodes
    y: Float[Array, "episodes"]
    """Returns, in units of return_scale."""
    visits: Visits


def prepare(episodes: Episodes, units: Standardiser, config: LPTConfig | ODTConfig) -> Data:
    """What training reads of a data set.

    Raises:
        UserError: steps that stay on disk.
    """
    if episodes.on_disk:
        raise UserError(
            f"{episodes.name} stays on disk, and {config.method} needs it in memory; use --method gac, "
            "or fewer episodes"
        )
    y = episodes.returns / unit_of(episodes.returns, config.return_scale)
    visits = visits_by_length(episodes, config.batch_size)
    return Data(to_device(episodes, units), jnp.asarray(y, jnp.float32), visits)


def visits_by_length(episodes: Episodes, batch_size: int) -> Visits:
    """Draw episodes in proportion to their length, as both papers do; none twice in a batch."""
    count = episodes.num_episodes
    rates = visit_rates(episodes.lengths.astype(np.float64), min(batch_size, count))
    return Visits(jnp.arange(count, dtype=jnp.int32), jnp.asarray(rates))
