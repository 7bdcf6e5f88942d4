"""Collected episodes are what happened; whatever goes wrong, those that are over are kept as they are."""

import os
import time

import gymnasium
import numpy as np
import pytest
import tiny
import toy_env

import gac
from gac.acting.evaluate import evaluated
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.online.collect import collect
from gac.online.collected import Aims, Collected
from gac.online.processes import Crew

SEEDS = [3, 5, 4, 9, 7, 11, 13, 8]
"""Episodes of 4 and 8 are the only ones with an even seed."""


def aim(agent):
    """The same plans for the same observations, with aims that tell the rows apart."""

    def aimed(first):
        plan, count = agent.plan(first, gac.Prior(), seed=1), len(first)
        shape = plan.epsilon.shape
        rows = np.arange(count, dtype=np.float64)
        return plan, Aims(
            rows, plan.predicted_returns, rows, *(np.full(shape, x, np.float32) for x in (0, 1))
        )

    return aimed


@pytest.fixture
def walk():
    """Register a walk with the arguments given; returns its id."""
    made = []

    def register(**kwargs):
        made.append(f"GacWalk{len(made)}-v3")
        gymnasium.register(made[-1], "toy_env:Walk", kwargs=kwargs)
        return made[-1]

    yield register
    for each in made:
        del gymnasium.registry[each]


def crew_of(env_id, seconds=60.0):
    return Crew(Environment(env_id), tiny.OBSERVATION_DIM, tiny.ACTION_DIM, seconds)


def evaluate_in(crew, agent, env_id):
    return evaluated(agent, crew, Environment(env_id), query=gac.Exploit(), episodes=5, seed=3, longest=50)


def gathered(path, agent, env_id, seconds=60.0, longest=50):
    with crew_of(env_id, seconds) as crew:
        return collect(path, agent, crew, SEEDS, aim(agent), Environment(env_id), longest, lambda done: None)


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """The batch without any fault."""
    return gathered(tmp_path_factory.mktemp("whole") / "batch.safetensors", trained.agent, toy_env.ID)


def same_batch(a, b):
    for name in ("observations", "actions", "rewards", "returns", "lengths", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(a.episodes, name), getattr(b.episodes, name), err_msg=name)
    np.testing.assert_array_equal(a.episodes.final_observations, b.episodes.final_observations)
    np.testing.assert_array_equal(a.rows, b.rows)
    for one, other in zip(a.aims, b.aims, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_episode_is_what_its_environment_did(trained, whole):
    """Played again one by one, with the actions that were recorded."""
    for i, seed in enumerate(SEEDS):
        env, episode = toy_env.Walk(), whole.episodes[i]
        observation, _ = env.reset(seed=seed)
        for t, action in enumerate(episode.actions):
            np.testing.assert_array_equal(episode.observations[t], observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            assert episode.rewards[t] == np.float32(reward)
        np.testing.assert_array_equal(episode.final_observation, observation)
        assert (terminated, truncated) == (episode.terminated, episode.truncated)
        assert terminated or truncated
        assert episode.y == pytest.approx(float(episode.rewards.sum()), rel=1e-6)
    plan = aim(trained.agent)(np.stack([e.observations[0] for e in whole.episodes]))[0]
    first = trained.agent.policy(plan)(np.stack([e.observations[0] for e in whole.episodes]))
    np.testing.assert_allclose([e.actions[0] for e in whole.episodes], first, atol=1e-6)
    assert whole.aims.y_plus.tolist() == list(range(8))


def test_a_batch_comes_back_from_its_file(whole, tmp_path):
    whole.write(tmp_path / "batch.safetensors")
    same_batch(Collected.read(tmp_path / "batch.safetensors"), whole)
    content = (tmp_path / "batch.safetensors").read_bytes()
    (tmp_path / "batch.safetensors").write_bytes(content[:-50])
    with pytest.raises(UserError, match="truncated"):
        Collected.read(tmp_path / "batch.safetensors")


def test_what_is_whole_is_not_collected_again(trained, whole, tmp_path):
    path = tmp_path / "batch.safetensors"
    whole.write(path)
    idle = crew_of(toy_env.ID)  # has no process: whatever is asked of it fails
    environment = Environment(toy_env.ID)
    found = collect(path, trained.agent, idle, SEEDS, aim(trained.agent), environment, 50, lambda done: None)
    same_batch(found, whole)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise", "ValueError: the motor is hot"),
        ("kill", "signal 9"),
        ("hang", "no answer for 2 s"),
        ("reward", "reward nan"),
        ("observation", "observation that is not finite at step 5"),
        ("endless", "has not ended after 30 steps"),
    ],
)
def test_a_fault_is_one_line_and_what_is_over_is_kept(fault, said, trained, whole, walk, tmp_path):
    path, mended, log = tmp_path / "batch.safetensors", tmp_path / "mended", tmp_path / "log"
    env_id = walk(fault=fault, every=2, unless=str(mended), log=str(log))
    began = time.monotonic()
    with pytest.raises(UserError, match=said) as error:
        gathered(path, trained.agent, env_id, 2.0 if fault == "hang" else 60.0, longest=30)
    assert "\n" not in str(error.value)
    assert time.monotonic() - began < 200.0
    early = [i for i, length in enumerate(whole.episodes.lengths) if length < toy_env.FAULT_AT]
    kept = Collected.read(path)
    assert set(early) <= set(kept.rows.tolist())
    assert not kept.whole
    kept_seeds = [str(SEEDS[row]) for row in kept.rows]
    log.write_text("")
    mended.touch()
    same_batch(gathered(path, trained.agent, env_id), whole)
    assert not set(kept_seeds) & set(log.read_text().split()), "collected twice"


def test_episodes_of_one_step_are_left_out_and_not_waited_for(trained, whole, walk, tmp_path):
    path, log = tmp_path / "batch.safetensors", tmp_path / "log"
    env_id = walk(fault="short", every=2, log=str(log))
    found = gathered(path, trained.agent, env_id)
    longer = np.flatnonzero(np.array(SEEDS) % 2)
    same_batch(found, Collected(whole.episodes.select(longer), whole.aims.at(longer), longer, 6, 0.0))
    assert found.whole
    log.write_text("")
    same_batch(gathered(path, trained.agent, env_id), found)
    assert log.read_text() == "", "collected twice"


def test_a_batch_that_lacks_only_episodes_of_one_step_is_whole_once_they_are_played(
    trained, whole, walk, tmp_path
):
    path = tmp_path / "batch.safetensors"
    longer = np.flatnonzero(np.array(SEEDS) % 2).astype(np.int32)
    cut_off = Collected(whole.episodes.select(longer), whole.aims.at(longer), longer, 8, 0.0)
    cut_off.write(path)
    found = gathered(path, trained.agent, walk(fault="short", every=2))
    same_batch(found, cut_off)
    assert found.whole
    assert Collected.read(path).whole


def test_a_batch_of_nothing_but_single_steps_is_refused(trained, walk, tmp_path):
    with pytest.raises(UserError, match="every episode of the batch ended after one step"):
        gathered(tmp_path / "batch.safetensors", trained.agent, walk(fault="short"))
    assert not list(tmp_path.iterdir())


def test_an_evaluation_counts_episodes_of_one_step(trained, walk):
    env_id = walk(fault="short", every=2)
    with crew_of(env_id) as crew:
        found = evaluate_in(crew, trained.agent, env_id)
    expected = gac.evaluate(trained.agent, env_id, episodes=5, seed=3)
    assert (found.returns, found.lengths) == (expected.returns, expected.lengths)
    assert [length == 1 for length in found.lengths] == [False, True, False, True, False]


def test_an_evaluation_in_a_crew_is_that_of_gac_evaluate(trained):
    with crew_of(toy_env.ID) as crew:
        found = evaluate_in(crew, trained.agent, toy_env.ID)
    expected = gac.evaluate(trained.agent, toy_env.ID, episodes=5, seed=3)
    assert (found.returns, found.lengths) == (expected.returns, expected.lengths)
    assert found.predicted_returns == expected.predicted_returns


def test_an_environment_that_no_other_process_can_make_is_refused():
    class Local(toy_env.Walk):
        pass

    gymnasium.register("GacLocal-v0", Local)
    gymnasium.register("GacOdd-v1", "toy_env:Walk", kwargs={"fault": object()})
    try:
        with pytest.raises(UserError, match="module"):
            crew_of("GacLocal-v0")
        with pytest.raises(UserError, match="no other process"):
            crew_of("GacOdd-v1")
    finally:
        del gymnasium.registry["GacLocal-v0"], gymnasium.registry["GacOdd-v1"]


def test_a_crew_leaves_no_process_behind():
    with crew_of(toy_env.ID) as crew:
        ids = [worker._process.pid for worker in crew._workers]
        assert crew.reset([1, 2, 3]).shape == (3, tiny.OBSERVATION_DIM)
    for each in ids:
        with pytest.raises(ProcessLookupError):
            os.kill(each, 0)
