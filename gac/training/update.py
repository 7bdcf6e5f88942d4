"""One update: local inference, global steps, write-back, all in one compiled program."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gac.config import Config
from gac.data.windows import DeviceEpisodes, chunk_of_all_windows, sample_windows
from gac.inference.posterior import Batch, fit_posterior, load_batch
from gac.model.gaussian import kl_to_standard_normal
from gac.model.joint import GAC, ElboTerms, Phi, elbo
from gac.model.prior import BaseNoise
from gac.training.added.refit import refit_base
from gac.training.scale import bank as banks
from gac.training.scale.devices import CUT, WHOLE, gather, keep_whole, share_out
from gac.training.visits import Visit, Visits, visited

ACTIVE_NATS = 0.02
HELDOUT_STEPS = 300
HELDOUT_DRAWS = 4
EXACT_CHUNK = 64
AVERAGING_WARMUP = 10.0
"""Of t gradient steps, theta's average keeps no more than (1 + t) / (this + t) at the next."""


class TrainState(NamedTuple):
    """Everything that training needs to go on."""

    theta: GAC
    averaged: GAC
    """Exponential average of theta: the model that acts."""
    optimiser_state: optax.OptState
    bank: Phi
    """Stored posterior phi* of every episode, held-out ones included; see `gac.training.scale.bank`."""
    update: Int[Array, ""]
    key: PRNGKeyArray


LAYOUT = TrainState(WHOLE, WHOLE, WHOLE, CUT, WHOLE, WHOLE)  # type: ignore[arg-type]
"""Where it lies on several devices: the bank is cut."""


def outer_rate(config: Config) -> optax.Schedule:
    """A short warm-up, then a slow decay that needs no horizon: training may stop at any time."""
    training, decay_steps = config.training, config.added.decay_steps

    def rate(count: Int[Array, ""]) -> Float[Array, ""]:
        warm = training.outer_lr * jnp.minimum(1.0, count / training.warmup_steps)
        return warm * jax.lax.rsqrt(1.0 + count / decay_steps) if decay_steps else warm

    return rate


def make_optimiser(config: Config) -> optax.GradientTransformation:
    """AdamW on theta with a clipped gradient."""
    training = config.training
    return optax.chain(
        optax.clip_by_global_norm(training.grad_clip),
        optax.adamw(
            outer_rate(config), b2=training.adam_b2, weight_decay=training.weight_decay, mask=_decayed
        ),
    )


def _decayed(theta: GAC) -> GAC:
    """Decay matrices alone, and not the base noise, which has no gradient."""
    matrices: GAC = jax.tree.map(lambda leaf: leaf.ndim >= 2, theta)
    decayed: GAC = eqx.tree_at(lambda tree: tree.prior.base.matrix, matrices, False)
    return decayed


def init_state(config: Config, observation_dim: int, action_dim: int, num_episodes: int) -> TrainState:
    """Fresh weights; every posterior at the prior."""
    key, model_key = jax.random.split(jax.random.key(config.seed))
    theta = GAC(config.model, config.added, observation_dim, action_dim, model_key)
    return TrainState(
        theta=theta,
        averaged=jax.tree.map(jnp.copy, theta),
        optimiser_state=make_optimiser(config).init(eqx.filter(theta, eqx.is_array)),
        bank=Phi.at_prior(num_episodes, config.model),
        update=jnp.zeros((), jnp.int32),
        key=key,
    )


def global_loss(
    theta: GAC,
    phi: Phi,
    batch: Batch,
    data: DeviceEpisodes,
    config: Config,
    scale: float,
    visit: Visit,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], ElboTerms]:
    """Negative mean ELBO in theta, phi fixed.

    `scale` is one constant for all trajectories: dividing each by its own length would weigh
    log p(y) and the KL of short episodes more, and these are the bad ones. `visit.weight` only undoes that
    some trajectories are visited more often than others.
    """
    window_key, noise_key = jax.random.split(key)
    windows = sample_windows(
        data, batch.index, window_key, config.training.outer_windows, config.model.context, batch.s0.shape[1]
    )
    terms = elbo(theta, phi, windows, batch.s0, batch.y, noise_key)
    return -jnp.mean(visit.weight * (terms.log_p_tau + terms.log_p_y)) / scale, terms


def update(
    state: TrainState,
    data: DeviceEpisodes,
    visits: Visits,
    config: Config,
    scale: float,
    observation_dim: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, dict[str, Array]]:
    """Section "Learning" of the method: draw a batch of trajectories, learn from it, refit when due.

    Args:
        visits: the episodes that may be drawn, the others being held out; their rates sum to the batch size.
        scale: constant that divides every trajectory's ELBO, the mean length of an episode.
        mesh: devices that the batch is shared out to, and the bank cut over.

    Returns:
        The next state and the diagnostics of the update.
    """
    training = config.training
    order_key, _ = jax.random.split(state.key)
    batch_size = min(training.batch_size, visits.index.shape[0])
    visit = visited(visits, batch_size, state.update, order_key)
    stored = banks.take(state.bank, visit.index, mesh)
    state, phi, metrics = learn(state, stored, data, visit, config, scale, observation_dim, mesh)

    # Write back phi*, the start of the next visit.
    bank = banks.put(state.bank, visit.index, phi, mesh)

    if not config.added.refit_every:
        return state._replace(bank=bank), metrics
    # Closed-form step of the prior's first layer; a change of coordinates for everything else.
    base, bank = jax.lax.cond(
        state.update % config.added.refit_every == 0,
        lambda base, bank: refit_base(base, bank, visits.index, visits.emphasis),
        lambda base, bank: (base, bank),
        state.theta.prior.base,
        bank,
    )
    return with_base(state, base)._replace(bank=bank), metrics


def with_base(state: TrainState, base: BaseNoise) -> TrainState:
    """The state with another first layer of the prior, in theta and in its average alike."""
    theta, averaged = (
        eqx.tree_at(lambda tree: tree.prior.base, tree, base) for tree in (state.theta, state.averaged)
    )
    return state._replace(theta=theta, averaged=averaged)


def learn(
    state: TrainState,
    stored: Phi,
    data: DeviceEpisodes,
    visit: Visit,
    config: Config,
    scale: float,
    observation_dim: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Phi, dict[str, Array]]:
    """Local inference and global steps for the trajectories at `visit.index` of data.

    What it draws follows from the key and the update's number, not from that index: so data may hold the
    batch alone, and the result is the same.

    Args:
        stored: the trajectories' posteriors at their last visit.
        mesh: devices that the batch is shared out to.

    Returns:
        The next state, its bank untouched; the trajectories' posteriors now; the diagnostics.
    """
    _, update_key = jax.random.split(state.key)
    inner_key, outer_key, prior_key = jax.random.split(jax.random.fold_in(update_key, state.update), 3)
    visit, every = keep_whole((visit, load_batch(data, visit.index, observation_dim)), mesh)
    batch, own = share_out((every, visit), mesh)

    # Local inference: ascend the ELBO in phi from the stored phi*, theta fixed.
    phi, info = fit_posterior(state.theta, data, batch, share_out(stored, mesh), config, inner_key)

    # Global update: k steps of AdamW in theta, phi fixed.
    state, terms = global_steps(state, phi, batch, data, config, scale, own, outer_key)

    by_trajectory = phi, jax.tree.map(jnp.transpose, terms), info.steps.astype(jnp.float32)
    phi, terms, steps = gather(by_trajectory, mesh)
    terms = jax.tree.map(jnp.transpose, terms)
    metrics = diagnostics(state.theta, phi, every, terms, visit.weight, prior_key)
    metrics["inner_steps"] = jnp.mean(steps)
    return state._replace(update=state.update + 1), phi, metrics


def global_steps(
    state: TrainState,
    phi: Phi,
    batch: Batch,
    data: DeviceEpisodes,
    config: Config,
    scale: float,
    visit: Visit,
    key: PRNGKeyArray,
) -> tuple[TrainState, ElboTerms]:
    """`outer_steps` steps of AdamW in theta, phi fixed; theta's average follows.

    The average of the first t steps is over about a tenth of them, until that is `averaging`'s own reach: at
    0.999 from the start, 37 % of the random weights would still act after a thousand steps.

    Returns:
        The state with theta, its average and the optimiser moved on, and the terms of Eq. (5) at each step.
    """
    training, averaging = config.training, config.added.averaging
    optimiser = make_optimiser(config)

    def global_step(carry, step):  # type: ignore[no-untyped-def]
        (theta, averaged, optimiser_state), (key, number) = carry, step
        (_, terms), gradient = jax.value_and_grad(global_loss, has_aux=True)(
            theta, phi, batch, data, config, scale, visit, key
        )
        with jax.numpy_dtype_promotion("standard"):
            updates, optimiser_state = optimiser.update(gradient, optimiser_state, theta)
        theta = optax.apply_updates(theta, updates)
        kept = jnp.minimum(averaging, (1.0 + number) / (AVERAGING_WARMUP + number))
        averaged = optax.incremental_update(theta, averaged, 1.0 - kept)
        return (theta, averaged, optimiser_state), terms

    carry = (state.theta, state.averaged, state.optimiser_state)
    numbers = state.update * training.outer_steps + jnp.arange(training.outer_steps, dtype=jnp.int32)
    numbers = numbers.astype(jnp.float32)
    (theta, averaged, optimiser_state), terms = jax.lax.scan(
        global_step, carry, (jax.random.split(key, training.outer_steps), numbers)
    )
    return state._replace(theta=theta, averaged=averaged, optimiser_state=optimiser_state), terms


def diagnostics(
    theta: GAC, phi: Phi, batch: Batch, terms: ElboTerms, weight: Float[Array, "batch"], key: PRNGKeyArray
) -> dict[str, Array]:
    """What is logged of an update: means over all episodes, estimated from the batch."""
    nats = kl_to_standard_normal(phi.mu, phi.log_sigma)
    per_dimension = jnp.mean(weight[:, None, None] * nats, axis=0)
    prior_y = theta.predicted_return(batch.s0, jax.random.normal(key, phi.mu.shape))
    prior_mean = jnp.mean(weight * prior_y)
    error = theta.predicted_return(batch.s0, phi.mu) - batch.y
    # One bad trajectory spoils theta, and theta all others: only the first bad step tells them apart.
    finite = jnp.isfinite(terms.elbo)
    first_bad_step = jnp.argmin(finite.all(axis=1))
    second_moment = jnp.mean(phi.mu**2 + jnp.exp(2.0 * phi.log_sigma), axis=(1, 2))
    return {
        "elbo": jnp.mean(weight[None] * terms.elbo),
        "log_p_tau": jnp.mean(weight[None] * terms.log_p_tau),
        "log_p_y": jnp.mean(weight[None] * terms.log_p_y),
        "kl": jnp.mean(weight[None] * terms.kl),
        "kl_per_token": jnp.sum(per_dimension, axis=-1),
        "active_dims": jnp.sum(per_dimension > ACTIVE_NATS),
        "posterior_second_moment": jnp.mean(weight * second_moment),
        "return_error": jnp.sqrt(jnp.mean(weight * error**2)),
        "prior_return_mean": prior_mean,
        "prior_return_std": jnp.sqrt(jnp.mean(weight * (prior_y - prior_mean) ** 2)),
        "finite": finite[first_bad_step],
        "finite_theta": jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(theta)]).all(),
        "index": batch.index,
    }


def all_finite(metrics: dict[str, Any]) -> bool:
    """Whether the trajectories and the weights of an update stayed finite."""
    return bool(metrics["finite"].all() and metrics["finite_theta"])


def exact_elbo(
    model: GAC, phi: Phi, data: DeviceEpisodes, batch: Batch, longest: int, key: PRNGKeyArray
) -> ElboTerms:
    """The ELBO with every window of every trajectory; only epsilon is sampled.

    Args:
        longest: most steps of any trajectory of the batch; fixes the number of chunks.
    """
    context, observation_dim = model.config.context, batch.s0.shape[1]
    z_y, z_traj = model.prior(batch.s0, phi.sample(key))

    def chunk(i: Int[Array, ""]) -> Float[Array, "batch"]:
        windows = chunk_of_all_windows(data, batch.index, i, EXACT_CHUNK, context, observation_dim)
        return model.log_p_tau(windows, z_traj)

    chunks = -(-(longest + context - 1) // EXACT_CHUNK)
    log_p_tau = jnp.sum(jax.lax.map(chunk, jnp.arange(chunks, dtype=jnp.int32)), axis=0)
    return ElboTerms(log_p_tau, model.critic.log_prob(batch.y, z_y, z_traj), jnp.sum(phi.kl(), axis=-1))


def heldout_elbo(
    state: TrainState,
    data: DeviceEpisodes,
    index: Int[Array, "heldout"],
    config: Config,
    longest: int,
    observation_dim: int,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Mean exact ELBO of held-out trajectories under the averaged weights: phi is fitted, theta is not.

    Every fit starts at the prior, so that the value does not depend on how often it was computed.

    Args:
        index: the trajectories, by their place in data.
        mesh: devices that they are shared out to.
    """
    batch = share_out(load_batch(data, index, observation_dim), mesh)
    start = share_out(Phi.at_prior(index.shape[0], config.model), mesh)
    fit_key, draw_key = jax.random.split(jax.random.fold_in(state.key, -1 - state.update))
    # Free bits would fit another bound than the one that is computed.
    bound = dataclasses.replace(config, posterior=dataclasses.replace(config.posterior, free_bits=0.0))
    phi, _ = fit_posterior(state.averaged, data, batch, start, bound, fit_key, HELDOUT_STEPS)
    values = jax.lax.map(
        lambda key: exact_elbo(state.averaged, phi, data, batch, longest, key).elbo,
        jax.random.split(draw_key, HELDOUT_DRAWS),
    )
    return jnp.mean(gather(values.T, mesh))
