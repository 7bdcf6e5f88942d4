"""The generator p_beta(tau | s0, z_traj): a causal decoder over states and actions."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from gac.config import AddedConfig, ModelConfig
from gac.model.added.actor import Actor
from gac.model.added.transition import Transition
from gac.model.gaussian import Sigma
from gac.model.transformer import FeedForward, Linear, normalise, self_attention, split_heads

ALL, LAST = slice(None), slice(-1, None)
"""Tokens whose outputs are wanted."""


class PlanMemory(NamedTuple):
    r"""A plan as one layer reads it; computed once per plan, not once per window.

    Cross-attention scores are $x W_q (z W_k)^T$ and its output is $p\, z W_v W_o$ in every head. As
    all windows of a trajectory share z, both products around x fold into one small matrix a plan.
    """

    read: Float[Array, "batch dim heads_n_z"]
    """W_q (z W_k)^T of every head, scaled: token to scores."""
    bias: Float[Array, "batch heads_n_z"]
    """Scores of the query's bias."""
    write: Float[Array, "batch heads_n_z dim"]
    """z W_v W_o of every head: attention weights to output."""


class DecoderBlock(eqx.Module):
    """Pre-norm block: causal self-attention, cross-attention to the plan, feed-forward."""

    qkv: Linear
    out: Linear
    plan_query: Linear
    plan_key_value: Linear
    plan_out: Linear
    feed_forward: FeedForward
    heads: int = eqx.field(static=True)

    def __init__(self, dim: int, heads: int, depth: int, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 6)
        self.qkv, self.out = Linear(dim, 3 * dim, keys[0]), Linear(dim, dim, keys[1], (3 * depth) ** -0.5)
        self.plan_query, self.plan_key_value = Linear(dim, dim, keys[2]), Linear(dim, 2 * dim, keys[3])
        self.plan_out = Linear(dim, dim, keys[4], (3 * depth) ** -0.5)
        self.feed_forward = FeedForward(dim, depth, keys[5])
        self.heads = heads

    def remember(self, z_traj: Float[Array, "batch n_z dim"]) -> PlanMemory:
        """Fold the plan with the projections around it."""
        k, v = (split_heads(x, self.heads) for x in jnp.split(self.plan_key_value(z_traj), 2, axis=-1))
        scaled = k * k.shape[-1] ** -0.5
        query, out = (split_heads(w, self.heads) for w in (self.plan_query.weight, self.plan_out.weight.T))
        read = jnp.einsum("ihw,bnhw->bihn", query, scaled)
        bias = jnp.einsum("hw,bnhw->bhn", split_heads(self.plan_query.bias, self.heads), scaled)
        write = jnp.einsum("bnhw,ohw->bhno", v, out)
        batch, dim = read.shape[:2]
        return PlanMemory(
            read.reshape(batch, dim, -1), bias.reshape(batch, -1), write.reshape(batch, -1, dim)
        )

    def read_plan(
        self, x: Float[Array, "batch windows tokens dim"], memory: PlanMemory
    ) -> Float[Array, "batch windows tokens dim"]:
        """Multi-head cross-attention of every token to its trajectory's plan."""
        batch, dim = x.shape[0], x.shape[-1]
        scores = jnp.einsum("bti,bim->btm", x.reshape(batch, -1, dim), memory.read) + memory.bias[:, None]
        weights = jax.nn.softmax(split_heads(scores, self.heads), axis=-1).reshape(scores.shape)
        mixed = jnp.einsum("btm,bmo->bto", weights, memory.write)
        return mixed.reshape(x.shape) + jax.lax.broadcast_to_rank(self.plan_out.bias, x.ndim)

    def __call__(
        self,
        x: Float[Array, "batch windows tokens dim"],
        memory: PlanMemory,
        valid: Bool[Array, "batch windows tokens"],
        wanted: slice = ALL,
    ) -> Float[Array, "batch windows wanted dim"]:
        """The wanted tokens' outputs; all tokens are seen."""
        attended = self_attention(self.qkv(normalise(x)), self.heads, valid)
        x = x[:, :, wanted] + self.out(attended[:, :, wanted])
        x = x + self.read_plan(normalise(x), memory)
        return x + self.feed_forward(normalise(x))


def interleave(
    first: Shaped[Array, "batch windows steps *rest"], second: Shaped[Array, "batch windows acted *rest"]
) -> Shaped[Array, "batch windows tokens *rest"]:
    """`first_0, second_0, first_1, second_1, …`; the last of `second` may be missing."""
    steps, pairs = first.shape[2], second.shape[2]
    paired = jnp.stack([first[:, :, :pairs], second], axis=3)
    paired = paired.reshape(*first.shape[:2], 2 * pairs, *first.shape[3:])
    return paired if pairs == steps else jnp.concatenate([paired, first[:, :, pairs:]], axis=2)


class Generator(eqx.Module):
    """Interleaved tokens `s_t, a_t, s_{t+1}, a_{t+1}, …`, at most M steps of them, no step index.

    From a state token it predicts the action (the state token cannot see that action), from an
    action token the change to the next state.
    """

    state_token: Linear
    action_token: Linear
    blocks: list[DecoderBlock]
    actor: Actor
    change: Linear | Transition
    sigma_a: Sigma
    sigma_s: Sigma

    def __init__(
        self,
        config: ModelConfig,
        added: AddedConfig,
        observation_dim: int,
        action_dim: int,
        key: PRNGKeyArray,
    ) -> None:
        d, depth = config.embed_dim, config.decoder_layers
        k1, k2, k3, k4, *keys = jax.random.split(key, 4 + depth)
        self.state_token, self.action_token = Linear(observation_dim, d, k1), Linear(action_dim, d, k2)
        self.blocks = [DecoderBlock(d, config.heads, depth, k) for k in keys]
        self.actor = Actor(d, observation_dim, added.actor_width, action_dim, k4)
        width = added.transition_width
        self.change = (
            Transition(observation_dim, action_dim, width, k3)
            if width
            else Linear(d, observation_dim, k3, 0.1)
        )
        self.sigma_a = Sigma(action_dim, config.sigma_a, config.learn_sigma_a)
        self.sigma_s = Sigma(observation_dim, config.sigma_s, config.learn_sigma_s)

    def remember(self, z_traj: Float[Array, "batch n_z dim"]) -> list[PlanMemory]:
        """The plan as every layer reads it."""
        return [block.remember(z_traj) for block in self.blocks]

    def _decode(
        self,
        memory: list[PlanMemory],
        states: Float[Array, "batch windows steps obs"],
        actions: Float[Array, "batch windows acted act"],
        valid: Bool[Array, "batch windows steps"],
        wanted: slice = ALL,
    ) -> Float[Array, "batch windows wanted dim"]:
        """Of the tokens `s_0, a_0, s_1, …` the wanted ones, decoded and normalised."""
        acted = actions.shape[2]
        x = interleave(self.state_token(states), self.action_token(actions))
        seen = interleave(valid, valid[:, :, :acted])
        *below, (last, last_memory) = zip(self.blocks, memory, strict=True)
        for block, layer_memory in below:
            x = block(x, layer_memory, seen)
        x = last(x, last_memory, seen, wanted)
        return normalise(x)

    def __call__(
        self,
        memory: list[PlanMemory],
        states: Float[Array, "batch windows steps obs"],
        actions: Float[Array, "batch windows steps act"],
        valid: Bool[Array, "batch windows steps"],
    ) -> tuple[Float[Array, "batch windows steps act"], Float[Array, "batch windows steps obs"]]:
        """Means of every action and of every next state in the windows.

        Args:
            memory: `remember(z_traj)`.
            states: s_t, standardised.
            actions: a_t, scaled to [-1, 1].
            valid: False for padding, which nothing attends to.
        """
        tokens = self._decode(memory, states, actions, valid)
        change = (
            self.change(states, actions)
            if isinstance(self.change, Transition)
            else self.change(tokens[:, :, 1::2])
        )
        return self.actor(tokens[:, :, 0::2], states), states + change

    def act(
        self,
        memory: list[PlanMemory],
        states: Float[Array, "batch steps obs"],
        actions: Float[Array, "batch acted act"],
        valid: Bool[Array, "batch steps"],
    ) -> Float[Array, "batch act"]:
        """Mean action at the last state of the context, whose action is still to be chosen.

        Args:
            states: the last M states.
            actions: the M - 1 actions between them.
            valid: False for steps before the episode's first.
        """
        token = self._decode(memory, states[:, None], actions[:, None], valid[:, None], LAST)
        return self.actor(token[:, 0, 0], states[:, -1])
