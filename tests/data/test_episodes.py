import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gac.data import Episodes
from gac.errors import UserError, told_apart


def arrays(lengths=(3, 2), obs=4, act=2, final=True, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "observations": [rng.normal(size=(n + final, obs)) for n in lengths],
        "actions": [rng.normal(size=(n, act)) for n in lengths],
        "rewards": [rng.normal(size=n) for n in lengths],
    }


@settings(deadline=None, max_examples=50)
@given(
    lengths=st.lists(st.integers(2, 9), min_size=1, max_size=6), final=st.booleans(), seed=st.integers(0, 99)
)
def test_every_episode_comes_back_as_given(lengths, final, seed):
    given_arrays = arrays(lengths, final=final, seed=seed)
    episodes = Episodes.from_arrays(**given_arrays)
    assert len(episodes) == len(lengths)
    assert episodes.num_steps == sum(lengths)
    for i, n in enumerate(lengths):
        episode = episodes[i]
        np.testing.assert_array_equal(
            episode.observations, given_arrays["observations"][i][:n].astype(np.float32)
        )
        np.testing.assert_array_equal(episode.actions, given_arrays["actions"][i].astype(np.float32))
        assert episode.y == pytest.approx(given_arrays["rewards"][i].sum(), abs=1e-5)
        assert (episode.final_observation is not None) == final
        if final:
            expected = given_arrays["observations"][i][-1].astype(np.float32)
            np.testing.assert_array_equal(episode.final_observation, expected)


@settings(deadline=None, max_examples=50)
@given(lengths=st.lists(st.integers(2, 9), min_size=1, max_size=6), data=st.data())
def test_select_keeps_each_chosen_episode_whole(lengths, data):
    episodes = Episodes.from_arrays(**arrays(lengths))
    indices = data.draw(st.lists(st.integers(-len(lengths), len(lengths) - 1), min_size=1, max_size=8))
    chosen = episodes.select(indices)
    assert len(chosen) == len(indices)
    for place, i in enumerate(indices):
        for one, other in zip(chosen[place], episodes[i], strict=True):
            np.testing.assert_array_equal(one, other)


def test_select_takes_masks_and_slices():
    episodes = Episodes.from_arrays(**arrays((2, 3, 4)))
    np.testing.assert_array_equal(episodes.select(np.array([True, False, True])).lengths, [2, 4])
    np.testing.assert_array_equal(episodes.select(slice(None, None, -1)).lengths, [4, 3, 2])


def test_iteration_stops_and_indices_may_be_negative():
    episodes = Episodes.from_arrays(**arrays((2, 3, 4)))
    assert [len(episode.actions) for episode in episodes] == [2, 3, 4]
    assert len(episodes[-1].actions) == 4
    with pytest.raises(IndexError):
        episodes[3]


def test_returns_alone_are_enough():
    source = arrays()
    del source["rewards"]
    episodes = Episodes.from_arrays(**source, returns=[1.5, -2.0])
    assert episodes.rewards is None
    np.testing.assert_array_equal(episodes.returns, np.float32([1.5, -2.0]))


@pytest.mark.parametrize(
    ("flags", "terminated", "truncated"),
    [
        ({}, [False, False], [True, True]),
        ({"terminated": [True, False]}, [True, False], [False, True]),
        ({"truncated": [True, False]}, [False, True], [True, False]),
        ({"terminated": [True, True], "truncated": [True, False]}, [True, True], [True, False]),
    ],
)
def test_an_end_that_is_not_given_is_the_other_one(flags, terminated, truncated):
    episodes = Episodes.from_arrays(**arrays(), **flags)
    np.testing.assert_array_equal(episodes.terminated, terminated)
    np.testing.assert_array_equal(episodes.truncated, truncated)


def _at(key, i, value):
    """Replace entry i of an argument."""

    def change(source):
        source[key] = [value(x) if j == i else x for j, x in enumerate(source[key])]

    return change


def _put(key, value):
    return lambda source: source.__setitem__(key, value)


def _with(x, place, value):
    x = np.array(x)
    x[place] = value
    return x


def _mask(x, hidden=1):
    """The array with its first entries masked."""
    return np.ma.MaskedArray(x, np.arange(x.size).reshape(x.shape) < hidden)


MISTAKES = {
    "masked observations": (
        _at("observations", 1, _mask),
        r"observations\[1\] of arrays has 1 masked values",
    ),
    "masked actions": (_at("actions", 0, lambda x: _mask(x, 2)), r"actions\[0\] of arrays has 2 masked"),
    "masked rows in a list": (
        _at("observations", 0, lambda x: [_mask(row) for row in x]),
        r"observations\[0\] of arrays has 4 masked",
    ),
    "masked rewards": (_at("rewards", 1, _mask), r"rewards\[1\] of arrays has 1 masked"),
    "a masked reward in a list": (
        _at("rewards", 1, lambda x: [*x[1:].tolist(), np.ma.masked]),
        r"rewards\[1\] of arrays has 1 masked",
    ),
    "masked returns": (
        lambda s: s.update(rewards=None, returns=np.ma.MaskedArray([1.0, 2.0], [False, True])),
        "returns of arrays has 1 masked",
    ),
    "masked flags": (
        _put("truncated", np.ma.MaskedArray([True, True], [True, False])),
        "truncated of arrays has 1 masked",
    ),
    "no episodes": (lambda s: s.update(observations=[], actions=[], rewards=[]), "no episodes"),
    "empty episode": (
        lambda s: s.update({k: [x[:0] for x in s[k]] for k in s}),
        "episode 0 of arrays has length 0",
    ),
    "empty episode with a final state": (
        lambda s: s.update(
            observations=[s["observations"][0], s["observations"][1][:1]],
            actions=[s["actions"][0], s["actions"][1][:0]],
            rewards=[s["rewards"][0], s["rewards"][1][:0]],
        ),
        "episode 1 of arrays has length 0",
    ),
    "one-step episode": (lambda s: s.update(arrays((3, 1))), "episode 1 of arrays has length 1"),
    "nan observation": (
        _at("observations", 1, lambda x: _with(x, (1, 0), np.nan)),
        "episode 1.*observations nan, step 1",
    ),
    "nan final observation": (
        _at("observations", 1, lambda x: _with(x, (2, 0), np.nan)),
        "episode 1.*final_observations nan",
    ),
    "infinite action": (
        _at("actions", 0, lambda x: _with(x, (2, 1), np.inf)),
        "episode 0.*actions inf, step 2",
    ),
    "float32 overflow": (_at("actions", 0, lambda x: _with(x, (0, 1), 1e300)), "episode 0.*actions inf"),
    "nan reward": (_at("rewards", 1, lambda x: _with(x, 0, np.nan)), "episode 1.*rewards nan"),
    "an observation too large to square": (
        _at("observations", 1, lambda x: _with(x, (1, 0), -1e38)),
        "episode 1.*observations -1.*e\\+38, step 1.*at most 1e\\+19",
    ),
    "a final observation too large to square": (
        _at("observations", 1, lambda x: _with(x, (2, 0), 1e38)),
        "episode 1.*final_observations 1.*e\\+38.*at most 1e\\+19",
    ),
    "an action too large to square": (
        _at("actions", 0, lambda x: _with(x, (0, 1), 3e38)),
        "episode 0.*actions 3e\\+38, step 0",
    ),
    "nan return": (lambda s: s.update(rewards=None, returns=[0.0, np.nan]), "episode 1.*returns nan"),
    "too few observations": (
        _at("observations", 1, lambda x: x[:-2]),
        "episode 1.*1 observations for 2 actions",
    ),
    "a final state for some": (_at("observations", 1, lambda x: x[:-1]), "episode 1.*expected 3"),
    "too few rewards": (_at("rewards", 1, lambda x: x[:-1]), "episode 1.*1 rewards for 2 actions"),
    "missing actions of an episode": (
        lambda s: s.update(actions=s["actions"][:1]),
        "actions.*1 entries, expected 2",
    ),
    "missing rewards of an episode": (
        lambda s: s.update(rewards=s["rewards"][:1]),
        "rewards.*1 entries, expected 2",
    ),
    "too many returns": (_put("returns", [1.0, 2.0, 3.0]), "returns.*3 entries, expected 2"),
    "another width": (_at("observations", 1, lambda x: x[:, :3]), "episode 1.*width 3, expected 4"),
    "no width": (lambda s: s.update(actions=[x[:, :0] for x in s["actions"]]), "actions.*width 0"),
    "flat actions": (_at("actions", 0, lambda x: x[:, 0]), r"actions\[0\].*shape \(3,\)"),
    "deep rewards": (_at("rewards", 0, lambda x: x[:, None]), r"rewards\[0\].*shape \(3, 1\)"),
    "text": (_at("observations", 0, lambda x: x.astype(str)), r"observations\[0\].*dtype <U"),
    "None": (
        _at("rewards", 0, lambda x: [None, *x[1:].tolist()]),
        r"rewards\[0\].*dtype object.*fill in what is None",
    ),
    "objects": (_at("actions", 0, lambda x: x.astype(object)), r"actions\[0\].*dtype object"),
    "complex": (_at("rewards", 0, lambda x: x.astype(complex)), r"rewards\[0\].*dtype complex128"),
    "ragged": (_at("actions", 0, lambda _: [[1.0], [1.0, 2.0], [3.0]]), r"actions\[0\].*ragged"),
    "neither rewards nor returns": (_put("rewards", None), "neither rewards nor returns"),
    "returns at odds with rewards": (_put("returns", [100.0, 200.0]), "episode 0.*return 100.*add up to"),
    "an episode without an end": (
        lambda s: s.update(terminated=[True, False], truncated=[False, False]),
        "episode 1.*neither terminated nor truncated",
    ),
    "flags that are numbers": (_put("terminated", np.array([0.5, 1.0])), "terminated.*dtype float64"),
    "too few flags": (_put("terminated", [True]), "terminated.*1 entries, expected 2"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line(mistake):
    change, message = MISTAKES[mistake]
    source = arrays()
    change(source)
    with pytest.raises(UserError, match=message) as raised:
        Episodes.from_arrays(**source)
    assert "\n" not in str(raised.value)


def test_a_mask_that_hides_nothing_is_none():
    source = arrays()
    expected = Episodes.from_arrays(**source)
    masked = {key: [np.ma.MaskedArray(x) for x in values] for key, values in source.items()}
    np.testing.assert_array_equal(Episodes.from_arrays(**masked).observations, expected.observations)


def test_masked_arrays_are_refused_in_the_fields_too():
    episodes = Episodes.from_arrays(**arrays())
    with pytest.raises(UserError, match="returns of arrays has 1 masked"):
        dataclasses.replace(episodes, returns=_mask(episodes.returns))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_returns_are_compared_with_rewards_at_the_size_of_the_data(scale):
    """Also where rewards are small, or large ones cancel: no size is too small to differ."""
    source = arrays((50, 40))
    source["rewards"] = [scale * (np.tile([1000.0, -1000.0], len(x) // 2) + x) for x in source["rewards"]]
    right = np.array([x.sum() for x in source["rewards"]])
    added = np.array(
        [np.cumsum(x, dtype=np.float32)[-1] for x in source["rewards"]]
    )  # as many programs add them up
    for returns in (right, added, right.astype(np.float32)):
        Episodes.from_arrays(**source, returns=returns)
    with pytest.raises(UserError, match=r"episode 1 of arrays has return .* as in 1 of 2 episodes \(50%\)"):
        Episodes.from_arrays(**source, returns=right + np.array([0.0, 2.0 * scale]))


def test_returns_that_are_large_and_alike_are_compared_by_how_they_differ():
    source = arrays((10,) * 8)
    source["rewards"] = [100.0 + x / 10 for x in source["rewards"]]
    right = np.array([x.sum() for x in source["rewards"]])
    Episodes.from_arrays(**source, returns=right.round(3))
    with pytest.raises(UserError, match="of 8 episodes"):
        Episodes.from_arrays(**source, returns=right[::-1].copy())


def test_a_part_of_accepted_data_is_accepted():
    source = arrays((10,) * 8)
    right = np.array([x.sum() for x in source["rewards"]])
    episodes = Episodes.from_arrays(**source, returns=right.round(4))
    assert [len(episodes.select([i])) for i in range(8)] == [1] * 8


def test_unlike_returns_print_unlike():
    source = arrays((2, 2))
    source["rewards"] = [np.array([6e5, -6e5]), np.array([1.0, 1.0])]
    with pytest.raises(UserError, match=r"has return 2\.0025, but its rewards add up to 2,"):
        Episodes.from_arrays(**source, returns=np.array([0.0, 2.0025]))
    assert told_apart(1234567.0, 1234568.0) == ("1234567", "1234568")
    assert told_apart(1.0, 2.0) == ("1", "2")
    assert told_apart(1700000028, 1700000028) == ("1700000028", "1700000028")


def test_an_empty_selection_is_refused():
    with pytest.raises(UserError, match="no episode"):
        Episodes.from_arrays(**arrays()).select([])


def test_a_huge_reward_leaves_the_returns_of_the_episodes_after_it_alone():
    source = arrays((3, 2, 4))
    expected = Episodes.from_arrays(**source).returns[[0, 2]]
    source["rewards"][1][0] = 3e16
    np.testing.assert_array_equal(Episodes.from_arrays(**source).returns[[0, 2]], expected)


def test_a_reward_that_is_not_finite_is_counted_in_its_episode_alone():
    source = arrays((3, 2, 4))
    source["rewards"][1][0] = np.nan
    with pytest.raises(UserError, match=r"of 2 in 1 episodes \(1 in rewards, 1 in returns\)"):
        Episodes.from_arrays(**source)


def test_a_sum_of_rewards_that_is_too_large_is_refused():
    source = arrays((3, 2, 4))
    source["rewards"][1][:] = 8e18
    with pytest.raises(UserError, match=r"episode 1 of arrays has returns 1\.6.*e\+19"):
        Episodes.from_arrays(**source)
