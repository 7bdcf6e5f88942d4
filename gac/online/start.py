"""Where fine-tuning begins: the state of the run that the agent came from, or the agent alone."""

import dataclasses
import hashlib
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gac.agent import Agent, load
from gac.config import Config, OnlineConfig
from gac.data.episodes import Episodes
from gac.errors import UserError
from gac.identity import Found, Known, compare, refusal
from gac.model.added.critics import Critics
from gac.model.joint import GAC, Phi
from gac.records import read_online
from gac.training.checkpoint import Progress, fingerprint, read_arrays, read_progress
from gac.training.plans import Kept
from gac.training.update import TrainState, init_state, make_optimiser


def digest(agent: Agent) -> str:
    """SHA-256 of a model, its units and its configuration."""
    sha = hashlib.sha256(agent.config.to_json().encode())
    for leaf in jax.tree.leaves((eqx.filter(agent.model, eqx.is_array), tuple(agent.standardiser))):
        sha.update(np.ascontiguousarray(leaf).tobytes())
    return sha.hexdigest()


def of_stages(config: Config, online: OnlineConfig) -> Config:
    r"""The configuration of a run in the stages that follow it: a lower rate, and $\sigma_a$ stays as it is.

    Collected actions are the actor's own means and have no noise. Learned from these, $\sigma_a$ falls by
    half in three stages; plans then have to tell all that logged actions did by chance, and the prior,
    the critic and the held-out ELBO are lost. At the run's own rate more of it is lost, too, and no more
    is learned.
    """
    rate = online.lr_scale * config.training.outer_lr
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, learn_sigma_a=False),
        training=dataclasses.replace(config.training, outer_lr=rate),
    )


def own_data(agent: Agent, data: Episodes) -> Found:
    """The data as fine-tuning begins with it: the run's episodes in their order, then those added since.

    Warns of what is lost where data differs, and of episodes that were added.

    Raises:
        UserError: data in other units than the run's.
    """
    found = compare(Known.of(agent), data)
    if found.units:
        raise refusal(found, data.name)
    if found.differs is not None:
        warnings.warn(
            f"{data.name} {found.differs}: posteriors begin anew, and episodes are held out anew, some of "
            "which the run was trained on; give the data that it was trained on to keep both",
            stacklevel=3,
        )
    elif found.added:
        old = len(found.episodes) - found.added
        warnings.warn(
            f"{data.name}: {found.added} of {len(found.episodes)} episodes were added since the run was "
            f"trained; they are learned from, the posteriors of the other {old} are kept, and those of them "
            "that were held out stay held out",
            stacklevel=3,
        )
    return found


def begun_data(out: Path, data: Episodes) -> Episodes:
    """The episodes that fine-tuning in a folder was begun with, to go on with it.

    Raises:
        UserError: they are not all there, unchanged.
    """
    found = compare(Known.of(load(out)), data)
    if found.differs is not None:
        raise UserError(
            f"{out} was begun with other episodes than these: {data.name} {found.differs}; resume with the "
            "same"
        )
    if not found.added:
        return found.episodes
    old = len(found.episodes) - found.added
    warnings.warn(
        f"{data.name}: {found.added} of {len(found.episodes)} episodes were added since fine-tuning began "
        f"with the other {old}, and are left out",
        stacklevel=3,
    )
    return found.episodes.select(slice(0, old))


def starting_state(agent: Agent, data: Found) -> tuple[TrainState, Progress]:
    """The state to train on from.

    From the agent's run, where that is still as the agent is: weights, optimiser (with its place on the
    learning rate's schedule) and, of the episodes that it was trained on, the posteriors. Otherwise the
    agent's weights and a fresh optimiser. Other posteriors are at the prior, from where the first visits
    bring them to their place.
    """
    count, print_of_data = len(data.episodes), fingerprint(data.episodes)
    state = init_state(agent.config, agent.observation_dim, agent.action_dim, count)
    found = _of_run(agent, state)
    if found is None:
        # Critics that judge plans are fitted anew after each stage; the one that learns begins anew here.
        theta = jax.tree.map(jnp.asarray, with_critic(agent.model, state.theta))
        optimiser_state = make_optimiser(agent.config).init(eqx.filter(theta, eqx.is_array))
        fresh = state._replace(
            theta=theta, averaged=jax.tree.map(jnp.copy, theta), optimiser_state=optimiser_state
        )
        return fresh, Progress(0.0, print_of_data)
    stored, progress = found
    bank = state.bank
    if data.differs is None:
        pairs = zip(stored.bank, bank, strict=True)
        bank = Phi(*(jnp.concatenate([own, new[count - data.added :]]) for own, new in pairs))
    return stored._replace(bank=bank), progress._replace(data=print_of_data)


def with_critic(model: GAC, other: GAC) -> GAC:
    """The model with the critic that learns with the rest: another's, where several judge its plans."""
    return model.judged_by(other.critic) if isinstance(model.critic, Critics) else model


def kept_by(agent: Agent) -> Kept:
    """What an agent keeps of its episodes."""
    critic = agent.model.critic
    return Kept(agent.logged, critic if isinstance(critic, Critics) else None)


def _of_run(agent: Agent, like: TrainState) -> tuple[TrainState, Progress] | None:
    """State and progress of the agent's run; None where there is none, or it is of another model."""
    if agent.run is None or not (agent.run / "state.safetensors").exists():
        return None
    progress = read_progress(agent.run)
    stored = read_arrays(
        agent.run, like._replace(bank=Phi.at_prior(agent.facts.episodes, agent.config.model))
    )
    pairs = zip(
        jax.tree.leaves(stored.averaged),
        jax.tree.leaves(with_critic(agent.model, stored.averaged)),
        strict=True,
    )
    if all(np.array_equal(a, b) for a, b in pairs):
        return stored, progress
    warnings.warn(
        f"the training state in {agent.run} is of another update than its model, as after a kill: "
        "fine-tuning begins with a fresh optimiser and without the posteriors; gac train --resume first "
        "keeps them",
        stacklevel=2,
    )
    return None


def check_start(agent: Agent, data: Episodes, out: Path, config: OnlineConfig) -> None:
    """Refuse what cannot be fine-tuned, before any work is done for it.

    Raises:
        UserError: data of other widths, data on disk, several processes, an agent that was fine-tuned
            already, no y*.
    """
    if config.targets == "y-star" and config.y_star is None:
        raise UserError("targets is y-star without a return to aim at; give y_star, raw, such as 3600")
    if config.y_star is not None:
        agent.standardiser.check_aim(config.y_star)
    sizes, expected = (data.observation_dim, data.action_dim), (agent.observation_dim, agent.action_dim)
    if sizes != expected:
        raise UserError(
            f"{data.name} has observations and actions of widths {sizes[0]} and {sizes[1]}, the agent was "
            f"trained on {expected[0]} and {expected[1]}; give the data set that it was trained on"
        )
    if jax.process_count() > 1:
        raise UserError("fine-tuning runs in one process, and collects in several; start it in one")
    if data.on_disk:
        raise UserError(
            f"{data.name} stays on disk, and the buffer of fine-tuning is held in memory; "
            "read it with on_disk=False, or give fewer episodes"
        )
    if agent.run is not None and agent.run.resolve() == out.resolve() and not (out / "online.json").exists():
        raise UserError(
            f"{out} is the run that fine-tuning begins with; choose another folder for its result"
        )
    if agent.run is not None and (agent.run / "online.json").exists():
        source = read_online(agent.run)[0].get("run")
        raise UserError(
            f"{agent.run} was fine-tuned in stages; for more of them go on from the run that it began with: "
            f"gac finetune {source or 'RUN'} --out {agent.run} --resume --stages N"
        )
