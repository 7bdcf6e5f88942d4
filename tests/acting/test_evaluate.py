"""Every reward counted belongs to its own episode; an environment that does not fit is refused."""

import copy
import dataclasses
import json

import gymnasium
import numpy as np
import pytest
import tiny
from gymnasium.spaces import Box, Dict, Discrete

import gac
from gac.acting import evaluate as module
from gac.envs.specification import beyond_id
from gac.errors import UserError
from gac.records import read_evaluation

TOY = "GacToy-v0"


def length_of(seed):
    """Steps of the toy's episode after a reset with this seed."""
    return 2 + seed % 5


class Toy(gymnasium.Env):
    """Step t pays t + seed / 100; the length follows from the seed; a step beyond the end is an error."""

    def __init__(self, width=tiny.OBSERVATION_DIM, bound=1.0, discrete=False, poison=False):
        self.observation_space = Box(-100.0, 100.0, (width,), np.float32)
        self.action_space = Discrete(2) if discrete else Box(-bound, bound, (tiny.ACTION_DIM,), np.float32)
        self.poison = poison

    def observed(self):
        return np.full(self.observation_space.shape, 0.1 * self.time, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed, self.time = seed, 0
        return self.observed(), {}

    def step(self, action):
        if not self.time < length_of(self.seed):
            raise AssertionError("stepped beyond the end")
        self.time += 1
        ended = self.time == length_of(self.seed)
        reward = float("nan") if self.poison and ended else self.time + self.seed / 100
        # Odd seeds end by the time limit, even ones by themselves.
        return self.observed(), reward, ended and self.seed % 2 == 0, ended and self.seed % 2 == 1, {}


@pytest.fixture(autouse=True)
def toy():
    gymnasium.register(TOY, Toy)
    yield
    del gymnasium.registry[TOY]


@pytest.fixture
def agent(trained):
    return trained.agent


@pytest.mark.parametrize(("most", "episodes"), [(100, 7), (4, 10), (1, 3)])
def test_every_return_is_that_of_its_own_episode(most, episodes, agent, monkeypatch):
    monkeypatch.setattr(module, "MOST_ENVIRONMENTS", most)
    result = gac.evaluate(agent, TOY, query=gac.Prior(), episodes=episodes, seed=3)
    lengths = [length_of(3 + i) for i in range(episodes)]
    returns = [n * (n + 1) / 2 + n * (3 + i) / 100 for i, n in enumerate(lengths)]
    assert result.lengths == tuple(lengths)
    np.testing.assert_allclose(result.returns, returns, rtol=1e-6)
    assert len(result.predicted_returns) == episodes
    np.testing.assert_allclose([result.mean, result.std], [np.mean(returns), np.std(returns)], rtol=1e-6)


def test_an_episode_does_not_depend_on_those_beside_it(agent, monkeypatch):
    """Padding rows of ended episodes change nothing for those that go on."""
    seen = []

    class Watched(Toy):
        def step(self, action):
            seen.append((self.seed, self.time, np.array(action)))
            return super().step(action)

    gymnasium.register("GacWatched-v0", Watched)
    try:
        gac.evaluate(agent, "GacWatched-v0", query=gac.Exploit(), episodes=4, seed=0)
    finally:
        del gymnasium.registry["GacWatched-v0"]
    assert len(seen) == sum(length_of(i) for i in range(4))
    first = np.zeros((4, tiny.OBSERVATION_DIM), np.float32)
    plan = agent.plan(first, gac.Exploit(), seed=0)
    policy = agent.policy(plan)
    for time in range(max(length_of(i) for i in range(4))):
        actions = policy(np.full_like(first, np.float32(0.1 * time)))
        for seed, when, action in seen:
            if when == time:
                np.testing.assert_allclose(action, actions[seed], atol=1e-5)


def test_the_record_has_the_documented_fields(agent):
    result = gac.evaluate(agent, TOY, query=gac.Target(120.0), episodes=2)
    record = json.loads(result.to_json())
    for key in ("query", "env_id", "seed", "returns", "lengths", "predicted_returns", "mean", "std"):
        assert key in record
    assert (record["query"], record["env_id"], record["y_star"]) == ("target", TOY, 120.0)
    assert record["normalized_mean"] is None
    assert record["normalized_std"] is None
    assert set(record["versions"]) == {"gac", "jax", "gymnasium", "mujoco"}
    assert record["versions"]["gac"] == gac.__version__
    assert 0.0 <= record["converged"] <= 1.0
    assert 0 < record["query_steps"] <= 1000
    assert 1 < len(record["trace"]) <= module.TRACE_POINTS
    assert record["plan_seconds"] > 0
    assert record["steps_per_second"] > 0


@pytest.mark.parametrize(
    "query",
    [gac.Exploit(), gac.Explore(0.5, 0.1), gac.Target(120.0), gac.Prior()],
    ids=lambda query: query.name,
)
def test_the_record_tells_the_settings_of_its_query_and_is_read_with_them(query, agent):
    written = gac.evaluate(agent, TOY, query=query, episodes=1).to_json()
    asked = dataclasses.asdict(query)
    for record in (json.loads(written), dataclasses.asdict(read_evaluation(written, "record"))):
        told = {key: record[key] for key in ("quantile", "delta_y", "y_star")}
        assert told == {key: asked.get(key) for key in told}
        assert asked.keys() <= told.keys()


def test_the_prior_optimises_nothing(agent):
    result = gac.evaluate(agent, TOY, query=gac.Prior(), episodes=2)
    assert (result.trace, result.converged, result.query_steps, result.y_star) == ((), None, None, None)


def test_a_seed_repeats_an_evaluation(agent):
    one, same, other = (
        gac.evaluate(agent, TOY, query=gac.Explore(), episodes=3, seed=seed) for seed in (1, 1, 2)
    )
    assert (one.returns, one.predicted_returns) == (same.returns, same.predicted_returns)
    assert one.predicted_returns != other.predicted_returns


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 4}, "observation space"),
        ({"discrete": True}, "action space"),
        ({"bound": 0.25}, "beyond"),
        ({"poison": True}, "not finite"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(options, said, agent):
    gymnasium.register("GacOdd-v0", Toy, kwargs=options, disable_env_checker=True)
    try:
        with pytest.raises(UserError, match=said) as error:
            gac.evaluate(agent, "GacOdd-v0", query=gac.Prior(), episodes=2)
    finally:
        del gymnasium.registry["GacOdd-v0"]
    assert "\n" not in str(error.value)


def test_an_unknown_or_unnamed_environment_is_refused(agent):
    with pytest.raises(UserError, match="cannot be made") as error:
        gac.evaluate(agent, "NoSuchThing-v0", episodes=1)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="env_id"):
        gac.evaluate(agent, episodes=1)
    with pytest.raises(UserError, match="episodes"):
        gac.evaluate(agent, TOY, episodes=0)
    with pytest.raises(UserError, match="seed is -1"):
        gac.evaluate(agent, TOY, seed=-1)


def test_a_module_that_the_data_chose_is_never_imported(agent, monkeypatch, tmp_path):
    (tmp_path / "chosen_by_data.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    agent = copy.copy(agent)
    agent.facts = dataclasses.replace(agent.facts, env_id="chosen_by_data:Toy-v0")
    for call in (gac.evaluate, gac.consistency):
        with pytest.raises(UserError, match="--env-id chosen_by_data:Toy-v0"):
            call(agent, episodes=1)
    with pytest.raises(SystemExit, match="imported"):
        gac.evaluate(agent, "chosen_by_data:Toy-v0", episodes=1)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("made", "cannot be made"),
        ("reset", "failed at reset with seed 0"),
        ("stepped", "failed at step 1"),
    ],
)
def test_an_environment_that_fails_is_one_line(moment, said, agent):
    class Broken(Toy):
        def __init__(self):
            super().__init__()
            if moment == "made":
                raise ValueError("no\nlicence")

        def reset(self, **given):
            if moment == "reset":
                raise OSError("no\nscene")
            return super().reset(**given)

        def step(self, action):
            raise ZeroDivisionError("no\nmass")

    gymnasium.register("GacBroken-v0", Broken, disable_env_checker=True)
    try:
        with pytest.raises(UserError, match=said) as error:
            gac.evaluate(agent, "GacBroken-v0", query=gac.Prior(), episodes=2)
    finally:
        del gymnasium.registry["GacBroken-v0"]
    assert "\n" not in str(error.value)
    words = {"made": "no licence", "reset": "OSError: no scene", "stepped": "ZeroDivisionError: no mass"}
    assert words[moment] in str(error.value)


def test_progress_is_told_and_shares_are_of_all_plans(agent, monkeypatch):
    """Of five plans, in groups of four and one, the last alone does not converge: four fifths."""
    monkeypatch.setattr(module, "MOST_ENVIRONMENTS", 4)
    plan, told = agent.plan, []

    def one_that_wanders(first, *args, **settings):
        made = plan(first, *args, **settings)
        fine = np.full(len(first), len(first) == 4)
        return made._replace(info=made.info._replace(converged=fine, steps=np.where(fine, 10, 500)))

    agent = copy.copy(agent)
    agent.plan = one_that_wanders
    result = gac.evaluate(
        agent,
        TOY,
        query=gac.Target(120.0),
        episodes=5,
        progress=lambda over, mean: told.append((over, mean)),
    )
    assert result.converged == 0.8
    assert result.query_steps == 108
    overs = [over for over, _ in told]
    assert overs == sorted(overs)
    assert overs[-1] == 5
    np.testing.assert_allclose(told[-1][1], result.returns[-1], rtol=1e-6)


@pytest.mark.parametrize("most", [100, 4])
def test_new_plans_are_counted_in_the_episodes_that_got_them(most, agent, monkeypatch):
    """Every second step of an episode of n steps: no plan after its end, whoever goes on beside it."""
    monkeypatch.setattr(module, "MOST_ENVIRONMENTS", most)
    result = gac.evaluate(agent, TOY, query=gac.Prior(), episodes=7, replan=gac.Every(2))
    assert result.replans == tuple((length_of(i) - 1) // 2 for i in range(7))
    assert result.replan == "every:2"
    assert result.replan_seconds > 0
    assert 1e3 * result.replan_seconds < result.ms_per_step * sum(result.lengths)
    assert read_evaluation(result.to_json(), "here", "eval-prior-every_2") == result
    once = gac.evaluate(agent, TOY, query=gac.Prior(), episodes=7)
    assert (once.replan, once.replans, once.replan_seconds) == ("never", (0,) * 7, 0.0)
    assert once.predicted_returns == result.predicted_returns


def test_disturbed_environments_are_played_and_named_so(agent):
    result = gac.evaluate(agent, TOY, query=gac.Prior(), episodes=2, disturb=gac.Disturbance("noise", 0.25))
    assert result.disturb == "noise:0.25"
    assert read_evaluation(result.to_json(), "here", "eval-prior-noise_0.25") == result
    with pytest.raises(UserError, match="cannot be pushed"):
        gac.evaluate(agent, TOY, episodes=1, disturb=gac.Disturbance("push", 1.0))


def test_every_step_is_told(agent, monkeypatch):
    monkeypatch.setattr(module, "MOST_ENVIRONMENTS", 2)
    told = []
    result = gac.evaluate(
        agent, TOY, query=gac.Prior(), episodes=3, on_step=lambda i, step: told.append((i, *step))
    )
    assert [sum(i == j for j, *_ in told) for i in range(3)] == list(result.lengths)
    for i in range(3):
        own = [step for j, *step in told if j == i]
        np.testing.assert_allclose([one[0][0] for one in own], 0.1 * np.arange(len(own)), atol=1e-6)
        np.testing.assert_allclose([one[2][0] for one in own], 0.1 * np.arange(1, len(own) + 1), atol=1e-6)
        assert all(one[1].shape == (tiny.ACTION_DIM,) for one in own)


def test_a_goal_environment_is_played_joined(agent):
    class Goals(Toy):
        def __init__(self):
            super().__init__()
            part = Box(-100.0, 100.0, (1,), np.float32)
            self.observation_space = Dict(observation=part, achieved_goal=part, desired_goal=part)

        def observed(self):
            return {key: np.full(1, 0.1 * self.time, np.float32) for key in self.observation_space}

    gymnasium.register("GacGoals-v0", Goals)
    try:
        result = gac.evaluate(agent, "GacGoals-v0", query=gac.Prior(), episodes=2)
    finally:
        del gymnasium.registry["GacGoals-v0"]
    assert result == dataclasses.replace(
        gac.evaluate(agent, TOY, query=gac.Prior(), episodes=2),
        env_id="GacGoals-v0",
        plan_seconds=result.plan_seconds,
        steps_per_second=result.steps_per_second,
        ms_per_step=result.ms_per_step,
    )


def test_the_datas_environment_is_played_as_it_was_recorded(agent):
    """Its time limit holds; an id that is given means the bare environment, and the records tell which."""
    spec = json.dumps({"id": TOY, "entry_point": f"{Toy.__module__}:Toy", "max_episode_steps": 2})
    agent = copy.copy(agent)
    agent.facts = dataclasses.replace(agent.facts, env_id=TOY, env_spec=beyond_id(spec, "here")[1])
    recorded = gac.evaluate(agent, query=gac.Prior(), episodes=3)
    bare = gac.evaluate(agent, TOY, query=gac.Prior(), episodes=3)
    assert recorded.lengths == (2, 2, 2)
    assert bare.lengths == tuple(length_of(i) for i in range(3))
    assert str(recorded.environment) == f"{TOY} (max_episode_steps=2)"
    assert str(bare.environment) == TOY
    assert read_evaluation(recorded.to_json(), "here") == recorded


def test_what_cannot_be_rebuilt_is_never_replaced_by_the_bare_environment(agent):
    wrapper = {"name": "Own", "entry_point": "mine:Own", "kwargs": {}}
    spec = {"id": TOY, "entry_point": f"{Toy.__module__}:Toy", "additional_wrappers": [wrapper]}
    agent = copy.copy(agent)
    agent.facts = dataclasses.replace(
        agent.facts, env_id=TOY, env_spec=beyond_id(json.dumps(spec), "here")[1]
    )
    for call in (gac.evaluate, gac.consistency):
        with pytest.raises(UserError, match=f"wrapper Own .* give its id .--env-id {TOY} for the bare one"):
            call(agent, episodes=1)
    assert gac.evaluate(agent, TOY, query=gac.Prior(), episodes=1).env_spec is None
