"""Layers of the actor and the critics: plain networks with Mish, and features of a time."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.model.transformer import Linear


def mish(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    r"""$x \tanh(\log(1 + e^x))$, with one exponential."""
    e = jnp.exp(jnp.minimum(x, 20.0))
    ratio = e * (e + 2.0)
    return x * (ratio / (ratio + 2.0))


def side_by_side(layer: Linear, parts: Sequence[Float[Array, "..."]]) -> Float[Array, "*batch out"]:
    """A layer of parts side by side. Axes of size 1 are repeated after the product, not before it."""
    ends = [sum(part.shape[-1] for part in parts[: i + 1]) for i in range(len(parts) - 1)]
    rows = jnp.split(layer.weight, ends)
    products = (jnp.tensordot(part, weight, axes=1) for part, weight in zip(parts, rows, strict=True))
    total: Array = sum(products, jax.lax.broadcast_to_rank(layer.bias, parts[0].ndim))
    return total


class MLP(eqx.Module):
    """Hidden layers of one width, then a linear one."""

    hidden: list[Linear]
    out: Linear

    def __init__(self, inputs: int, width: int, layers: int, outputs: int, key: PRNGKeyArray) -> None:
        sizes, keys = [inputs, *[width] * layers], jax.random.split(key, layers + 1)
        self.hidden = [Linear(*pair, k) for pair, k in zip(itertools.pairwise(sizes), keys[1:], strict=True)]
        self.out = Linear(width, outputs, keys[0])

    def __call__(self, *parts: Float[Array, "..."]) -> Float[Array, "*batch out"]:
        """Parts of the input, with as many axes each."""
        h = mish(side_by_side(self.hidden[0], parts))
        for layer in self.hidden[1:]:
            h = mish(layer(h))
        return self.out(h)


class TimeFeatures(eqx.Module):
    r"""Features of a time: sines and cosines of $\log(1 + t/\sigma_{min})$, then two layers.

    The logarithm is 0 at t = 0, where other codes put an arbitrary constant for log 0.
    """

    up: Linear
    down: Linear
    sigma_min: float = eqx.field(static=True)

    def __init__(self, size: int, sigma_min: float, key: PRNGKeyArray) -> None:
        k1, k2 = jax.random.split(key)
        self.up, self.down = Linear(size, 2 * size, k1), Linear(2 * size, size, k2)
        self.sigma_min = sigma_min

    def __call__(self, t: Float[Array, "*#batch 1"]) -> Float[Array, "*#batch features"]:
        # The logarithm runs to about 10; waves from far longer than that down to one e-fold tell times apart.
        octaves = jnp.linspace(-4.0, 1.0, self.down.weight.shape[1] // 2)
        angle = jnp.log1p(t / self.sigma_min) * jax.lax.broadcast_to_rank(2.0**octaves, t.ndim)
        waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        return self.down(mish(self.up(waves)))
