"""Calibration of the trigger on the episodes that training kept out."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gac.acting.calibration import Calibration, fingerprint
from gac.acting.policy import Context, advance, empty_context, see
from gac.acting.replan import DEFAULT_RATE
from gac.acting.watch import MEMORY_STEPS, START, expect, judged, smooth, surprise
from gac.agent import Agent
from gac.config import MOST_HELDOUT, Config
from gac.data.episodes import Episodes
from gac.data.split import split_episodes
from gac.data.windows import DeviceEpisodes, to_device
from gac.errors import UserError
from gac.identity import Known, compare
from gac.inference.posterior import fit_posterior, load_batch
from gac.model.joint import GAC, Phi

POSTERIOR_STEPS = 300
"""Steps of local inference from the prior: three visits of the held-out ELBO, which start warm."""


SMALLEST_SCALE = 1e-6


class Replayed(NamedTuple):
    """Logged episodes side by side under plans of theirs: what was there, and what was to be expected."""

    states: Float[Array, "time batch obs"]
    """Standardised; past an episode's end its last row again."""
    expected: Float[Array, "time batch obs"]
    """The state predicted to follow each."""
    promised: Float[Array, "time batch"]
    """mu_gamma of the plan's base noise at each state, standardised."""
    known: Bool[Array, "time batch"]
    """Whether the state was recorded."""


def calibrate(agent: Agent, data: Episodes, seed: int = 0) -> Calibration:
    """Watch the held-out episodes as acting would, each under its own posterior's plan.

    The plan is z at the mean of q(epsilon | tau, y), as that of `exploit` is at the mean of its q; the
    actions are the logged ones, and signals, context and memory are those of acting. The agent then holds
    the calibration; `agent.save` writes it.

    Args:
        agent: a trained agent.
        data: the data set that it was trained on; after fine-tuning, the one that the buffer began with.
            Its episodes may stand in another order, and others may have been added.
        seed: seed of local inference.

    Raises:
        UserError: another data set, or training kept no episode out.
    """
    found = compare(Known.of(agent), data)
    if found.differs is not None:
        raise UserError(
            f"{data.name} does not hold the episodes that the run was trained on ({agent.facts.name}): it "
            f"{found.differs}; calibrate with these, as only they tell which were held out"
        )
    # Those that were added since were neither learned from nor held out.
    data = found.episodes.select(slice(0, agent.facts.episodes - agent.facts.collected))
    _, heldout = split_episodes(agent.facts.shared_out, agent.config)
    if not len(heldout):
        raise UserError(_none_held_out(data.num_episodes, agent.config.training.heldout_fraction))
    episodes = data.select(heldout)
    on_device = to_device(episodes, agent.standardiser)
    plans = posterior(agent, on_device, seed=seed)
    seen = replay(agent.model, plans.mu, on_device)
    residuals = np.asarray(seen.states[1:] - seen.expected[:-1])[np.asarray(seen.known[1:])]
    scale = np.maximum(np.sqrt(np.mean(np.square(residuals), axis=0)), SMALLEST_SCALE)
    maxima = np.asarray(largest(seen, jnp.asarray(scale)))
    first = agent.standardiser.less(data.raw(data.observations[data.starts]))
    first = agent.standardiser.standardise_observation(first)
    agent.calibration = Calibration(
        model=fingerprint(agent.model),
        data=data.name,
        memory_steps=MEMORY_STEPS,
        scale=tuple(scale.tolist()),
        surprise=tuple(maxima[:, 0].tolist()),
        fall=tuple(maxima[:, 1].tolist()),
        states=tuple(np.asarray(seen.known).sum(axis=0).tolist()),
        mu=_flat(plans.mu),
        log_sigma=_flat(plans.log_sigma),
        first_lowest=tuple(first.min(axis=0).tolist()),
        first_highest=tuple(first.max(axis=0).tolist()),
    )
    return agent.calibration


def _none_held_out(episodes: int, share: float) -> str:
    """What to do where training kept no episode out: hold out what the usual rate needs, or half of few."""
    needed = math.ceil(1.0 / DEFAULT_RATE) - 1
    enough = min(0.5, math.ceil(100 * needed / episodes) / 100)
    return (
        f"training kept none of its {episodes} episodes out (heldout_fraction {share:g}), expected some to "
        f"calibrate the trigger on; train with --heldout-fraction {enough:g}, which holds out "
        f"{min(MOST_HELDOUT, int(episodes * enough))}, or replan every N steps (--replan every:N)"
    )


def _flat(values: Float[Array, "batch n_z dim"]) -> tuple[tuple[float, ...], ...]:
    """A row for each of the batch, to four digits behind the point: enough to tell plans apart."""
    rows = np.asarray(values, np.float64).round(4).reshape(len(values), -1)
    return tuple(map(tuple, rows.tolist()))


def posterior(agent: Agent, data: DeviceEpisodes, *, given_return: bool = True, seed: int = 0) -> Phi:
    """q(epsilon | tau, y) of every episode, or q(epsilon | tau), from the prior."""
    return _posterior(
        agent.model, data, agent.config, agent.observation_dim, given_return, jax.random.key(seed)
    )


@eqx.filter_jit
def _posterior(
    model: GAC,
    data: DeviceEpisodes,
    config: Config,
    observation_dim: int,
    given_return: bool,
    key: PRNGKeyArray,
) -> Phi:
    batch = load_batch(data, jnp.arange(data.num_episodes, dtype=jnp.int32), observation_dim)
    start = Phi.at_prior(data.num_episodes, model.config)
    return fit_posterior(model, data, batch, start, config, key, POSTERIOR_STEPS, given_return)[0]


def replay(model: GAC, epsilon: Float[Array, "batch n_z dim"], data: DeviceEpisodes) -> Replayed:
    """Logged episodes through the context of acting, under given plans."""
    starts, lengths, rows = (np.asarray(leaf) for leaf in (data.starts, data.lengths, data.rows))
    time = np.arange(lengths.max() + 1)[:, None]
    last = lengths if bool(data.has_final) else lengths - 1
    table = jnp.asarray(rows[starts + np.minimum(time, lengths)])
    observation_dim = model.generator.sigma_s.log_value.shape[0]
    states, actions = table[..., :observation_dim], table[..., observation_dim:]
    expected, promised = _replay(model, epsilon, states, actions)
    return Replayed(states, expected, promised, jnp.asarray(time <= last))


@jax.jit
def _replay(
    model: GAC,
    epsilon: Float[Array, "batch n_z dim"],
    states: Float[Array, "time batch obs"],
    actions: Float[Array, "time batch act"],
) -> tuple[Float[Array, "time batch obs"], Float[Array, "time batch"]]:
    memory = model.generator.remember(model.prior(states[0], epsilon)[1])

    def step(context: Context, row: tuple[Array, Array]) -> tuple[Context, tuple[Array, Array]]:
        state, action = row
        after = advance(context, *see(context, state), action)
        expected = expect(model.generator, memory, context, after, action)
        return after, (expected, model.predicted_return(state, epsilon))

    start = empty_context(states.shape[1], model.config.context, states.shape[2], actions.shape[2])
    expected, promised = jax.lax.scan(step, start, (states, actions))[1]
    return expected, promised


@jax.jit
def largest(seen: Replayed, scale: Float[Array, "obs"]) -> Float[Array, "batch signals"]:
    """The largest smoothed signals of each episode, over the states at which a plan is judged.

    An episode too short to be judged cannot alarm; it counts with what the averages start from.
    """
    surprises = jax.vmap(surprise, (0, 0, None))(seen.states[1:], seen.expected[:-1], scale)
    values = jnp.stack([surprises, seen.promised[:1] - seen.promised[1:]], axis=-1)
    count = jnp.arange(2, seen.states.shape[0] + 1, dtype=jnp.int32)
    here = seen.known[1:] & judged(count)[:, None]

    def step(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        (average, top), (value, here) = carry, row
        average = smooth(average, value)
        return (average, jnp.where(here[:, None], jnp.maximum(top, average), top)), None

    start = jnp.broadcast_to(jnp.asarray(START)[None], values.shape[1:])
    (_, top), _ = jax.lax.scan(step, (start, jnp.full_like(start, -jnp.inf)), (values, here))
    return jnp.where(jnp.isfinite(top), top, start)
