r"""Online Decision Transformer, its offline part: a stochastic Decision Transformer with an entropy bound.

Source: Q. Zheng, A. Zhang, A. Grover, *Online Decision Transformer*, arXiv 2202.05607, section 3.1:

$$\min_\theta J(\theta) \ \text{subject to}\ H(\theta) \ge \beta, \quad
    J = E[-\log \pi_\theta(a | s, g)], \quad H = E[H[\pi_\theta(\cdot | s, g)]]$$

by the Lagrangian $\max_{\lambda \ge 0} \min_\theta J(\theta) + \lambda (\beta - H(\theta))$, a step of each
in turn. Rewards of single steps are not known here: the return-to-go g is the return of the whole trajectory,
at each of its steps.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gac.data.windows import Windows, sample_windows
from gac.model.gaussian import gaussian_log_prob
from gac.model.prior import EncoderBlock
from gac.model.transformer import Linear, normalise
from gac.rivals.episodes import Data
from gac.rivals.odt.config import ODTConfig
from gac.training.blocks import norm_of, repeated
from gac.training.visits import visited

TOKENS = 3
"""Of a step: return-to-go, state, action."""


class Squashed(NamedTuple):
    """tanh of a Gaussian with a diagonal covariance: a policy over actions between -1 and 1."""

    mean: Float[Array, "*batch act"]
    """Before tanh."""
    log_std: Float[Array, "*batch act"]

    def log_prob(self, action: Float[Array, "*batch act"]) -> Float[Array, "*batch"]:
        """Of actions in (-1, 1), in nats."""
        return self._log_prob_before(jnp.arctanh(action))

    def entropy(self, key: PRNGKeyArray) -> Float[Array, "*batch"]:
        """An unbiased estimate from one sample, in nats."""
        noise = jax.random.normal(key, self.mean.shape)
        return -self._log_prob_before(self.mean + jnp.exp(self.log_std) * noise)

    def _log_prob_before(self, u: Float[Array, "*batch act"]) -> Float[Array, "*batch"]:
        # log(1 - tanh(u)²), which does not underflow.
        slope = 2.0 * (jnp.log(2.0) - u - jax.nn.softplus(-2.0 * u))
        return gaussian_log_prob(u, self.mean, jnp.exp(self.log_std)) - jnp.sum(slope, axis=-1)


class ODT(eqx.Module):
    """The policy: a causal Transformer over `g, s_t, a_t, g, s_{t+1}, …`; actions are read from state tokens.

    Positions are places in the context, as steps of an episode are not known when it is explored beyond them.
    """

    return_token: Linear
    state_token: Linear
    action_token: Linear
    places: Float[Array, "steps dim"]
    blocks: list[EncoderBlock]
    mean: Linear
    log_std: Linear
    limits: tuple[float, float] = eqx.field(static=True)

    def __init__(self, config: ODTConfig, observation_dim: int, action_dim: int, key: PRNGKeyArray) -> None:
        d = config.embed_dim
        k1, k2, k3, k4, k5, k6, *keys = jax.random.split(key, 6 + config.layers)
        self.return_token, self.state_token = Linear(1, d, k1), Linear(observation_dim, d, k2)
        self.action_token, self.places = (
            Linear(action_dim, d, k3),
            0.1 * jax.random.normal(k4, (config.context, d)),
        )
        self.blocks = [EncoderBlock(d, config.heads, config.layers, k) for k in keys]
        self.mean, self.log_std = Linear(d, action_dim, k5, 0.1), Linear(d, action_dim, k6, 0.1)
        self.limits = config.log_std_min, config.log_std_max

    def __call__(
        self,
        g: Float[Array, "batch"],
        states: Float[Array, "batch steps obs"],
        actions: Float[Array, "batch steps act"],
        valid: Bool[Array, "batch steps"],
    ) -> Squashed:
        """The policy at each state.

        Args:
            g: return-to-go, in units of return_scale.
            states: standardised.
            actions: scaled to [-1, 1]; that of a state, and later ones, do not matter to its policy.
            valid: False for padding, which nothing attends to.
        """
        batch, steps = valid.shape
        asked = jnp.broadcast_to(self.return_token(g[:, None])[:, None], (batch, steps, len(self.places[0])))
        tokens = jnp.stack([asked, self.state_token(states), self.action_token(actions)], axis=2)
        x = (tokens + self.places[None, :, None]).reshape(batch, TOKENS * steps, -1)
        seen = jnp.repeat(valid, TOKENS, axis=1)
        for block in self.blocks:
            x = block(x, seen)
        x = normalise(x[:, 1::TOKENS])
        low, high = self.limits
        return Squashed(self.mean(x), low + 0.5 * (high - low) * (jnp.tanh(self.log_std(x)) + 1.0))


class ODTState(NamedTuple):
    """Everything that training needs to go on."""

    theta: ODT
    optimiser: optax.OptState
    log_temperature: Float[Array, ""]
    temperature_optimiser: optax.OptState
    update: Int[Array, ""]
    key: PRNGKeyArray


def policy_loss(
    theta: ODT,
    g: Float[Array, "batch"],
    windows: Windows,
    temperature: Float[Array, ""],
    key: PRNGKeyArray,
    config: ODTConfig,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    r"""$J(\theta) - \lambda H(\theta)$, means over the steps of the windows; and what tells of both."""
    count = windows.valid.shape[1]
    states, actions, valid = (
        part.reshape(-1, *part.shape[2:]) for part in (windows.states, windows.actions, windows.valid)
    )
    policy = theta(jnp.repeat(g, count), states, actions, valid)
    inner = 1.0 - config.action_edge
    nll = -policy.log_prob(jnp.clip(actions, -inner, inner))
    missed = jnp.mean((actions - jnp.tanh(policy.mean)) ** 2, axis=-1)
    each = nll, policy.entropy(key), missed, jnp.mean(jnp.exp(policy.log_std), axis=-1)
    steps = jnp.sum(valid.astype(jnp.float32))
    j, h, error, std = (jnp.sum(jnp.where(valid, values, 0.0)) / steps for values in each)
    return j - temperature * h, {"loss_nll": j, "entropy": h, "loss_action": error, "std": std}


def temperature_loss(
    log_temperature: Float[Array, ""], entropy: Float[Array, ""], beta: float
) -> Float[Array, ""]:
    r"""$\lambda (H - \beta)$: lambda rises where the entropy is below beta, and falls where it is above."""
    return jnp.exp(log_temperature) * jax.lax.stop_gradient(entropy - beta)


def make_optimiser(config: ODTConfig) -> optax.GradientTransformation:
    """AdamW or LAMB with a clipped gradient; a warm-up, then a decay that needs no horizon."""

    def rate(count: Int[Array, ""]) -> Float[Array, ""]:
        done = count.astype(jnp.float32)
        warm = config.learning_rate * jnp.minimum(1.0, (done + 1.0) / config.warmup_updates)
        return warm * jax.lax.rsqrt(1.0 + done / config.decay_updates) if config.decay_updates else warm

    make = {"adamw": optax.adamw, "lamb": optax.lamb}[config.optimiser]
    return optax.chain(
        optax.clip_by_global_norm(config.grad_clip), make(rate, weight_decay=config.weight_decay)
    )


def update(state: ODTState, data: Data, config: ODTConfig) -> tuple[ODTState, dict[str, Array]]:
    """One iteration: a step of theta, then one of the temperature."""
    order_key, key = jax.random.split(state.key)
    visit = visited(data.visits, min(config.batch_size, data.y.shape[0]), state.update, order_key)
    keys = jax.random.split(jax.random.fold_in(key, state.update), 2)
    sizes = config.windows, config.context, state.theta.state_token.weight.shape[0]
    windows = sample_windows(data.episodes, visit.index, keys[0], *sizes)

    # Step of theta.
    temperature = jnp.exp(state.log_temperature)
    (loss, terms), gradient = jax.value_and_grad(policy_loss, has_aux=True)(
        state.theta, data.y[visit.index], windows, temperature, keys[1], config
    )
    # Step of the temperature.
    beta = config.entropy_per_dim * windows.actions.shape[-1]
    slope = jax.grad(temperature_loss)(state.log_temperature, terms["entropy"], beta)
    # optax adds Python numbers to integer counters, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        moved, optimiser = make_optimiser(config).update(gradient, state.optimiser, state.theta)
        change, memory = optax.adam(config.temperature_rate).update(slope, state.temperature_optimiser)
    theta = optax.apply_updates(state.theta, moved)
    log_temperature = state.log_temperature + change

    metrics = terms | {"loss": loss, "temperature": temperature, "theta_norm": norm_of(theta)}
    return ODTState(theta, optimiser, log_temperature, memory, state.update + 1, state.key), metrics


def init_state(config: ODTConfig, observation_dim: int, action_dim: int) -> ODTState:
    """Fresh weights."""
    key, model_key = jax.random.split(jax.random.key(config.seed))
    theta = ODT(config, observation_dim, action_dim, model_key)
    log_temperature = jnp.log(jnp.asarray(config.temperature, jnp.float32))
    return ODTState(
        theta=theta,
        optimiser=make_optimiser(config).init(theta),
        log_temperature=log_temperature,
        temperature_optimiser=optax.adam(config.temperature_rate).init(log_temperature),
        update=jnp.zeros((), jnp.int32),
        key=key,
    )


def advance(
    state: ODTState, data: Data, count: Int[Array, ""], config: ODTConfig
) -> tuple[ODTState, dict[str, Array]]:
    """So many updates, and the means of their metrics."""
    return repeated(lambda state, data: update(state, data, config), state, data, count)
