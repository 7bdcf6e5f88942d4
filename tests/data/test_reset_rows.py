"""Rows that only reset are found in whatever order episodes are logged, and no other rows are."""

import dataclasses
import warnings

import h5py
import numpy as np
import pytest
import tiny

import gac
from gac.data import Episodes, describe, findings, read_d4rl, read_table, without_reset_rows
from gac.data.problems import warn_of_problems
from gac.data.reset_rows import reset_rows_of
from gac.errors import UserError

STEPS = 25


def play(environments=3, episodes=8, autoreset="next", sparse=False, seed=0):
    """Logs of a point that is pushed, a list per environment: rows (s, a, r, s', done).

    `autoreset` is as Gymnasium's modes: `next` logs a row between episodes, `same` and `disabled` none;
    `wrong` is `same` with the state after the reset as the last next state.
    """
    rng, logs = np.random.default_rng(seed), []
    for _ in range(environments):
        log = []
        for episode in range(episodes):
            state = rng.normal(size=2)
            if episode and autoreset == "next":
                log.append((log[-1][3], rng.normal(size=1), 0.0, state, False))
            if episode and autoreset == "wrong":
                log[-1] = (*log[-1][:3], state, True)
            for t in range(STEPS):
                action = rng.normal(size=1)
                after = state + 0.1 * np.array([state[1], action[0]])
                log.append(
                    (state, action, float(t == 20) if sparse else -(state[0] ** 2), after, t == STEPS - 1)
                )
                state = after
        logs.append(log)
    return logs


def episodes_of(logs, order="concatenated", final=True, rewards=True):
    """The logs as a reader makes episodes of them: cut after each flag."""
    cut = [np.split(np.array(log, object), np.flatnonzero([row[4] for row in log])[:-1] + 1) for log in logs]
    if order == "interleaved":
        parts = [part for several in zip(*cut, strict=True) for part in several]
    else:
        parts = [part for log in cut for part in log]
    if order == "shuffled":
        parts = [parts[i] for i in np.random.default_rng(1).permutation(len(parts))]
    reward = [part[:, 2].astype(float) for part in parts]
    return Episodes.from_arrays(
        [np.array([*part[:, 0], *[part[-1, 3]] * final]) for part in parts],
        [np.array([*part[:, 1]]) for part in parts],
        rewards=reward if rewards else None,
        returns=None if rewards else [each.sum() for each in reward],
        name="log",
    )


def begins_with_one(order):
    """Which of 3 environments' 8 episodes do: all but each environment's first."""
    first = {"concatenated": (0, 8, 16), "interleaved": (0, 1, 2)}[order]
    return [i for i in range(24) if i not in first]


@pytest.mark.parametrize("order", ["concatenated", "interleaved"])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_reset_rows_are_found(order, final, sparse):
    episodes = episodes_of(play(sparse=sparse), order, final)
    found = reset_rows_of(episodes)
    if final or not sparse:
        assert found.episodes.tolist() == begins_with_one(order)
    else:  # Neither final states nor rewards tell for sure; most are found.
        assert len(set(begins_with_one(order)) & set(found.episodes.tolist())) >= 18
    assert found.reward == 0.0


def test_neither_the_order_of_the_episodes_nor_missing_rewards_hide_them():
    for rewards in (True, False):
        assert len(reset_rows_of(episodes_of(play(), "shuffled", rewards=rewards)).episodes) == 21


@pytest.mark.parametrize("units", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("final", [True, False])
def test_units_do_not_matter(units, final):
    episodes = episodes_of(play(), final=final)

    def scaled(array):
        return None if array is None else array * np.float32(units)

    other = dataclasses.replace(
        episodes,
        observations=scaled(episodes.observations),
        final_observations=scaled(episodes.final_observations),
    )
    assert len(reset_rows_of(other).episodes) == 21


@pytest.mark.parametrize("autoreset", ["same", "wrong", "disabled"])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_logs_without_such_rows_have_none(autoreset, final, sparse):
    for order in ("concatenated", "interleaved"):
        episodes = episodes_of(play(autoreset=autoreset, sparse=sparse), order, final)
        assert not len(reset_rows_of(episodes).episodes)
        assert without_reset_rows(episodes) is episodes


@pytest.mark.parametrize("length", [2, 5, 40])
@pytest.mark.parametrize("reward", ["dense", "sparse", "zero"])
@pytest.mark.parametrize("final", [True, False])
def test_windows_of_one_continuous_run_have_none(length, reward, final):
    rng = np.random.default_rng(0)
    states, actions = np.zeros((2001, 2)), rng.normal(size=(2000, 1))
    for t in range(2000):
        states[t + 1] = 0.99 * states[t] + 0.1 * np.array([states[t, 1], actions[t, 0]])
    near = (np.abs(states[:-1, 0]) < 0.1).astype(float)
    rewards = {"dense": states[:-1, 0], "sparse": near, "zero": 0.0 * near}[reward]
    starts = range(0, 2000 - length, length)
    windows = Episodes.from_arrays(
        [states[i : i + length + final] for i in starts],
        [actions[i : i + length] for i in starts],
        rewards=[rewards[i : i + length] for i in starts],
    )
    assert not len(reset_rows_of(windows).episodes)


def test_dropping_leaves_the_steps_and_the_returns():
    episodes = episodes_of(play())
    kept = without_reset_rows(episodes)
    assert kept.lengths.tolist() == [STEPS] * 24
    np.testing.assert_array_equal(kept.returns, episodes.returns)
    same = episodes_of(play(autoreset="same"))
    assert kept.observations.shape == same.observations.shape
    # The first states are those that the environment was reset to.
    assert kept.observations[STEPS].tolist() == episodes.observations[STEPS + 1].tolist()
    np.testing.assert_array_equal(kept.final_observations, episodes.final_observations)
    assert not len(reset_rows_of(kept).episodes)


def test_a_reset_row_with_a_reward_is_not_dropped():
    """As a wrapper that shifts rewards leaves it: without the row the return would be another."""
    episodes = episodes_of(play())
    rewards = episodes.rewards - 1
    sums = np.add.reduceat(rewards, episodes.starts)
    shifted = dataclasses.replace(episodes, rewards=rewards, returns=sums)
    assert len(reset_rows_of(shifted).episodes) == 21
    with pytest.raises(UserError, match=r"episode 1 of log .* reward -1, expected 0"):
        without_reset_rows(shifted)


def test_an_episode_of_a_single_step_is_left_out():
    episodes = episodes_of(play())
    short = [episodes[i] for i in range(24)]
    cut = Episodes.from_arrays(
        [
            np.vstack([e.observations, e.final_observation])[: 3 if i == 1 else None]
            for i, e in enumerate(short)
        ],
        [e.actions[: 2 if i == 1 else None] for i, e in enumerate(short)],
        rewards=[e.rewards[: 2 if i == 1 else None] for i, e in enumerate(short)],
    )
    with pytest.warns(UserWarning, match="1 episodes of a single step are left out"):
        kept = without_reset_rows(cut)
    assert len(kept) == 23


def write(path, logs, final):
    rows = [row for log in logs for row in log]
    columns = [np.array([row[i] for row in rows]) for i in range(5)]
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"], file["rewards"] = columns[:3]
        file["timeouts"], file["terminals"] = columns[4], np.zeros(len(rows), bool)
        if final:
            file["next_observations"] = columns[3]


def test_readers_drop_them_when_asked_and_say_if_there_are_none(tmp_path):
    for name, autoreset in (("log", "next"), ("clean", "same")):
        write(tmp_path / f"{name}.hdf5", play(autoreset=autoreset), final=True)
    log, clean = tmp_path / "log.hdf5", tmp_path / "clean.hdf5"
    assert read_d4rl(log).num_steps == 24 * STEPS + 21
    for read in (read_d4rl, gac.load_data):
        assert read(log, drop_reset_rows=True).lengths.tolist() == [STEPS] * 24
        with pytest.warns(UserWarning, match=r"clean\.hdf5 has no reset rows"):
            read(clean, drop_reset_rows=True)


def test_a_table_drops_them_too(tmp_path):
    lines = ["episode,obs_0,obs_1,act_0,reward"]
    number = 0
    for log in play():
        for state, action, reward, _, done in log:
            lines.append(f"{number},{state[0]},{state[1]},{action[0]},{reward}")
            number += done
    (tmp_path / "log.csv").write_text("\n".join(lines))
    assert read_table(tmp_path / "log.csv").num_steps == 24 * STEPS + 21
    assert read_table(tmp_path / "log.csv", drop_reset_rows=True).lengths.tolist() == [STEPS] * 24


def test_inspecting_calls_them_a_problem_and_says_how_to_drop_them():
    found = [each for each in findings(describe(episodes_of(play()))) if "reset row" in each.what]
    assert [each.severity for each in found] == ["problem"]
    assert "21 of 24 episodes begin with a reset row" in found[0].what
    assert "--drop-reset-rows" in found[0].do


def test_a_state_recorded_after_the_reset_is_told_from_windows_of_a_run():
    found = [
        each for each in findings(describe(episodes_of(play(autoreset="wrong")))) if "jump to" in each.what
    ]
    assert [each.severity for each in found] == ["warning"]
    assert "leave next_observations out" in found[0].do


def problems_of(episodes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_problems(episodes)
    return [str(each.message) for each in caught]


def test_training_says_what_inspecting_calls_a_problem():
    for episodes in (
        episodes_of(play()),
        tiny.make_episodes(300),
        tiny.make_episodes(3),
        dataclasses.replace(tiny.make_episodes(30), returns=np.full(30, 7.0, np.float32)),
    ):
        grave = [
            each
            for each in findings(describe(episodes))
            if each.severity == "problem" or ("There are only" in each.what and "episode" in each.what)
        ]
        told = {f"{episodes.name}: {each.what} {each.do}" for each in grave}
        assert set(problems_of(episodes)) == told
    assert problems_of(tiny.make_episodes(300)) == []
    assert any("Every episode has the return 7." in each for each in problems_of(episodes))


def test_training_warns_before_it_begins(tmp_path, monkeypatch):
    """In one run and in several seeds at once."""
    flat = dataclasses.replace(tiny.make_episodes(24), returns=np.full(24, 7.0, np.float32))

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("gac.training.offline.Trainer", stop)
    monkeypatch.setattr("gac.training.scale.seeds.Seeds", stop)
    for train, more in ((gac.train, {}), (gac.train_seeds, {"seeds": 2})):
        with (
            pytest.warns(UserWarning, match="Every episode has the return 7"),
            pytest.raises(KeyboardInterrupt),
        ):
            train(flat, tiny.CONFIG, out=tmp_path / train.__name__, updates=1, **more)
