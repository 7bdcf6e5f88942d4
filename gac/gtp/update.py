"""Algorithm 1: one update of critics and actor, and many of them in one compiled program."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gac.gtp.config import GTPConfig
from gac.gtp.critic import (
    Critic,
    Transitions,
    critic_loss,
    expectile_loss,
    mean_value,
    target_values,
    weights,
)
from gac.gtp.layers import MLP
from gac.gtp.losses import Sample, actor_loss
from gac.gtp.map import FlowMap
from gac.gtp.sampling import sample_many
from gac.gtp.times import draw_times
from gac.training.blocks import norm_of, repeated


class Judge(NamedTuple):
    """The critics, with V where it is a network."""

    critic: Critic
    value: MLP | None


class TrainState(NamedTuple):
    """Everything that training needs to go on. The parts of the critics are None where eta is 0."""

    actor: FlowMap
    averaged: FlowMap
    """theta⁻: the actor that gives targets, and that acts."""
    judge: Judge | None
    critic_target: Critic | None
    actor_optimiser: optax.OptState
    judge_optimiser: optax.OptState
    update: Int[Array, ""]
    key: PRNGKeyArray


def make_optimiser(config: GTPConfig) -> optax.GradientTransformation:
    """Adam with a clipped gradient; the rate falls along a cosine."""

    def rate(count: Int[Array, ""]) -> Float[Array, ""]:
        share = jnp.minimum(count.astype(jnp.float32) / config.decay_updates, 1.0)
        return config.learning_rate * 0.5 * (1.0 + jnp.cos(jnp.pi * share))

    clip = [optax.clip_by_global_norm(config.grad_clip)] if config.grad_clip else []
    return optax.chain(*clip, optax.adam(rate if config.decay_updates else config.learning_rate))


def init_state(config: GTPConfig, observation_dim: int, action_dim: int) -> TrainState:
    """Fresh weights; the averages begin at them."""
    key, actor_key, critic_key, value_key = jax.random.split(jax.random.key(config.seed), 4)
    actor, judge = FlowMap(config, observation_dim, action_dim, actor_key), None
    if config.eta:
        sizes = config.critic_width, config.critic_layers
        value = MLP(observation_dim, *sizes, 1, value_key) if config.value == "expectile" else None
        judge = Judge(Critic(observation_dim, action_dim, *sizes, critic_key), value)
    begin = make_optimiser(config).init
    return TrainState(
        actor=actor,
        averaged=jax.tree.map(jnp.copy, actor),
        judge=judge,
        critic_target=None if judge is None else jax.tree.map(jnp.copy, judge.critic),
        actor_optimiser=begin(actor),
        judge_optimiser=None if judge is None else begin(judge),
        update=jnp.zeros((), jnp.int32),
        key=key,
    )


def judge_loss(
    judge: Judge, batch: Transitions, wanted: Float[Array, "steps"], config: GTPConfig
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Eq. (16), and the expectile regression of V where there is one."""
    loss = critic_loss(judge.critic, batch, wanted)
    metrics = {"loss_critic": loss}
    if judge.value is not None:
        q = jax.lax.stop_gradient(judge.critic.least(batch.state, batch.action))
        metrics["loss_value"] = expectile_loss(q - judge.value(batch.state)[:, 0], config.expectile)
        loss = loss + metrics["loss_value"]
    return loss, metrics


def update(state: TrainState, data: Transitions, config: GTPConfig) -> tuple[TrainState, dict[str, Array]]:
    """One iteration of Algorithm 1.

    Returns:
        The next state and the metrics of this update.
    """
    keys = jax.random.split(jax.random.fold_in(state.key, state.update), 5)
    index = jax.random.randint(keys[0], (config.batch_size,), 0, len(data.reward))
    batch: Transitions = jax.tree.map(lambda rows: rows[index], data)
    policy = functools.partial(sample_many, state.averaged, config)
    metrics: dict[str, Array] = {}
    weight = jnp.ones(config.batch_size)

    if state.judge is not None and state.critic_target is not None:
        # Critic step, Eq. (16).
        wanted = target_values(
            state.critic_target, batch, policy, keys[1], config.discount, config.backup_samples
        )
        found, gradient = jax.value_and_grad(judge_loss, has_aux=True)(state.judge, batch, wanted, config)
        judge, memory = step(state.judge, gradient, state.judge_optimiser, config)
        state = state._replace(judge=judge, judge_optimiser=memory)

        # Weights of the minibatch, Eq. (14).
        q = judge.critic.least(batch.state, batch.action)
        if judge.value is None:
            v = mean_value(judge.critic, batch.state, policy, keys[2], config.value_samples)
        else:
            v = judge.value(batch.state)[:, 0]
        weight = weights(q - v, config.eta, config.weight_clip, config.weighting == "positive")
        metrics |= found[1] | {"q": jnp.mean(q), "v": jnp.mean(v), "advantage_std": jnp.std(q - v)}
        metrics |= {"w": jnp.mean(weight), "w_max": jnp.max(weight)}

    # Actor step, Eq. (19).
    times = draw_times(keys[3], config.batch_size, state.update, config)
    z = jax.random.normal(keys[4], batch.action.shape)
    of = Sample(batch.state, batch.action, weight, z, times)
    found, gradient = jax.value_and_grad(actor_loss, has_aux=True)(state.actor, state.averaged, of, config)
    actor, memory = step(state.actor, gradient, state.actor_optimiser, config)

    # Moving averages of both, at one rate.
    state = state._replace(
        actor=actor, actor_optimiser=memory, averaged=average(state.averaged, actor, config.ema)
    )
    if state.judge is not None:
        state = state._replace(critic_target=average(state.critic_target, state.judge.critic, config.ema))
    return state._replace(update=state.update + 1), metrics | {"loss_actor": found[0]} | found[1]


def step(weights: Any, gradient: Any, memory: optax.OptState, config: GTPConfig) -> tuple[Any, Any]:
    """A step of the optimiser: the weights and its state after it."""
    # optax adds Python numbers to integer counters, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        moved, memory = make_optimiser(config).update(gradient, memory)
    return eqx.apply_updates(weights, moved), memory


def average(old: Any, new: Any, rate: float) -> Any:
    """The moving average one step on."""
    return jax.tree.map(lambda a, b: a + rate * (b - a), old, new)


def advance(
    state: TrainState, data: Transitions, count: Int[Array, ""], config: GTPConfig
) -> tuple[TrainState, dict[str, Array]]:
    """So many updates, and the means of their metrics."""
    state, metrics = repeated(functools.partial(update, config=config), state, data, count)
    return state, metrics | {"theta_norm": norm_of((state.actor, state.judge))}
