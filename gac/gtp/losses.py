"""The actor's losses, Eq. (17) to (19). Each is a mean over a minibatch, weighted by Eq. (14)."""

from typing import Any, NamedTuple

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


def flow_loss(actor: FlowMap, of: Sample) -> Float[Array, ""]:
    r"""$E[ w \| a - \phi^{inst}_\theta(s, a_t, t) \|^2 ]$, Eq. (18)."""
    return jnp.mean(of.weight * squared_norm(of.action - actor.phi_inst(of.state, of.noisy, of.times.t)))


def actor_loss(
    actor: FlowMap, target: FlowMap, of: Sample, config: GTPConfig
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """L_Consistency + lambda_Flow L_Flow, Eq. (19), and its terms."""
    terms: dict[str, Any] = {}
    if config.consistency:
        terms["loss_consistency"] = consistency_loss(actor, target, of, config)
    if config.lambda_flow:
        terms["loss_flow"] = flow_loss(actor, of)
    consistency, flow = (terms.get(name, 0.0) for name in ("loss_consistency", "loss_flow"))
    return config.consistency * consistency + config.lambda_flow * flow, terms


def squared_norm(x: Float[Array, "batch act"]) -> Float[Array, "batch"]:
    """The squared length of each row."""
    return jnp.sum(x**2, axis=-1)
