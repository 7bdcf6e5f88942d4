r"""Latent Plan Transformer: the model, its learning and its plans.

Source: D. Kong et al., *Latent Plan Transformer for Trajectory Abstraction: Planning as Latent Space
Inference*, arXiv 2402.04647, sections 3.1 (model), 3.2 (learning) and 3.3 (planning as inference):

$$p_\theta(\tau, y, z) = p_\alpha(z)\, p_\beta(\tau | z)\, p_\gamma(y | z),
    \quad z = U_\alpha(z_0),\ z_0 \sim N(0, I)$$

One z tells of the trajectory and of the return.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from gac.config import AddedConfig, ModelConfig
from gac.data.windows import Windows, sample_windows
from gac.model.generator import Generator
from gac.model.transformer import Linear
from gac.rivals.episodes import Data
from gac.rivals.lpt.config import LPTConfig
from gac.rivals.lpt.unet import UNet
from gac.training.blocks import norm_of, repeated
from gac.training.visits import visited

Latent = Float[Array, "batch n_z dim"]


class ReturnHead(eqx.Module):
    """The mean of p_gamma(y | z): two hidden layers with Swish, and dropout while theta learns."""

    hidden: list[Linear]
    out: Linear

    def __init__(self, config: LPTConfig, key: PRNGKeyArray) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        size, width = config.latent_tokens * config.embed_dim, config.head_width
        self.hidden = [Linear(size, width, k1), Linear(width, width, k2)]
        self.out = Linear(width, 1, k3)

    def __call__(self, z: Latent, dropped: tuple[float, PRNGKeyArray] | None = None) -> Float[Array, "batch"]:
        """Returns in units of return_scale; `dropped` is the share of the units left out, and a key."""
        x = z.reshape(len(z), -1)
        for layer in self.hidden:
            x = jax.nn.silu(layer(x))
            if dropped is not None:
                share, key = dropped[0], jax.random.fold_in(dropped[1], x.shape[-1])
                dropped = share, key
                kept = jax.random.bernoulli(key, 1.0 - share, x.shape)
                x = jnp.where(kept, x / (1.0 - share), 0.0)
        return self.out(x)[:, 0]


class LPT(eqx.Module):
    """theta = (alpha, beta, gamma)."""

    prior: UNet
    """U_alpha."""
    generator: Generator
    """The mean of p_beta; tanh of its actions. Its predictions of states are not used."""
    returns: ReturnHead

    def __init__(self, config: LPTConfig, observation_dim: int, action_dim: int, key: PRNGKeyArray) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        self.prior = UNet(config.unet_patch, config.unet_width, config.unet_levels, k1)
        sizes = ModelConfig(
            embed_dim=config.embed_dim,
            latent_tokens=config.latent_tokens,
            heads=config.heads,
            decoder_layers=config.layers,
            context=config.context,
        )
        plain = AddedConfig(actor_width=0, transition_width=0)
        self.generator = Generator(sizes, plain, observation_dim, action_dim, k2)
        self.returns = ReturnHead(config, k3)

    def action_error(self, z: Latent, windows: Windows) -> Float[Array, "batch"]:
        r"""$\sum_t \| a_t - \hat a_t \|^2$ of each trajectory, estimated from its windows.

        An action is read from the token of its state, which cannot see it.
        """
        mean, _ = self.generator(self.generator.remember(z), windows.states, windows.actions, windows.valid)
        missed = jnp.sum((windows.actions - jnp.tanh(mean)) ** 2, axis=-1)
        return jnp.sum(windows.weight * jnp.sum(jnp.where(windows.valid, missed, 0.0), axis=2), axis=1)


class LPTState(NamedTuple):
    """Everything that training needs to go on."""

    theta: LPT
    optimiser: optax.OptState
    chain: Float[Array, "episodes n_z dim"]
    """z0 of each trajectory: its persistent chain."""
    update: Int[Array, ""]
    key: PRNGKeyArray


# The posterior.


def log_prior(z0: Latent) -> Float[Array, "batch"]:
    """log N(z0; 0, I), up to a constant."""
    return -0.5 * jnp.sum(z0**2, axis=(1, 2))


def log_posterior(
    theta: LPT, z0: Latent, windows: Windows, y: Float[Array, "batch"], config: LPTConfig
) -> Float[Array, "batch"]:
    r"""$\log p(z_0 | \tau, y) = \log p(z_0) + \log p_\beta(\tau | z) + \log p_\gamma(y | z)$ + const."""
    z = theta.prior(z0)
    log_p_tau = -theta.action_error(z, windows) / (2.0 * config.sigma_a**2)
    return log_prior(z0) + log_p_tau + log_p_y(theta, z, y, config)


def log_plan(
    theta: LPT, z0: Latent, y: Float[Array, "batch"], weight: float, config: LPTConfig
) -> Float[Array, "batch"]:
    r"""$\log p(z_0) + w \log p_\gamma(y | z)$ + const: LPT at w = 1, exploitation-inclined (LPT-EI) above."""
    return log_prior(z0) + weight * log_p_y(theta, theta.prior(z0), y, config)


def log_p_y(theta: LPT, z: Latent, y: Float[Array, "batch"], config: LPTConfig) -> Float[Array, "batch"]:
    """log N(y; r_gamma(z), sigma_y²), up to a constant."""
    return -((y - theta.returns(z)) ** 2) / (2.0 * config.sigma_y**2)


def langevin(
    log_density: Callable[[Latent, PRNGKeyArray], Float[Array, "batch"]],
    z0: Latent,
    keys: Key[Array, "steps"],
    step: float,
    noise: Callable[[PRNGKeyArray], Latent],
) -> tuple[Latent, Float[Array, ""]]:
    r"""$z_0 \leftarrow z_0 + s \nabla \log p(z_0 | \cdot) + \sqrt{2 s}\, N(0, I)$, once for each key.

    Args:
        log_density: of each row, up to a constant; a random one, unbiased, is told a key.
        z0: where the chains begin.
        keys: one per step.
        step: s.
        noise: draws N(0, I) in the shape of z0.

    Returns:
        The chains' ends, and the root mean square of s times the gradient over that of the noise.
    """

    def one(z0: Latent, key: PRNGKeyArray) -> tuple[Latent, Float[Array, ""]]:
        of_density, of_noise = jax.random.split(key)
        drift = step * jax.grad(lambda z: jnp.sum(log_density(z, of_density)))(z0)
        return z0 + drift + (2.0 * step) ** 0.5 * noise(of_noise), jnp.mean(drift**2) / (2.0 * step)

    z0, ratio = jax.lax.scan(one, z0, keys)
    return z0, jnp.sqrt(jnp.mean(ratio))


# Learning.


def learning_loss(
    theta: LPT,
    z0: Latent,
    windows: Windows,
    steps: Float[Array, "batch"],
    y: Float[Array, "batch"],
    key: PRNGKeyArray,
    config: LPTConfig,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Mean squared error of all actions of the batch, and return_weight times that of the returns.

    Up to the weights of its two terms: -log p_beta(tau | z) p_gamma(y | z) at posterior samples, whose
    gradient in theta is that of maximum likelihood.

    Args:
        steps: length of each trajectory.
    """
    z = theta.prior(z0)
    values = jnp.sum(steps) * windows.actions.shape[-1]
    loss_action = jnp.sum(theta.action_error(z, windows)) / values
    predicted = theta.returns(z, (config.dropout, key) if config.dropout else None)
    loss_return = jnp.mean((y - predicted) ** 2)
    return loss_action + config.return_weight * loss_return, {
        "loss_action": loss_action,
        "loss_return": loss_return,
    }


def make_optimiser(config: LPTConfig) -> optax.GradientTransformation:
    """AdamW with a clipped gradient; a warm-up, then a decay that needs no horizon."""

    def rate(count: Int[Array, ""]) -> Float[Array, ""]:
        done = count.astype(jnp.float32)
        warm = config.learning_rate * jnp.minimum(1.0, (done + 1.0) / config.warmup_updates)
        return warm * jax.lax.rsqrt(1.0 + done / config.decay_updates) if config.decay_updates else warm

    return optax.chain(
        optax.clip_by_global_norm(config.grad_clip), optax.adamw(rate, weight_decay=config.weight_decay)
    )


def update(state: LPTState, data: Data, config: LPTConfig) -> tuple[LPTState, dict[str, Array]]:
    """One iteration: sample the posteriors of a batch of trajectories, then one step of theta.

    # Differs from the paper, whose updates run over whole episodes: sums over time are estimated without
    # bias from a few windows of each.
    """
    order_key, key = jax.random.split(state.key)
    visit = visited(data.visits, _batch_size(data, config), state.update, order_key)
    keys = jax.random.split(jax.random.fold_in(key, state.update), 4)
    y, steps = data.y[visit.index], data.episodes.lengths[visit.index].astype(jnp.float32)
    observation_dim = state.theta.generator.state_token.weight.shape[0]

    def windows_of(key: PRNGKeyArray) -> Windows:
        return sample_windows(
            data.episodes, visit.index, key, config.windows, config.context, observation_dim
        )

    # Sample z0 ~ p(z0 | tau, y) by Langevin dynamics, from where the chains were left.
    start = state.chain[visit.index]
    z0, drift = langevin(
        lambda z0, key: log_posterior(state.theta, z0, windows_of(key), y, config),
        start,
        jax.random.split(keys[0], config.langevin_steps),
        config.langevin_step,
        lambda key: jax.random.normal(key, start.shape),
    )

    # Step of theta, the latents fixed.
    (loss, terms), gradient = jax.value_and_grad(learning_loss, has_aux=True)(
        state.theta, z0, windows_of(keys[1]), steps, y, keys[2], config
    )
    # optax adds Python numbers to integer counters, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        moved, optimiser = make_optimiser(config).update(gradient, state.optimiser, state.theta)
    theta = optax.apply_updates(state.theta, moved)

    prior_y = theta.returns(theta.prior(jax.random.normal(keys[3], start.shape)))
    metrics = terms | {
        "loss": loss,
        "return_error": jnp.sqrt(jnp.mean((y - theta.returns(theta.prior(z0))) ** 2)),
        "z0_second_moment": jnp.mean(z0**2),
        "drift_over_noise": drift,
        "prior_return_mean": jnp.mean(prior_y),
        "prior_return_std": jnp.std(prior_y),
        "theta_norm": norm_of(theta),
    }
    chain = state.chain.at[visit.index].set(z0)
    return LPTState(theta, optimiser, chain, state.update + 1, state.key), metrics


def _batch_size(data: Data, config: LPTConfig) -> int:
    return min(config.batch_size, data.y.shape[0])


def init_state(config: LPTConfig, observation_dim: int, action_dim: int, num_episodes: int) -> LPTState:
    """Fresh weights; every chain begins at a draw from N(0, I)."""
    key, model_key, chain_key = jax.random.split(jax.random.key(config.seed), 3)
    theta = LPT(config, observation_dim, action_dim, model_key)
    chain = jax.random.normal(chain_key, (num_episodes, config.latent_tokens, config.embed_dim))
    return LPTState(theta, make_optimiser(config).init(theta), chain, jnp.zeros((), jnp.int32), key)


def advance(
    state: LPTState, data: Data, count: Int[Array, ""], config: LPTConfig
) -> tuple[LPTState, dict[str, Array]]:
    """So many updates, and the means of their metrics."""
    return repeated(lambda state, data: update(state, data, config), state, data, count)


# Planning as inference.


def make_plans(
    theta: LPT,
    best: Float[Array, "n_z dim"],
    y: Float[Array, "batch"],
    keys: Key[Array, "batch"],
    weight: float,
    config: LPTConfig,
) -> tuple[Latent, Float[Array, "batch"]]:
    r"""Samples $z_0 \sim p(z_0)\, p_\gamma(y^* | z)^w$, from the best training trajectory's z0.

    Args:
        best: z0 of the training trajectory with the highest return.
        y: y*, in units of return_scale.
        keys: one per row, which no other row's plan depends on.
        weight: w.

    Returns:
        The plans z = U(z0), and the returns that they predict, in units of return_scale.
    """

    def noise(key: PRNGKeyArray) -> Latent:
        number = jax.random.bits(key, dtype=jnp.uint32)
        return jax.vmap(lambda own: jax.random.normal(jax.random.fold_in(own, number), best.shape))(keys)

    z0, _ = langevin(
        lambda z0, _: log_plan(theta, z0, y, weight, config),
        jnp.broadcast_to(best[None], (len(y), *best.shape)),
        jax.random.split(jax.random.key(0), config.act_steps),
        config.langevin_step,
        noise,
    )
    z = theta.prior(z0)
    return z, theta.returns(z)


def prior_plans(
    theta: LPT, shape: tuple[int, ...], keys: Key[Array, "batch"]
) -> tuple[Latent, Float[Array, "batch"]]:
    """Plans of z0 ~ N(0, I), one for each key, and the returns that they predict."""
    z = theta.prior(jax.vmap(lambda key: jax.random.normal(key, shape))(keys))
    return z, theta.returns(z)
