"""Arithmetic counted from shapes is what the compiler counts for itself."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from gac import presets
from gac.bench.arithmetic import inner_step_flops, multiply_adds, outer_step_flops, plan_multiply_adds
from gac.bench.workload import ACTION_DIM, OBSERVATION_DIM, like_replay, make_workload
from gac.data.windows import sample_windows
from gac.model.joint import Phi, elbo
from gac.training.update import global_loss
from gac.training.visits import Visit

BATCH, TOLERANCE = 4, 0.1
"""The compiler also counts norms, softmax and densities; a batch this small shows them no less."""


def counted(function, *args):
    """The compiler's count of a program, before it is compiled."""
    return jax.jit(function).lower(*args).cost_analysis()["flops"]


@pytest.fixture(scope="module")
def works():
    """A first batch of each preset, smaller."""
    configs = {"fast": presets.fast(), "paper": presets.paper()}
    episodes = like_replay(8)
    return {
        name: make_workload(
            dataclasses.replace(config, training=dataclasses.replace(config.training, batch_size=BATCH)),
            episodes,
        )
        for name, config in configs.items()
    }


@pytest.mark.parametrize("name", ["fast", "paper"])
def test_an_inner_step(works, name):
    work = works[name]
    config, key = work.config, jax.random.key(0)
    windows = sample_windows(
        work.data,
        work.batch.index,
        key,
        config.posterior.inner_windows,
        config.model.context,
        OBSERVATION_DIM,
    )

    def loss(phi):
        return jnp.sum(elbo(work.state.theta, phi, windows, work.batch.s0, work.batch.y, key).elbo)

    flops = counted(jax.value_and_grad(loss), Phi.at_prior(BATCH, config.model))
    assert inner_step_flops(config, OBSERVATION_DIM, ACTION_DIM) == pytest.approx(flops, rel=TOLERANCE)


@pytest.mark.parametrize("name", ["fast", "paper"])
def test_an_outer_step(works, name):
    work = works[name]
    config, phi = work.config, Phi.at_prior(BATCH, work.config.model)
    visit = Visit(jnp.arange(BATCH, dtype=jnp.int32), jnp.ones(BATCH))

    def loss(theta):
        return global_loss(theta, phi, work.batch, work.data, config, 1.0, visit, jax.random.key(0))[0]

    flops = counted(jax.grad(loss), work.state.theta)
    assert outer_step_flops(config, OBSERVATION_DIM, ACTION_DIM) == pytest.approx(flops, rel=TOLERANCE)


def test_a_plan_is_the_part_of_a_step_without_windows(works):
    work = works["fast"]
    model, epsilon = work.state.theta, Phi.at_prior(BATCH, work.config.model).mu
    flops = counted(lambda s0, epsilon: model.predicted_return(s0, epsilon), work.batch.s0, epsilon)
    own = 2 * BATCH * plan_multiply_adds(work.config.model, OBSERVATION_DIM)
    assert own == pytest.approx(flops, rel=TOLERANCE)


def test_twice_the_windows_cost_twice_the_generator(works):
    config = works["fast"].config
    one, two, three = (multiply_adds(config, OBSERVATION_DIM, ACTION_DIM, windows) for windows in (1, 2, 3))
    assert three - two == two - one > 0
