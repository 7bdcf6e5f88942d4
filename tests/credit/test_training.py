"""`--rewards` from the command line and in Python: runs on learned credit, their report, and refusals."""

import dataclasses
import json

import numpy as np
import pytest
from one_line import refused
from summed import summed
from tiny_gtp import CONFIG

import gac
from gac import cli
from gac.config import CreditConfig
from gac.credit.record import read_credit
from gac.credit.rewards import rewarded
from gac.data.d4rl_hdf5 import write_d4rl
from gac.report import read_run

SMALL = ["--width", "16", "--layers", "2", "--critic-width", "16", "--batch-size", "8"]
LEARNED = CreditConfig(rewards="learned")


def words(data, out, *more):
    return [str(each) for each in ("train", data, "--method", "gtp", "--out", out, *SMALL, *more)]


@pytest.fixture(scope="module")
def returns_alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "returns.hdf5"
    write_d4rl(summed(), path)
    return path


@pytest.fixture(scope="module")
def run(returns_alone, tmp_path_factory):
    out = tmp_path_factory.mktemp("credit") / "run"
    assert cli.main(words(returns_alone, out, "--updates", 20, "--rewards", "learned")) == 0
    return out


def test_learned_rewards_train_as_the_same_rewards_given_would(tmp_path):
    data = summed()
    learned = dataclasses.replace(CONFIG, credit=LEARNED)
    one = gac.train(data, learned, out=tmp_path / "learned", updates=10)
    given = gac.train(rewarded(data, LEARNED)[0], CONFIG, out=tmp_path / "given", updates=10)
    seen = data.observations[:5]
    np.testing.assert_array_equal(one.policy(1)(seen), given.policy(1)(seen))
    assert (tmp_path / "learned" / "credit.json").exists()
    assert not (tmp_path / "given" / "credit.json").exists()


def test_a_run_tells_what_was_learned(run, returns_alone, capsys, tmp_path):
    record = read_credit(run / "credit.json")
    assert record.r2 > 0.99
    assert json.loads((run / "config.json").read_text())["credit"]["rewards"] == "learned"
    assert cli.main(words(returns_alone, tmp_path / "again", "--updates", 2, "--rewards", "learned")) == 0
    assert record.words() in capsys.readouterr().out.splitlines()
    assert read_run(run).credit == record


def test_the_report_shows_credit_along_an_episode(run, tmp_path):
    page = tmp_path / "report.html"
    assert cli.main(["report", str(run), "--out", str(page)]) == 0
    text = page.read_text()
    for each in ("Learned credit", "R² of held-out returns", "--rewards learned"):
        assert each in text, each


def test_a_run_goes_on_and_is_replaced(run, returns_alone, capsys, tmp_path):
    go_on = ["train", str(returns_alone), "--out", str(run), "--resume", "--updates", "30"]
    assert cli.main(go_on) == 0
    line = refused(capsys, *go_on[:-1], "40", "--rewards", "none")
    assert "rewards" in line
    # Without learned rewards nothing may be left that tells of them.
    out = tmp_path / "replaced"
    assert cli.main(words(returns_alone, out, "--updates", 1, "--rewards", "learned")) == 0
    assert cli.main(words(returns_alone, out, "--updates", 1, "--eta", 0, "--overwrite")) == 0
    assert not (out / "credit.json").exists()


def test_seeds_share_the_credit(returns_alone, tmp_path):
    assert cli.main(words(returns_alone, tmp_path, "--updates", 2, "--seeds", 2, "--rewards", "learned")) == 0
    texts = [(tmp_path / f"seed-{seed}" / "credit.json").read_text() for seed in range(2)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("rewards", ["learned", "given"])
def test_gac_takes_none(capsys, rewards, returns_alone, tmp_path):
    line = refused(capsys, "train", returns_alone, "--out", tmp_path / "run", "--rewards", rewards)
    assert "--method gtp" in line
    assert not (tmp_path / "run").exists()


def test_what_gtp_cannot_learn_from_is_refused_before_a_folder_is_made(capsys, returns_alone, tmp_path):
    out = tmp_path / "run"
    line = refused(capsys, *words(returns_alone, out))
    assert "--rewards learned" in line
    assert "is without rewards" in refused(capsys, *words(returns_alone, out, "--rewards", "none"))
    lottery = "lottery:kind=hidden,episodes=300"
    assert "of held-out returns" in refused(capsys, *words(lottery, out, "--rewards", "learned"))
    assert "expected one of given, learned, none" in refused(
        capsys, *words(returns_alone, out, "--rewards", "some")
    )
    assert not out.exists()


def test_inspect_tells_the_r2_of_the_run(run, returns_alone, capsys):
    assert cli.main(["data", "inspect", str(returns_alone)]) == 0
    r2 = read_credit(run / "credit.json").r2
    assert f"held-out R² {r2:.3f}: credit per step" in " ".join(capsys.readouterr().out.split())
