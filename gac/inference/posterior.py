"""Local inference: q_phi(epsilon | tau, y) of logged trajectories, by ascent on the ELBO, Eq. (5)."""

from typing import NamedTuple

import jax
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gac.config import Config
from gac.data.windows import DeviceEpisodes, sample_windows
from gac.inference.loop import Info, Values, infer, learning_rate
from gac.model.joint import GAC, Phi, elbo


class Batch(NamedTuple):
    """Trajectories of a batch: their place in the data, first states and returns."""

    index: Int[Array, "batch"]  # type: ignore[assignment]  # hides tuple.index
    s0: Float[Array, "batch obs"]
    y: Float[Array, "batch"]


def load_batch(data: DeviceEpisodes, index: Int[Array, "batch"], observation_dim: int) -> Batch:
    """Look up what every estimate of the ELBO needs."""
    return Batch(index, data.rows[data.starts[index], :observation_dim], data.y[index])


def fit_posterior(
    model: GAC,
    data: DeviceEpisodes,
    batch: Batch,
    phi0: Phi,
    config: Config,
    key: PRNGKeyArray,
    max_steps: int | None = None,
    given_return: bool = True,
) -> tuple[Phi, Info]:
    """Ascend the ELBO in phi of each trajectory, theta fixed.

    Every step draws new windows and new noise.

    Args:
        phi0: the stored posteriors, or the prior for trajectories never seen.
        max_steps: instead of `inner_steps`.
        given_return: False infers from tau alone, q(epsilon | tau): the bound on log p(tau | s0), in which
            log p(y) has no part.
    """
    posterior = config.posterior
    steps = posterior.inner_steps if max_steps is None else max_steps

    def objective(phi: Phi, step: Int[Array, ""]) -> Values:
        window_key, noise_key = jax.random.split(jax.random.fold_in(key, step))
        windows = sample_windows(
            data, batch.index, window_key, posterior.inner_windows, model.config.context, batch.s0.shape[1]
        )
        terms = elbo(model, phi, windows, batch.s0, batch.y, noise_key, posterior.free_bits)
        return terms.elbo if given_return else terms.log_p_tau - terms.kl, terms.log_p_tau

    rate = learning_rate(posterior.inner_lr, steps, config.added.inner_decay)
    optimiser = optax.adam(rate)
    stops = not config.added.inner_decay
    return infer(objective, phi0, optimiser, steps, posterior.inner_tol, stops)
