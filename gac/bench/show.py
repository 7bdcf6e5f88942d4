"""The figures of `gac bench` as a table, as plain lines, as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from gac.bench.run import Measure
from gac.bench.timing import Spread


def number(value: Any) -> str:
    """A figure as it is printed: three digits, or all before the point."""
    if value is None:
        return "not measured here"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def cells(name: str, value: Any) -> tuple[str, str, str]:
    """The figure's name in words, its middle value, and its spread where it has one."""
    words = name.replace("_", " ")
    if not isinstance(value, Spread):
        return words, number(value), ""
    return words, number(value.median), f"{number(value.minimum)} to {number(value.maximum)}"


def print_measures(measures: Sequence[Measure], console: Console) -> None:
    """A table on a terminal, a line for each figure elsewhere."""
    table = Table("of", "measure", "figure", "median", "least to greatest")
    for measure in measures:
        for place, (name, value) in enumerate(measure.row.items()):
            words, middle, spread = cells(name, value)
            if console.is_terminal:
                head = ("", "") if place else (measure.of, measure.name)
                table.add_row(*head, words, middle, spread)
                continue
            line = f"{measure.of}: {measure.name}: {words} {middle}" + (f" ({spread})" if spread else "")
            console.print(line, soft_wrap=True, markup=False)
    if console.is_terminal:
        console.print(table)


def to_json(machine: dict[str, Any], quick: bool, measures: Sequence[Measure]) -> str:
    """Every figure; a spread as its minimum, median and maximum."""
    figures: dict[str, dict[str, Any]] = {}
    for of, name, row in measures:
        figures.setdefault(of, {})[name] = {
            key: value._asdict() if isinstance(value, Spread) else value for key, value in row.items()
        }
    return json.dumps({"machine": machine, "quick": quick, "figures": figures}, indent=1) + "\n"
