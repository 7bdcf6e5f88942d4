r"""Guidance: act as the plan does and others would not, from wherever the episode is now.

# Differs from the paper: imitation confuses causes. Near a goal most logged episodes leave it, so in a state
# that its own way never met a plan that leads there is acted out like any other: the actor follows the state.

What the plan itself asks for shows in the difference to other plans *from the same state*. With weight w,

$$p_w(a | s_t) \propto p_\beta(a | s_t, z) \left(\frac{p_\beta(a | s_t, z)}{p(a | s_t)}\right)^w
    \propto p_\beta(a | s_t, z)\, p(z | a, s_t)^w,$$

so actions count as they tell the plan. With Gaussians of one spread, its mean is that of a weighted set of
base noises, (1 + w) for the plan's own and -w / K for each of K others,

$$(1 + w)\, \bar a_\beta(z) - \frac{w}{K} \sum_k \bar a_\beta(z_k), \qquad
    z = f_\alpha(s, \epsilon), \quad z_k = f_\alpha(s, \epsilon_k), \quad \epsilon_k \sim N(0, I).$$

s is the first state. Where the data's episodes begin anywhere and differ in length (`Reread`), it is the last
state at which an episode may begin: what is left of an episode is taken as one of its own, under the same
base noise, and a plan from far away does not outlive the way that it was made for.

Source: classifier-free guidance, J. Ho and T. Salimans, arXiv 2207.12598, there of a diffusion model's score.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
from numpy import ndarray

from gac.model.prior import Prior

OTHERS = 4
"""Other plans K, the same draws for all rows and steps."""


def guided(
    epsilon: Float[Array, "batch n_z dim"], weight: Float[ndarray | Array, "batch"]
) -> tuple[Float[Array, "batch noises n_z dim"], Float[Array, "batch noises"]]:
    """The weighted sets of guided plans: base noises, and their weights.

    Args:
        epsilon: the plans' own.
        weight: w of each; 0 is no guidance.
    """
    others = jax.random.normal(jax.random.key(0), (1, OTHERS, *epsilon.shape[1:]))
    noises = jnp.concatenate(
        [epsilon[:, None], jnp.broadcast_to(others, (len(epsilon), *others.shape[1:]))], axis=1
    )
    w = jnp.asarray(weight, jnp.float32)[:, None]
    return noises, jnp.concatenate([1.0 + w, jnp.broadcast_to(-w / OTHERS, (len(w), OTHERS))], axis=1)


class Reread(NamedTuple):
    """Reads plans again from every state at which an episode may begin."""

    prior: Prior
    lowest: Float[Array, "obs"]
    """Least of each dimension of the data's first states, standardised."""
    highest: Float[Array, "obs"]
    """Largest."""

    def may_begin(self, state: Float[Array, "batch obs"]) -> Bool[Array, "batch"]:
        """Whether every dimension is within what the data's first states span."""
        return jnp.all((state >= self.lowest[None]) & (state <= self.highest[None]), axis=1)
