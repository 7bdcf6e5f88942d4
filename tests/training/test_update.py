"""One update: the right episodes, the right rows written back, and a model that learns what it is shown."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tiny

from gac.inference.posterior import load_batch
from gac.model.joint import Phi
from gac.training import update as module
from gac.training.offline import Trainer
from gac.training.update import exact_elbo, global_loss, outer_rate
from gac.training.visits import Visit


def test_only_the_rows_of_the_batch_are_written_back(trainer):
    before = trainer.state
    metrics = trainer.step()
    changed = np.asarray(jnp.any(trainer.state.bank.mu != before.bank.mu, axis=(1, 2)))
    np.testing.assert_array_equal(np.flatnonzero(changed), np.sort(metrics["index"]))
    assert set(metrics["index"]) <= set(trainer.train_index)
    assert int(trainer.state.update) == 1
    assert not tiny.same(trainer.state.theta, before.theta)


def test_the_base_noise_moves_when_a_refit_is_due_and_only_then(trainer):
    assert trainer.config.added.refit_every == 3
    matrices = [trainer.state.theta.prior.base.matrix]
    for _ in range(3):
        trainer.step()
        matrices.append(trainer.state.theta.prior.base.matrix)
    np.testing.assert_array_equal(matrices[2], matrices[0])
    assert bool(jnp.any(matrices[3] != matrices[2]))
    assert tiny.same(trainer.state.theta.prior.base, trainer.state.averaged.prior.base)


def test_the_held_out_elbo_fits_posteriors_and_depends_on_no_earlier_computation(trainer):
    for _ in range(12):
        trainer.step()
    before = jax.tree.map(jnp.copy, trainer.state)
    value = trainer.heldout_elbo()
    assert trainer.heldout_elbo() == value
    assert tiny.same(trainer.state, before)
    state = trainer.state
    batch = load_batch(trainer.data, jnp.asarray(trainer.heldout_index), tiny.OBSERVATION_DIM)
    unfitted = eqx.filter_jit(lambda *args: exact_elbo(*args, 9, jax.random.key(0)))(
        state.averaged, Phi.at_prior(2, tiny.MODEL), trainer.data, batch
    )
    assert float(value) > float(unfitted.elbo.mean())


def test_diagnostics_are_finite_and_add_up(trainer):
    metrics = trainer.step()
    logged = {k: v for k, v in metrics.items() if k not in ("finite", "finite_theta", "index")}
    assert all(np.isfinite(value).all() for value in logged.values())
    total = metrics["log_p_tau"] + metrics["log_p_y"] - metrics["kl"]
    np.testing.assert_allclose(metrics["elbo"], total, rtol=1e-5)
    np.testing.assert_allclose(metrics["kl_per_token"].sum(), metrics["kl"], rtol=1e-4)
    assert metrics["kl_per_token"].shape == (trainer.config.model.latent_tokens,)
    assert 0 <= metrics["active_dims"] <= 32
    assert metrics["finite"].all()
    assert metrics["inner_steps"] == trainer.config.posterior.inner_steps


def test_no_trajectory_weighs_by_its_own_length_in_the_loss(trainer):
    """The loss is the mean of whole ELBOs over one constant."""
    state, data, config = trainer.state, trainer.data, trainer.config
    index = jnp.arange(4, dtype=jnp.int32)
    batch = load_batch(data, index, tiny.OBSERVATION_DIM)
    phi = Phi.at_prior(4, config.model)
    weight = jnp.asarray([1.0, 0.5, 2.0, 1.0])
    assert len(set(data.lengths[index].tolist())) > 1
    for visit in (Visit(index, jnp.ones(4)), Visit(index, weight)):
        loss, terms = eqx.filter_jit(global_loss)(
            state.theta, phi, batch, data, config, 5.0, visit, jax.random.key(0)
        )
        weighed = visit.weight * (terms.log_p_tau + terms.log_p_y)
        expected = -np.sum(np.asarray(weighed)) / (4 * 5.0)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_rate_of_theta_warms_up_then_falls_unless_it_is_to_stay():
    base = tiny.replace(tiny.CONFIG, outer_lr=1e-3, warmup_steps=100, decay_steps=1000)

    def rates(config, steps):
        return [float(outer_rate(config)(jnp.int32(step))) for step in steps]

    np.testing.assert_allclose(rates(base, (0, 50)), [0.0, 0.5e-3 / np.sqrt(1.05)], rtol=1e-5)
    np.testing.assert_allclose(rates(base, (3000, 8000)), [0.5e-3, 1e-3 / 3.0], rtol=1e-5)
    constant = tiny.replace(base, decay_steps=0)
    np.testing.assert_allclose(rates(constant, (3000, 10**6)), 1e-3, rtol=1e-6)


def test_the_exact_elbo_does_not_depend_on_the_chunks(trainer, monkeypatch):
    batch = load_batch(trainer.data, jnp.arange(5, dtype=jnp.int32), tiny.OBSERVATION_DIM)
    phi, longest = Phi.at_prior(5, tiny.MODEL), int(trainer.data.lengths.max())
    values = []
    for chunk in (64, 3):
        monkeypatch.setattr(module, "EXACT_CHUNK", chunk)
        run = eqx.filter_jit(lambda *args: exact_elbo(*args, longest, jax.random.key(0)))
        values.append(run(trainer.state.theta, phi, trainer.data, batch))
    for one, other in zip(*values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_one_trajectory_can_be_learned_by_heart(trainer):
    """Every row of the data is the same trajectory, the best one, so that nothing else is learned."""
    data, best = trainer.data, int(jnp.argmax(trainer.data.y))
    trainer.data = data._replace(
        **{
            name: jnp.full_like(getattr(data, name), getattr(data, name)[best])
            for name in ("starts", "lengths", "y")
        }
    )
    first = trainer.step()
    for _ in range(250):
        last = trainer.step()
    assert last["log_p_tau"] > first["log_p_tau"] + 20.0
    assert last["elbo"] > first["elbo"] + 20.0
    s0 = load_batch(trainer.data, jnp.asarray([best], jnp.int32), tiny.OBSERVATION_DIM).s0
    own = int(last["index"][0])
    predicted = float(trainer.state.theta.predicted_return(s0, trainer.state.bank.mu[own : own + 1])[0])
    y = float(data.y[best])
    assert y > 1.0  # far from the mean, where an untrained critic begins
    assert abs(predicted - y) < 0.15


def test_the_average_of_a_short_run_is_not_that_of_its_random_weights(tmp_path):
    """A decay of 0.999 from the first step on would leave 99 % of them after ten steps."""
    trainer = Trainer(tiny.make_episodes(), tiny.replace(tiny.CONFIG, averaging=0.999), tmp_path)
    first = trainer.state.theta.generator
    for _ in range(5):
        trainer.step()

    def apart(other):
        leaves = zip(jax.tree.leaves(other), jax.tree.leaves(trainer.state.theta.generator), strict=True)
        return float(sum(jnp.sum((a - b) ** 2) for a, b in leaves)) ** 0.5

    assert apart(trainer.state.averaged.generator) < 0.5 * apart(first)
