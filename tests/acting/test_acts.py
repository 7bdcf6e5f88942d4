"""What acts is decided once, from the data and the model, kept in the run, and told by every record."""

import dataclasses

import numpy as np
import pytest
import tiny

import gac
from gac.acting.acts import Acts, decide
from gac.config import AddedConfig
from gac.presets import NOTHING_ADDED

ADDED = AddedConfig()


@pytest.fixture(scope="module")
def decided(trained):
    """`(added, **facts) -> what acts`, of the trained model and its data but for some facts."""
    agent, episodes = trained.agent, trained.episodes
    first = agent.standardiser.standardise_observation(episodes.observations[episodes.starts])

    def decided(added=ADDED, **facts):
        changed = dataclasses.replace(agent.facts, **facts)
        return decide(agent.model, agent.logged, agent.standardiser, added, changed, first)

    return decided


@pytest.fixture(scope="module")
def everywhere(trained):
    """First observations that vary as much as all do."""
    return tuple(trained.agent.standardiser.observation_std.astype(float))


ALIKE = (0.0,) * tiny.OBSERVATION_DIM


def test_plans_are_guided_where_episodes_begin_anywhere(decided, everywhere, trained):
    count = trained.agent.facts.episodes
    assert len(set(trained.agent.facts.lengths)) > 1
    assert decided(first_std=everywhere) == Acts(guidance=ADDED.guidance_on_ways, rereads=True)
    assert decided(first_std=everywhere, lengths=(9,) * count) == Acts(guidance=ADDED.guidance)
    assert decided(first_std=everywhere, collected=2) == Acts(), "fine-tuning has absorbed the guidance"
    nearly = (0.3 * everywhere[0], *everywhere[1:])
    assert decided(first_std=nearly).guidance == decided(first_std=()).guidance == 0.0


def test_several_plans_act_where_logged_ones_fall_short_of_the_best_return(decided, trained):
    returns = trained.agent.facts.returns
    far = (max(returns) + 100.0 * float(np.std(returns)), *returns[1:])
    low = (-1e3,) * len(returns)
    assert decided(first_std=ALIKE, returns=far) == Acts(plans=ADDED.plans)
    assert decided(first_std=ALIKE, returns=low) == Acts()
    # What was collected under one plan counts as well as what logged plans promise.
    for usual, plans in ((far[0], 1), (-far[0], ADDED.plans)):
        collected = (*far[:-3], usual, usual, -1e4)
        assert decided(first_std=ALIKE, returns=collected, collected=3).plans == plans


def test_nothing_acts_that_is_off(decided, everywhere, trained):
    returns = trained.agent.facts.returns
    far = (max(returns) + 100.0 * float(np.std(returns)), *returns[1:])
    assert decided(NOTHING_ADDED, first_std=ALIKE, returns=far) == Acts()
    assert decided(NOTHING_ADDED, first_std=everywhere) == Acts()


def test_a_run_keeps_what_acts_and_queries_that_leave_it_open_follow_it(trained, tmp_path):
    agent, first = trained.agent, trained.episodes.observations[0]
    parts = agent.model, agent.logged, agent.standardiser, agent.config, agent.facts
    gac.Agent(*parts, Acts(plans=3)).save(tmp_path / "three")
    gac.Agent(*parts, Acts(guidance=2.0, rereads=True)).save(tmp_path / "guided")
    three, guided = gac.load(tmp_path / "three"), gac.load(tmp_path / "guided")
    assert (three.acts, guided.acts) == (Acts(plans=3), Acts(guidance=2.0, rereads=True))
    weight = agent.config.added.kl_weight
    assert three.resolved(gac.Exploit()) == gac.Exploit(weight, 0.0, 3)
    assert guided.resolved(gac.Exploit()) == gac.Exploit(weight, 2.0, 1)
    assert guided.resolved(gac.Exploit(plans=4)) == gac.Exploit(weight, 0.0, 4)
    assert three.resolved(gac.Exploit(kl_weight=0.0, guidance=1.0)) == gac.Exploit(0.0, 1.0, 1)
    assert guided.resolved(gac.Explore()).guidance == guided.resolved(gac.Target(1.0)).guidance == 2.0
    assert guided.resolved(gac.Target(1.0, guidance=0.5)).guidance == 0.5
    assert guided.plan(first, gac.Prior()).guidance.item() == 0.0
    assert three.plan(first).plans.weight.shape == (1, 3)
    assert three.plan(first, gac.Explore()).plans.weight.shape == (1, 1)
    assert str(three.acts) == "3 plans by their mean action"
    assert str(Acts()) == "one plan"
