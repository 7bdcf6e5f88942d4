"""The one exception for what a person can mend, and the words of its messages."""

from collections.abc import Iterable
from typing import Any

_MOST_DIGITS = 17
_NAMED = 8
"""Names that a message lists."""


class UserError(ValueError):
    """A mistake in the input, said in one line: the value, what was expected, the fix.

    The command line prints it and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def some_of(names: Iterable[str]) -> str:
    """Names in a row; of many, the first and how many more there are."""
    listed = [name or "''" for name in names]
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def told_apart(*values: Any) -> tuple[str, ...]:
    """The numbers in words, with as many digits as it takes to tell apart those that differ.

    Where all are the same, with all of their digits.
    """
    exact = [float(value) for value in values]
    words: tuple[str, ...] = ()
    for digits in range(6, _MOST_DIGITS + 1):
        words = tuple(f"{value:.{digits}g}" for value in exact)
        same = len(set(exact)) == 1
        if len(set(words)) == len(set(exact)) and (not same or float(words[0]) == exact[0]):
            break
    return words
