r"""Twin critics and the weights of samples that they give; they know no kind of policy.

Whoever uses them hands over `Policy`, a function that samples actions.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gac.gtp.layers import MLP

Policy = Callable[[Float[Array, "batch obs"], PRNGKeyArray, int], Float[Array, "count batch act"]]
"""`(states, key, count) -> ` so many actions for each state."""


class Transitions(NamedTuple):
    """Steps of logged episodes: states standardised, actions scaled to [-1, 1]."""

    state: Float[Array, "steps obs"]
    action: Float[Array, "steps act"]
    reward: Float[Array, "steps"]
    following: Float[Array, "steps obs"]
    """The state after the action; anything where the episode terminated."""
    terminated: Bool[Array, "steps"]
    """The environment ended the episode here: nothing follows. A time limit does not count."""


class Critic(eqx.Module):
    """Q_1 and Q_2."""

    one: MLP
    two: MLP

    def __init__(self, observation_dim: int, action_dim: int, width: int, layers: int, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.one, self.two = (MLP(observation_dim + action_dim, width, layers, 1, k) for k in (k1, k2))

    def __call__(
        self, state: Float[Array, "*#batch obs"], action: Float[Array, "*#batch act"]
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        return self.one(state, action)[..., 0], self.two(state, action)[..., 0]

    def least(
        self, state: Float[Array, "*#batch obs"], action: Float[Array, "*#batch act"]
    ) -> Float[Array, "*batch"]:
        """min_j Q_j(s, a)."""
        return jnp.minimum(*self(state, action))


def target_values(
    target: Critic, batch: Transitions, policy: Policy, key: PRNGKeyArray, discount: float, samples: int = 1
) -> Float[Array, "steps"]:
    r"""$r + \gamma \min_j Q_j^-(s', \pi(s'))$ of Eq. (16); r alone where the episode terminated.

    With several samples, the best of them for each Q counts (max-Q backup).
    """
    following = target(batch.following[None], policy(batch.following, key, samples))
    value = jnp.minimum(*(jnp.max(each, axis=0) for each in following))
    return batch.reward + discount * jnp.where(batch.terminated, 0.0, value)


def critic_loss(critic: Critic, batch: Transitions, wanted: Float[Array, "steps"]) -> Float[Array, ""]:
    r"""$\sum_j E[ (r + \gamma \min_j Q_j^-(s', \pi(s')) - Q_j(s, a))^2 ]$, Eq. (16)."""
    one, two = critic(batch.state, batch.action)
    return jnp.mean((wanted - one) ** 2) + jnp.mean((wanted - two) ** 2)


def mean_value(
    critic: Critic, state: Float[Array, "steps obs"], policy: Policy, key: PRNGKeyArray, samples: int
) -> Float[Array, "steps"]:
    """V(s) as the mean of min_j Q_j over actions of the policy."""
    return jnp.mean(critic.least(state[None], policy(state, key, samples)), axis=0)


def expectile_loss(missed: Float[Array, "steps"], expectile: float) -> Float[Array, ""]:
    r"""$E[ |\epsilon - 1(m < 0)|\, m^2 ]$ of m = Q - V.

    Source: I. Kostrikov, A. Nair, S. Levine (IQL), arXiv 2110.06169, Eq. (5).
    """
    return jnp.mean(jnp.where(missed < 0.0, 1.0 - expectile, expectile) * missed**2)


def weights(
    advantage: Float[Array, "steps"], eta: float, clip: float, positive: bool = True
) -> Float[Array, "steps"]:
    r"""$w(s, a) = \exp(\eta \max(0, A) / (std(A) + \epsilon))$, Eq. (14), at most `clip`.

    Args:
        advantage: A = Q(s, a) - V(s) of a minibatch, over which the standard deviation is taken.
        eta: 0 gives every sample the weight 1.
        clip: largest weight.
        positive: whether max(0, A) stands there, as in the paper, or A.
    """
    kept = jnp.maximum(advantage, 0.0) if positive else advantage
    return jnp.minimum(jnp.exp(eta * kept / (jnp.std(advantage) + 1e-6)), clip)
