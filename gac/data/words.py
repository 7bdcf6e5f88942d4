"""Facts and findings of a data set as words: lines for the page, a report for the terminal."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.console import Console, Group
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gac.config import CreditConfig
from gac.data.episode_facts import Histogram, Spread
from gac.data.findings import MOSTLY
from gac.data.inspect import Facts
from gac.data.problems import Finding
from gac.data.scale import number_format
from gac.data.step_facts import Columns
from gac.data.structure import FEWEST
from gac.envs.specification import Environment

NO_FINDING = "Nothing was found that should hurt training."
MOST_LINES = 40
"""Dimensions that the terminal lists; the JSON file and the page list all."""

NEARLY_NONE = 0.05
"""Share of the variance that counts as nothing left to chance."""

STYLES = {"problem": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_BLOCKS = " ▁▂▃▄▅▆▇█"


def facts_in_words(facts: Facts) -> dict[str, str]:
    """The main facts, each a name and a short line."""
    lengths, y, ends = facts.lengths.spread, facts.returns.spread, facts.ends
    score = facts.returns.normalized_mean
    missing = [
        word
        for word, there in (("rewards", facts.has_rewards), ("final states", facts.has_final_observations))
        if not there
    ]
    whose = "of the environment" if facts.saturation.bounds == "environment" else "of the data"
    return {
        "environment": str(Environment.of(facts) or "unknown"),
        "episodes": f"{facts.episodes:,}",
        "steps": f"{facts.steps:,}",
        "return": _return(y),
        "normalised": "no reference" if score is None else f"{score:.1f} (0 random, 100 expert)",
        "length": f"{lengths.mean:.1f} ± {lengths.std:.1f}, {lengths.min:.0f} to {lengths.max:.0f}",
        "ends": f"{ends.terminated:.0%} terminated, {ends.truncated:.0%} truncated",
        "states": _coverage(facts.observations),
        "actions": _coverage(facts.actions),
        "saturated": f"{facts.saturation.share:.1%} of action entries, at the bounds {whose}",
        "missing": ", ".join(missing) or "nothing",
        "chance": _chance(facts),
        "credit": _credit(facts),
    }


def print_data(facts: Facts, found: Sequence[Finding]) -> None:
    """Print the report to stdout; plain text in 80 columns where that is no terminal."""
    console = Console(highlight=False)
    report = Group(*_report(facts, found))
    if console.is_terminal:
        console.print(report)
        return
    # A pipe wants no blanks that only fill a table's width.
    with console.capture() as captured:
        console.print(report, width=80)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def data_json(facts: Facts, found: Sequence[Finding]) -> str:
    """Every fact by the names of `Facts`, and the findings, as JSON text."""
    return json.dumps(facts.to_dict() | {"findings": [asdict(each) for each in found]}, indent=2) + "\n"


def _report(facts: Facts, found: Sequence[Finding]) -> Iterator[Text | Padding | Rule]:
    yield Text(facts.name, style="bold")
    yield Padding(_grid(facts_in_words(facts)), (0, 0, 1, 2), expand=False)
    yield from _histogram("returns", facts.returns.histogram, facts.returns.spread)
    yield from _histogram("lengths", facts.lengths.histogram, facts.lengths.spread)
    yield from _columns("states", facts.observations, None)
    saturation = facts.saturation
    ends = list(zip(saturation.at_low, saturation.at_high, strict=True))
    yield from _columns("actions", facts.actions, ends)
    yield Rule("What will hurt training", align="left", style="dim")
    yield from _findings(found)


def _return(y: Spread) -> str:
    style = number_format(y.min, y.max)
    return (
        f"{y.mean:{style}} ± {y.std:{'.1f' if style == '.1f' else '.3g'}}, {y.min:{style}} to {y.max:{style}}"
    )


def _findings(found: Sequence[Finding]) -> Iterator[Text | Padding]:
    if not found:
        yield Text(NO_FINDING)
    for each in found:
        yield Text.assemble((each.severity, STYLES[each.severity]), f": {each.what}")
        yield Padding(Text(f"{each.why}\n→ {each.do}"), (0, 0, 1, 2), expand=False)


def _grid(rows: dict[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        grid.add_row(Text(key, style="dim"), Text(value))
    return grid


def _histogram(title: str, histogram: Histogram, spread: Spread) -> Iterator[Text]:
    """A line of bars between the least and the largest value, and a line of quantiles."""
    bars = "".join(_bar(count, max(histogram.counts)) for count in histogram.counts)
    style = f",{number_format(spread.min, spread.max)}"
    words = ", ".join(f"{float(q):.0%} {value:{style}}" for q, value in spread.quantiles.items())
    ends = style.replace(".1f", ".0f")
    yield Text.assemble((title, "bold"), f"  {spread.min:{ends}} ", (bars, "cyan"), f" {spread.max:{ends}}")
    yield Text(f"  {words}\n", style="dim")


def _bar(count: int, most: int) -> str:
    """A block for a count; the smallest for any that is not zero, so that no episode is invisible."""
    eighths = -(-8 * count // most)
    return _BLOCKS[eighths]


def _columns(
    title: str, columns: Columns, ends: Sequence[tuple[float, float]] | None
) -> Iterator[Text | Padding]:
    """A table with a row per dimension; `ends` are the shares at the lower and upper bound."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    heads = ["", "mean", "std", "min", "5%", "median", "95%", "max", *(["at bounds"] if ends else [])]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for each in columns.dimensions[:MOST_LINES]:
        q = each.quantiles
        values = (each.mean, each.std, each.min, q["0.05"], q["0.5"], q["0.95"], each.max)
        at = [f"{ends[each.index][0]:.0%} {ends[each.index][1]:.0%}"] if ends else []
        # Less the offset they fit in a cell.
        less = f" less {each.offset:.17g}" if each.offset else ""
        shown = (values[0] - each.offset, values[1], *(value - each.offset for value in values[2:]))
        table.add_row(f"{each.index}{less}", *(f"{value:.3g}" for value in shown), *at)
    yield Text(title, style="bold")
    yield Padding(table, (0, 0, 0, 2), expand=False)
    more = len(columns.dimensions) - MOST_LINES
    yield Text(f"  and {more} more, in --json and --html\n" if more > 0 else "", style="dim")


def _chance(facts: Facts) -> str:
    if facts.chance is None:
        return _untold(facts)
    share = facts.chance.share
    decides = "all" if share < NEARLY_NONE else "most of it" if share <= MOSTLY else "little of it"
    return f"{share:.0%} of the returns' variance at most: what was done decides {decides}"


def _credit(facts: Facts) -> str:
    if facts.linearity is None:
        return _untold(facts)
    r2, least = facts.linearity.r2, CreditConfig().credit_least_r2
    use = "can take the place of rewards" if r2 > least else "is refused: returns are hardly sums over steps"
    return f"held-out R² {r2:.3f}: credit per step, learned from returns, {use}"


def _untold(facts: Facts) -> str:
    equal = facts.returns.spread.constant
    return "all returns are equal" if equal else f"too few episodes to tell, expected {FEWEST} or more"


def _coverage(columns: Columns) -> str:
    width = len(columns.dimensions)
    return f"{width} dimensions; {columns.components} principal ones hold 95% of the variance"
