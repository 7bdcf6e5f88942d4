import json

import numpy as np
import pytest

from gac.data import Episodes, describe, format_description


def make(**changes):
    arrays = {
        "observations": [np.array([[0.0, 5.0], [1.0, 5.0]]), np.array([[2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])],
        "actions": [np.array([[-1.0], [0.0]]), np.array([[1.0], [0.5], [1.0]])],
        "rewards": [np.array([1.0, 1.0]), np.array([1.0, 2.0, 3.0])],
        "terminated": [True, False],
        "env_id": "Hopper-v5",
    } | changes
    return Episodes.from_arrays(**arrays)


def test_the_figures_are_right():
    figures = describe(make())
    assert (figures["episodes"], figures["steps"], figures["terminated"]) == (2, 5, 0.5)
    assert figures["lengths"] == {"mean": 2.5, "std": 0.5, "min": 2.0, "max": 3.0}
    assert {key: figures["returns"][key] for key in ("mean", "std", "min", "max")} == {
        "mean": 4.0,
        "std": 2.0,
        "min": 2.0,
        "max": 6.0,
    }
    assert figures["returns"]["quantiles"]["0.5"] == 4.0
    assert figures["saturated_actions"] == pytest.approx(3 / 5)
    assert figures["constant_observations"] == [1]
    assert figures["normalized_mean"] == pytest.approx(100 * (4 + 20.272305) / (3234.3 + 20.272305))
    assert json.loads(json.dumps(figures)) == figures


def test_the_words_hold_the_figures():
    text = format_description(describe(make()))
    assert "4.0 ± 2.0, 2.0 to 6.0" in text
    assert "constant: [1]" in text
    assert "missing       final observations" in text


def test_an_unknown_environment_has_no_score():
    figures = describe(make(env_id=None))
    assert figures["normalized_mean"] is None
    assert "no reference" in format_description(figures)


def test_an_action_that_never_varies_is_not_saturated():
    figures = describe(make(actions=[np.ones((2, 1)), np.ones((3, 1))]))
    assert figures["saturated_actions"] == 0.0
