"""The critic's uncertainty of a plan: sigma_y where the plan is certain, more where q is wide."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gac.inference.spread import predictive
from gac.model.joint import Phi


@pytest.fixture(scope="module")
def s0(trained):
    first = trained.episodes.observations[trained.episodes.starts[:3]]
    return jnp.asarray(trained.agent.standardiser.standardise_observation(first))


@pytest.fixture(scope="module")
def model(trained):
    return eqx.tree_at(lambda model: model.critic.spread, trained.agent.model, jnp.full(1, 0.3))


def test_a_certain_plan_leaves_sigma_y_alone(model, s0):
    shape = (3, 2, 16)
    certain = Phi(jnp.ones(shape), jnp.full(shape, -30.0))
    spread = predictive(model, s0, certain, jax.random.key(0))[1]
    np.testing.assert_allclose(spread, np.full(3, 0.3), rtol=1e-5)


def test_it_is_the_law_of_total_variance(model, s0):
    key = jax.random.key(1)
    wide = Phi(jnp.zeros((3, 2, 16)), jnp.full((3, 2, 16), 0.5))
    many = jnp.stack([model.predicted_return(s0, wide.sample(k)) for k in jax.random.split(key, 400)])
    expected = np.sqrt(np.var(many, axis=0) + 0.3**2)
    found = jnp.mean(
        jnp.stack([predictive(model, s0, wide, k)[1] for k in jax.random.split(key, 50)]), axis=0
    )
    np.testing.assert_allclose(found, expected, rtol=0.1)
    assert (found > 0.31).all()
