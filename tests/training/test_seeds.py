"""Many seeds in one program are the runs that they would be one by one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac import cli
from gac.errors import UserError
from gac.training.scale import seeds
from gac.training.scale.seeds import Seeds, mean_line, train_seeds, usable_devices

COUNT, UPDATES = 2, 4
TOLERANCE = {"rtol": 2e-3, "atol": 2e-4}
"""Rounding, after some Adam steps; seeds differ by a thousand times as much."""
VALUE_TOLERANCE = 0.1
"""Standard deviations of the return."""
# With more episodes in a batch than latent dimensions the axes of a refit are unique. It comes last: as their
# signs are not, noise falls differently on the codes after it.
CONFIG = tiny.replace(tiny.CONFIG, batch_size=40, heldout_every=3, refit_every=4)

SHARDED = """
import sys, jax, tiny, gac
from gac.config import Config
assert jax.device_count() == 2
config = tiny.replace(Config.from_json(sys.argv[2]), heldout_every=50)
gac.train_seeds(tiny.make_episodes(60), config, seeds=2, out=sys.argv[1], updates=int(sys.argv[3]))
"""


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_key_bias(path, leaf):
    """Softmax does not see the bias of keys: its gradient is rounding, of which Adam makes whole steps."""
    if path.endswith(".qkv.bias"):
        return np.delete(leaf, np.s_[len(leaf) // 3 : 2 * len(leaf) // 3])
    return leaf[len(leaf) // 2 :] if path.endswith(".plan_key_value.bias") else leaf


def assert_same_model(one, two):
    """The same function up to rounding; the axes of the first layer may have other signs."""
    bases = [model.prior.base.matrix for model in (one, two)]
    assert np.abs(bases[0] - np.eye(len(bases[0]))).max() > 1e-3, "no refit"
    np.testing.assert_allclose(*(base @ base.T for base in bases), rtol=1e-2, atol=2e-3)
    one, two = (
        tiny.learned(eqx.tree_at(lambda model: model.prior.base.matrix, model, None)) for model in (one, two)
    )
    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(two), strict=True):
        a, b = (without_key_bias(jax.tree_util.keystr(path), leaf) for leaf in (a, b))
        np.testing.assert_allclose(a, b, **TOLERANCE)


def valued(agent):
    """What each critic says of each logged plan, from one state, standardised."""
    s0 = jnp.zeros((len(agent.logged), tiny.OBSERVATION_DIM))
    return agent.model.critic.each(agent.model.prior(s0, agent.logged)[1])


def assert_same_run(folder, other):
    """The same model, and the same metrics where both have them, up to rounding."""
    agents = [gac.load(each) for each in (folder, other)]
    assert_same_model(*(agent.model for agent in agents))
    # Many more steps lie between rounding and the critics: what they say of logged plans is what counts.
    np.testing.assert_allclose(*map(valued, agents), atol=VALUE_TOLERANCE)
    numbers = [{line["update"]: line for line in lines(each)} for each in (folder, other)]
    assert max(numbers[0]) == max(numbers[1]) == UPDATES
    for update in numbers[0].keys() & numbers[1].keys():
        ours, theirs = (each[update] for each in numbers)
        for key in (ours.keys() & theirs.keys()) - {"seconds", "trajectories_per_second"}:
            np.testing.assert_allclose(ours[key], theirs[key], err_msg=key, **TOLERANCE)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Two seeds after four updates, past a refit and a held-out ELBO."""
    out = tmp_path_factory.mktemp("seeds") / "runs"
    train_seeds(tiny.make_episodes(60), CONFIG, seeds=COUNT, out=out, updates=UPDATES)
    return out


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The second seed by itself."""
    out = tmp_path_factory.mktemp("single") / "run"
    config = tiny.dataclasses.replace(CONFIG, seed=1)
    gac.train(tiny.make_episodes(60), config, out=out, updates=UPDATES)
    return out


def test_each_is_the_run_that_it_would_be_by_itself(together, single):
    assert sorted(path.name for path in together.iterdir()) == ["seed-0", "seed-1"]
    assert_same_run(together / "seed-1", single)
    assert gac.load(together / "seed-1").config == gac.load(single).config
    assert [line.keys() for line in lines(together / "seed-1")] == [line.keys() for line in lines(single)]
    weights = [gac.load(together / name).model.generator.state_token.weight for name in ("seed-0", "seed-1")]
    assert np.abs(weights[0] - weights[1]).max() > 0.1


def test_one_of_them_goes_on_by_itself(together, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(together / "seed-1", run)
    config = tiny.dataclasses.replace(CONFIG, seed=1)
    gac.train(tiny.make_episodes(60), config, out=run, updates=UPDATES + 1, resume=True)
    assert [line["update"] for line in lines(run)] == [1, 3, 4, 5]


def test_resuming_equals_never_having_stopped_even_if_one_run_is_behind(together, tmp_path):
    episodes, out, behind = tiny.make_episodes(60), tmp_path / "runs", tmp_path / "behind"
    train_seeds(episodes, CONFIG, seeds=COUNT, out=out, updates=3)
    # As after a kill between two checkpoints.
    train_seeds(episodes, CONFIG, seeds=COUNT, out=behind, updates=2)
    for file in (behind / "seed-0").iterdir():
        file.replace(out / "seed-0" / file.name)
    train_seeds(episodes, CONFIG, seeds=COUNT, out=out, updates=UPDATES, resume=True)
    for name in ("seed-0", "seed-1"):
        assert_same_run(out / name, together / name)
        assert [line["update"] for line in lines(out / name)][-2:] == [3, 4]


def test_a_value_that_is_not_finite_names_the_seed_and_keeps_the_rest(tmp_path):
    out = tmp_path / "runs"
    runs = Seeds(tiny.make_episodes(60), CONFIG, out, COUNT)
    bad = runs.states.theta.critic.out.bias.at[1].set(np.nan)
    runs.states = runs.states._replace(
        theta=eqx.tree_at(lambda theta: theta.critic.out.bias, runs.states.theta, bad)
    )
    with pytest.raises(UserError, match="the weights of seed 1 at update 1"):
        runs.step()
    assert int(runs.states.update) == 0
    assert sorted(path.name for path in out.iterdir()) == ["seed-0", "seed-1"]


@pytest.mark.slow
def test_two_devices_share_the_seeds(single, tmp_path):
    here = Path(tiny.__file__).parent
    env = os.environ | {
        "PYTHONPATH": f"{here}{os.pathsep}{here.parent}",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    out = tmp_path / "runs"
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore:tiny",
        "-c",
        SHARDED,
        str(out),
        CONFIG.to_json(),
        str(UPDATES),
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same_run(out / "seed-1", single)


@pytest.mark.parametrize(
    ("count", "devices", "used"), [(5, 1, 1), (4, 8, 4), (6, 4, 3), (5, 4, 1), (1, 8, 1), (8, 8, 8)]
)
def test_seeds_are_shared_out_evenly(count, devices, used):
    assert usable_devices(count, devices) == used


def test_what_is_shown_is_the_mean_and_the_rate_of_all():
    shown = [
        {"update": 5, "elbo": elbo, "kl_per_token": [1.0], "trajectories_per_second": 10.0}
        for elbo in (1.0, 3.0)
    ]
    assert mean_line(shown) == {"update": 5, "elbo": 2.0, "trajectories_per_second": 20.0}


def test_replacing_leaves_no_run_of_a_seed_that_is_not_trained_now(tmp_path, monkeypatch):
    out = tmp_path / "runs"
    for name in ("seed-0", "seed-7"):
        (out / name).mkdir(parents=True)
        (out / name / "config.json").write_text("old")
    with pytest.raises(UserError, match="is not empty"):
        train_seeds(tiny.make_episodes(), tiny.CONFIG, seeds=1, out=out)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds, "Seeds", stop)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(tiny.make_episodes(), tiny.CONFIG, seeds=1, out=out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["seed-0"]
    assert not any((out / "seed-0").iterdir())


def test_no_seeds_are_refused(tmp_path):
    with pytest.raises(UserError, match="seeds is 0"):
        train_seeds(tiny.make_episodes(), tiny.CONFIG, seeds=0, out=tmp_path)


def test_the_command_goes_on_with_the_configuration_of_the_first_seed(together, monkeypatch):
    called = {}
    monkeypatch.setattr(gac, "load_data", lambda *_, **__: tiny.make_episodes(), raising=False)
    monkeypatch.setattr(
        gac,
        "train_seeds",
        lambda data, config, **options: called.update(options, config=config) or [],
        raising=False,
    )
    words = ["train", "data", "--out", str(together), "--seeds", "2", "--resume", "--updates", "9"]
    assert cli.main(words) == 0
    assert called["config"] == CONFIG
    assert (called["seeds"], called["resume"], called["updates"]) == (2, True, 9)
