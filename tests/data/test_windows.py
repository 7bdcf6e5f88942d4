"""Windows cover every step alike, estimate sums without bias, and see nothing of other episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from gac.data.standardise import Standardiser
from gac.data.windows import chunk_of_all_windows, gather_windows, sample_windows, to_device

OBS = tiny.OBSERVATION_DIM


def numbered(lengths, final=True):
    """Episodes on the device whose first state feature is the step's number."""
    episodes = tiny.make_episodes(len(lengths), final=final)
    data = to_device(episodes, Standardiser.fit(episodes))
    starts = np.cumsum([0, *lengths[:-1]]) + np.arange(len(lengths))
    rows = np.zeros((sum(lengths) + len(lengths), data.rows.shape[1]), np.float32)
    for start, length in zip(starts, lengths, strict=True):
        rows[start : start + length + 1, 0] = np.arange(length + 1)
    return data._replace(
        rows=jnp.asarray(rows), starts=jnp.asarray(starts, jnp.int32), lengths=jnp.asarray(lengths, jnp.int32)
    )


def everything(data, index, context, windows=64):
    return chunk_of_all_windows(data, index, jnp.int32(0), windows, context, OBS)


@pytest.mark.parametrize("context", [1, 2, 4])
def test_all_windows_cover_each_step_once_at_every_place(context):
    lengths = [2, 3, 7, 20]
    w = everything(numbered(lengths), jnp.arange(4, dtype=jnp.int32), context)
    for i, length in enumerate(lengths):
        counts = np.zeros((length, context), int)
        used = np.asarray(w.weight[i] > 0)
        assert used.sum() == length + context - 1
        for states, valid in zip(np.asarray(w.states[i])[used], np.asarray(w.valid[i])[used], strict=True):
            for place in np.flatnonzero(valid):
                counts[int(states[place, 0]), place] += 1
        assert (counts == 1).all()
        np.testing.assert_allclose(np.asarray(w.weight[i])[used], 1.0 / context)


@pytest.mark.parametrize(("length", "windows", "context"), [(2, 1, 2), (3, 8, 2), (9, 3, 1), (30, 4, 4)])
def test_sampled_windows_are_unbiased(length, windows, context):
    data, index = numbered([length]), jnp.zeros(1, jnp.int32)

    def estimate(w):
        """A sum that knows the step, and its place in the window."""
        place = jnp.arange(context, dtype=jnp.float32)[None, None]
        f = jnp.cos(w.states[..., 0]) * (1.0 + place) + w.states[..., 0] ** 2
        return jnp.sum(w.weight * jnp.sum(jnp.where(w.valid, f, 0.0), axis=2))

    exact = float(estimate(everything(data, index, context)))
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = jax.vmap(lambda key: estimate(sample_windows(data, index, key, windows, context, OBS)))(keys)
    draws = np.asarray(draws, np.float64)
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean() - exact) < 4 * error + 1e-4 * abs(exact)


def test_a_sum_over_chunks_is_the_sum_over_all_windows():
    data, index = numbered([2, 17]), jnp.arange(2, dtype=jnp.int32)

    def total(w):
        steps = jnp.sum(jnp.where(w.valid, 1.0 + w.states[..., 0], 0.0), axis=2)
        return jnp.sum(w.weight * steps, axis=1)

    chunks = [total(chunk_of_all_windows(data, index, jnp.int32(i), 5, 2, OBS)) for i in range(4)]
    np.testing.assert_allclose(sum(chunks), total(everything(data, index, 2)), rtol=1e-6)
    np.testing.assert_allclose(sum(chunks), [3.0, 153.0], rtol=1e-6)


@pytest.mark.parametrize("final", [True, False])
def test_an_episode_sees_nothing_of_its_neighbours(final):
    episodes = tiny.make_episodes(5, final=final)
    standardiser = Standardiser.fit(episodes)
    together = everything(to_device(episodes, standardiser), jnp.asarray([3], jnp.int32), 3)
    alone = everything(to_device(episodes.select([3]), standardiser), jnp.zeros(1, jnp.int32), 3)
    assert tiny.same(together.valid, alone.valid)
    assert tiny.same(together.next_valid, alone.next_valid)
    for field in ("states", "actions", "next_states"):
        seen = together.next_valid if field == "next_states" else together.valid
        one, other = (jnp.where(seen[..., None], getattr(w, field), 0.0) for w in (together, alone))
        assert tiny.same(one, other)


def test_the_last_transition_counts_only_if_its_next_state_is_known():
    for final in (True, False):
        episodes = tiny.make_episodes(3, final=final)
        data = to_device(episodes, Standardiser.fit(episodes))
        last = data.lengths[:1] - 1
        w = gather_windows(data, jnp.zeros(1, jnp.int32), last[:, None], jnp.ones((1, 1)), 1, OBS)
        assert bool(w.valid[0, 0, 0])
        assert bool(w.next_valid[0, 0, 0]) is final


def test_rows_are_the_episodes_standardised():
    episodes = tiny.make_episodes(4)
    standardiser = Standardiser.fit(episodes)
    data = to_device(episodes, standardiser)
    for i in range(4):
        rows = np.asarray(data.rows[int(data.starts[i]) :][: int(data.lengths[i]) + 1])
        one = episodes[i]
        states = np.concatenate([one.observations, one.final_observation[None]])
        np.testing.assert_array_equal(rows[:, :OBS], standardiser.standardise_observation(states))
        np.testing.assert_array_equal(rows[:-1, OBS:], standardiser.standardise_action(one.actions))
    np.testing.assert_array_equal(data.y, standardiser.standardise_return(episodes.returns))
