"""The aggregated posterior: the plans of logged episodes, as a mixture of their posteriors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gac.data.windows import DeviceEpisodes
from gac.model.joint import Phi

MOST_COMPONENTS = 512


class Library(NamedTuple):
    """Posteriors q_i(epsilon | tau_i, y_i) of training episodes; travels in the model file."""

    phi: Phi
    """One component per episode."""
    y: Float[Array, "components"]
    """Returns of the components, standardised."""
    buffer_y: Float[Array, "episodes"]
    """Returns of all training episodes, standardised and sorted."""

    @classmethod
    def build(cls, bank: Phi, data: DeviceEpisodes, train_index: Float[Array, "train"]) -> "Library":
        """Up to MOST_COMPONENTS training episodes, evenly spaced in the order of their returns."""
        order = np.asarray(train_index)[np.argsort(np.asarray(data.y)[np.asarray(train_index)], kind="stable")]
        place = np.unique(np.linspace(0, len(order) - 1, min(MOST_COMPONENTS, len(order))).round().astype(int))
        chosen = order[place]
        return cls(
            phi=jax.tree.map(lambda leaf: leaf[chosen], bank), y=data.y[chosen], buffer_y=data.y[order]
        )

    def kl_to_each(self, phi: Phi) -> Float[Array, "batch components"]:
        """KL(q || q_i) of every q to every component, in nats."""
        flat = [leaf.reshape(leaf.shape[0], -1) for leaf in (*phi, *self.phi)]
        mu, log_sigma, mu_i, log_sigma_i = flat
        precision = jnp.exp(-2.0 * log_sigma_i)
        # (sigma^2 + (mu - mu_i)^2) / sigma_i^2, expanded so that it is two matrix products.
        second_moment = jnp.exp(2.0 * log_sigma) + mu * mu
        spread = second_moment @ precision.T - 2.0 * (mu @ (mu_i * precision).T)
        constant = jnp.sum(mu_i * mu_i * precision + 2.0 * log_sigma_i - 1.0, axis=1)
        return 0.5 * (spread + constant[None]) - jnp.sum(log_sigma, axis=1)[:, None]
