"""The words for replanning mean one object each, and all others are refused in one line."""

import pytest

from gac.acting.replan import Every, Never, Trigger, parse_replan
from gac.errors import UserError

WORDS = {
    "never": Never(),
    "every:7": Every(7),
    "trigger": Trigger(0.05, "either"),
    "trigger:0.2": Trigger(0.2, "either"),
    "trigger:0.2:fall": Trigger(0.2, "fall"),
}


@pytest.mark.parametrize("words", WORDS)
def test_words_and_objects_mean_the_same(words):
    assert parse_replan(words) == WORDS[words]
    assert parse_replan(str(WORDS[words])) == WORDS[words]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "every:N"),
        ("always", "'always'"),
        ("never:2", "'never:2'"),
        ("every", "every:N"),
        ("every:0", "every:0"),
        ("every:-3", "1 step or more"),
        ("every:2.5", "'every:2.5'"),
        ("every:1:2", "every:N"),
        ("trigger:", "'trigger:'"),
        ("trigger:0", "below 1"),
        ("trigger:1", "below 1"),
        ("trigger:nan", "below 1"),
        ("trigger:often", "'trigger:often'"),
        ("trigger:0.1:smell", "'smell'"),
        ("trigger:0.1:fall:x", "trigger:RATE"),
    ],
)
def test_other_words_are_refused_in_one_line(words, said):
    with pytest.raises(UserError, match=said) as caught:
        parse_replan(words)
    assert "\n" not in str(caught.value)
