"""Stages end as the records say, and as if nothing had ever interrupted them."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import tiny
import toy_env
from staged import BATCH, ENV_ID, SETTINGS, STAGES

import gac
from gac import cli
from gac.errors import UserError
from gac.identity import Found
from gac.online import stages
from gac.online.collected import Collected
from gac.online.record import read_record
from gac.online.start import starting_state
from gac.training.checkpoint import read_arrays, read_progress
from gac.training.update import init_state

SCRIPT = """
import sys
from pathlib import Path
import gymnasium, tiny, toy_env
import gac
from gac.online import finetune as module
module.BATCH = int(sys.argv[3])
run, out = Path(sys.argv[1]), Path(sys.argv[2])
gymnasium.register("GacStages-v0", "toy_env:Walk", kwargs={"pause": 0.05, "log": str(out) + ".log"})
settings = eval(sys.argv[4])
resume = (out / "online.json").exists()
gac.finetune(gac.load(run), tiny.make_episodes(), "GacStages-v0", out=out, resume=resume, **settings)
"""


def timeless(record):
    """A record without what depends on the clock."""

    def scores(evaluation):
        return dataclasses.replace(evaluation, plan_seconds=0.0, steps_per_second=0.0, ms_per_step=0.0)

    before = None if record.before is None else scores(record.before)
    return dataclasses.replace(
        record, before=before, after=scores(record.after), seconds={}, trained_seconds=0.0
    )


def state_of(folder, agent, episodes):
    like = init_state(agent.config, tiny.OBSERVATION_DIM, tiny.ACTION_DIM, episodes)
    return read_arrays(folder, like)


def same_runs(one, other):
    agents = gac.load(one), gac.load(other)
    assert tiny.same(agents[0].model, agents[1].model)
    assert tiny.same(*(state_of(folder, agents[0], 26) for folder in (one, other)))
    for stage in STAGES:
        for number in range(2):
            name = f"collected/stage-{stage}-batch-{number}.safetensors"
            a, b = Collected.read(one / name), Collected.read(other / name)
            np.testing.assert_array_equal(a.episodes.observations, b.episodes.observations)
            np.testing.assert_array_equal(a.aims.y_plus, b.aims.y_plus)
            np.testing.assert_array_equal(a.aims.mu, b.aims.mu)
    for stage in (0, *STAGES):
        a, b = (timeless(read_record(folder / f"stage-{stage}.json")) for folder in (one, other))
        assert a == b


def test_a_run_of_stages_acts_by_itself_and_its_records_add_up(whole, trained):
    zero, one, two = whole.records
    assert (zero.first_update, zero.last_update) == (tiny.UPDATES, tiny.UPDATES)
    assert [(r.first_update, r.last_update) for r in (one, two)] == [(12, 15), (15, 18)]
    assert (one.before, two.before) == (zero.after, one.after)
    assert one.targets == zero.next_targets
    assert two.targets == one.next_targets
    assert one.targets.delta_y == 0.25
    for stage, record in zip(STAGES, (one, two), strict=True):
        found = record.collection
        lists = found.y_plus, found.predicted_returns, found.spread, found.returns, found.lengths
        assert [len(each) for each in lists] == [8] * 5
        files = [
            Collected.read(whole.folder / f"collected/stage-{stage}-batch-{number}.safetensors")
            for number in range(2)
        ]
        np.testing.assert_allclose(found.returns, np.concatenate([f.episodes.returns for f in files]))
        assert found.mean == pytest.approx(np.mean(found.returns))
        assert (record.buffer.episodes, record.env_id, record.seed) == (10 + 8 * stage, ENV_ID, 5)
        assert record.buffer.new_share > 0.25
        assert record.buffer.quantiles["1.0"] == pytest.approx(trained.episodes.returns.max())
        assert {"elbo", "log_p_tau", "log_p_y", "kl", "heldout_elbo", "heldout_elbo_before"} <= set(
            record.elbo
        )
        assert all(np.isfinite(value) for value in record.elbo.values())
        assert set(record.seconds) == {"collect", "train", "evaluate"}
        assert all(value > 0.0 for value in record.seconds.values())
    agent = gac.load(whole.folder)
    assert tiny.same(agent.model, whole.agent.model)
    assert agent.facts.episodes == 26
    scores = gac.evaluate(agent, ENV_ID, episodes=3, seed=5)
    assert scores.returns == two.after.returns
    assert json.loads((whole.folder / "eval-exploit.json").read_text())["returns"] == list(scores.returns)
    updates = [
        json.loads(line)["update"] for line in (whole.folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert updates == sorted(set(updates))
    assert {15, 18} <= set(updates)


def test_unless_told_a_stage_has_a_number_of_updates(trained, stages_env, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "DEFAULT_UPDATES", 2)
    settings = SETTINGS | {"stages": 1, "updates": None}
    gac.finetune(trained.agent, trained.episodes, ENV_ID, out=tmp_path / "run", **settings)
    record = read_record(tmp_path / "run" / "stage-1.json")
    assert record.last_update - record.first_update == 2


def test_its_trigger_is_calibrated_on_what_was_held_out_offline(whole, trained):
    agent = gac.load(whole.folder)
    assert (agent.calibration, agent.facts.collected) == (None, 16)
    assert len(gac.calibrate(agent, trained.episodes).surprise) == 2  # a fifth of ten
    with pytest.raises(UserError, match="was trained on"):
        gac.calibrate(agent, trained.episodes.select(np.arange(8)))


def test_aims_lie_ahead_of_the_data(whole, trained):
    record, unit = whole.records[1], float(trained.agent.standardiser.return_std)
    floor = np.quantile(trained.episodes.returns, 0.8, method="lower")
    assert min(record.collection.y_plus) >= floor + 0.25 * unit - 1e-3
    assert max(record.collection.y_plus) <= trained.episodes.returns.max() + 0.25 * unit + 1e-3


def test_progress_tells_every_part_to_its_end(whole):
    ends = [(stage, part) for stage, part, done in whole.told if done == 1.0]
    each = [(stage, part) for stage in STAGES for part in ("collect", "train", "evaluate")]
    assert ends == [(0, "evaluate"), *each]


def test_training_goes_on_from_the_state_of_the_run(trained, whole):
    state, progress = starting_state(trained.agent, Found(trained.episodes))
    assert tiny.same(state, state_of(trained.folder, trained.agent, 10)._replace(key=state.key))
    assert progress == read_progress(trained.folder)
    assert int(state.optimiser_state[1][0].count) == 2 * tiny.UPDATES
    # Without a run, or with one that has gone on since, the weights alone; other data, fresh posteriors.
    alone = gac.Agent(
        trained.agent.model,
        trained.agent.logged,
        trained.agent.standardiser,
        trained.config,
        trained.agent.facts,
    )
    fresh, _ = starting_state(alone, Found(trained.episodes))
    assert tiny.same(tiny.learned(fresh.theta), tiny.learned(trained.agent.model))
    assert int(fresh.update) == 0
    alone.model, alone.run = state.theta, trained.folder
    with pytest.warns(UserWarning, match="of another update than its model"):
        assert int(starting_state(alone, Found(trained.episodes))[0].update) == 0
    found = Found(tiny.make_episodes(6, seed=1), differs="holds others")
    other, _ = starting_state(trained.agent, found)
    assert tiny.same(other.theta, state.theta)
    assert other.bank.mu.shape[0] == 6
    assert not np.any(other.bank.mu)


@pytest.mark.slow
def test_killed_in_every_part_it_ends_as_if_it_never_was(trained, whole, tmp_path):
    out = tmp_path / "killed"
    log = Path(f"{out}.log")
    path = os.pathsep.join([str(Path(tiny.__file__).parent), str(Path(gac.__file__).parents[1])])
    words = [sys.executable, "-c", SCRIPT, str(trained.folder), str(out), str(BATCH), repr(SETTINGS)]

    def kill_when(reached):
        env = os.environ | {"PYTHONPATH": path} | tiny.READS_COMPILED
        process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not reached():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors

    def batch(stage, number):
        return out / f"collected/stage-{stage}-batch-{number}.safetensors"

    saved = set()

    def in_training():
        """Saved when training began, and again after an update."""
        begun, state = out / "collected/stage-1-begun.json", out / "state.safetensors"
        if begun.exists() and state.stat().st_mtime_ns > begun.stat().st_mtime_ns:
            saved.add(state.stat().st_mtime_ns)
        return len(saved) > 1

    kill_when(batch(1, 0).exists)  # in the middle of the second batch
    collected = log.read_text()
    kill_when(in_training)
    assert log.read_text().startswith(collected)
    first = Collected.read(batch(1, 0))
    gac.finetune(trained.agent, trained.episodes, ENV_ID, out=out, resume=True, **SETTINGS)
    same_runs(out, whole.folder)
    assert not list(out.rglob(".*.tmp"))
    words_of_seeds = np.random.SeedSequence([5, 1, 0, 1]).generate_state(4) >> 1
    assert first.whole
    assert all(log.read_text().split().count(str(seed)) == 1 for seed in words_of_seeds), "collected twice"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"episodes": 9}, "episodes 8, now 9"),
        ({"seed": 6}, "seed 5, now 6"),
        ({"targets": "fixed"}, "targets auto, now fixed"),
        ({"updates": None, "minutes": 1.0}, "now"),
    ],
)
def test_a_resume_with_other_settings_is_refused_in_a_line(settings, said, trained, whole):
    with pytest.raises(UserError, match=said) as error:
        gac.finetune(
            trained.agent,
            trained.episodes,
            ENV_ID,
            out=whole.folder,
            resume=True,
            **(SETTINGS | settings),
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("limit", [{"longest": 20}, {"step_seconds": 30.0}])
def test_a_resume_may_move_the_limits_that_stopped_it(limit, trained, whole, tmp_path):
    out = tmp_path / "moved"
    shutil.copytree(whole.folder, out)
    before = {path: path.read_bytes() for path in out.rglob("stage-*") if path.is_file()}
    gac.finetune(trained.agent, trained.episodes, ENV_ID, out=out, resume=True, **(SETTINGS | limit))
    assert before == {path: path.read_bytes() for path in before}


def test_a_resume_with_other_data_agent_or_environment_is_refused(trained, whole):
    def resume(agent=trained.agent, data=trained.episodes, env_id=ENV_ID):
        gac.finetune(agent, data, env_id, out=whole.folder, resume=True, **SETTINGS)

    with pytest.raises(UserError, match="other episodes"):
        resume(data=tiny.make_episodes(seed=1))
    with pytest.raises(UserError, match="another env_id"):
        resume(env_id=toy_env.ID)
    theta = starting_state(trained.agent, Found(trained.episodes))[0].theta
    with pytest.raises(UserError, match="another agent"):
        resume(
            agent=gac.Agent(
                theta, trained.agent.logged, trained.agent.standardiser, trained.config, trained.agent.facts
            )
        )
    assert gac.finetune(trained.agent, trained.episodes, ENV_ID, out=whole.folder, resume=True, **SETTINGS)


def test_what_cannot_be_fine_tuned_is_refused_before_anything_is_written(trained, whole, tmp_path):
    def begin(agent=trained.agent, data=trained.episodes, out=tmp_path / "out", env_id=ENV_ID, **more):
        gac.finetune(agent, data, env_id, out=out, **(SETTINGS | more))

    wide = dataclasses.replace(
        trained.episodes,
        observations=np.zeros((trained.episodes.num_steps, 5), np.float32),
        final_observations=None,
    )
    with pytest.raises(UserError, match="widths 5 and 2"):
        begin(data=wide)
    with pytest.raises(UserError, match="action space"):
        begin(env_id="Pendulum-v1")
    with pytest.raises(UserError, match="names no environment"):
        begin(env_id=None)
    with pytest.raises(UserError, match="would import a module that the data chose"):
        begin(env_id=None, data=dataclasses.replace(trained.episodes, env_id="somewhere:Toy-v0"))
    with pytest.raises(UserError, match="was fine-tuned in stages"):
        begin(agent=whole.agent)
    with pytest.raises(UserError, match="the run that fine-tuning begins with"):
        begin(out=trained.folder, overwrite=True)
    with pytest.raises(UserError, match="y_star"):
        begin(targets="y-star")
    with pytest.raises(UserError, match="no fine-tuning to go on from"):
        begin(resume=True)
    with pytest.raises(UserError, match="episodes is 1"):
        begin(episodes=1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="not empty"):
        begin(out=whole.folder)


def test_the_command_does_the_same_and_goes_on_to_more_stages(trained, whole, tmp_path, capsys):
    data, out = tmp_path / "tiny.hdf5", tmp_path / "out"
    gac.data.write_d4rl(trained.episodes, data)
    words = ["finetune", str(trained.folder), "--out", str(out), "--data", str(data), "--env-id", ENV_ID]
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    assert cli.main([*words, *flags, "--stages=1"]) == 0
    assert cli.main([*words, "--resume", "--stages=2"]) == 0
    assert tiny.same(gac.load(out).model, whole.agent.model)
    printed = capsys.readouterr()
    for record in whole.records:
        assert f"{record.after.mean:.1f} ± {record.after.std:.1f}" in printed.out
    assert f"run: {out}" in printed.out
    assert "stage 2 of 2: training" in printed.err
    assert cli.main([*words, "--resume", "--episodes=9"]) == 2
    assert "episodes 8, now 9" in capsys.readouterr().err


def test_an_environment_that_fails_leaves_a_run_that_goes_on(trained, whole, tmp_path):
    """Evaluation and the first batch of stage 1 are fine; the fault comes in the second."""
    mended = tmp_path / "mended"
    seeds = np.random.SeedSequence([5, 1, 1, 1]).generate_state(4) >> 1
    long = [int(seed) for seed in seeds if _length(int(seed)) > toy_env.FAULT_AT]
    kwargs = {"fault": "raise", "every": long[0], "unless": str(mended)}
    gymnasium.registry.pop(ENV_ID)
    gymnasium.register(ENV_ID, "toy_env:Walk", kwargs=kwargs)
    out, settings = tmp_path / "out", SETTINGS | {"stages": 1}
    try:
        with pytest.raises(UserError, match=r"stage 1, batch 1: .*the motor is hot.*--resume"):
            gac.finetune(trained.agent, trained.episodes, ENV_ID, out=out, **settings)
        assert Collected.read(out / "collected/stage-1-batch-0.safetensors").whole
        mended.touch()
        gac.finetune(trained.agent, trained.episodes, ENV_ID, out=out, resume=True, **settings)
    finally:
        gymnasium.registry.pop(ENV_ID)
        gymnasium.register(ENV_ID, "toy_env:Walk")
    assert timeless(read_record(out / "stage-1.json")) == timeless(whole.records[1])


def _length(seed):
    env = toy_env.Walk()
    env.reset(seed=seed)
    return env.length
