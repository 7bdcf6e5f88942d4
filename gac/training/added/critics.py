r"""Fits the critics that judge plans: a bootstrap of the logged episodes.

Member b learns from a draw with replacement of the N episodes, $n_{ib}$ times episode i, by least squares

$$\min_b \sum_i n_{ib} (y_i - \mu_b(z_i))^2,$$

and stops where the error on the episodes with $n_{ib} = 0$, about a third, is least. So no luck is learned by
heart. The members' disagreement on $\mu$ is the standard error of the expected return: large where few
episodes tell it, or where their returns are spread, as those of a lottery.

The greatest return counts as the second greatest, and the least as the second least: one episode alone, which
may be an error of the log, moves no other plan's expected return far.

Source: L. Breiman, *Bagging Predictors*, 1996, and out-of-bag estimation by the same.
"""

# Differs from the paper: see gac/model/added/critics.py.

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gac.config import Config, CriticsConfig
from gac.model.added.critics import Critics, Member

SMALLEST = 1e-6


class _Best(NamedTuple):
    """A member where its error on episodes left out was least so far."""

    member: Member
    loss: Float[Array, ""]


def fit_critics(
    z: Float[Array, "episodes n_z dim"],
    y: Float[Array, "episodes"],
    config: Config,
    key: PRNGKeyArray,
) -> Critics:
    """Critics of plans, from what logged episodes returned.

    Args:
        z: plans of the episodes, inferred from their actions alone.
        y: returns, standardised.
        config: of the run: number of critics, and how they are fitted.
        key: of the draws and of the first weights.
    """
    plan = z.reshape(len(z), -1)
    first_key, draw_key, step_key = jax.random.split(key, 3)
    critics = Critics(config, first_key)
    offset, scale = jnp.mean(plan, axis=0), jnp.std(plan, axis=0) + SMALLEST
    critics = eqx.tree_at(lambda c: (c.offset, c.scale), critics, (offset, scale))
    y = without_extremes(y)
    drawn = np.random.default_rng(np.asarray(jax.random.key_data(draw_key))).multinomial(
        len(y), np.full(len(y), 1.0 / len(y)), config.added.members
    )
    counts = jnp.asarray(drawn, jnp.float32)
    fitted = _fit(critics.members, (plan - offset[None]) / scale[None], y, counts, config.critics, step_key)
    return _judged(eqx.tree_at(lambda c: c.members, critics, fitted), z, y, counts == 0.0)


def without_extremes(y: Float[Array, "episodes"]) -> Float[Array, "episodes"]:
    """Returns with the greatest moved to the second greatest, and the least to the second least.

    Fewer than four returns stay as they are: they have no two at each end.
    """
    if len(y) < 4:
        return y
    ordered = jnp.sort(y)
    return jnp.clip(y, ordered[1], ordered[-2])


def loss(
    member: Member, plan: Float[Array, "batch plan"], y: Float[Array, "batch"], count: Float[Array, "batch"]
) -> Float[Array, ""]:
    """Mean squared error of expected returns, weighted by `count`; 0 where all counts are 0."""
    return jnp.sum(count * jnp.square(y - member(plan))) / jnp.maximum(jnp.sum(count), 1.0)


@eqx.filter_jit
def _fit(
    members: Member,
    plan: Float[Array, "episodes plan"],
    y: Float[Array, "episodes"],
    counts: Float[Array, "members episodes"],
    config: CriticsConfig,
    key: PRNGKeyArray,
) -> Member:
    """The members where the error of each on the episodes that it left out is least."""
    optimiser = optax.adamw(config.critic_lr, weight_decay=config.critic_decay)
    size, every = min(config.critic_batch, len(y)), config.critic_every

    looks = max(1, config.critic_steps // every)

    def one(member: Member, count: Float[Array, "episodes"], key: PRNGKeyArray) -> Member:
        def step(carry, key):  # type: ignore[no-untyped-def]
            member, state = carry
            some = jax.random.randint(key, (size,), 0, len(y))
            gradient = jax.grad(loss)(member, plan[some], y[some], count[some])
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optimiser.update(gradient, state, member)
            return (optax.apply_updates(member, updates), state), None

        def look(carry, key):  # type: ignore[no-untyped-def]
            member, state, best = carry
            (member, state), _ = jax.lax.scan(step, (member, state), jax.random.split(key, every))
            now = loss(member, plan, y, (count == 0.0).astype(jnp.float32))
            better = now < best.loss
            kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), member, best.member)
            return (member, state, _Best(kept, jnp.minimum(now, best.loss))), None

        start = (member, optimiser.init(member), _Best(member, jnp.asarray(jnp.inf)))
        (_, _, best), _ = jax.lax.scan(look, start, jax.random.split(key, looks))
        return best.member

    fitted: Member = jax.vmap(one)(members, counts, jax.random.split(key, len(counts)))
    return fitted


@eqx.filter_jit
def _judged(
    critics: Critics,
    z: Float[Array, "episodes n_z dim"],
    y: Float[Array, "episodes"],
    left_out: Bool[Array, "members episodes"],
) -> Critics:
    """The critics with the spread and the quantiles of their errors on episodes left out."""
    judges = left_out.astype(jnp.float32)
    share = judges / jnp.maximum(jnp.sum(judges, axis=0, keepdims=True), 1.0)
    predicted = jnp.sum(share * critics.each(z), axis=0)
    error = jnp.where(jnp.any(left_out, axis=0), y - predicted, jnp.nan)
    spread = jnp.sqrt(jnp.nanmean(error**2))
    quantiles = jnp.nanquantile(error, jnp.asarray([0.05, 0.95]))
    judged: Critics = eqx.tree_at(lambda c: (c.spread, c.quantiles), critics, (spread[None], quantiles))
    return judged
