"""The critic p_gamma(y | z_y): the return of the whole trajectory, from the plan alone."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from gac.config import ModelConfig
from gac.model.gaussian import Sigma, gaussian_log_prob
from gac.model.transformer import Linear


class Critic(eqx.Module):
    """`N(mu_gamma(z_y), sigma_y^2)` with a small MLP for the mean, in standardised units."""

    hidden: Linear
    out: Linear
    sigma_y: Sigma

    def __init__(self, config: ModelConfig, key: PRNGKeyArray) -> None:
        k1, k2 = jax.random.split(key)
        self.hidden = Linear(config.embed_dim, config.embed_dim, k1)
        self.out = Linear(config.embed_dim, 1, k2)
        self.sigma_y = Sigma(1, config.sigma_y, config.learn_sigma_y)

    def mean(self, z_y: Float[Array, "batch dim"], z: Float[Array, "batch n_z dim"]) -> Float[Array, "batch"]:
        """mu_gamma(z_y); the plan's other tokens z are not read."""
        return self.out(jax.nn.gelu(self.hidden(z_y)))[:, 0]

    def log_prob(
        self,
        y: Float[Array, "batch"],
        z_y: Float[Array, "batch dim"],
        z: Float[Array, "batch n_z dim"],
    ) -> Float[Array, "batch"]:
        """log p_gamma(y | z_y), in nats."""
        return gaussian_log_prob(y[:, None], self.mean(z_y, z)[:, None], self.sigma_y()[None])
