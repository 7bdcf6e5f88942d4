"""What an agent keeps of the logged episodes: the best of them, and nothing of what they returned."""

import jax.numpy as jnp
import numpy as np
import tiny

from gac.model.joint import Phi
from gac.training import logged
from gac.training.bank import take
from gac.training.logged import best_episodes, logged_posteriors


def test_the_best_are_of_the_training_episodes_alone_and_in_order(monkeypatch):
    monkeypatch.setattr(logged, "MOST", 3)
    returns = np.array([9.0, 1.0, 5.0, 7.0, 3.0, 8.0], np.float32)
    np.testing.assert_array_equal(best_episodes(np.array([1, 2, 3, 5], np.int32), returns), [2, 3, 5])
    np.testing.assert_array_equal(best_episodes(np.array([1, 4], np.int32), returns), [1, 4])


def test_returns_play_no_part_and_episodes_do(trainer, trained):
    for _ in range(3):
        trainer.step()
    index = jnp.arange(5, dtype=jnp.int32)
    dim = trained.episodes.observation_dim
    stored = take(trainer.state.bank, index, None)

    def fitted(data):
        return logged_posteriors(trainer.state, stored, data, index, trained.config, dim)

    own = fitted(trainer.data)
    assert tiny.same(own, fitted(trainer.data._replace(y=trainer.data.y + 3.0)))
    assert not tiny.same(own, fitted(trainer.data._replace(rows=trainer.data.rows * 1.5)))
    assert not np.allclose(own.mu, trainer.state.bank.mu[:5])


def test_an_agent_keeps_the_posteriors_of_its_update(trainer, trained):
    count = min(logged.MOST, len(trainer.train_index))
    untrained = trainer.agent().logged
    assert tiny.same(untrained, Phi.at_prior(count, trained.config.model))
    trainer.step()
    first = trainer.agent().logged
    assert first.mu.shape == untrained.mu.shape
    assert trainer.agent().logged is first
    trainer.step()
    assert not tiny.same(trainer.agent().logged, first)
