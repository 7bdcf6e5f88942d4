"""The arithmetic of a step, counted from shapes.

Counted are the matrix products and the attention of the architecture as it is executed, two FLOPs for each
multiply-add; left out are softmax, norms, densities, the optimiser and the drawing of noise. The compiler's
own count of a compiled step, which has all of these, is a few per cent away at the sizes of the presets
(tests/bench/test_arithmetic.py).
"""

from gac.config import Config, ModelConfig
from gac.inference.solve import PAIRS

FLOPS = 2
"""Of a multiply-add."""


def multiply_adds(config: Config, observation_dim: int, action_dim: int, windows: int) -> int:
    """Multiply-adds of one forward pass of the ELBO of one trajectory.

    Cross-attention is counted folded (`gac.model.generator.PlanMemory`), self-attention with the pairs that
    causality allows.

    Args:
        windows: windows K per trajectory.
    """
    return plan_multiply_adds(config.model, observation_dim) + _generator_multiply_adds(
        config, observation_dim, action_dim, windows
    )


def plan_multiply_adds(c: ModelConfig, observation_dim: int) -> int:
    """Multiply-adds of mu_gamma(f_alpha(s0, epsilon)) for one s0 and epsilon: all that a query computes."""
    d, n_z = c.embed_dim, c.latent_tokens
    tokens = n_z + 1
    # Queries, keys, values and output 4, feed-forward 8; attention.
    layer = tokens * 12 * d * d + 2 * tokens * tokens * d
    base_noise, embedding = (n_z * d) ** 2, observation_dim * d + n_z * d * d
    critic = d * d + d
    return base_noise + embedding + c.encoder_layers * layer + critic


def _generator_multiply_adds(config: Config, observation_dim: int, action_dim: int, windows: int) -> int:
    c = config.model
    d, n_z, width = c.embed_dim, c.latent_tokens, observation_dim + action_dim
    # The folded plan: key and value 2, read 1, write 1; bias.
    remember = c.decoder_layers * (4 * n_z * d * d + n_z * d)
    tokens = 2 * c.context
    read_plan = 2 * tokens * d * c.heads * n_z
    layer = tokens * 8 * d * d + _self_attention(c) + read_plan
    embedding = c.context * width * d
    read_out = _actor(config, observation_dim, action_dim) + _change(config, observation_dim, action_dim)
    window = embedding + c.decoder_layers * layer + c.context * read_out
    return remember + windows * window


def _actor(config: Config, observation_dim: int, action_dim: int) -> int:
    """Multiply-adds from one token to its action."""
    dim, actor_width = config.model.embed_dim, config.added.actor_width
    hidden = (dim + observation_dim + actor_width) * actor_width
    return hidden + (actor_width or dim) * action_dim


def _change(config: Config, observation_dim: int, action_dim: int) -> int:
    """Multiply-adds to the change of one state."""
    if width := config.added.transition_width:
        return (observation_dim + action_dim + width) * width + width * observation_dim
    return config.model.embed_dim * observation_dim


def _self_attention(c: ModelConfig) -> int:
    """Multiply-adds of a decoder layer's self-attention over one window, its projections included."""
    d, tokens = c.embed_dim, 2 * c.context
    return tokens * 4 * d * d + tokens * (tokens + 1) * d


def inner_step_flops(config: Config, observation_dim: int, action_dim: int) -> float:
    """FLOPs of one inner step of a batch: weights get no gradient, and what comes before the plan neither.

    Else backward to phi costs as much as forward. Before the plan are the embedding of the windows and the
    first layer's self-attention; a transition that reads no plan is apart from it.
    """
    c, windows = config.model, config.posterior.inner_windows
    forward = multiply_adds(config, observation_dim, action_dim, windows)
    before_plan = windows * (c.context * (observation_dim + action_dim) * c.embed_dim + _self_attention(c))
    if config.added.transition_width:
        before_plan += windows * c.context * _change(config, observation_dim, action_dim)
    return FLOPS * (2.0 * forward - before_plan) * config.training.batch_size


def query_step_flops(c: ModelConfig, observation_dim: int, plans: int) -> float:
    """FLOPs of one step of a query for so many plans: forward and backward to phi, for each draw."""
    return 2.0 * FLOPS * plan_multiply_adds(c, observation_dim) * 2 * PAIRS * plans


def outer_step_flops(config: Config, observation_dim: int, action_dim: int) -> float:
    """FLOPs of one outer step of a batch: forward, backward through the layers, and to the weights.

    The first layer of the prior gets no gradient, neither its weights nor, phi being fixed, its input.
    """
    forward = multiply_adds(config, observation_dim, action_dim, config.training.outer_windows)
    base_noise = (config.model.latent_tokens * config.model.embed_dim) ** 2
    return FLOPS * (3.0 * (forward - base_noise) + base_noise) * config.training.batch_size
