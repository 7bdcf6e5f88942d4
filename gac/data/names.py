"""The grammar of data names: `name:key=value,key=value`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gac.data.mazes import CUTS
from gac.errors import UserError

_ITEM = r"\w*(?:=[^,/]*)?"
_NAME = re.compile(rf"(?P<name>.+):(?P<items>{_ITEM}(?:,{_ITEM})*)")


@dataclass(frozen=True)
class Parameter:
    """A parameter that a data name takes."""

    read: Callable[[str], Any]
    """The value of a text; ValueError where it has none."""
    expected: str
    """What the value must be, in words."""
    holds: Callable[[Any], bool]
    """Whether a value is that."""


def split(text: str) -> tuple[str, dict[str, str]]:
    """A name without its parameters, and their texts by key; a file that is called so is a file.

    >>> split("lottery:kind=hidden,p=0.1")
    ('lottery', {'kind': 'hidden', 'p': '0.1'})

    Raises:
        UserError: a parameter that is there twice.
    """
    found = _NAME.fullmatch(text)
    if found is None or Path(text).exists():
        return text, {}
    given: dict[str, str] = {}
    for item in found["items"].split(","):
        key, _, value = item.partition("=")
        if key in given:
            raise UserError(f"{text!r} gives {key!r} twice, expected once; leave one of them out")
        given[key] = value
    return found["name"], given


def join(name: str, given: Mapping[str, str]) -> str:
    """The text that `split` takes apart."""
    items = ",".join(f"{key}={value}" for key, value in given.items())
    return f"{name}:{items}" if items else name


def values(text: str, given: Mapping[str, str], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values of the parameters that a name gives.

    Args:
        text: The whole name, for messages.
        given: What `split` found in it.
        parameters: What such a name takes.

    Raises:
        UserError: a parameter that it does not take, or a value that is not what is expected.
    """
    listing = ", ".join(f"{key} ({parameter.expected})" for key, parameter in parameters.items())
    read: dict[str, Any] = {}
    for key, value in given.items():
        if not parameters:
            raise UserError(f"{text!r}: such data has episodes of its own and takes no {key!r}; leave it out")
        if key not in parameters:
            raise UserError(f"{text!r}: {key!r} is no parameter here, expected {listing}")
        parameter = parameters[key]
        try:
            read[key] = parameter.read(value)
            good = parameter.holds(read[key])
        except (ValueError, OverflowError):
            good = False
        if not good:
            raise UserError(f"{text!r}: {key} is {value!r}, expected {parameter.expected}")
    return read


def whole(text: str) -> int:
    """The whole number that a text says, `1000000` or `1e6`."""
    number = float(text)
    if number != int(number):
        raise ValueError(text)
    return int(number)


CUT = Parameter(str, f"one of {', '.join(CUTS)}", CUTS.__contains__)
"""How the endless run of a maze becomes episodes."""
FEWEST_STEPS, MOST_STEPS = 2_000, 10**9
STEPS = Parameter(
    whole,
    f"a whole number from {FEWEST_STEPS:,} to {MOST_STEPS:,}",
    lambda steps: FEWEST_STEPS <= steps <= MOST_STEPS,
)
"""About so many steps in all."""
