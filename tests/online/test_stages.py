"""Without an environment: plans out, episodes in; the same stage as with one, at any pace."""

import copy
import dataclasses

import gymnasium
import numpy as np
import pytest
import tiny
from staged import BATCH, ENV_ID, SETTINGS

import gac
from gac.errors import UserError
from gac.online.collected import Collected
from gac.online.record import read_record
from gac.training.offline import Trainer

CONFIG = gac.OnlineConfig(**SETTINGS)
FIRST = np.random.default_rng(0).normal(size=(BATCH, tiny.OBSERVATION_DIM)).astype(np.float32)


def batches(whole):
    """What the first of the two stages collected."""
    return [
        Collected.read(whole.folder / f"collected/stage-1-batch-{number}.safetensors") for number in range(2)
    ]


def begun(trained, folder, **options):
    return gac.Online(trained.agent, trained.episodes, folder, CONFIG, env_id=ENV_ID, **options)


def first_states(batch):
    return batch.episodes.observations[batch.episodes.starts]


def test_a_stage_by_hand_is_that_of_finetune_at_any_pace(trained, whole, tmp_path):
    """The plans for the same first observations, the same episodes handed in: the same stage."""
    collected = batches(whole)
    for batch in collected:
        online = begun(trained, tmp_path / "run", resume=batch is not collected[0])  # days may lie between
        plan, aims = online.plans(first_states(batch))
        for own, other in zip(aims, batch.aims, strict=True):
            np.testing.assert_array_equal(own, other)
        acted = online.agent.policy(plan)(first_states(batch))
        np.testing.assert_array_equal(acted, batch.episodes.actions[batch.episodes.starts])
        online.add(batch.episodes, aims)

    def stop(line, done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        online.train(stop)
    resumed = begun(trained, tmp_path / "run", resume=True)
    for refused in (lambda: resumed.add(batch.episodes, aims), lambda: resumed.plans(FIRST)):
        with pytest.raises(UserError, match="being trained"):
            refused()
    record, expected = resumed.train(), whole.records[1]
    assert read_record(tmp_path / "run" / "stage-1.json") == record
    assert record == dataclasses.replace(
        expected, before=None, after=None, seconds=record.seconds, trained_seconds=record.trained_seconds
    )
    assert not tiny.same(resumed.agent.model, trained.agent.model)
    assert tiny.same(gac.load(tmp_path / "run").model, resumed.agent.model)
    assert resumed.stage == 2
    # The next stage aims by the rule that this one left: as the second stage of finetune did.
    second = Collected.read(whole.folder / "collected/stage-2-batch-0.safetensors")
    np.testing.assert_array_equal(resumed.plans(first_states(second))[1].y_plus, second.aims.y_plus)


def test_stages_learn_at_a_lower_rate_and_no_noise_of_logged_actions(trained, whole, tmp_path):
    model, training = trained.agent.config.model, trained.agent.config.training
    assert model.learn_sigma_a, "nothing would change"
    online = begun(trained, tmp_path / "run")
    assert online.agent.config == dataclasses.replace(
        trained.agent.config,
        model=dataclasses.replace(model, learn_sigma_a=False),
        training=dataclasses.replace(training, outer_lr=CONFIG.lr_scale * training.outer_lr),
    )
    online.add(batches(whole)[0].episodes)
    online.train()
    assert not online.agent.model.generator.sigma_a.learned
    assert gac.load(tmp_path / "run").config == online.agent.config


def test_plans_do_not_change_until_the_stage_is_over(trained, tmp_path):
    online = begun(trained, tmp_path / "run")
    (plan, aims), (again, same) = online.plans(FIRST, seed=0), online.plans(FIRST, seed=0)
    np.testing.assert_array_equal(plan.epsilon, again.epsilon)
    np.testing.assert_array_equal(aims.y_plus, same.y_plus)
    online.add(tiny.make_episodes(BATCH, seed=3), aims)
    resumed = begun(trained, tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.plans(FIRST, seed=0)[1].y_plus, aims.y_plus)
    assert not np.array_equal(resumed.plans(FIRST)[0].epsilon, plan.epsilon)


def test_plans_aim_at_returns_of_their_own(trained, tmp_path):
    plan, aims = begun(trained, tmp_path / "run").plans(FIRST)
    assert plan.query == gac.Target(tuple(aims.y_plus.tolist()))


def test_what_does_not_fit_is_refused(trained, tmp_path):
    online = begun(trained, tmp_path / "run")
    with pytest.raises(UserError, match="no episodes to learn from"):
        online.train()
    _, aims = online.plans(FIRST)
    with pytest.raises(UserError, match="3 episodes come with 4 aims"):
        online.add(tiny.make_episodes(3), aims)
    wide = gac.Episodes.from_arrays([np.zeros((3, 7))], [np.zeros((3, 2))], returns=[1.0])
    with pytest.raises(UserError, match="widths 7 and 2"):
        online.add(wide)
    with pytest.raises(UserError, match="NaN or infinity"):
        online.plans(np.full((1, 3), np.nan))
    with pytest.raises(UserError, match="length 0"):
        gac.Episodes.from_arrays([np.zeros((1, 3))], [np.zeros((0, 2))], returns=[1.0])
    assert not list((tmp_path / "run").glob("collected/*batch*"))


def test_episodes_without_a_plan_move_no_aim(trained, tmp_path):
    online = begun(trained, tmp_path / "run")
    online.add(tiny.make_episodes(3, seed=4))
    held = begun(trained, tmp_path / "run", resume=True)._now[0]
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
        ({"lr_scale": 0.0}, "lr_scale"),
        ({"lr_scale": float("inf")}, "lr_scale"),
        ({"y_star": 3.0}, "y-star"),
        ({"targets": "y-star", "y_star": float("nan")}, "finite"),
    ):
        with pytest.raises(UserError, match=said):
            gac.OnlineConfig(**settings)


def test_an_agent_without_a_run_keeps_its_posteriors_until_it_learned(trained, tmp_path):
    """Stopped before its first update, a stage leaves an agent that acts as the one it began with."""
    agent = copy.copy(trained.agent)
    agent.run = None
    online = gac.Online(agent, trained.episodes, tmp_path / "run", CONFIG, env_id=ENV_ID)
    online.add(tiny.make_episodes(BATCH, seed=3))

    def stop(trainer):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            online.train()
    assert tiny.same(gac.load(tmp_path / "run").logged, agent.logged)


def test_overwriting_leaves_nothing_of_the_old_stages(trained, tmp_path):
    online = begun(trained, tmp_path / "run")
    online.add(tiny.make_episodes(3, seed=4))
    online.judge(None)
    with pytest.raises(UserError, match="not empty"):
        begun(trained, tmp_path / "run")
    again = begun(trained, tmp_path / "run", overwrite=True)
    assert not again.records
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["config.json", "data.json", "model.safetensors", "online.json", "state.safetensors"]


def test_no_gymnasium_environment_is_made(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: pytest.fail("made an environment"))
    plan, aims = begun(trained, tmp_path / "run").plans(FIRST)
    assert len(plan.predicted_returns) == len(aims.y_plus) == BATCH
