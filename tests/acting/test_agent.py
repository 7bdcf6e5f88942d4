"""An agent plans in raw units, and comes back from its folder as it went in."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac.config import Config
from gac.errors import UserError
from gac.files import read_tree, write_tree
from gac.model.added.critics import Critics
from gac.model.critic import Critic
from gac.model.joint import GAC
from gac.training.plans import Kept

QUERIES = [gac.Exploit(), gac.Explore(), gac.Target(120.0), gac.Prior()]


@pytest.fixture
def first(trained):
    """First observations of three episodes, raw."""
    return trained.episodes.observations[trained.episodes.starts[:3]]


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the run that may be damaged."""
    return shutil.copytree(trained.folder, tmp_path / "run")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_loaded_agent_plans_and_acts_to_the_bit(query, trained, first):
    agent = gac.load(trained.folder)
    assert (agent.config, agent.env_id, agent.facts) == (
        trained.config,
        trained.agent.env_id,
        trained.agent.facts,
    )
    assert isinstance(agent.model.critic, Critics)
    assert tiny.same((agent.model, agent.logged), (trained.agent.model, trained.agent.logged))
    plans = [one.plan(first, query, seed=5) for one in (trained.agent, agent)]
    assert tiny.same(plans[0].epsilon, plans[1].epsilon)
    np.testing.assert_array_equal(plans[0].predicted_returns, plans[1].predicted_returns)
    actions = [one.policy(plan)(first) for one, plan in zip((trained.agent, agent), plans, strict=True)]
    np.testing.assert_array_equal(*actions)


def test_saving_again_gives_the_same_agent(trained, tmp_path):
    trained.agent.save(tmp_path / "deep" / "copy")
    again = gac.load(tmp_path / "deep" / "copy")
    assert tiny.same((again.model, again.logged), (trained.agent.model, trained.agent.logged))
    assert sorted(path.name for path in (tmp_path / "deep" / "copy").iterdir()) == [
        "config.json",
        "data.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("off", ["members", "searched"])
def test_plans_are_judged_by_the_one_critic_where_none_are_searched(off, trained, tmp_path, first):
    config = tiny.replace(tiny.CONFIG, **{off: 0})
    kept = Kept.unknown(config)
    assert kept.critics is None
    sizes = tiny.OBSERVATION_DIM, tiny.ACTION_DIM
    model = GAC(config.model, config.added, *sizes, jax.random.key(0))
    gac.Agent(model, kept.logged, trained.agent.standardiser, config, trained.agent.facts).save(tmp_path)
    agent = gac.load(tmp_path)
    assert isinstance(agent.model.critic, Critic)
    assert agent.plan(first).info is not None, "exploit is Eq. (2)"


def test_predicted_returns_and_traces_are_raw(trained, first):
    plan = trained.agent.plan(first, gac.Target(200.0))
    s0 = jnp.asarray(trained.agent.standardiser.standardise_observation(first))
    own = np.asarray(trained.agent.model.predicted_return(s0, plan.epsilon))
    raw = trained.episodes.returns.mean() + own * trained.episodes.returns.std()
    np.testing.assert_allclose(plan.predicted_returns, raw, rtol=1e-3)
    returns = trained.episodes.returns
    assert abs(plan.trace[0] - returns.mean()) < 3 * returns.std()
    assert plan.trace[-1] > plan.trace[0] + 0.1 * returns.std()


def test_one_observation_is_a_batch_of_one(trained, first):
    one = trained.agent.plan(first[0], gac.Prior(), seed=1)
    batch = trained.agent.plan(first[:1], gac.Prior(), seed=1)
    assert (one.single, batch.single) == (True, False)
    np.testing.assert_array_equal(one.predicted_returns, batch.predicted_returns)


def test_the_default_query_is_exploit(trained, first):
    assert tiny.same(trained.agent.plan(first).epsilon, trained.agent.plan(first, gac.Exploit()).epsilon)


def test_observations_that_cannot_be_planned_for_are_refused(trained, first):
    for wrong in (first[:, :2], first[None], np.zeros(7)):
        with pytest.raises(UserError, match="shape"):
            trained.agent.plan(wrong)
    with pytest.raises(UserError, match="observation has 1 masked values"):
        trained.agent.plan(np.ma.masked_equal(first, first[1, 1]))
    first[1, 1] = np.nan
    with pytest.raises(UserError, match="NaN"):
        trained.agent.plan(first)


def refusal(folder):
    with pytest.raises(UserError) as error:
        gac.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_run_a_damaged_and_a_foreign_one_are_refused(folder, tmp_path):
    assert "config.json" in refusal(tmp_path / "none")
    assert "config.json" in refusal(tmp_path)
    for name in ("config.json", "data.json", "model.safetensors"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        assert name in refusal(folder)
        (folder / name).write_bytes(b"\x80\x04K\x01.")
        assert name in refusal(folder)
        (folder / name).unlink()
        assert name in refusal(folder)
        (folder / name).write_bytes(whole)
    (folder / "model.safetensors").write_bytes((folder / "state.safetensors").read_bytes())
    assert "schema" in refusal(folder)


def test_a_model_of_other_sizes_and_of_a_newer_gac_are_refused(folder):
    other = tiny.replace(tiny.CONFIG, embed_dim=32)
    (folder / "config.json").write_text(other.to_json())
    assert "expected" in refusal(folder)
    text = json.loads(tiny.CONFIG.to_json())
    (folder / "config.json").write_text(json.dumps(text | {"schema_version": 99}))
    assert "schema_version 99" in refusal(folder)
    (folder / "config.json").write_text(tiny.CONFIG.to_json())
    assert Config.from_json((folder / "config.json").read_text()) == tiny.CONFIG
    like = {"x": np.zeros(1, np.float32)}
    write_tree(folder / "model.safetensors", like, {"schema_version": "9"})
    assert read_tree(folder / "model.safetensors", like)["x"].shape == (1,)
    assert "schema 9" in refusal(folder)


def test_every_plan_may_have_a_target_of_its_own(trained, first):
    one = trained.agent.plan(first, gac.Target(120.0), seed=5)
    assert tiny.same(trained.agent.plan(first, gac.Target((120.0,) * 3), seed=5).epsilon, one.epsilon)
    own = trained.agent.plan(first, gac.Target((60.0, 120.0, 150.0)), seed=5)
    assert tiny.same(own.epsilon[1], one.epsilon[1])
    assert own.predicted_returns[0] < one.predicted_returns[0]
    assert own.predicted_returns[2] > one.predicted_returns[2]
    assert own.phi.mu.shape == own.epsilon.shape
    with pytest.raises(UserError, match="y_star has 2 values"):
        trained.agent.plan(first, gac.Target((60.0, 120.0)))
