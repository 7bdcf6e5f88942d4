"""What float32 cannot hold is held otherwise, and comes back as it was; all else is as float32 has it."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

import gac
from gac.agent import Agent
from gac.data import Episodes, read_d4rl, read_table, write_d4rl
from gac.data.precision import hold_actions, hold_numbers, hold_states
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.inference.added.logged import unknown
from gac.model.joint import GAC
from gac.online.buffer import joined
from gac.online.collected import Aims, Collected
from gac.records import DataFacts
from gac.training.checkpoint import fingerprint

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=400)
FAR = {
    "seconds since 1970": 1.7e9 + NOISE,
    "whole seconds": 1.7e9 + np.round(5 * NOISE),
    "milliseconds since 1970": 1.7e12 + 100 * NOISE,
    "metres of a grid": 5.4e6 + NOISE,
    "whole metres": 5.4e6 + RNG.integers(0, 4, 400),
    "small units": 1e-9 * (5.4e6 + NOISE),
    "with some -999": np.where(np.arange(400) % 10, 1.7e9 + NOISE, -999.0),
    "one row off": np.where(np.arange(400) == 7, 1.7e9 + 1.0, 1.7e9),
}
NEAR = {
    "a Gaussian": NOISE,
    "thousands": 1e4 + NOISE,
    "a constant": np.full(400, 0.1),
    "a constant with the noise of computing": 0.1 + 1e-16 * np.sign(NOISE),
    "flags": NOISE > 0.5,
    "heavy tails": np.exp(5 * NOISE),
    "tiny": 1e-30 * NOISE,
    "numbers of float32": (1e6 + np.round(NOISE)).astype(np.float32),
}


@pytest.mark.parametrize("kind", FAR)
def test_a_column_that_float32_cannot_hold_keeps_what_varies(kind):
    values = np.column_stack([NOISE, FAR[kind]])
    with pytest.warns(UserWarning, match=r"^log: state dimension 1 varies by too little"):
        held = hold_states(values, "log")
    assert held.offset[0] == 0.0
    np.testing.assert_array_equal(held.values[:, 0], NOISE.astype(np.float32))
    bulk = np.abs(values[:, 1] - np.median(values[:, 1])) < 1e6
    back = held.values[bulk, 1].astype(np.float64) + held.offset[1]
    np.testing.assert_allclose(back, values[bulk, 1], rtol=0, atol=1e-5 * values[bulk, 1].std())


@pytest.mark.parametrize("kind", NEAR)
def test_ordinary_columns_are_rounded_to_float32_and_nothing_is_said(kind):
    values = np.column_stack([NEAR[kind], NOISE])
    held = hold_states(values, "log")
    assert held.offset is None
    np.testing.assert_array_equal(held.values, values.astype(np.float32))
    assert hold_numbers(values[:, 0]).dtype == np.float32


def test_whole_numbers_come_back_whole():
    values = FAR["whole seconds"][:, None]
    with pytest.warns(UserWarning, match="varies by too little"):
        held = hold_states(values, "log")
    np.testing.assert_array_equal(held.values + held.offset, values)


def test_actions_that_float32_cannot_hold_are_named():
    with pytest.warns(UserWarning, match=r"log: column throttle varies .* rounded"):
        hold_actions(FAR["metres of a grid"][:, None], "log", ["throttle"])


def test_returns_and_rewards_are_held_in_float64_where_they_need_it():
    rewards = [1e9 + RNG.normal(size=5) for _ in range(20)]
    data = Episodes.from_arrays([np.eye(5)] * 20, [np.eye(5)] * 20, rewards=rewards)
    assert data.rewards.dtype == data.returns.dtype == np.float64
    np.testing.assert_allclose(data.returns, [x.sum() for x in rewards], rtol=1e-15)
    assert data.select([3, 1]).returns.dtype == np.float64


def far(count=12, final=True, off=1.7e9):
    """Episodes whose second state dimension is far from 0, as given and as held."""
    rng = np.random.default_rng(1)
    states = [rng.normal(size=(6 + final, 3)) + np.array([0.0, off, 5.0]) for _ in range(count)]
    actions = [rng.uniform(-1, 1, size=(6, 2)) for _ in range(count)]
    with pytest.warns(UserWarning, match="state dimension 1 varies by too little"):
        return states, Episodes.from_arrays(states, actions, rewards=[x[:, 0] for x in actions])


def check_back(data, states):
    for i, given in enumerate(states):
        episode = data[i]
        assert episode.observations.dtype == np.float64
        found = np.concatenate([episode.observations, episode.final_observation[None]])
        np.testing.assert_allclose(found, given, rtol=0, atol=1e-6)


@pytest.mark.parametrize("again", [lambda e: e, lambda e: e.select(np.arange(12)), lambda e: joined([e])])
def test_episodes_give_back_what_was_given(again):
    states, data = far()
    check_back(again(data), states)


def test_a_file_gives_back_what_was_given(tmp_path):
    states, data = far()
    write_d4rl(data, tmp_path / "log.hdf5")
    with pytest.warns(UserWarning, match="state dimension 1 varies by too little"):
        back = read_d4rl(tmp_path / "log.hdf5")
    check_back(back, states)
    np.testing.assert_array_equal(back.observation_offset, data.observation_offset)
    with pytest.raises(UserError, match=r"state dimension 1 .* cannot be held in float32"):
        write_d4rl(data, tmp_path / "flat.hdf5", contiguous=True)
    with pytest.raises(UserError, match=r"state dimension 1 .* cannot be held in float32"):
        gac.data.unpack_d4rl(tmp_path / "log.hdf5", tmp_path / "flat.hdf5")
    assert [path.name for path in tmp_path.iterdir()] == ["log.hdf5"]


def test_a_table_names_its_columns(tmp_path):
    rows = [f"{e},{1.7e9 + e + 0.1 * t},{t % 3},{e}" for e in range(5) for t in range(4)]
    (tmp_path / "log.csv").write_text("\n".join(["episode,obs_time,action_0,return", *rows]))
    with pytest.warns(UserWarning, match="column obs_time varies by too little"):
        data = read_table(tmp_path / "log.csv")
    np.testing.assert_allclose(data[2].observations[:, 0] - 1.7e9, 2 + 0.1 * np.arange(4), atol=1e-6)


def test_what_is_collected_is_kept_and_joined_in_the_units_of_the_first(tmp_path):
    states, data = far()
    more, others = far(off=1.7e9 + 3.0)
    aims = Aims(*(np.zeros(12) for _ in range(3)), *(np.zeros((12, 2, 4)) for _ in range(2)))
    batch = Collected(others, aims, np.arange(12, dtype=np.int32), 12, 0.0)
    batch.write(tmp_path / "batch.safetensors")
    back = Collected.read(tmp_path / "batch.safetensors").episodes
    both = joined([data, back])
    check_back(both, states + more)
    np.testing.assert_array_equal(both.observation_offset, data.observation_offset)
    shifted = dataclasses.replace(data, observation_offset=data.observation_offset + 1.0)
    assert fingerprint(shifted) != fingerprint(data)


def test_an_agent_plans_and_acts_on_raw_states_wherever_they_lie(tmp_path):
    rng, away = np.random.default_rng(2), np.array([2.0**31, 0.0])
    near = [np.round(rng.normal(size=(6, 2)) * 64) / 64 for _ in range(8)]
    actions = [rng.uniform(-1, 1, size=(5, 1)) for _ in near]
    config = tiny.replace(tiny.CONFIG, members=0)
    model = GAC(config.model, config.added, 2, 1, jax.random.key(0))

    def agent_of(off):
        data = Episodes.from_arrays([x + off for x in near], actions, returns=np.arange(8.0))
        logged = unknown(4, config.model)
        return Agent(model, logged, Standardiser.fit(data), config, DataFacts.of(data))

    one = agent_of(np.zeros(2))
    with pytest.warns(UserWarning, match="state dimension 0 varies"):
        agent_of(away).save(tmp_path)
    two = gac.load(tmp_path)
    assert two.standardiser.observation_offset.dtype == np.float64
    first = np.stack([x[0] for x in near])
    plans = one.plan(first, gac.Prior()), two.plan(first + away, gac.Prior())
    np.testing.assert_allclose(*(plan.predicted_returns for plan in plans), atol=1e-4)
    for replan in (None, gac.Every(1)):
        policies = one.policy(plans[0], replan), two.policy(plans[1], replan)
        np.testing.assert_allclose(policies[0](first), policies[1](first + away), atol=1e-5)
    half = two.policy(plans[1]).halves()[1]
    np.testing.assert_allclose(half(first[4:] + away), one.policy(plans[0])(first)[4:], atol=1e-5)
