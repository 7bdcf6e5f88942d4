"""Regions of plans: around the logged behaviour that returns most, or about as much as is asked for."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gac.config import ModelConfig
from gac.model.gaussian import gaussian_log_prob
from gac.model.joint import GAC, Phi

REGION = 5
"""Logged plans that a region is made of, at most: few enough to be of one behaviour."""
LARGEST_SHARE = 4
"""One in so many of all, at most: of twenty episodes, the nearest twenty would be good and bad alike."""


class Logged(NamedTuple):
    """Logged plans, of which a query may stay near one."""

    phi: Phi
    """Posteriors given tau alone."""
    residual: Float[Array, "episodes"]
    """By how much the episodes nearest to each plan returned more than it promises them, standardised."""

    @classmethod
    def unknown(cls, episodes: int, config: ModelConfig) -> "Logged":
        """Of a model that has learned nothing yet."""
        return cls(Phi.at_prior(episodes, config), jnp.zeros(episodes))


def nearest_of(count: int, most: int) -> int:
    """How many of so many episodes count as nearest to a plan."""
    return min(most, max(count // LARGEST_SHARE, 1))


def apart(plan: Phi, others: Phi) -> Float[Array, "episodes"]:
    r"""How far one plan, a row by itself, lies from each of the others.

    $$\sum_d (\mu_d - \mu_{jd})^2 / \overline{\sigma_d^2},$$

    with the mean of the others' variances: a difference counts as far as posteriors commonly tell it. A
    divergence of the two would measure by their own widths, and put a narrow plan nearer to a wide one of
    another behaviour than to a narrow one of its own.

    Source: P. C. Mahalanobis, 1936, with the scatter within episodes as the covariance.
    """
    variance = jnp.mean(jnp.exp(2.0 * others.log_sigma), axis=0, keepdims=True)
    return jnp.sum((plan.mu - others.mu) ** 2 / variance, axis=(-2, -1))


def trust_region(model: GAC, s0: Float[Array, "batch obs"], logged: Logged) -> Phi:
    r"""The Gaussian around the logged plan that returns most from s0 and the REGION nearest, itself one.

    Args:
        model: theta.
        s0: current states, standardised.
        logged: plans of logged episodes, at least one.
    """

    def best(state: Float[Array, "obs"]) -> Phi:
        return _around(logged.phi, jnp.argmax(returns_from(model, state, logged)))

    region: Phi = jax.lax.map(best, s0)
    return region


def region_of_return(
    model: GAC,
    s0: Float[Array, "batch obs"],
    logged: Logged,
    y_plus: Float[Array, "batch"],
    keys: Key[Array, "batch"],
) -> Phi:
    r"""As `trust_region`, around a logged plan drawn by how well what it returns explains $y^+$.

    Plan i has the probability $\propto p_\gamma(y^+ | y_i)$, $y_i$ what it returns from s0: the posterior
    over the components of the mixture of logged plans, all alike before.

    Args:
        model: theta.
        s0: current states, standardised.
        logged: plans of logged episodes, at least one.
        y_plus: returns to be explained, standardised.
        keys: of each row's draw.
    """

    def one(row: tuple[Float[Array, "obs"], Float[Array, ""], Key[Array, ""]]) -> Phi:
        state, y, key = row
        returned = returns_from(model, state, logged)
        aim = jnp.full_like(returned, y)
        log_p = gaussian_log_prob(aim[:, None], returned[:, None], model.critic.sigma_y()[None])
        return _around(logged.phi, jax.random.categorical(key, log_p))

    region: Phi = jax.lax.map(one, (s0, y_plus, keys))
    return region


def returns_from(model: GAC, state: Float[Array, "obs"], logged: Logged) -> Float[Array, "episodes"]:
    r"""What each logged plan returns from a state, standardised.

    That is what it promises there, $\mu_\gamma(z_y(s_0, \bar\epsilon_i))$, corrected by its residual, which
    `gac.training.logged` explains, by no more than $\sigma_\gamma$ upwards. Where the like of a plan returned
    far more than it promises from their first states, it is not the behaviour that made them return it, and
    from elsewhere it would be chosen for what it does not do.

    The posteriors must be those of tau alone, $q(\epsilon | \tau)$: the prediction is then the generative
    critic's, $p(y | \tau)$. Given its return too, a posterior explains a lucky episode by a plan that
    promises luck, and the luckiest episodes of a middling behaviour rank above a better one.
    """
    states = jnp.broadcast_to(state[None], (logged.phi.mu.shape[0], *state.shape))
    residual = jnp.minimum(logged.residual, model.critic.sigma_y())
    return model.predicted_return(states, logged.phi.mu) + residual


def _around(plans: Phi, place: Int[Array, ""]) -> Phi:
    r"""The Gaussian of a plan and those nearest to it, itself one of them; no batch axis.

    Nearest is the least `apart`. It has the mean and the variance of their
    equal mixture, $N(\bar\mu, \overline{\sigma^2} + \mathrm{Var}\,\mu)$ in every dimension. Of one behaviour,
    then: between two there may be nothing that anyone ever did, whatever the critic says of it.
    """
    centre = jax.tree.map(lambda leaf: leaf[place][None], plans)
    _, near = jax.lax.top_k(-apart(centre, plans), nearest_of(plans.mu.shape[0], REGION))
    mu, variance = plans.mu[near], jnp.exp(2.0 * plans.log_sigma[near])
    return Phi(jnp.mean(mu, axis=0), 0.5 * jnp.log(jnp.mean(variance, axis=0) + jnp.var(mu, axis=0)))
