"""Without an environment: plans out, episodes in; the same stage as with one, at any pace."""

import gymnasium
import numpy as np
import pytest
import tiny

import gac
from gac.errors import UserError
from gac.online.record import read_record

CONFIG = gac.OnlineConfig(updates=3, seed=5)
FIRST = np.random.default_rng(0).normal(size=(8, tiny.OBSERVATION_DIM)).astype(np.float32)


def played(agent, plan, aims):
    """What somebody's process did under the plans: rows of a made-up world."""
    policy, observation, rows = agent.policy(plan), FIRST.copy(), []
    for step in range(4):
        action = policy(observation)
        rows.append((observation.copy(), action))
        observation = (observation + 0.1 * step).astype(np.float32)
    return gac.Episodes.from_arrays(
        [np.stack([o[i] for o, _ in rows] + [observation[i]]) for i in range(8)],
        [np.stack([a[i] for _, a in rows]) for i in range(8)],
        returns=aims.y_plus - 10.0 * np.arange(8),
        name="handed in",
    )


@pytest.fixture(scope="module")
def stage(trained, tmp_path_factory):
    """A stage by hand: `(folder, record, object)`."""
    out = tmp_path_factory.mktemp("stages") / "run"
    online = gac.Online(trained.agent, trained.episodes, out, CONFIG)
    plan, aims = online.plans(FIRST)
    online.add(played(online.agent, plan, aims), aims)
    return out, online.train(), online


def test_a_stage_by_hand_learns_from_what_is_handed_in(stage, trained):
    out, record, online = stage
    assert read_record(out / "stage-1.json") == record
    assert (record.first_update, record.last_update) == (12, 15)
    assert record.after is None
    assert record.buffer.episodes == 18
    np.testing.assert_allclose(
        record.collection.returns, np.asarray(record.collection.y_plus) - 10.0 * np.arange(8), rtol=1e-6
    )
    assert not tiny.same(gac.load(out).model, trained.agent.model)
    assert tiny.same(gac.load(out).model, online.agent.model)
    assert online.stage == 2


def test_plans_do_not_change_until_the_stage_is_over(stage, trained, tmp_path):
    online = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG)
    (plan, aims), (again, same) = online.plans(FIRST, seed=0), online.plans(FIRST, seed=0)
    np.testing.assert_array_equal(plan.epsilon, again.epsilon)
    np.testing.assert_array_equal(aims.y_plus, same.y_plus)
    online.add(played(online.agent, plan, aims), aims)
    resumed = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG, resume=True)
    np.testing.assert_array_equal(resumed.plans(FIRST, seed=0)[1].y_plus, aims.y_plus)
    assert not np.array_equal(resumed.plans(FIRST)[0].epsilon, plan.epsilon)
    # A later stage aims by the buffer and the rule that the first one left.
    assert stage[2].plans(FIRST, seed=0)[1].y_plus.tolist() != aims.y_plus.tolist()


def test_a_new_object_goes_on_where_the_last_one_was(stage, trained, tmp_path):
    out, record, _ = stage
    online = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG)
    plan, aims = online.plans(FIRST)
    online.add(played(online.agent, plan, aims), aims)
    resumed = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG, resume=True)
    found = resumed.train()
    assert found.collection == record.collection
    assert found.elbo == record.elbo
    assert tiny.same(gac.load(tmp_path / "run").model, gac.load(out).model)


def test_a_stage_that_is_being_trained_takes_no_more_episodes(trained, tmp_path):
    online = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG)
    plan, aims = online.plans(FIRST)
    episodes = played(online.agent, plan, aims)
    online.add(episodes, aims)

    def stop(line, done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        online.train(stop)
    resumed = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG, resume=True)
    for refused in (lambda: resumed.add(episodes, aims), lambda: resumed.plans(FIRST)):
        with pytest.raises(UserError, match="being trained"):
            refused()
    assert resumed.train().last_update == 15


def test_what_does_not_fit_is_refused(trained, tmp_path):
    online = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG)
    with pytest.raises(UserError, match="no episodes to learn from"):
        online.train()
    plan, aims = online.plans(FIRST)
    episodes = played(online.agent, plan, aims)
    with pytest.raises(UserError, match="3 episodes come with 8 aims"):
        online.add(episodes.select([0, 1, 2]), aims)
    wide = gac.Episodes.from_arrays([np.zeros((3, 7))], [np.zeros((3, 2))], returns=[1.0])
    with pytest.raises(UserError, match="widths 7 and 2"):
        online.add(wide)
    with pytest.raises(UserError, match="NaN or infinity"):
        online.plans(np.full((1, 3), np.nan))
    with pytest.raises(UserError, match="length 0"):
        gac.Episodes.from_arrays([np.zeros((1, 3))], [np.zeros((0, 2))], returns=[1.0])
    assert not list((tmp_path / "run").glob("collected/*batch*"))


def test_episodes_without_a_plan_move_no_aim(trained, tmp_path):
    online = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG)
    online.add(tiny.make_episodes(3, seed=4))
    held = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG, resume=True)._now[0]
    assert np.isnan(held.aims.y_plus).all()
    assert not held.aims.mu.any()


def test_settings_that_cannot_work_are_refused_by_name():
    for settings, said in (
        ({"stages": 0}, "stages"),
        ({"targets": "best"}, "targets"),
        ({"quantile": 1.0}, "quantile"),
        ({"new_share": 1.0}, "new_share"),
        ({"return_power": -1.0}, "return_power"),
        ({"minutes": 1.0, "updates": 3}, "one of them"),
        ({"minutes": 0.0}, "minutes"),
        ({"updates": 0}, "updates"),
        ({"step_seconds": float("nan")}, "step_seconds"),
        ({"y_star": 3.0}, "y-star"),
    ):
        with pytest.raises(UserError, match=said):
            gac.OnlineConfig(**settings)


def test_overwriting_leaves_nothing_of_the_old_stages(trained, tmp_path):
    online = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG)
    online.add(tiny.make_episodes(3, seed=4))
    online.judge(None)
    with pytest.raises(UserError, match="not empty"):
        gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG)
    again = gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG, overwrite=True)
    assert not again.records
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["config.json", "data.json", "model.safetensors", "online.json", "state.safetensors"]


def test_no_gymnasium_environment_is_made(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: pytest.fail("made an environment"))
    gac.Online(trained.agent, trained.episodes, tmp_path / "run", CONFIG).plans(FIRST)
