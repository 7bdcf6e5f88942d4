"""A rate of false alarms that is asked for is the rate that comes; a change of the world is seen."""

import dataclasses
import json
import re
import shutil
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import gac
from gac.acting.calibrate import _none_held_out, largest, replay
from gac.acting.calibration import FILE, Calibration, fingerprint
from gac.acting.watch import MEMORY_STEPS
from gac.data.split import split_episodes
from gac.data.windows import to_device
from gac.errors import UserError

EPISODES, STEPS, RATE = 400, 40, 0.2
NOISE = tiny.MODEL.latent_tokens * tiny.MODEL.embed_dim


def world(agent, episodes, seed, replan=None, jump_at=None):
    """Episodes of a linear world with noise under the agent's own plans; it may be hit once, for good."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(episodes, tiny.OBSERVATION_DIM)).astype(np.float32)
    plan = agent.plan(state, gac.Prior(), seed=seed)
    policy = agent.policy(plan, replan)
    states, actions, averages = [state], [], []
    first_alarm = np.full(episodes, STEPS + 1)
    for t in range(STEPS):
        actions.append(policy(state))
        if replan is not None:
            averages.append(np.asarray(policy._watch.average))
            fired = (policy.replans > 0) & (first_alarm > STEPS)
            first_alarm[fired] = t
        force = np.pad(actions[-1], ((0, 0), (0, 1)))
        state = 0.95 * state + 0.2 * force + 0.1 * rng.standard_t(4, state.shape)
        state = (state + 3.0 * (t + 1 == jump_at)).astype(np.float32)
        states.append(state)
    logged = gac.Episodes.from_arrays(
        [*np.stack(states, axis=1)], [*np.stack(actions, axis=1)], returns=np.zeros(episodes), name="world"
    )
    return SimpleNamespace(
        plan=plan, logged=logged, first_alarm=first_alarm, averages=averages, replans=policy.replans
    )


@pytest.fixture(scope="module")
def calibrated(trained):
    """An agent and a calibration from episodes under plans that fit them: those that they were played by."""
    own = trained.agent
    agent = gac.Agent(own.model, own.logged, own.standardiser, own.config, own.facts)
    played = world(agent, EPISODES, seed=1)
    seen = replay(agent.model, played.plan.epsilon, to_device(played.logged, agent.standardiser))
    scale = jnp.sqrt(jnp.mean(jnp.square(seen.states[1:] - seen.expected[:-1]), axis=(0, 1)))
    maxima = np.asarray(largest(seen, scale))
    agent.calibration = Calibration(
        model=fingerprint(agent.model),
        data="world",
        memory_steps=MEMORY_STEPS,
        scale=tuple(np.asarray(scale).tolist()),
        surprise=tuple(maxima[:, 0].tolist()),
        fall=tuple(maxima[:, 1].tolist()),
        states=(STEPS + 1,) * EPISODES,
        mu=((0.0,) * NOISE,) * EPISODES,
        log_sigma=((0.0,) * NOISE,) * EPISODES,
        first_lowest=(-np.inf,) * tiny.OBSERVATION_DIM,
        first_highest=(np.inf,) * tiny.OBSERVATION_DIM,
    )
    return agent


@pytest.mark.parametrize("signal", ["surprise", "fall", "either"])
def test_false_alarms_come_at_the_rate_that_was_asked_for(signal, calibrated):
    fresh = world(calibrated, EPISODES, seed=2, replan=gac.Trigger(RATE, signal))
    # Three standard deviations of a difference of two shares among 400: these episodes', the calibration's.
    assert abs(np.mean(fresh.replans > 0) - RATE) < 0.085


def test_an_abrupt_change_is_seen_within_the_memory_of_the_trigger(calibrated):
    when = 20
    hit = world(calibrated, EPISODES, seed=3, replan=gac.Trigger(0.05, "surprise"), jump_at=when)
    calm = hit.first_alarm >= when
    assert np.mean(calm) > 0.85
    assert np.mean(hit.first_alarm[calm] < when + MEMORY_STEPS) > 0.9


def test_calibration_watches_as_acting_does(calibrated):
    """The replay of what was logged gives the very averages that the policy had when it acted."""
    highest = tuple((1e6 + np.arange(20.0)).tolist())
    own = calibrated.calibration
    quiet = dataclasses.replace(own, surprise=highest, fall=highest)
    parts = calibrated.model, calibrated.logged, calibrated.standardiser, calibrated.config, calibrated.facts
    agent = gac.Agent(*parts, quiet)
    played = world(agent, EPISODES, seed=4, replan=gac.Trigger(0.05))
    assert played.replans.sum() == 0
    seen = replay(agent.model, played.plan.epsilon, to_device(played.logged, agent.standardiser))
    # Acting never takes in the last state: no action follows it.
    seen = seen._replace(known=seen.known.at[-1].set(False))
    expected = np.max(played.averages[MEMORY_STEPS:], axis=0)
    np.testing.assert_allclose(largest(seen, jnp.asarray(own.scale)), expected, rtol=1e-3, atol=1e-3)


def test_short_episodes_and_padding_do_not_count(calibrated):
    agent, epsilon = calibrated, jnp.zeros((2, *calibrated.plan(np.zeros(3)).epsilon.shape[1:]))
    rng = np.random.default_rng(0)
    steps = [rng.normal(size=(t + 1, 3)) for t in (MEMORY_STEPS - 1, 30)]
    acts = [np.zeros((len(one) - 1, 2)) for one in steps]
    both = gac.Episodes.from_arrays(steps, acts, returns=[0.0, 0.0])
    seen = replay(agent.model, epsilon, to_device(both, agent.standardiser))
    maxima = np.asarray(largest(seen, jnp.ones(3)))
    assert maxima[0].tolist() == [1.0, 0.0]
    twice = gac.Episodes.from_arrays([steps[1]] * 2, [acts[1]] * 2, returns=[0.0, 0.0])
    seen = replay(agent.model, epsilon, to_device(twice, agent.standardiser))
    np.testing.assert_allclose(largest(seen, jnp.ones(3)), maxima[[1, 1]], rtol=1e-4)


def test_the_threshold_is_the_conformal_quantile():
    values = tuple(float(v) for v in np.random.default_rng(0).permutation(19))
    flat, plans = (0.0,) * 19, ((0.0,),) * 19
    one = Calibration("m", "d", MEMORY_STEPS, (1.0,), values, flat, (9,) * 19, plans, plans, (0.0,), (1.0,))
    for rate, rank in ((0.05, 19), (0.1, 18), (0.5, 10)):
        at = one.threshold(gac.Trigger(rate, "surprise"))
        scores = one.score(np.array([values, np.zeros(19)]).T, "surprise")
        assert np.sum(scores <= at) == rank
        assert np.sum(scores > at) == 19 - rank
    with pytest.raises(UserError, match=r"at least 0\.05"):
        one.threshold(gac.Trigger(0.04, "surprise"))


def test_a_plan_is_judged_as_far_as_its_like_and_enough_episodes_went():
    """A rate of one in ten needs nine episodes: the ninth longest of these says how far at most."""
    states, flat = np.arange(100, 119), (0.0,) * 19
    noise, spread = np.stack([np.arange(19.0), np.zeros(19)], axis=1), np.zeros((19, 2))

    def horizon(rate, states, *plans):
        mu, log_sigma = (tuple(map(tuple, values.tolist())) for values in (noise, spread))
        how = tuple(states.tolist()), mu, log_sigma
        one = Calibration("m", "d", MEMORY_STEPS, (1.0,), flat, flat, *how, (0.0,), (1.0,))
        return one.horizon(gac.Trigger(rate), np.asarray(plans).reshape(-1, 1, 2)).tolist()

    # The longest of the five nearest: numbers 0 to 4 of the first plan, 10 to 14 of the second.
    assert horizon(0.5, states, (-3.0, 0.0), (12.0, 5.0)) == [104, 114]
    assert horizon(0.5, states[::-1], (-3.0, 0.0), (12.0, 5.0)) == [118, 108]
    assert horizon(0.1, states, (-3.0, 0.0), (12.0, 5.0)) == [104, 110]
    assert horizon(0.05, states, (-3.0, 0.0), (12.0, 5.0)) == [100, 100]
    # Far away in a direction in which episode 18 may be anywhere, it is the likest.
    spread[18, 1] = 3.0
    assert horizon(0.5, states, (-3.0, 0.0), (12.0, 50.0)) == [104, 118]


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained.folder, tmp_path / "run")


def test_held_out_episodes_calibrate_a_run_once_and_for_all(run, trained):
    agent = gac.load(run)
    assert agent.calibration is None
    made = gac.calibrate(agent, trained.episodes)
    assert len(made.surprise) == 2  # a fifth of ten
    assert set(made.states) <= {length + 1 for length in trained.episodes.lengths.tolist()}
    assert np.shape(made.mu) == np.shape(made.log_sigma) == (2, NOISE)
    assert agent.calibration is made
    # Plans may begin at every first state of the data, and nowhere beyond all of them.
    first = trained.episodes.observations[trained.episodes.starts]
    states = np.asarray(agent.standardiser.standardise_observation(first))
    assert made.may_begin(states).all()
    beyond = states + 1e-3 * (states == states.max(axis=0))
    assert made.may_begin(beyond).tolist() == (beyond == states).all(axis=1).tolist()
    agent.save(run)
    assert gac.load(run).calibration == made
    # Other weights, or another version: what the file says is not about them.
    record = json.loads((run / FILE).read_text())
    for other in (record | {"model": "another"}, {"schema_version": 1}):
        (run / FILE).write_text(json.dumps(other))
        assert gac.load(run).calibration is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"surprise": [1.0]}, "1, 2, 2, 2, 2 values"),
        ({"states": [20]}, "2, 2, 1, 2, 2 values"),
        ({"mu": [[0.0] * NOISE]}, "2, 2, 2, 1, 2 values"),
        ({"log_sigma": [[0.0] * NOISE, [0.0]]}, f"rows of {NOISE}"),
        ({"mu": [[0.0]] * 2, "log_sigma": [[0.0]] * 2}, f"rows of {NOISE}"),
        ({"mu": [[0.0, None], [0.0, 0.0]]}, "mu is"),
        ({"scale": ["x"]}, "scale is"),
        ({"memory_steps": None}, "memory_steps is None"),
    ],
)
def test_a_damaged_file_is_said_in_one_line(changes, said, run):
    own = Calibration(
        fingerprint(gac.load(run).model),
        "tiny",
        MEMORY_STEPS,
        scale=(1.0,) * 3,
        surprise=(1.0, 2.0),
        fall=(0.1, 0.2),
        states=(20, 30),
        mu=((0.5,) * NOISE, (-0.25,) * NOISE),
        log_sigma=((-0.5,) * NOISE, (-1.0,) * NOISE),
        first_lowest=(-1.0,) * 3,
        first_highest=(1.0,) * 3,
    )
    own.save(run)
    assert gac.load(run).calibration == own
    (run / FILE).write_text(json.dumps(json.loads((run / FILE).read_text()) | changes))
    with pytest.raises(UserError, match=said) as caught:
        gac.load(run)
    assert FILE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_episodes_and_a_run_without_held_out_ones_are_refused(trained):
    with pytest.raises(UserError, match="was trained on"):
        gac.calibrate(trained.agent, tiny.make_episodes(seed=5))
    config = tiny.replace(tiny.CONFIG, heldout_fraction=0.0)
    agent = gac.Agent(
        trained.agent.model, trained.agent.logged, trained.agent.standardiser, config, trained.agent.facts
    )
    with pytest.raises(UserError) as refused:
        gac.calibrate(agent, trained.episodes)
    share = float(re.search(r"--heldout-fraction ([\d.]+), which", str(refused.value))[1])
    again = tiny.replace(tiny.CONFIG, heldout_fraction=share)
    assert len(split_episodes(trained.episodes.num_episodes, again)[1]) > 0


@pytest.mark.parametrize(
    ("episodes", "share", "held_out"), [(4, "0.5", 2), (60, "0.32", 19), (5000, "0.01", 50)]
)
def test_the_advised_share_holds_some_out(episodes, share, held_out):
    """The usual share of few episodes holds out none, so that is no advice."""
    said = _none_held_out(episodes, 0.05)
    assert f"--heldout-fraction {share}, which holds out {held_out}" in said
