"""Behaviour cloning of the best episodes: what imitation without a plan achieves.

    python benchmarks/cloning.py DATA --json FILE

The baseline that return-conditioned methods are measured by, "%BC" in L. Chen et al., *Decision
Transformer*, NeurIPS 2021: a network from states to actions, of the episodes of the highest returns alone.
"""

import functools
import json
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float
from numpy import ndarray
from tyro.conf import Positional, arg

import gac.envs  # noqa: F401 - registers the mazes
from gac.acting.evaluate import chosen_environment
from gac.data import Episodes, load_data
from gac.data.standardise import Standardiser
from gac.envs.specification import Environment
from gac.files import write_text

WIDTH, BATCH, RATE = 256, 512, 1e-3


def cloned(states: Float[ndarray, "steps obs"], actions: Float[ndarray, "steps act"], steps: int, seed: int):  # type: ignore[no-untyped-def]
    """Two hidden layers, mean squared error, Adam with a rate that falls to zero."""
    optimiser = optax.adamw(optax.cosine_decay_schedule(RATE, steps), weight_decay=1e-4)
    network = eqx.nn.MLP(states.shape[1], actions.shape[1], WIDTH, 2, key=jax.random.key(seed))
    weights, structure = eqx.partition(network, eqx.is_array)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(weights, optimiser_state, x, a):  # type: ignore[no-untyped-def]
        def loss(weights: Any) -> Float[Array, ""]:
            return jnp.mean((jax.vmap(eqx.combine(weights, structure))(x) - a) ** 2)

        updates, optimiser_state = optimiser.update(jax.grad(loss)(weights), optimiser_state, weights)
        return optax.apply_updates(weights, updates), optimiser_state

    rng, optimiser_state = np.random.default_rng(seed), optimiser.init(weights)
    for _ in range(steps):
        rows = rng.integers(len(states), size=BATCH)
        weights, optimiser_state = step(weights, optimiser_state, states[rows], actions[rows])
    return jax.jit(jax.vmap(eqx.combine(weights, structure)))


def returns_of(policy: Any, environment: Environment, episodes: int, seed: int) -> Float[ndarray, "episodes"]:
    """One episode each in environments reset with seed, seed + 1, …"""
    environments = [environment.make() for _ in range(episodes)]
    states = np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(environments)])
    returns, going = np.zeros(episodes), np.ones(episodes, bool)
    while going.any():
        actions = policy(states.astype(np.float32))
        for i in np.flatnonzero(going):
            states[i], reward, terminated, truncated, _ = environments[i].step(actions[i])
            returns[i] += float(reward)
            going[i] = not (terminated or truncated)
    return returns


def clone_best(data: Episodes, share: float, steps: int, seed: int, episodes: int, env_seed: int) -> ndarray:
    """Returns of a clone of the best share of all episodes."""
    best = np.argsort(-data.returns, kind="stable")[: max(1, round(share * len(data.returns)))]
    chosen, scale = data.select(np.sort(best)), Standardiser.fit(data)
    states = scale.standardise_observation(np.asarray(chosen.observations))
    network = cloned(states, scale.standardise_action(np.asarray(chosen.actions)), steps, seed)

    def policy(states: Float[ndarray, "batch obs"]) -> Float[ndarray, "batch act"]:
        return scale.raw_action(np.asarray(network(scale.standardise_observation(states))))

    return returns_of(policy, chosen_environment(None, Environment.of(data)), episodes, env_seed)


def main(
    data: Positional[str],
    shares: tuple[float, ...] = (0.01, 0.1, 1.0),
    seeds: tuple[int, ...] = (0, 1, 2),
    steps: int = 5000,
    episodes: int = 100,
    env_seed: int = 1000,
    json_file: Annotated[Path | None, arg(name="json")] = None,
) -> None:
    """Clone and play.

    Args:
        data: name or file of a data set.
        shares: of all episodes, the best by return, that are cloned.
        seeds: of the network and of its batches.
        steps: of gradient.
        episodes: played by each clone.
        env_seed: seed of the environment, for the first of them.
        json_file: where to write the record.
    """
    logged, rows = load_data(data), []
    for share in shares:
        for seed in seeds:
            achieved = clone_best(logged, share, steps, seed, episodes, env_seed)
            rows.append({"share": share, "seed": seed, "mean": achieved.mean(), "std": achieved.std()})
            print(f"best {share:.0%}, seed {seed}: {achieved.mean():.1f} ± {achieved.std():.1f}", flush=True)
    if json_file is not None:
        record: dict[str, Any] = {"data": Path(data).name, "env_id": logged.env_id, "steps": steps}
        record |= {"episodes": episodes, "env_seed": env_seed, "results": rows}
        write_text(json_file, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
