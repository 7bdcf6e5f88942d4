"""Several critics of a plan: its expected return, and how far they agree on it."""

# Differs from the paper: a critic that learns with the plans knows each episode's luck by heart, so that the
# plan that it values most is a lucky one.

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.config import AddedConfig, Config
from gac.model.gaussian import gaussian_log_prob


def has_critics(added: AddedConfig) -> bool:
    """Whether several critics judge plans: they learn from the plans that are searched."""
    return added.members > 0 and added.searched > 0


class Member(eqx.Module):
    """One critic, mu(z): an MLP of one hidden layer on a whole plan."""

    w1: Float[Array, "plan hidden"]
    b1: Float[Array, "hidden"]
    w2: Float[Array, "hidden"]
    b2: Float[Array, ""]

    def __init__(self, plan: int, hidden: int, key: PRNGKeyArray) -> None:
        k1, k2 = jax.random.split(key)
        self.w1, self.b1 = jax.random.normal(k1, (plan, hidden)) * (2.0 / plan) ** 0.5, jnp.zeros(hidden)
        self.w2, self.b2 = jax.random.normal(k2, (hidden,)) * 0.1 * hidden**-0.5, jnp.zeros(())

    def __call__(self, plan: Float[Array, "batch plan"]) -> Float[Array, "batch"]:
        """Expected returns, standardised."""
        return jax.nn.gelu(plan @ self.w1 + self.b1[None]) @ self.w2 + self.b2


class Critics(eqx.Module):
    """Members that learned from different draws of the episodes, in place of the one critic."""

    members: Member
    """Stacked: the leading axis of every array is theirs."""
    offset: Float[Array, "plan"]
    """Mean of each entry of the plans that they learned from."""
    scale: Float[Array, "plan"]
    """Its standard deviation."""
    spread: Float[Array, "1"]
    """Root mean squared error of predicted returns, of episodes that a member did not learn from."""
    quantiles: Float[Array, "2"]
    """The 5 and 95 % quantiles of that error."""

    def __init__(self, config: Config, key: PRNGKeyArray) -> None:
        plan, hidden = config.model.latent_tokens * config.model.embed_dim, config.critics.critic_hidden
        keys = jax.random.split(key, config.added.members)
        self.members = eqx.filter_vmap(lambda k: Member(plan, hidden, k))(keys)
        self.offset, self.scale = jnp.zeros(plan), jnp.ones(plan)
        self.spread, self.quantiles = jnp.ones(1), jnp.asarray([-1.645, 1.645])

    def each(self, z: Float[Array, "batch n_z dim"]) -> Float[Array, "members batch"]:
        """Expected returns by every member, standardised."""
        plan = (z.reshape(len(z), -1) - self.offset[None]) / self.scale[None]
        found: Array = eqx.filter_vmap(lambda member: member(plan))(self.members)
        return found

    def mean(self, z_y: Float[Array, "batch dim"], z: Float[Array, "batch n_z dim"]) -> Float[Array, "batch"]:
        """The members' mean; the token z_y is not read."""
        return jnp.mean(self.each(z), axis=0)

    def interval(self, z: Float[Array, "batch n_z dim"]) -> Float[Array, "batch 2"]:
        """Within which nine of ten returns of a plan lie, standardised."""
        return jnp.mean(self.each(z), axis=0)[:, None] + self.quantiles[None]

    def sigma_y(self) -> Float[Array, "1"]:
        """Standard deviation of the return given the plan."""
        return self.spread

    def log_prob(
        self,
        y: Float[Array, "batch"],
        z_y: Float[Array, "batch dim"],
        z: Float[Array, "batch n_z dim"],
    ) -> Float[Array, "batch"]:
        """log p(y | z), in nats, with one standard deviation for all plans."""
        return gaussian_log_prob(y[:, None], self.mean(z_y, z)[:, None], self.spread[None])
