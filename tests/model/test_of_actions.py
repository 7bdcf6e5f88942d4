"""Plans of actions alone: neither next states nor the return tell of them, and the critic teaches none."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.data.standardise import Standardiser
from gac.data.windows import chunk_of_all_windows, to_device
from gac.inference.posterior import load_batch
from gac.model.joint import GAC, Phi, elbo

KEY = jax.random.key(0)


@pytest.fixture(scope="module", params=[16, 0], ids=["actions alone", "all of the episode"])
def asked(request):
    """`of_actions` and `(phi or theta, change) -> gradient of the mean ELBO`, next states or y changed."""
    config = tiny.replace(tiny.CONFIG, transition_width=request.param)
    episodes = tiny.make_episodes(4)
    data = to_device(episodes, Standardiser.fit(episodes))
    model = GAC(config.model, config.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, KEY)
    batch = load_batch(data, jnp.arange(4, dtype=jnp.int32), tiny.OBSERVATION_DIM)
    windows = chunk_of_all_windows(data, batch.index, jnp.int32(0), 16, 2, tiny.OBSERVATION_DIM)
    shape = (4, config.model.latent_tokens, config.model.embed_dim)
    phi = Phi(jax.random.normal(KEY, shape), jnp.full(shape, -1.0))

    @eqx.filter_jit
    def gradient(of, next_states, y):
        def mean(phi, theta):
            w = windows._replace(next_states=windows.next_states + next_states)
            return jnp.mean(elbo(theta, phi, w, batch.s0, batch.y + y, KEY).elbo)

        if of == "phi":
            return jax.grad(mean)(phi, model)
        return eqx.filter_grad(lambda theta: mean(phi, theta))(model)

    return model.of_actions, lambda of, next_states=0.0, y=0.0: gradient(
        of, jnp.float32(next_states), jnp.float32(y)
    )


@pytest.mark.parametrize("told", ["next_states", "y"])
def test_phi_learns_of_actions_alone(asked, told):
    of_actions, gradient = asked
    before, after = gradient("phi"), gradient("phi", **{told: 1.0})
    moved = max(float(jnp.abs(a - b).max()) for a, b in zip(before, after, strict=True))
    if of_actions:
        assert tiny.same(before, after)
    else:
        assert moved > 1e-3
    assert float(jnp.abs(before.mu).max()) > 1e-3


def test_the_return_teaches_the_critic_and_no_plan(asked):
    of_actions, gradient = asked
    before, after = gradient("theta"), gradient("theta", y=1.0)
    for part, told in (
        (lambda theta: theta.critic, True),
        (lambda theta: theta.prior, not of_actions),
        (lambda theta: theta.generator, False),
    ):
        leaves = zip(jax.tree.leaves(part(before)), jax.tree.leaves(part(after)), strict=True)
        moved = max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in leaves)
        assert moved > 1e-3 if told else moved == 0.0
