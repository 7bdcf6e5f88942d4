"""How snapshots and their shares are chosen, and how that is compared with D4RL's sets (recipes/)."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gac.data import Episodes, recipes
from gac.errors import UserError

WIDTH = 4


@pytest.fixture
def scripts(monkeypatch):
    """Imports one of the scripts in recipes/."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "recipes"))
    return importlib.import_module


@pytest.fixture
def run(tmp_path):
    """A folder like that of a training of Hopper, of actors that differ in how far they lean."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps({"env_id": "Hopper-v4"}))
    rng = np.random.default_rng(0)
    for step in range(0, 130_000, 10_000):
        sizes = {
            "Dense_0": (11, WIDTH),
            "Dense_1": (WIDTH, WIDTH),
            "Dense_2": (WIDTH, 3),
            "Dense_3": (WIDTH, 3),
        }
        tensors = {}
        for layer, size in sizes.items():
            tensors[f"params/{layer}/kernel"] = rng.normal(size=size).astype(np.float32)
            bias = 1e-5 * step if layer == "Dense_2" else 0.0
            tensors[f"params/{layer}/bias"] = np.full(size[1], bias, np.float32)
        save_file(tensors, folder / f"{step:07d}.safetensors")
    return folder


def curve(shares, count=13):
    """Samples of policies that get better with training: mean 100 to 1300, ever longer episodes."""
    rng = np.random.default_rng(0)
    return {
        10_000 * k: shares.Sample(100.0 * k + rng.normal(0, 30, 400), np.full(400, 10 + 80 * k))
        for k in range(1, count + 1)
    }


def test_shares_are_of_steps_and_episodes_follow(scripts):
    shares = scripts("shares")
    short = shares.Sample(np.zeros(50), np.full(50, 10))
    long = shares.Sample(np.ones(3), np.full(3, 1000))
    found = shares.expected([short, long], np.array([0.5, 0.5]), 100_000)
    # 5,000 episodes of 10 steps and 50 of 1,000.
    assert found.mean == pytest.approx(50 / 5050)
    assert found.std == pytest.approx(np.sqrt(50 / 5050 * 5000 / 5050))
    assert (found.max, found.min) == (1, 0)


@pytest.mark.parametrize("episodes", [20, 2000])
def test_the_expected_maximum_is_the_median_of_maxima(scripts, episodes):
    shares, rng = scripts("shares"), np.random.default_rng(0)
    sample = shares.Sample(rng.normal(size=200_000), np.full(200_000, 10))
    found = shares.expected([sample], np.ones(1), 10 * episodes)
    maxima = rng.normal(size=(2000, episodes)).max(axis=1)
    assert found.max == pytest.approx(np.median(maxima), abs=0.1)


def test_shares_are_smooth_and_have_the_mean_and_std_that_they_aim_at(scripts):
    shares, published = scripts("shares"), scripts("published")
    samples = curve(shares)
    u = np.linspace(-1, 1, 10)
    weights = np.exp(1.5 * u - 1.0 * u**2)
    steps = [10_000 * k for k in (1, 2, 4, 5, 6, 8, 9, 10, 12, 13)]
    aim = shares.expected([samples[step] for step in steps], weights / weights.sum(), 250_000)
    found = shares.fit({step: samples[step] for step in steps}, aim, 250_000)
    assert found.expected.mean == pytest.approx(aim.mean, rel=0.01)
    assert found.expected.std == pytest.approx(aim.std, rel=0.02)
    assert all(abs(value) < 0.2 for value in published.off(found.expected, aim).values())
    assert np.abs(np.diff(np.log(list(found.shares.values())), 3)).max() < 1e-6


def test_replay_ends_where_shares_are_most_even(scripts):
    shares = scripts("shares")
    samples = {0: shares.Sample(np.full(9, 5000.0), np.full(9, 10))} | curve(shares)
    until = [samples[10_000 * k] for k in range(1, 11)]
    aim = shares.expected(until, np.full(10, 0.1), 250_000)
    found = shares.replay(samples, aim, 250_000, 10)
    # Not the untrained one; and a later end needs less of it.
    assert list(found.shares) == [10_000 * k for k in range(1, 11)]
    assert max(found.shares.values()) < 0.12
    with pytest.raises(UserError, match="there are 13 trained snapshots, expected 14 at least; train longer"):
        shares.replay(samples, aim, 250_000, 14)


def test_a_level_of_skill_is_one_snapshot_where_one_has_it_else_neighbours(scripts):
    shares, published = scripts("shares"), scripts("published")
    samples = curve(shares)
    rng = np.random.default_rng(1)
    alike = {
        step: shares.Sample(700 + step / 1000 + rng.normal(0, 30, 400), np.full(400, 500))
        for step in (10_000, 20_000)
    }
    # Half of each would be nearer.
    one = shares.level(alike, shares.expected([*alike.values()], np.full(2, 0.5), 250_000), 250_000, 3)
    assert len(one[0].shares) == 1
    assert 0 < one[0].distance < shares.GOOD
    wide = shares.level(samples, published.Returns(700, 90, 890, 0), 250_000, 3)
    assert 2 <= len(wide[0].shares) <= 3
    assert min(wide[0].shares.values()) >= shares.LEAST
    assert max(wide[0].shares) - min(wide[0].shares) <= 40_000
    assert wide[0].expected.std == pytest.approx(90, rel=0.25)
    assert wide[0].distance <= wide[1].distance


def settings(bundle, run, tmp_path, **changes):
    few = {"play_steps": 300, "long_steps": 600, "set_steps": 2000, "out": tmp_path / "out", "workers": 1}
    return bundle.Settings(runs=(run,), **few | changes)


def test_a_set_that_no_snapshot_comes_near_is_refused_and_nothing_written(scripts, run, tmp_path):
    bundle = scripts("bundle")
    with pytest.raises(UserError, match=r"hopper has no snapshot near medium's mean of 1422") as raised:
        bundle.main(settings(bundle, run, tmp_path))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_set_beyond_the_tolerances_is_refused(scripts, run, tmp_path, monkeypatch):
    bundle, published = scripts("bundle"), scripts("published")
    # The mean is that of an actor here, the maximum is out of reach.
    monkeypatch.setitem(published.PUBLISHED, "hopper-medium", published.Returns(24, 30, 3000, 0))
    with pytest.raises(
        UserError, match=r"hopper-medium comes to .* instead of 24 ± 30 up to 3000; train longer"
    ):
        bundle.main(settings(bundle, run, tmp_path, sets=("medium",)))
    assert not (tmp_path / "out").exists()


def test_a_bundle_has_the_snapshots_and_shares_of_the_sets_and_a_second_call_plays_nothing(
    scripts, run, tmp_path, monkeypatch
):
    bundle, published = scripts("bundle"), scripts("published")
    aims = {
        f"hopper-{name}": published.Returns(24, 15, 45, 0) for name in ("medium", "medium-replay", "expert")
    }
    # What random actors get, and tolerances that let it pass: only how it is put together matters here.
    monkeypatch.setattr(bundle, "PUBLISHED", aims)
    monkeypatch.setattr(published, "TOLERANCE", {"mean": 9.0, "std": 9.0, "max": 9.0})
    chosen = settings(bundle, run, tmp_path, sets=("medium", "medium-replay"))
    bundle.main(chosen)
    file = tmp_path / "out" / "hopper.safetensors"
    env_id, sets = recipes.read_sets(file)
    first = load_file(file)
    with monkeypatch.context() as nothing_plays:
        nothing_plays.setattr(bundle.workers, "run", None)
        bundle.main(chosen)
    assert recipes.read_sets(file) == (env_id, sets)
    again = load_file(file)
    assert first.keys() == again.keys()
    assert all(first[key].dtype == np.float16 and (first[key] == again[key]).all() for key in first)
    assert {int(key.split("/")[0]) for key in first} == {step for shares in sets.values() for step in shares}
    assert (env_id, set(sets)) == ("Hopper-v4", {"medium", "medium-replay"})
    monkeypatch.setattr(recipes, "_SNAPSHOTS", tmp_path / "out")
    monkeypatch.setattr(recipes, "RECIPES", recipes.robot_recipes())
    data = recipes.make("hopper-medium-replay:steps=2000")
    assert data.num_steps >= 2000
    assert data.env_id == "Hopper-v4"


def test_the_comparison_names_what_is_too_far_and_what_is_missing(scripts, monkeypatch, tmp_path):
    compare, published = scripts("compare_with_d4rl"), scripts("published")

    def load(name, seed):
        aim = published.PUBLISHED[name]
        returns = np.tile([aim.mean - aim.std, aim.mean + aim.std], 200)
        returns[0] = aim.max if name != "walker2d-medium" else 1.2 * aim.max
        states = [np.zeros((3, 1)) for _ in returns]
        return Episodes.from_arrays(states, [np.zeros((2, 1)) for _ in returns], returns=returns)

    monkeypatch.setattr(compare, "load_data", load)
    monkeypatch.setattr(compare, "RECIPES", dict.fromkeys(["hopper-medium", "walker2d-medium"]))
    table, wrong = compare.compared(0, "")
    assert [line.split(":")[0] for line in wrong if "missing" not in line] == ["walker2d-medium"]
    assert "max is 5072, D4RL's 4227; +20%" in " ".join(wrong)
    assert sum("missing" in line for line in wrong) == 10
    assert table.count("\n| `") == 2
    page = tmp_path / "page.md"
    page.write_text(f"a\n{compare.BEGIN}\nold\n{compare.END}\nb\n")
    compare.put(page, table)
    assert page.read_text() == f"a\n{compare.BEGIN}\n{table}{compare.END}\nb\n"
    page.write_text("no markers")
    with pytest.raises(UserError, match="lacks the markers"):
        compare.put(page, table)
    assert page.read_text() == "no markers"


def test_two_sets_put_together_have_the_statistics_of_all_episodes(scripts):
    published, rng = scripts("published"), np.random.default_rng(0)
    one, other = rng.normal(1, 2, 300), rng.normal(5, 1, 100)

    def statistics(y):
        return published.Returns(y.mean(), y.std(), y.max(), y.min())

    found = published.together(statistics(one), statistics(other), 0.75)
    assert found == pytest.approx(statistics(np.concatenate([one, other])))
