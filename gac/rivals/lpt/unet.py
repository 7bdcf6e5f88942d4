"""U: a one-dimensional U-Net over the numbers of z0 in a row, from noise to a plan.

On a CPU a convolution of few channels costs its memory, not its arithmetic: `patch` numbers side by side as
one place take a tenth of the time.
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gac.model.transformer import Linear, normalise

Signal = Float[Array, "batch length channels"]


def neighbours(x: Signal) -> Float[Array, "batch length three_channels"]:
    """Each place beside the ones before and after it, zeros beyond the ends: what a convolution of 3 reads.

    A matrix product of these is a convolution, and on a CPU several times faster than XLA's own.
    """
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    return jnp.concatenate([padded[:, :-2], x, padded[:, 2:]], axis=-1)


class ResidualBlock(eqx.Module):
    """Two convolutions of 3, each normalised and followed by SiLU, beside a straight way."""

    one: Linear
    two: Linear
    straight: Linear

    def __init__(self, channels_in: int, channels: int, key: PRNGKeyArray) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        self.one, self.two = Linear(3 * channels_in, channels, k1), Linear(3 * channels, channels, k2)
        self.straight = Linear(channels_in, channels, k3)

    def __call__(self, x: Signal) -> Float[Array, "batch length out"]:
        h = jax.nn.silu(normalise(self.one(neighbours(x))))
        return self.straight(x) + jax.nn.silu(normalise(self.two(neighbours(h))))


class Mixing(eqx.Module):
    """Attention of all places to each other, beside a straight way."""

    qkv: Linear
    out: Linear

    def __init__(self, channels: int, key: PRNGKeyArray) -> None:
        k1, k2 = jax.random.split(key)
        self.qkv, self.out = Linear(channels, 3 * channels, k1), Linear(channels, channels, k2)

    def __call__(self, x: Signal) -> Signal:
        q, k, v = jnp.split(self.qkv(normalise(x)), 3, axis=-1)
        scores = jnp.einsum("bic,bjc->bij", q, k) * q.shape[-1] ** -0.5
        return x + self.out(jnp.einsum("bij,bjc->bic", jax.nn.softmax(scores, axis=-1), v))


class UNet(eqx.Module):
    """z = U(z0): down to the coarsest level, and up again with what was there on the way.

    # Differs from the paper: one block a level where its code has two, and attention at the coarsest level
    # alone. Its places are single numbers (patch 1).
    """

    first: Linear
    down: list[ResidualBlock]
    halve: list[Linear]
    middle: ResidualBlock
    mixing: Mixing
    double: list[Linear]
    up: list[ResidualBlock]
    last: Linear

    def __init__(self, patch: int, width: int, levels: int, key: PRNGKeyArray) -> None:
        sizes = [width * 2**level for level in range(levels)]
        pairs = list(itertools.pairwise(sizes))
        k1, k2, k3, k4, *keys = jax.random.split(key, 4 + 4 * len(pairs))
        at = iter(keys)
        self.first, self.last = Linear(3 * patch, width, k1), Linear(width, patch, k4)
        self.down = [ResidualBlock(fine, fine, next(at)) for fine, _ in pairs]
        self.halve = [Linear(2 * fine, coarse, next(at)) for fine, coarse in pairs]
        self.middle, self.mixing = ResidualBlock(sizes[-1], sizes[-1], k2), Mixing(sizes[-1], k3)
        self.double = [Linear(coarse, 2 * fine, next(at)) for fine, coarse in pairs]
        self.up = [ResidualBlock(2 * fine, fine, next(at)) for fine, _ in pairs]

    def __call__(self, z0: Float[Array, "batch n_z dim"]) -> Float[Array, "batch n_z dim"]:
        places = z0.reshape(len(z0), -1, self.last.weight.shape[1])
        x, seen = self.first(neighbours(places)), []
        for block, halve in zip(self.down, self.halve, strict=True):
            x = block(x)
            seen.append(x)
            x = halve(x.reshape(len(x), x.shape[1] // 2, -1))
        x = self.mixing(self.middle(x))
        for block, double, beside in reversed(list(zip(self.up, self.double, seen, strict=True))):
            x = double(x).reshape(beside.shape)
            x = block(jnp.concatenate([x, beside], axis=-1))
        return self.last(x).reshape(z0.shape)
