"""The prior p_alpha(z | s0): an implicit generative model, z = f_alpha(s0, epsilon)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gac.config import ModelConfig
from gac.model.transformer import FeedForward, Linear, normalise, self_attention


class EncoderBlock(eqx.Module):
    """Pre-norm block with self-attention: full (bidirectional) here, causal where valid tokens are named."""

    qkv: Linear
    out: Linear
    feed_forward: FeedForward
    heads: int = eqx.field(static=True)

    def __init__(self, dim: int, heads: int, depth: int, key: PRNGKeyArray) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        self.qkv, self.out = Linear(dim, 3 * dim, k1), Linear(dim, dim, k2, (2 * depth) ** -0.5)
        self.feed_forward = FeedForward(dim, depth, k3)
        self.heads = heads

    def __call__(
        self, x: Float[Array, "batch tokens dim"], valid: Bool[Array, "batch tokens"] | None = None
    ) -> Float[Array, "batch tokens dim"]:
        x = x + self.out(self_attention(self.qkv(normalise(x)), self.heads, valid))
        return x + self.feed_forward(normalise(x))


class BaseNoise(eqx.Module):
    r"""The first layer of f_alpha, $u = A \epsilon + m$, over all latent dimensions at once.

    The KL gives theta no gradient, so descent alone never moves the codes of the data to where
    N(0, I) puts its mass. For this one layer the best theta is known in closed form: `refit` is
    that M-step. It takes no gradient steps.
    """

    matrix: Float[Array, "latent latent"]
    offset: Float[Array, "latent"]

    def __init__(self, size: int) -> None:
        self.matrix, self.offset = jnp.eye(size), jnp.zeros(size)

    def __call__(self, epsilon: Float[Array, "batch n_z dim"]) -> Float[Array, "batch n_z dim"]:
        matrix, offset = jax.lax.stop_gradient((self.matrix, self.offset))
        flat = epsilon.reshape(epsilon.shape[0], -1) @ matrix.T + offset[None]
        return flat.reshape(epsilon.shape)


def bounded(token: Float[Array, "*batch dim"], longest: float) -> Float[Array, "*batch dim"]:
    """Tokens scaled down to a root mean square of `longest` where theirs is larger; 0 leaves all as they are.

    # Differs from the paper: the blocks normalise what they read, so the likelihood sees only the distance
    # between codes relative to their length and drives them outward without end. Next to tokens of 10^8 the
    # output of a block is below float32's resolution, and the model collapses.
    """
    if longest == 0.0:
        return token
    square = jnp.mean(token * token, axis=-1, keepdims=True)
    return token * (longest * jax.lax.rsqrt(jnp.maximum(square, longest**2)))


class Prior(eqx.Module):
    """Transformer encoder over `[token(s0), epsilon_1 … epsilon_nz]`."""

    base: BaseNoise
    state_token: Linear
    epsilon_token: Linear
    slots: Float[Array, "1 tokens dim"]
    blocks: list[EncoderBlock]
    longest_token: float = eqx.field(static=True)

    def __init__(
        self, config: ModelConfig, longest_token: float, observation_dim: int, key: PRNGKeyArray
    ) -> None:
        d, depth = config.embed_dim, config.encoder_layers
        k1, k2, k3, *keys = jax.random.split(key, 3 + depth)
        self.base = BaseNoise(config.latent_tokens * d)
        self.state_token, self.epsilon_token = Linear(observation_dim, d, k1), Linear(d, d, k2)
        self.slots = 0.5 * jax.random.normal(k3, (1, config.latent_tokens + 1, d))
        self.blocks = [EncoderBlock(d, config.heads, depth, k) for k in keys]
        self.longest_token = longest_token

    def __call__(
        self, s0: Float[Array, "batch obs"], epsilon: Float[Array, "batch n_z dim"]
    ) -> tuple[Float[Array, "batch dim"], Float[Array, "batch n_z dim"]]:
        """z = f_alpha(s0, epsilon).

        Args:
            s0: first states, standardised.
            epsilon: base noise, N(0, I) under the prior.

        Returns:
            `(z_y, z_traj)`: the output at the place of s0, for the critic, and those at the
            places of epsilon, for the generator. They meet only here.

        # Differs from the paper, which reserves a latent vector for the return: z_y has no base noise of its
        # own. With one, exploit could raise the predicted return without any change of behaviour.
        """
        noise = bounded(self.epsilon_token(self.base(epsilon)), self.longest_token)
        x = jnp.concatenate([self.state_token(s0)[:, None], noise], axis=1)
        x = x + self.slots
        for block in self.blocks:
            x = block(x)
        x = normalise(x)
        return x[:, 0], x[:, 1:]
