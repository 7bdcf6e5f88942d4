"""How far imitation goes in a maze where the goal of every logged way is known: a plain network, cloned.

    python benchmarks/known_goal.py medium --width 256 --json FILE

No plans, no returns: what such a network achieves, whoever acts by plans could achieve with the same logs.
"""

import argparse
import json
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax

import gac
from gac.envs.layouts import LAYOUTS

BATCH = 1024
LAYERS = 3


def network(parameters, x):
    """Hidden layers with GELU, a linear one at the end."""
    for weight, bias in parameters[:-1]:
        x = jax.nn.gelu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def clone(inputs, actions, width, batches, seed):
    """Parameters that imitate the actions, and the mean squared error over the last 200 batches."""
    key, *keys = jax.random.split(jax.random.key(seed), LAYERS + 2)
    sizes = [inputs.shape[1], *[width] * LAYERS, actions.shape[1]]
    parameters = [
        (jax.random.normal(k, (i, o)) * i**-0.5, jnp.zeros(o))
        for k, i, o in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]
    adam = optax.adam(optax.cosine_decay_schedule(1e-3, batches))

    @jax.jit
    def step(parameters, state, key):
        rows = jax.random.randint(key, (BATCH,), 0, len(inputs))
        error, gradient = jax.value_and_grad(
            lambda p: jnp.mean((network(p, inputs[rows]) - actions[rows]) ** 2)
        )(parameters)
        change, state = adam.update(gradient, state)
        return optax.apply_updates(parameters, change), state, error

    state, errors = adam.init(parameters), []
    for number in range(batches):
        parameters, state, error = step(parameters, state, jax.random.fold_in(key, number))
        errors.append(error)
    return parameters, float(np.mean(errors[-200:]))


def main() -> None:
    """Clone, play, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", choices=sorted(LAYOUTS))
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--episodes", type=int, default=48)
    parser.add_argument("--seed", type=int, default=8000, help="of the environments")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    env_id, target = f"maze2d-{options.size}-v1", LAYOUTS[options.size].target
    data = gac.load_data(f"maze2d-{options.size}:cut=subgoal")
    goals = np.repeat(np.rint(data.final_observations[:, :2]), data.lengths, axis=0)
    mean, std = data.observations.mean(axis=0), data.observations.std(axis=0)

    def see(observations, goals):
        return np.concatenate([(observations - mean) / std, (goals - mean[:2]) / std[:2]], axis=1)

    inputs = jnp.asarray(see(data.observations, goals), jnp.float32)
    parameters, error = clone(inputs, jnp.asarray(data.actions), options.width, options.batches, 0)
    act = jax.jit(lambda x: jnp.clip(network(parameters, x), -1.0, 1.0))
    environments = [gymnasium.make(env_id) for _ in range(options.episodes)]
    seen = np.stack([env.reset(seed=options.seed + i)[0] for i, env in enumerate(environments)])
    returns, goal = np.zeros(options.episodes), np.broadcast_to(target, (options.episodes, 2))
    for _ in range(LAYOUTS[options.size].horizon):
        taken = np.asarray(act(jnp.asarray(see(seen, goal), jnp.float32)))
        for i, env in enumerate(environments):
            seen[i], reward, *_ = env.step(taken[i])
            returns[i] += reward
    scores = gac.normalized_score(env_id, returns)
    record = {
        "env_id": env_id,
        "width": options.width,
        "batches": options.batches,
        "seed": options.seed,
        "squared_error": error,
        "returns": returns.tolist(),
        "normalized_mean": float(scores.mean()),
    }
    print(f"{env_id}: {returns.mean():.1f} ± {returns.std():.1f}, normalised {scores.mean():.1f}")
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
