r"""The map of Generative Trajectory Policies: the solution of the ODE that carries noise to actions.

A clean action a becomes $x_t = a + t z$ with $z \sim N(0, I)$. The probability-flow ODE
$dx_t/dt = f(x_t, t) = (x_t - E[a | x_t]) / t$ leads back. One network learns its whole solution:

$$\Phi(x_t, t, s) = x_t + \int_t^s f\,d\tau                                    \qquad \text{Eq. (2)}$$
$$\phi(x_t, t, s) = x_t + \frac{t}{t - s} \int_t^s f\,d\tau                    \qquad \text{Eq. (3)}$$
$$\Phi(x_t, t, s) = \frac{s}{t} x_t + \Big(1 - \frac{s}{t}\Big) \phi(x_t, t, s) \qquad \text{Eq. (4)}$$

The network is phi; Eq. (2) is Eq. (4) of it. At s = t it is the denoiser E[a | x_t], Eq. (5).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.gtp.config import GTPConfig
from gac.gtp.layers import MLP, TimeFeatures

Actions = Float[Array, "*#batch act"]
States = Float[Array, "*#batch obs"]
Times = Float[Array, "*#batch 1"]
"""Of every row, or one for all; as many axes as the actions."""
Move = Callable[[States, Actions, Times, Times], Actions]
"""A step from time t to time s."""


class FlowMap(eqx.Module):
    """phi_theta(state, x_t, t, s), with the skip and output scaling of EDM."""

    since: TimeFeatures
    until: TimeFeatures
    network: MLP
    """Of state, x, features of t and features of s, in this order."""
    sigma_data: float = eqx.field(static=True)

    def __init__(self, config: GTPConfig, observation_dim: int, action_dim: int, key: PRNGKeyArray) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        self.since, self.until = (TimeFeatures(config.time_features, config.sigma_min, k) for k in (k1, k2))
        inputs = observation_dim + action_dim + 2 * config.time_features
        self.network = MLP(inputs, config.width, config.layers, action_dim, k3)
        self.sigma_data = config.sigma_data

    def phi(self, state: States, x: Actions, t: Times, s: Times) -> Actions:
        r"""The extrapolated end point, Eq. (3), as $c_{skip} x + c_{out} F_\theta(c_{in} x)$.

        Source: T. Karras et al., arXiv 2206.00364, Table 1; D. Kim et al. (CTM), arXiv 2310.02279.
        """
        skip, scale, scale_in = scaling(t, self.sigma_data)
        return skip * x + scale * self.network(state, scale_in * x, self.since(t), self.until(s))

    def phi_inst(self, state: States, x: Actions, t: Times) -> Actions:
        r"""The denoiser, Eq. (5): $\lim_{s \to t} \phi(x_t, t, s) = x_t - t f(x_t, t) = E[a | x_t]$."""
        return self.phi(state, x, t, t)

    def flow(self, state: States, x: Actions, t: Times, s: Times) -> Actions:
        """The flow map Phi, Eq. (4): from x at time t to time s <= t, t > 0."""
        return towards(x, self.phi(state, x, t, s), t, s)

    def euler(self, state: States, x: Actions, t: Times, s: Times) -> Actions:
        r"""One Euler step of the ODE, $x + (s - t) f(x, t)$: Eq. (4) with phi_inst in place of phi."""
        return towards(x, self.phi_inst(state, x, t), t, s)


def scaling(t: Times, sigma_data: float) -> tuple[Times, Times, Times]:
    """c_skip, c_out and c_in at a noise level."""
    size = jnp.sqrt(t**2 + sigma_data**2)
    return (sigma_data / size) ** 2, sigma_data * t / size, 1.0 / size


def towards(x: Actions, end: Actions, t: Times, s: Times) -> Actions:
    """The mixture of a point and an end point in Eq. (4)."""
    return (s / t) * x + (1.0 - s / t) * end


def integrated(step: Move, state: States, x: Actions, t: Times, s: Times, steps: int) -> Actions:
    """Eq. (2) by a solver: so many equal steps from t to s."""
    for i in range(steps):
        now, then = t + (s - t) * (i / steps), t + (s - t) * ((i + 1) / steps)
        x = step(state, x, now, then)
    return x
