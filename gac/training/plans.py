"""What an agent keeps of its episodes: plans of some of them, and critics that these taught."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy import ndarray

from gac.config import Config
from gac.data.blocks import evenly_spaced
from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.inference.added.logged import LoggedPlans, unknown
from gac.model.added.critics import Critics, has_critics
from gac.model.joint import GAC, Phi
from gac.training.added.critics import fit_critics

AT_ONCE = 1000
"""Plans that are read together."""


class Kept(NamedTuple):
    """What an agent keeps of its episodes."""

    logged: LoggedPlans
    """The plans that exploit chooses among."""
    critics: Critics | None
    """What judges plans; None: the one critic of the model."""

    @classmethod
    def unknown(cls, config: Config) -> "Kept":
        """Of a model that has learned nothing yet."""
        return cls(
            unknown(0, config.model),
            Critics(config, jax.random.key(0)) if has_critics(config.added) else None,
        )


def kept_plans(
    model: GAC,
    bank: Phi,
    episodes: Episodes,
    standardiser: Standardiser,
    train_index: Int[ndarray, "train"],
    config: Config,
    key: PRNGKeyArray,
) -> Kept:
    """The plans of at most `searched` training episodes, evenly spaced, and critics that more of them taught.

    Args:
        model: the weights that act.
        bank: the stored posterior of every episode; its mean is the episode's plan.
        episodes: what was learned from.
        standardiser: its units.
        train_index: training episodes.
        config: of the run.
        key: of the critics.
    """
    if not has_critics(config.added):
        return Kept.unknown(config)
    searched = config.added.searched
    index = train_index[evenly_spaced(len(train_index), max(config.critics.critic_episodes, searched))]
    first = standardiser.less(episodes.raw(episodes.observations[episodes.starts[index]]))
    s0 = jnp.asarray(standardiser.standardise_observation(first))
    y = jnp.asarray(standardiser.standardise_return(episodes.returns[index]), jnp.float32)
    epsilon = jnp.asarray(np.asarray(bank.mu[index]))
    return Kept(
        epsilon[evenly_spaced(len(index), searched)], fit_critics(_read(model, s0, epsilon), y, config, key)
    )


@jax.jit
def _read(
    model: GAC, s0: Float[Array, "plans obs"], epsilon: Float[Array, "plans n_z dim"]
) -> Float[Array, "plans n_z dim"]:
    """The plans as the generator reads them, each from its own first state."""
    found: Array = jax.lax.map(
        lambda each: model.prior(each[0][None], each[1][None])[1][0], (s0, epsilon), batch_size=AT_ONCE
    )
    return found
