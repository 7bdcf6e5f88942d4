"""Fine-tuning begins with the run's data: what was added is learned from, what is in other units refused."""

import dataclasses
import warnings

import numpy as np
import pytest
import tiny

import gac
from gac.data.split import split_episodes
from gac.errors import UserError
from gac.online.buffer import joined, split_buffer
from gac.online.start import own_data, starting_state
from gac.records import read_facts
from gac.training.checkpoint import fingerprint

OLD, NEW = 10, 4


@pytest.fixture
def more(trained):
    """The run's episodes behind some new ones."""
    return joined([tiny.make_episodes(NEW, seed=5), trained.episodes])


def begun(trained, data):
    found = own_data(trained.agent, data)
    return found, starting_state(trained.agent, found)


def test_added_episodes_are_learned_from_and_leave_the_others_as_they_were(trained, more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = begun(trained, trained.episodes)[1][0]
    with pytest.warns(UserWarning, match=r"4 of 14 episodes were added .* held out stay held out"):
        found, (state, progress) = begun(trained, more)
    for own, all_of_them in zip(before.bank, state.bank, strict=True):
        assert np.abs(own).max() > 0
        np.testing.assert_array_equal(own, all_of_them[:OLD])
        assert not np.asarray(all_of_them[OLD:]).any()
    assert progress.data == fingerprint(found.episodes)
    agent = trained.agent
    how, _ = split_buffer(
        found.episodes, OLD + NEW, 0, agent.standardiser, agent.config, gac.OnlineConfig(), found.added
    )
    train, heldout = split_episodes(OLD, agent.config)
    assert how.heldout_index.tolist() == heldout.tolist()
    assert how.train_index.tolist() == [*train, *range(OLD, OLD + NEW)]
    assert (how.collected, how.added) == (0, NEW)


def test_other_units_are_refused_before_anything_is_written(trained, tmp_path):
    other = dataclasses.replace(
        trained.episodes,
        observations=trained.episodes.observations * np.float32(1000),
        final_observations=trained.episodes.final_observations * np.float32(1000),
    )
    with pytest.raises(UserError, match="observations 0, 1, 2 are 1000 times the run's"):
        gac.Online(trained.agent, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_episodes_begin_anew_with_a_warning(trained):
    with pytest.warns(UserWarning, match=r"holds 6 of the run's 10 episodes .* held out anew"):
        _, (state, _) = begun(trained, trained.episodes.select(slice(0, 6)))
    assert not any(np.asarray(leaf).any() for leaf in state.bank)
    assert len(state.bank.mu) == 6


def test_going_on_finds_the_episodes_that_it_was_begun_with(trained, more, tmp_path):
    with pytest.warns(UserWarning, match="4 of 14 episodes were added"):
        first = gac.Online(trained.agent, more, tmp_path / "out")
    facts = read_facts(tmp_path / "out" / "data.json")
    assert (facts.episodes, facts.added, facts.shared_out) == (OLD + NEW, NEW, OLD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = gac.Online(trained.agent, more, tmp_path / "out", resume=True)
    assert fingerprint(again.offline) == fingerprint(first.offline)
    later = joined([more, tiny.make_episodes(3, seed=6)])
    with pytest.warns(UserWarning, match="3 of 17 episodes were added since .* are left out"):
        again = gac.Online(trained.agent, later, tmp_path / "out", resume=True)
    assert fingerprint(again.offline) == fingerprint(first.offline)
    with pytest.raises(UserError, match="begun with other episodes than these"):
        gac.Online(trained.agent, trained.episodes, tmp_path / "out", resume=True)
