"""The joint model of trajectories, returns and plans, Eq. (4), and its ELBO, Eq. (5)."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.config import AddedConfig, ModelConfig
from gac.data.windows import Windows
from gac.model.added.critics import Critics
from gac.model.critic import Critic
from gac.model.gaussian import gaussian_log_prob, kl_to_standard_normal
from gac.model.generator import Generator
from gac.model.prior import Prior


class Phi(NamedTuple):
    r"""Parameters of $q_\phi(\epsilon) = N(\mu, \mathrm{diag}\,\sigma^2)$, one row per trajectory."""

    mu: Float[Array, "batch n_z dim"]
    log_sigma: Float[Array, "batch n_z dim"]

    @classmethod
    def at_prior(cls, batch: int, config: ModelConfig) -> "Phi":
        """q = N(0, I), where new posteriors start."""
        shape = (batch, config.latent_tokens, config.embed_dim)
        return cls(jnp.zeros(shape), jnp.zeros(shape))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "batch n_z dim"]:
        """A reparameterised draw of epsilon."""
        return self.mu + jnp.exp(self.log_sigma) * jax.random.normal(key, self.mu.shape)

    def kl(self) -> Float[Array, "batch n_z"]:
        """KL(q || N(0, I)) of each latent token, in nats."""
        return jnp.sum(kl_to_standard_normal(self.mu, self.log_sigma), axis=-1)


class ElboTerms(NamedTuple):
    """The three terms of Eq. (5) for each trajectory, in nats; after a scan, at each of its steps."""

    log_p_tau: Float[Array, "*batch"]
    log_p_y: Float[Array, "*batch"]
    kl: Float[Array, "*batch"]

    @property
    def elbo(self) -> Float[Array, "*batch"]:
        """Their sum."""
        return self.log_p_tau + self.log_p_y - self.kl


class GAC(eqx.Module):
    """theta = (alpha, beta, gamma): p_alpha(z | s0) p_beta(tau | s0, z_traj) p_gamma(y | z_y)."""

    prior: Prior
    generator: Generator
    critic: Critic | Critics
    """That of Eq. (4), which learns with the rest; an agent may judge plans by several others."""
    config: ModelConfig = eqx.field(static=True)
    of_actions: bool = eqx.field(static=True)
    """Plans are inferred from actions alone: neither next states nor the return tell of them."""

    def __init__(
        self,
        config: ModelConfig,
        added: AddedConfig,
        observation_dim: int,
        action_dim: int,
        key: PRNGKeyArray,
    ) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        self.prior = Prior(config, added.longest_token, observation_dim, k1)
        self.generator = Generator(config, added, observation_dim, action_dim, k2)
        self.critic = Critic(config, k3)
        self.config, self.of_actions = config, added.transition_width > 0

    def judged_by(self, critics: Critic | Critics) -> "GAC":
        """The same model with another critic, or several."""
        judged: GAC = eqx.tree_at(lambda model: model.critic, self, critics)
        return judged

    def log_p_tau(self, windows: Windows, z_traj: Float[Array, "batch n_z dim"]) -> Float[Array, "batch"]:
        """log p_beta(tau | s0, z_traj): the weighted sum over the windows given."""
        memory = self.generator.remember(z_traj)
        action_mean, state_mean = self.generator(memory, windows.states, windows.actions, windows.valid)
        log_p_a = gaussian_log_prob(windows.actions, action_mean, self.generator.sigma_a())
        log_p_s = gaussian_log_prob(windows.next_states, state_mean, self.generator.sigma_s())
        steps = jnp.where(windows.valid, log_p_a, 0.0) + jnp.where(windows.next_valid, log_p_s, 0.0)
        return jnp.sum(windows.weight * jnp.sum(steps, axis=2), axis=1)

    def predicted_return(
        self, s0: Float[Array, "batch obs"], epsilon: Float[Array, "batch n_z dim"]
    ) -> Float[Array, "batch"]:
        """The expected return of a plan, standardised, for given base noise."""
        return self.critic.mean(*self.prior(s0, epsilon))


def elbo(
    model: GAC,
    phi: Phi,
    windows: Windows,
    s0: Float[Array, "batch obs"],
    y: Float[Array, "batch"],
    key: PRNGKeyArray,
    free_bits: float = 0.0,
) -> ElboTerms:
    r"""One-sample estimate of the ELBO of each trajectory, Eq. (5).

    $$E_{q_\phi(\epsilon)}[\log p_\beta(\tau|s_0, z_{traj}) + \log p_\gamma(y|z_y)]
        - KL(q_\phi(\epsilon) \| N(0, I))$$

    Args:
        windows: windows of each trajectory; sampled ones make the estimate unbiased, all of
            them make the first term exact for the drawn epsilon.
        s0: first states, standardised.
        y: returns, standardised.
        key: for the reparameterised draw of epsilon.
        free_bits: nats per latent token that the KL does not charge; 0 gives the bound itself.
    """
    epsilon = phi.sample(key)
    z_y, z_traj = model.prior(s0, epsilon)
    kl = jnp.sum(jnp.maximum(phi.kl(), free_bits), axis=-1)
    # Differs from the paper where plans are of actions alone: then plans learn nothing from the critic.
    seen = jax.lax.stop_gradient((z_y, z_traj)) if model.of_actions else (z_y, z_traj)
    return ElboTerms(model.log_p_tau(windows, z_traj), model.critic.log_prob(y, *seen), kl)
