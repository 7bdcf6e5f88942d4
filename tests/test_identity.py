"""Whoever goes on with a run finds its episodes where they are, and is told what in the data differs."""

import dataclasses

import numpy as np
import pytest
import tiny

import gac
from gac.data.episodes import Episodes
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.identity import Known, check_same, compare
from gac.training.checkpoint import fingerprint

COUNT = 10


@pytest.fixture(scope="module")
def episodes():
    return tiny.make_episodes(COUNT)


@pytest.fixture(params=[True, False], ids=["fingerprint", "facts alone"])
def known(request, episodes):
    return knowledge(episodes)._replace(**({} if request.param else {"fingerprint": None}))


def knowledge(episodes):
    """What a run trained on these keeps."""
    units, lengths = Standardiser.fit(episodes), episodes.lengths.astype(np.int64)
    return Known(episodes.returns, lengths, units, fingerprint(episodes))


def joined(*parts):
    """Episodes one after the other."""

    def flat(name):
        return np.concatenate([getattr(part, name) for part in parts])

    names = ("observations", "actions", "returns", "lengths", "terminated", "truncated", "final_observations")
    return Episodes(rewards=None, env_id=None, name="log", **{name: flat(name) for name in names})


def scaled(episodes, observations=1.0, actions=1.0, returns=1.0, offset=0.0):
    """Every column in units of its own; `offset` is added to the first state dimension."""

    def states(array):
        moved = (array * np.float32(observations)).astype(np.float32)
        moved[:, 0] += np.float32(offset)
        return moved

    return dataclasses.replace(
        episodes,
        observations=states(episodes.observations),
        final_observations=states(episodes.final_observations),
        actions=(episodes.actions * np.float32(actions)).astype(np.float32),
        returns=(episodes.returns * np.float32(returns)).astype(np.float32),
    )


def same(one, other):
    return fingerprint(one) == fingerprint(other)


def test_the_same_episodes_are_the_same(known, episodes):
    found = compare(known, tiny.make_episodes(COUNT))
    assert (found.differs, found.added, found.reordered) == (None, 0, False)
    assert same(found.episodes, episodes)


@pytest.mark.parametrize("new_first", [False, True])
def test_added_episodes_are_told_from_the_runs(new_first, known, episodes):
    new = tiny.make_episodes(4, seed=5)
    found = compare(known, joined(new, episodes) if new_first else joined(episodes, new))
    assert (found.differs, found.added) == (None, 4)
    assert same(found.episodes.select(slice(0, COUNT)), episodes)
    assert same(found.episodes.select(slice(COUNT, None)), new)


def test_another_order_is_undone(known, episodes):
    found = compare(known, episodes.select(np.random.default_rng(0).permutation(COUNT)))
    assert (found.differs, found.added, found.reordered) == (None, 0, True)
    assert same(found.episodes, episodes)


def test_fewer_episodes_are_counted(known, episodes):
    found = compare(known, episodes.select(slice(3, None)))
    assert found.differs == "holds 7 of the run's 10 episodes (by return and length) and 0 others"
    assert not found.units


def test_unlike_episodes_of_the_same_units_are_no_other_units(known):
    found = compare(known, tiny.make_episodes(30, seed=9))
    assert found.differs == "holds 0 of the run's 10 episodes (by return and length) and 30 others"
    assert not found.units


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ({"observations": 1000.0}, "observations 0, 1, 2 are 1000 times the run's"),
        ({"observations": [1.0, 3.6, 1.0]}, "observation 1 is 3.6 times the run's"),
        ({"observations": [1.0, 1.0, 1e-6]}, "observation 2 is 1e-06 times the run's"),
        ({"observations": [-1.0, 1.0, 1.0]}, "observation 0 is the run's"),
        ({"offset": 273.15}, "observation 0 is the run's +273.1"),
        ({"actions": [1.0, 57.3]}, "action 1 is 57.3 times the run's"),
    ],
)
def test_the_runs_episodes_in_other_units_are_known_by_the_column(units, said, known, episodes):
    found = compare(known, scaled(episodes, **units))
    assert found.units
    assert found.differs.startswith("has the run's episodes in other units: ")
    assert said in found.differs


def test_returns_in_another_unit_are_known(known, episodes):
    found = compare(known, scaled(episodes, returns=0.01))
    assert found.units
    assert "returns are 0.01 times the run's" in found.differs


def test_all_units_at_once_and_episodes_added(known, episodes):
    found = compare(known, scaled(joined(episodes, tiny.make_episodes(5, seed=3)), 1000.0, 1000.0, 1000.0))
    assert found.units
    assert "observations 0, 1, 2 are 1000 times the run's; actions 0, 1 are 1000 times" in found.differs


@pytest.mark.parametrize("units", [{"observations": [1, 1, 1e3]}, {"actions": 1e-3}, {"returns": 1e4}])
def test_other_units_show_in_other_episodes_too(units, known):
    found = compare(known, scaled(tiny.make_episodes(30, seed=9), **units))
    assert found.units
    assert found.differs.startswith("is in other units than the run's data: ")


def test_values_changed_a_little_are_not_the_same_episodes(episodes):
    nearly = dataclasses.replace(episodes, observations=episodes.observations.round(3))
    found = compare(knowledge(episodes), nearly)
    assert found.differs == "has the run's 10 episodes with other values, in the same units"
    assert not found.units


def test_other_widths_are_named(known):
    wide = Episodes.from_arrays([np.zeros((3, 4))] * 4, [np.zeros((3, 2))] * 4, returns=np.arange(4.0))
    found = compare(known, wide)
    assert found.units
    assert "widths 4 and 2, the run's have 3 and 2" in found.differs


def test_the_print_of_the_first_episodes_is_that_of_them_alone(episodes):
    assert fingerprint(joined(episodes, tiny.make_episodes(4, seed=5)), COUNT) == fingerprint(episodes)
    assert fingerprint(episodes, 4) == fingerprint(episodes.select(slice(0, 4)))


def test_reset_rows_that_the_run_did_not_have_are_taken_away():
    rng = np.random.default_rng(0)
    states = [rng.normal(size=2) + 0.02 * rng.normal(size=(31, 2)).cumsum(axis=0) for _ in range(24)]
    actions = [rng.normal(size=(30, 1)) for _ in states]
    clean = Episodes.from_arrays(states, actions, rewards=[x[:-1, 0] for x in states], name="log")
    logged = Episodes.from_arrays(
        [x if i == 0 else np.vstack([states[i - 1][-1], x]) for i, x in enumerate(states)],
        [a if i == 0 else np.vstack([[0.0], a]) for i, a in enumerate(actions)],
        rewards=[x[:-1, 0] if i == 0 else np.append(0.0, x[:-1, 0]) for i, x in enumerate(states)],
        name="log",
    )
    found = compare(knowledge(clean), logged)
    assert (found.differs, found.without_reset_rows) == (None, True)
    assert same(found.episodes, clean)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda own: joined(own, tiny.make_episodes(4, seed=5)), "10 episodes and 4 that were added"),
        (lambda own: own.select(slice(None, None, -1)), "in another order"),
        (lambda own: own.select(slice(0, 6)), "holds 6 of the run's 10 episodes"),
        (lambda own: scaled(own, observations=1000.0), "observations 0, 1, 2 are 1000 times the run's"),
    ],
)
def test_training_goes_on_with_the_same_episodes_alone(change, said, trained):
    check_same(trained.folder, trained.episodes, fingerprint(trained.episodes))
    other = change(trained.episodes)
    with pytest.raises(UserError, match="trained on other episodes than these") as refused:
        check_same(trained.folder, other, fingerprint(other))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_calibration_takes_the_runs_episodes_out_of_more_and_no_others(trained):
    agent = gac.load(trained.folder)
    alone = gac.calibrate(agent, trained.episodes)
    more = joined(trained.episodes, tiny.make_episodes(6, seed=5)).select(np.arange(16)[::-1])
    assert gac.calibrate(agent, more) == dataclasses.replace(alone, data="log")
    with pytest.raises(UserError, match="observations 0, 1, 2 are 1000 times the run's"):
        gac.calibrate(agent, scaled(trained.episodes, observations=1000.0))
