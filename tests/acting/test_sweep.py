"""A sweep commands what it says, collects what was done, and tells tau's return from tau alone."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from gymnasium.spaces import Box

import gac
from gac.acting.calibrate import posterior
from gac.acting.rollout import Records, Step
from gac.acting.sweep import USUAL_QUANTILE, commanded_returns, estimate_returns
from gac.data.windows import to_device
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.inference.added.logged import unknown
from gac.model.joint import GAC
from gac.records import read_consistency

ENV = "GacSweep-v0"


class World(gymnasium.Env):
    """The return is the sum of the actions' first number; episode lengths follow from the seed."""

    def __init__(self):
        self.observation_space = Box(-100.0, 100.0, (tiny.OBSERVATION_DIM,), np.float32)
        self.action_space = Box(-1.0, 1.0, (tiny.ACTION_DIM,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 1 + seed % 4
        return np.full(3, 0.1 * seed, np.float32), {}

    def step(self, action):
        self.left -= 1
        return np.full(3, float(self.left), np.float32), float(action[0]), self.left == 0, False, {}


@pytest.fixture(scope="module")
def record(trained):
    gymnasium.register(ENV, World, disable_env_checker=True)
    told = []
    try:
        made = gac.consistency(trained.agent, ENV, values=4, episodes=5, progress=told.append)
    finally:
        del gymnasium.registry[ENV]
    assert [one.y_star for one in told] == list(made.commanded)
    assert made.returns == tuple(one.returns for one in told)
    return made


def test_commands_reach_from_the_least_return_beyond_the_best():
    returns = np.array([10.0, 70.0, 30.0])
    commanded = commanded_returns(returns, 9)
    np.testing.assert_allclose(commanded, 10.0 + 10.0 * np.arange(9))
    for values in (3, 0, -1):
        with pytest.raises(UserError, match="values"):
            commanded_returns(returns, values)
    with pytest.raises(UserError, match="returns that differ"):
        commanded_returns(np.full(3, 5.0), 9)


def test_a_record_has_a_row_per_command_and_comes_back(record, trained, tmp_path):
    assert record.usual == pytest.approx(np.quantile(trained.episodes.returns, USUAL_QUANTILE))
    for table in (record.returns, record.predicted_returns, record.estimated_returns, record.estimated_stds):
        assert [len(row) for row in table] == [5] * 4
    # Episodes 0 and 4 take one step, from which nothing can be told.
    assert [[one is None for one in row] for row in record.estimated_stds] == [[True, *[False] * 3, True]] * 4
    assert all(std is None or std > 0 for row in record.estimated_stds for std in row)
    (tmp_path / "consistency.json").write_text(record.to_json())
    assert read_consistency(tmp_path / "consistency.json") == record
    low, high = record.judged(usual=True), record.judged(usual=False)
    in_reach = sum(y <= record.usual for y in record.commanded)
    assert (low[0].size, high[0].size) == (3 * in_reach, 3 * (4 - in_reach))


def test_the_estimate_follows_what_was_done_and_not_the_return(trained):
    """In the tiny data one hidden number sets actions and return alike: the actions tell the return."""
    episodes = trained.episodes
    records = Records(episodes.num_episodes)
    for i in range(episodes.num_episodes):
        episode = episodes[i]
        states = [*episode.observations, episode.final_observation]
        for t, action in enumerate(episode.actions):
            last = t == len(episode.actions) - 1
            records(i, Step(states[t], action, states[t + 1], 0.0, last, False))
    means, stds = estimate_returns(trained.agent, records, Environment("Any-v0"))
    data = to_device(episodes, trained.agent.standardiser)
    blind = posterior(trained.agent, data, given_return=False)
    other = data._replace(y=data.y + 5.0)
    assert tiny.same(posterior(trained.agent, other, given_return=False), blind)
    assert tiny.same(posterior(trained.agent, other), blind), "plans are of actions alone"
    assert np.isfinite(means).all()
    sigma_y = float(trained.agent.model.critic.sigma_y()[0])
    floor = 0.99 * sigma_y * float(trained.agent.standardiser.return_std)
    assert (stds > floor).all()


def test_a_posterior_that_reads_the_return_may_be_had_without_it(trained):
    config = tiny.replace(tiny.CONFIG, transition_width=0, members=0)
    sizes = tiny.OBSERVATION_DIM, tiny.ACTION_DIM
    model = GAC(config.model, config.added, *sizes, jax.random.key(0))
    logged, own = unknown(0, config.model), trained.agent
    agent = gac.Agent(model, logged, own.standardiser, config, own.facts)
    data = to_device(trained.episodes, own.standardiser)
    other = data._replace(y=data.y + 5.0)
    blind, seeing = (posterior(agent, other, given_return=given) for given in (False, True))
    assert tiny.same(posterior(agent, data, given_return=False), blind)
    assert float(jnp.abs(seeing.mu - blind.mu).max()) > 0.05
