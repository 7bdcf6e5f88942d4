"""The actor's losses, Eq. (17) to (19). Each is a mean over a minibatch, weighted by Eq. (14)."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gac.gtp.config import GTPConfig
from gac.gtp.map import FlowMap, integrated
from gac.gtp.times import Drawn


class Sample(NamedTuple):
    """A minibatch as the actor learns from it."""

    state: Float[Array, "batch obs"]
    action: Float[Array, "batch act"]
    weight: Float[Array, "batch"]
    """w(s, a), Eq. (14); a constant here."""
    z: Float[Array, "batch act"]
    times: Drawn

    @property
    def noisy(self) -> Float[Array, "batch act"]:
        """a_t = a + t z."""
        return self.action + self.times.t * self.z


def intermediate(target: FlowMap, of: Sample, config: GTPConfig) -> Float[Array, "batch act"]:
    r"""The point at u. With the score approximation it is $\tilde a_u = a + u z$, Eq. (11), the same z.

    The other two lead from a_t to u by the EMA network: one step of the map, which makes the target of
    Eq. (17) the composition of Eq. (6), or a solver of the ODE.
    """
    t, u, _ = of.times
    if config.intermediate == "composition":
        return target.flow(of.state, of.noisy, t, u)
    if config.intermediate == "solver":
        return integrated(target.euler, of.state, of.noisy, t, u, config.solver_steps)
    return of.action + u * of.z


def consistency_loss(actor: FlowMap, target: FlowMap, of: Sample, config: GTPConfig) -> Float[Array, ""]:
    r"""$E[ w \| \Phi_\theta(s, a_t, t, \tau) - \Phi_{\theta^-}(s, \tilde a_u, u, \tau) \|^2 ]$, Eq. (17)."""
    t, u, tau = of.times
    wanted = target.flow(of.state, intermediate(target, of, config), u, tau)
    found = actor.flow(of.state, of.noisy, t, tau)
    return jnp.mean(of.weight * squared_norm(found - jax.lax.stop_gradient(wanted)))


def flow_loss(actor: FlowMap, of: Sample, config: GTPConfig) -> Float[Array, ""]:
    r"""$E[ w \| a - \phi^{inst}_\theta(s, a_t, t) \|^2 ]$, Eq. (18)."""
    t = of.times.t
    missed = squared_norm(of.action - actor.phi_inst(of.state, of.noisy, t))
    if config.flow_weight == "edm":
        missed = missed * ((t**2 + config.sigma_data**2) / (t * config.sigma_data) ** 2)[:, 0]
    return jnp.mean(of.weight * missed)


def actor_loss(
    actor: FlowMap, target: FlowMap, of: Sample, config: GTPConfig
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """L_Consistency + lambda_Flow L_Flow, Eq. (19), and its terms."""
    terms: dict[str, Any] = {}
    if config.consistency:
        terms["loss_consistency"] = consistency_loss(actor, target, of, config)
    if config.lambda_flow:
        terms["loss_flow"] = flow_loss(actor, of, config)
    flow: Any = config.lambda_flow
    if config.balance:
        flow = terms["lambda_flow"] = flow * balance(actor, target, of, config)
    loss = config.consistency * terms.get("loss_consistency", 0.0) + flow * terms.get("loss_flow", 0.0)
    return loss, terms


def balance(actor: FlowMap, target: FlowMap, of: Sample, config: GTPConfig) -> Float[Array, ""]:
    """Norm of the gradient of L_Consistency in the last layer over that of L_Flow.

    Source: D. Kim et al. (CTM), arXiv 2310.02279, after P. Esser et al. (VQGAN), arXiv 2012.09841.
    """

    frozen = jax.lax.stop_gradient(actor)

    def losses(weight: Float[Array, "width act"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        changed = eqx.tree_at(lambda tree: tree.network.out.weight, frozen, weight)
        return consistency_loss(changed, target, of, config), flow_loss(changed, of, config)

    one, other = jax.jacrev(losses)(frozen.network.out.weight)
    ratio: Array = jnp.linalg.norm(one) / jnp.maximum(jnp.linalg.norm(other), 1e-8)
    return ratio


def squared_norm(x: Float[Array, "batch act"]) -> Float[Array, "batch"]:
    """The squared length of each row."""
    return jnp.sum(x**2, axis=-1)
