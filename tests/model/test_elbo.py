"""The ELBO bounds a known evidence, is tight at the true posterior, and does not depend on the batch."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from scipy.stats import multivariate_normal

from gac.config import AddedConfig, ModelConfig
from gac.data.standardise import Standardiser
from gac.data.windows import Windows, chunk_of_all_windows, sample_windows, to_device
from gac.inference.posterior import load_batch
from gac.model.gaussian import Sigma, gaussian_log_prob
from gac.model.joint import GAC, Phi, elbo

OBS, ACT = 2, 2


class LinearPrior(eqx.Module):
    """z = epsilon: z_y is its first token, z_traj all of it."""

    def __call__(self, s0, epsilon):
        return epsilon[:, 0], epsilon


class LinearGenerator(eqx.Module):
    """Means linear in the plan; each latent dimension moves one output, so the posterior is diagonal."""

    action_gain: jax.Array
    state_gain: jax.Array
    feedback: jax.Array
    sigma_a: Sigma
    sigma_s: Sigma

    def remember(self, z_traj):
        return z_traj

    def __call__(self, z, states, actions, valid):
        to_action, to_state = ((z[:, i] * g[None])[:, None, None] for i, g in enumerate(self.gains))
        return states @ self.feedback + to_action, states - actions @ self.feedback + to_state

    @property
    def gains(self):
        return self.action_gain, self.state_gain


class LinearCritic(eqx.Module):
    """y depends on the first latent dimension."""

    gain: float
    sigma_y: Sigma

    def log_prob(self, y, z_y, z):
        return gaussian_log_prob(y[:, None], self.gain * z_y[:, :1], self.sigma_y()[None])


@pytest.fixture(scope="module")
def linear():
    """The joint model with linear parts in the places of its own."""
    config = ModelConfig(embed_dim=2, latent_tokens=2, heads=1, encoder_layers=1, decoder_layers=1)
    model = GAC(config, AddedConfig(), OBS, ACT, jax.random.key(0))
    generator = LinearGenerator(
        jnp.asarray([0.8, -0.5]),
        jnp.asarray([0.3, 1.1]),
        jnp.asarray([[0.2, -0.1], [0.4, 0.3]]),
        Sigma(ACT, 0.7, False),
        Sigma(OBS, 0.9, False),
    )
    parts = LinearPrior(), generator, LinearCritic(1.3, Sigma(1, 0.6, False))
    return eqx.tree_at(lambda m: (m.prior, m.generator, m.critic), model, parts)


def linear_posterior(model, episode, y):
    """log p(tau, y) in closed form, and the true posterior's mean and std, both (n_z, d)."""
    g, feedback = model.generator, np.asarray(model.generator.feedback, np.float64)
    states = np.concatenate([episode.observations, episode.final_observation[None]]).astype(np.float64)
    steps = len(episode.actions)
    left = [episode.actions - states[:-1] @ feedback, states[1:] - states[:-1] + episode.actions @ feedback]
    residual = np.concatenate([left[0].T.ravel(), left[1].T.ravel(), [y]])
    gains = np.concatenate([np.asarray(g.action_gain), np.asarray(g.state_gain)])
    design = np.zeros((len(residual), 4))
    for i, gain in enumerate(gains):
        design[i * steps : (i + 1) * steps, i] = gain
    design[-1, 0] = model.critic.gain
    noise = np.repeat([0.7, 0.9, 0.6], [2 * steps, 2 * steps, 1]) ** 2
    evidence = multivariate_normal.logpdf(residual, cov=design @ design.T + np.diag(noise))
    precision = np.eye(4) + design.T @ (design / noise[:, None])
    assert np.allclose(precision, np.diag(np.diag(precision)))
    mean = np.linalg.solve(precision, design.T @ (residual / noise))
    return evidence, mean.reshape(2, 2), np.diag(precision).reshape(2, 2) ** -0.5


@pytest.fixture(scope="module")
def linear_elbo(linear):
    """`(phi) -> draws of the ELBO` with all windows, beside the truth about one trajectory."""
    rng = np.random.default_rng(3)
    from gac.data.episodes import Episodes

    episodes = Episodes.from_arrays(
        [rng.normal(size=(6, OBS)), rng.normal(size=(9, OBS))],
        [rng.uniform(-1, 1, (5, ACT)), rng.uniform(-1, 1, (8, ACT))],
        returns=[1.0, -1.0],
    )
    unit = Standardiser(
        *map(np.float32, ([0, 0], [1, 1], [0, 0], [1, 1])), *map(np.asarray, np.float32([0, 1]))
    )
    data = to_device(episodes, unit)
    batch = load_batch(data, jnp.zeros(1, jnp.int32), OBS)
    windows = chunk_of_all_windows(data, batch.index, jnp.int32(0), 16, 2, OBS)

    @jax.jit
    def draws(phi):
        keys = jax.random.split(jax.random.key(1), 20_000)
        return jax.vmap(lambda key: elbo(linear, phi, windows, batch.s0, batch.y, key).elbo[0])(keys)

    return draws, *linear_posterior(linear, episodes[0], 1.0)


def as_phi(mean, std):
    return Phi(*(jnp.asarray(x, jnp.float32)[None] for x in (mean, np.log(std))))


def test_the_elbo_is_the_evidence_at_the_true_posterior(linear_elbo):
    draws, evidence, mean, std = linear_elbo
    values = np.asarray(draws(as_phi(mean, std)), np.float64)
    assert abs(values.mean() - evidence) < 4 * values.std() / np.sqrt(len(values)) + 1e-3


@pytest.mark.parametrize(("shift", "stretch"), [(0.3, 1.0), (0.0, 2.0), (-1.0, 0.5)])
def test_elsewhere_it_is_lower_by_the_divergence_from_the_true_posterior(shift, stretch, linear_elbo):
    draws, evidence, mean, std = linear_elbo
    values = np.asarray(draws(as_phi(mean + shift * std, std * stretch)), np.float64)
    gap = 4 * (0.5 * (shift**2 + stretch**2 - 1.0) - np.log(stretch))
    assert gap > 0.1
    assert abs(evidence - gap - values.mean()) < 4 * values.std() / np.sqrt(len(values)) + 1e-3


# --- the model itself


@pytest.fixture(scope="module")
def real():
    """A model, its data on the device, and phi away from the prior."""
    episodes = tiny.make_episodes(4, shortest=3, longest=12)
    data = to_device(episodes, Standardiser.fit(episodes))
    model = GAC(tiny.MODEL, tiny.CONFIG.added, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, jax.random.key(0))
    shape = (4, tiny.MODEL.latent_tokens, tiny.MODEL.embed_dim)
    phi = Phi(jax.random.normal(jax.random.key(1), shape), jnp.full(shape, -30.0))
    return model, data, phi


@eqx.filter_jit
def _terms(model, data, phi, index, windows):
    batch = load_batch(data, index, tiny.OBSERVATION_DIM)
    w = chunk_of_all_windows(data, index, jnp.int32(0), windows, 2, tiny.OBSERVATION_DIM)
    own = Phi(*(leaf[index] for leaf in phi))
    return elbo(model, own, w, batch.s0, batch.y, jax.random.key(0)), w


def terms_of(model, data, phi, index, windows=16):
    """The terms for the episodes at `index`, all windows; sigma is 0, so no draw matters."""
    return _terms(model, data, phi, jnp.asarray(index, jnp.int32), windows)


def test_batching_order_and_padding_change_nothing(real):
    together, _ = terms_of(*real, [0, 1, 2, 3])
    shuffled, _ = terms_of(*real, [2, 0, 3, 1])
    padded, _ = terms_of(*real, [0, 1, 2, 3], windows=40)
    for name in together._fields:
        expected = np.asarray(getattr(together, name))
        np.testing.assert_allclose(getattr(shuffled, name), expected[[2, 0, 3, 1]], rtol=1e-5)
        np.testing.assert_allclose(getattr(padded, name), expected, rtol=1e-5)
        alone = [float(getattr(terms_of(*real, [i])[0], name)[0]) for i in range(4)]
        np.testing.assert_allclose(alone, expected, rtol=1e-5)


def test_what_lies_in_padding_is_never_read(real):
    model, data, phi = real
    terms, w = terms_of(model, data, phi, [0, 1, 2, 3])
    assert not bool(w.valid.all())

    def spoil(x, keep):
        return jnp.where(keep[..., None], x, 1e4)

    spoilt = Windows(
        spoil(w.states, w.valid),
        spoil(w.actions, w.valid),
        spoil(w.next_states, w.next_valid),
        w.valid,
        w.next_valid,
        w.weight,
    )
    z_traj = model.prior(data.rows[data.starts, : tiny.OBSERVATION_DIM], phi.mu)[1]
    log_p_tau = eqx.filter_jit(model.log_p_tau)(spoilt, z_traj)
    np.testing.assert_allclose(log_p_tau, terms.log_p_tau, rtol=1e-5)


def test_sampled_windows_estimate_log_p_tau_without_bias(real):
    model, data, phi = real
    exact, _ = terms_of(model, data, phi, [0, 1, 2, 3])
    index = jnp.arange(4, dtype=jnp.int32)
    z_traj = model.prior(data.rows[data.starts, : tiny.OBSERVATION_DIM], phi.mu)[1]

    @jax.jit
    def draws(keys):
        def one(key):
            return model.log_p_tau(sample_windows(data, index, key, 2, 2, tiny.OBSERVATION_DIM), z_traj)

        return jax.lax.map(one, keys, batch_size=250)

    values = np.asarray(draws(jax.random.split(jax.random.key(2), 5000)), np.float64)
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (error > 0.0).all()
    assert (np.abs(values.mean(axis=0) - np.asarray(exact.log_p_tau)) < 4 * error + 1e-2).all()


def test_free_bits_are_not_charged(real):
    model, data, _ = real
    index = jnp.arange(4, dtype=jnp.int32)
    batch = load_batch(data, index, tiny.OBSERVATION_DIM)
    w = chunk_of_all_windows(data, index, jnp.int32(0), 16, 2, tiny.OBSERVATION_DIM)
    phi = Phi.at_prior(4, tiny.MODEL)
    phi = phi._replace(mu=phi.mu.at[:, 0, 0].set(2.0))  # 2 nats in the first token, none in the second
    for free, charged in ((0.0, 2.0), (0.5, 2.5), (3.0, 6.0)):
        terms = eqx.filter_jit(elbo)(model, phi, w, batch.s0, batch.y, jax.random.key(0), free)
        np.testing.assert_allclose(terms.kl, charged, rtol=1e-5)
        np.testing.assert_allclose(terms.elbo, terms.log_p_tau + terms.log_p_y - charged, rtol=1e-4)
