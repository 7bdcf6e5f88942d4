"""Compare the robots' sets with what is published of D4RL's, in a table for the docs.

    python recipes/compare_with_d4rl.py --check --write docs/data.md

`--check` fails, with a line for each, where a mean, a standard deviation or a maximum is beyond its tolerance
(`published.py`), or a set is missing.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from published import PUBLISHED, TOLERANCE, Returns, off, together
from tyro.conf import arg

from gac.data import RECIPES, Episodes, load_data
from gac.errors import UserError
from gac.writing import write_text

BEGIN, END = "<!-- begin: recipes/compare_with_d4rl.py -->", "<!-- end -->"
ROBOTS = ("hopper", "walker2d", "halfcheetah")
SETS = ("medium", "medium-replay", "medium-expert", "expert")
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
HEAD = """\
| set | episodes | steps | mean | std | max | min | quantiles 10, 25, 50, 75, 90 % |
|---|---|---|---|---|---|---|---|
"""


def published(robot: str, name: str, episodes: dict[str, int]) -> Returns:
    """What D4RL's set has; of medium-expert, what follows from its halves.

    Args:
        robot: As in the sets' names.
        name: One of `SETS`.
        episodes: How many our halves have in as many steps each, for how much each counts.
    """
    if name != "medium-expert":
        return PUBLISHED[f"{robot}-{name}"]
    halves = [episodes[f"{robot}-{half}"] for half in ("medium", "expert")]
    medium, expert = (PUBLISHED[f"{robot}-{half}"] for half in ("medium", "expert"))
    return together(medium, expert, halves[0] / sum(halves))


def row(name: str, data: Episodes, ours: Returns, theirs: Returns) -> str:
    """A line of the table, D4RL's value in brackets behind each of ours."""
    cells = [f"`{name}`", f"{data.num_episodes:,}", f"{data.num_steps:,}"]
    cells += [f"{mine:,.0f} ({other:,.0f})" for mine, other in zip(ours, theirs, strict=True)]
    cells += [", ".join(f"{value:,.0f}" for value in np.quantile(data.returns, QUANTILES))]
    return "| " + " | ".join(cells) + " |\n"


def compared(seed: int, parameters: str) -> tuple[str, list[str]]:
    """The table, and a line for each set that is missing or too far from D4RL's."""
    table, wrong, episodes = HEAD, [], {}
    for robot in ROBOTS:
        # The halves before what is made of them.
        for name in ("medium", "expert", "medium-replay", "medium-expert"):
            full = f"{robot}-{name}"
            if full not in RECIPES:
                wrong.append(f"{full} is missing; bundle it by recipes/bundle.py")
                continue
            data = load_data(full + parameters, seed)
            y = data.returns.astype(np.float64)
            ours = Returns(y.mean(), y.std(), y.max(), y.min())
            episodes[full] = round(data.num_episodes * 1e6 / data.num_steps)
            theirs = published(robot, name, episodes)
            table += row(full, data, ours, theirs)
            wrong += [
                f"{full}: {what} is {getattr(ours, what):.0f}, D4RL's {getattr(theirs, what):.0f}; "
                f"{distance * TOLERANCE[what]:+.0%}, at most {TOLERANCE[what]:.0%} is close"
                for what, distance in off(ours, theirs).items()
                if abs(distance) > 1
            ]
    return table, wrong


def put(path: Path, table: str) -> None:
    """Replace what is between the markers of a page.

    Raises:
        UserError: a page without them.
    """
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{path} lacks the markers {BEGIN} and {END}; add them where the table belongs")
    write_text(path, f"{before}{begin}\n{table}{end}{after}")


def main(
    check: bool = False,
    write: Annotated[Path | None, arg(metavar="FILE")] = None,
    seed: int = 0,
    steps: Annotated[int | None, arg(metavar="N")] = None,
) -> None:
    """Print the table.

    Args:
        check: Fail where a set is too far from D4RL's.
        write: Also put the table between the markers of this page.
        seed: Seed of the sets.
        steps: Steps of the sets, instead of their own.
    """
    table, wrong = compared(seed, "" if steps is None else f":steps={steps}")
    print(table)
    if write is not None:
        put(write, table)
    for line in wrong if check else ():
        print(f"compare_with_d4rl.py: {line}", file=sys.stderr)
    if check and wrong:
        sys.exit(1)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        print(f"compare_with_d4rl.py: {error}", file=sys.stderr)
        sys.exit(2)
