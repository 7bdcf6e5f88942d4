"""The layers that the prior and the generator share: pre-norm attention blocks."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

MASKED = -1e9
FEW_TOKENS = 12
"""Up to which attention is written as sums over all pairs."""


class Linear(eqx.Module):
    """`x W + b` over the last axis, so that all leading axes fold into one matrix product."""

    weight: Float[Array, "fan_in fan_out"]
    bias: Float[Array, "fan_out"]

    def __init__(self, fan_in: int, fan_out: int, key: PRNGKeyArray, scale: float = 1.0) -> None:
        self.weight = jax.random.normal(key, (fan_in, fan_out)) * (scale * fan_in**-0.5)
        self.bias = jnp.zeros(fan_out)

    def __call__(self, x: Float[Array, "*batch fan_in"]) -> Float[Array, "*batch fan_out"]:
        return jnp.tensordot(x, self.weight, axes=1) + jax.lax.broadcast_to_rank(self.bias, x.ndim)


def normalise(x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    """Layer norm without scale and shift, which the linear layer that always follows can absorb."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)


class FeedForward(eqx.Module):
    """Two layers, four times as wide inside, squared ReLU (GELU costs three times as much on a CPU)."""

    up: Linear
    down: Linear

    def __init__(self, dim: int, depth: int, key: PRNGKeyArray) -> None:
        k1, k2 = jax.random.split(key)
        self.up, self.down = Linear(dim, 4 * dim, k1), Linear(4 * dim, dim, k2, (2 * depth) ** -0.5)

    def __call__(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return self.down(jnp.square(jax.nn.relu(self.up(x))))


def split_heads(x: Float[Array, "*batch dim"], heads: int) -> Float[Array, "*batch heads width"]:
    """The last axis as `heads` parts."""
    return x.reshape(*x.shape[:-1], heads, -1)


def self_attention(
    qkv: Float[Array, "*batch tokens three_dim"],
    heads: int,
    valid: Bool[Array, "*batch tokens"] | None = None,
) -> Float[Array, "*batch tokens dim"]:
    """Scaled dot-product attention of tokens to each other.

    For few tokens written as products and sums over all pairs: there a batched product of tiny matrices costs
    several times its arithmetic. For many, all pairs would take too much memory.

    Args:
        qkv: queries, keys and values, side by side.
        heads: attention heads.
        valid: None for full attention. Else causal: a token sees itself and the valid ones before it.
    """
    q, k, v = (split_heads(x, heads) for x in jnp.split(qkv, 3, axis=-1))
    few = qkv.shape[-2] <= FEW_TOKENS
    scores = (
        jnp.sum(q[..., :, None, :, :] * k[..., None, :, :, :], axis=-1)
        if few
        else jnp.einsum("...ihw,...jhw->...ijh", q, k)
    ) * q.shape[-1] ** -0.5
    if valid is not None:
        token = jnp.arange(valid.shape[-1])
        before, itself = token[:, None] > token[None], token[:, None] == token[None]
        before, itself = (jax.lax.broadcast_to_rank(pairs, valid.ndim + 1) for pairs in (before, itself))
        seen = (valid[..., None, :] & before) | itself
        scores = jnp.where(seen[..., None], scores, MASKED)
    weights = jax.nn.softmax(scores, axis=-2)
    mixed = (
        jnp.sum(weights[..., None] * v[..., None, :, :, :], axis=-3)
        if few
        else jnp.einsum("...ijh,...jhw->...ihw", weights, v)
    )
    return mixed.reshape(*mixed.shape[:-2], -1)
