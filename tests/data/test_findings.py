"""Every finding is raised by data that has its fault, and by no other data here."""

import dataclasses

import numpy as np
import pytest

from gac.data import Episodes, describe, findings
from gac.data.problems import SEVERITIES, TRAINABLE


def healthy(seed=0, count=300, shortest=30, longest=60):
    """Plain lists that a test may spoil, and then give to `Episodes.from_arrays`.

    Each episode has a usual action of its own, and how far that is from 0 decides the return.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, longest, count)
    usual = rng.uniform(-0.5, 0.5, (count, 2))
    return {
        "observations": [
            (rng.normal(size=3) + 0.1 * rng.normal(size=(t + 1, 3)).cumsum(axis=0)) for t in lengths
        ],
        "actions": [rng.normal(usual[i], 0.25, size=(t, 2)).clip(-0.99, 0.99) for i, t in enumerate(lengths)],
        "returns": 200 * np.abs(usual[:, 0]),
        "truncated": np.zeros(count, bool),
    }


def said(arrays):
    bounds = np.full(2, -1.0), np.full(2, 1.0)
    return findings(describe(Episodes.from_arrays(**arrays), bounds))


def spoil(key, index, column, value):
    def change(data):
        for i in range(len(data[key])) if index is None else [index]:
            data[key][i][:, column] = value(data[key][i]) if callable(value) else value

    return change


def put(**fields):
    return lambda data: data.update(fields)


def repeat(data):
    for key in ("observations", "actions"):
        data[key][:10] = [data[key][10]] * 10


def drop_final(data):
    data["observations"] = [x[:-1] for x in data["observations"]]


def bang_bang(data):
    data["actions"] = [np.sign(x) for x in data["actions"]]


def run_on(data):
    for i in range(1, len(data["observations"])):
        data["observations"][i] += data["observations"][i - 1][-1] - data["observations"][i][0]


def forget_a_reset(data):
    data["observations"][5][20:] += 30.0


def one_length(data):
    for key, extra in (("observations", 1), ("actions", 0)):
        data[key] = [x[: 30 + extra] for x in data[key]]


def shorten(data):
    for key, extra in (("observations", 1), ("actions", 0)):
        data[key] = [x[: 5 + extra] if i % 3 == 0 else x for i, x in enumerate(data[key])]


def follow_the_length(data):
    data["returns"] = np.array([len(x) for x in data["actions"]]) * 2.0


def add_up(data):
    data["returns"] = np.array([(3 * x[:, 0] - x[:, 1] ** 2).sum() for x in data["actions"]])


def cut_short(data):
    data["truncated"] = np.arange(300) % 2 == 0


RNG = np.random.default_rng(1)
FAULTS = {
    "all returns equal": (put(returns=np.full(300, 5.0)), "problem", "Every episode has the return 5"),
    "returns almost all zero": (
        put(returns=np.where(np.arange(300) < 5, 1.0, 0.0)),
        "warning",
        "98% of the episodes have the return 0, as with a sparse reward; 5 do not",
    ),
    "returns that hardly differ": (
        put(returns=1000.0 + RNG.uniform(-3, 3, 300)),
        "warning",
        "Returns differ by 0.2% only",
    ),
    "a lucky episode": (
        put(returns=np.append(RNG.uniform(0, 100, 299), 500.0)),
        "warning",
        "The best return, 500, is rare: 1 of 300 episodes",
    ),
    "a lucky episode among good ones": (
        put(returns=np.concatenate([RNG.uniform(0, 5, 260), RNG.uniform(55, 60, 39), [100.0]])),
        "warning",
        "The best return, 100, is rare: 40 of 300 episodes",
    ),
    "returns by chance": (
        put(returns=RNG.uniform(0, 100, 300)),
        "note",
        "Returns look mostly like chance: ",
    ),
    "returns that are sums of what was logged": (
        add_up,
        "note",
        "Returns are linear in what was logged: sums of states, actions and their squares explain 100.0% of",
    ),
    "return is length": (follow_the_length, "note", "Return and length are correlated +1.00"),
    "short episodes": (shorten, "warning", "33% of the episodes have fewer than 10 steps"),
    "repeated episodes": (repeat, "warning", "10 episodes (3%) repeat"),
    "no final states": (drop_final, "note", "The states after the last actions are missing"),
    "a limit marked as a termination": (one_length, "note", "All episodes have 30 steps, yet 100%"),
    "cut short": (cut_short, "warning", "of the episodes were truncated before the longest"),
    "one endless run": (run_on, "note", "100% of the episodes begin where the one before ends"),
    "a forgotten reset": (
        forget_a_reset,
        "warning",
        "A step jumps in episode 5 after step 19",
    ),
    "a constant state": (spoil("observations", None, 1, 7.0), "note", "State dimension 1 never varies"),
    "a state that hardly varies": (
        spoil("observations", None, 1, lambda x: np.float32(1e5 + x[:, 0])),
        "warning",
        "State dimension 1 hardly varies",
    ),
    "an outlier": (
        spoil("observations", 0, 2, lambda x: 1e4 + x[:, 2]),
        "warning",
        "State dimension 2 has extreme values",
    ),
    "a value for what was not measured": (
        spoil("observations", 0, 2, 1e4),
        "warning",
        "Far from all else there lie 10000 in state dimension 2 (55 times, 0.4%)",
    ),
    "the same state twice": (
        spoil("observations", None, 1, lambda x: -2 * x[:, 0]),
        "note",
        "These state dimensions say the same, but for scale and sign: 0 and 1",
    ),
    "a constant action": (spoil("actions", None, 1, 0.5), "note", "Action dimension 1 never varies"),
    "saturated actions": (
        bang_bang,
        "warning",
        "100% of the action entries are at the environment's bounds; action dimensions 0, 1: more than 25%",
    ),
    "actions beyond the bounds": (
        spoil("actions", 3, 0, 1.5),
        "warning",
        "action entries are beyond the environment's bounds",
    ),
}

BY_CHANCE, LINEAR = "Returns look mostly like chance", "Returns are linear in what was logged"
FOLLOWED = {
    "returns almost all zero": [BY_CHANCE],
    "returns that hardly differ": [BY_CHANCE],
    "a lucky episode": [BY_CHANCE],
    "a lucky episode among good ones": [BY_CHANCE],
    "return is length": [BY_CHANCE, LINEAR],
    "short episodes": ["There are only"],
    "a limit marked as a termination": ["There are only"],
    "a forgotten reset": ["extreme values"],
    "a state that hardly varies": ["say the same"],
}
"""Faults that bring others with them, and what is said of those."""


def test_healthy_data_has_no_finding():
    assert said(healthy()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_nothing_worse_said(fault):
    change, severity, words = FAULTS[fault]
    data = healthy()
    change(data)
    found = said(data)
    matching = [each for each in found if words in each.what]
    assert [each.severity for each in matching] == [severity], [each.what for each in found]
    others = [each.what for each in found if each not in matching]
    expected = FOLLOWED.get(fault, [])
    assert len(others) == len(expected), others
    assert all(words in each for words, each in zip(expected, others, strict=True)), others
    for each in matching:
        assert each.why.endswith(".")
        assert each.do.endswith(".")


@pytest.mark.parametrize("unit", [2.0**-30, 1e-9, 1e9])
@pytest.mark.parametrize("fault", ["nothing", "a forgotten reset", "a constant state", "a lucky episode"])
def test_units_change_no_finding(fault, unit):
    data = healthy()
    FAULTS.get(fault, (lambda data: None,))[0](data)
    expected = describe(Episodes.from_arrays(**data))
    scaled = {key: [unit * x for x in data[key]] for key in ("observations", "actions")}
    found = describe(Episodes.from_arrays(**data | scaled | {"returns": unit * data["returns"]}))
    assert [(each.severity, each.why) for each in findings(found)] == [
        (each.severity, each.why) for each in findings(expected)
    ]
    assert found.jumps == expected.jumps
    assert found.observations.constant == expected.observations.constant


def test_few_episodes_and_steps():
    kinds = {count: said(healthy(count=count)) for count in (2, 10, 100)}
    grave = {count: [each for each in found if "only" in each.what] for count, found in kinds.items()}
    assert [each.severity for each in grave[2]] == ["problem", "warning"]
    assert f"training needs {TRAINABLE}" in grave[2][0].what
    assert [each.severity for each in grave[100]] == ["warning", "warning"]
    assert "There are only 10 episodes." in grave[10][0].what


def test_squeezed_actions_are_found():
    data = healthy()
    for i, x in enumerate(data["actions"]):
        x[:, 1] *= 0.05
        if i == 0:
            x[0, 1], x[1, 1] = -0.95, 0.95
    (found,) = said(data)
    assert found.what.startswith("Action dimension 1 uses little of its range")


@pytest.mark.parametrize(
    ("env_id", "met", "warned"),
    [("maze2d-medium-v1", 0.3, True), ("maze2d-medium-v1", 0.5, False), ("A-v0", 0.3, False)],
)
def test_windows_of_a_maze_that_seldom_meet_the_target_should_be_cut_otherwise(env_id, met, warned):
    data = healthy()
    one_length(data)
    data["returns"] = np.where(np.arange(300) < met * 300, data["returns"], 0.0)
    advice = [each.do for each in said(data | {"env_id": env_id}) if "never meet the target" in each.what]
    assert ["cut=hold" in each for each in advice] == [True] * warned


def test_the_gravest_come_first():
    data = healthy(count=15)
    drop_final(data)
    bang_bang(data)
    order = [SEVERITIES.index(each.severity) for each in said(data)]
    assert order == sorted(order)
    assert len(set(order)) == 3


def test_many_dimensions_are_not_all_named():
    data = healthy()
    data["observations"] = [np.concatenate([x, np.ones((len(x), 20))], axis=1) for x in data["observations"]]
    (found,) = said(data)
    assert found.what == "State dimensions 3, 4, 5, 6, 7, 8 and 14 more never vary."


def test_a_finding_is_plain_data():
    (found,) = said(healthy() | {"returns": np.zeros(300)})
    assert set(dataclasses.asdict(found)) == {"severity", "what", "why", "do"}
