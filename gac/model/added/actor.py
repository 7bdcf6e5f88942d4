"""The actor: what reads an action from a state and the token that the decoder made of it."""

# Differs from the paper, where one linear layer does: imitation of a controller that brakes failed at the
# width of a token, which is as narrow as the plan allows.

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.model.transformer import Linear


class Actor(eqx.Module):
    """Two wide hidden layers, which see the state itself beside its token; none at `width` 0, as the paper.

    An action may change within a tenth of a standard deviation of the state, as a controller's does that
    brakes. A token is as narrow as the plan allows, and normalised; the layers after it need room for edges:
    imitation of a maze's controller failed at a width of 64. ReLU, as clipped forces are made of straight
    pieces.
    """

    hidden: list[Linear]
    out: Linear

    def __init__(
        self, dim: int, observation_dim: int, width: int, action_dim: int, key: PRNGKeyArray
    ) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        self.hidden = (
            [Linear(dim + observation_dim, width, k1, 2**0.5), Linear(width, width, k2, 2**0.5)]
            if width
            else []
        )
        self.out = Linear(width or dim, action_dim, k3, 0.1)

    def __call__(
        self, token: Float[Array, "*batch dim"], state: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Mean actions; `token` normalised, `state` standardised."""
        x = jnp.concatenate([token, state], axis=-1) if self.hidden else token
        for layer in self.hidden:
            x = jax.nn.relu(layer(x))
        return self.out(x)
