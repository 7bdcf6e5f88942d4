"""What is told before every training, in words: the problems of the data, and that its episodes are few."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gac.data.episode_facts import Spread
from gac.data.episodes import Episodes
from gac.data.reset_rows import reset_rows_of

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")
"""Training fails or learns nothing; training is worse for it; good to know."""

FEWEST_EPISODES = 20
"""A regression of the return on a plan with fewer points is a guess."""
FEW_EPISODES = 200
"""Two batches of the presets: below, updates see the same data over and over, and good plans are few."""
TRAINABLE = 4
"""Episodes that training refuses to do without."""


@dataclass(frozen=True)
class Finding:
    """Something a person should know before training."""

    severity: Severity
    what: str
    """What was seen, with its figures."""
    why: str
    """Why it hurts training of this method."""
    do: str
    """What to do about it."""


def problems(episodes: Episodes) -> Iterator[Finding]:
    """Of the findings of `gac.data.findings` those that are problems, and few episodes, by few facts."""
    found = (
        about_too_few(len(episodes)),
        about_constant_returns(Spread.of(episodes.returns)),
        about_reset_rows(len(reset_rows_of(episodes).episodes), len(episodes)),
    )
    yield from (each for each in found if each is not None)


def warn_of_problems(episodes: Episodes) -> None:
    """Warn of each in a line: what it is, and what to do."""
    for each in problems(episodes):
        warnings.warn(f"{episodes.name}: {each.what} {each.do}", stacklevel=3)


def about_too_few(episodes: int) -> Finding | None:
    """Fewer episodes than a regression needs, or a warning for few."""
    if episodes >= FEW_EPISODES:
        return None
    return Finding(
        "problem" if episodes < FEWEST_EPISODES else "warning",
        f"There {'is only 1 episode' if episodes == 1 else f'are only {episodes} episodes'}"
        f"{f'; training needs {TRAINABLE}' if episodes < TRAINABLE else ''}.",
        "An episode gives one return: the critic sees as many numbers as there are episodes, and a query can "
        "only choose among plans that some episode had.",
        f"Collect {FEW_EPISODES} or more, or cut long recordings into episodes with a return each.",
    )


def about_constant_returns(spread: Spread) -> Finding | None:
    """Returns that are all the same."""
    if not spread.constant:
        return None
    return Finding(
        "problem",
        f"Every episode has the return {spread.mean:g}.",
        "The critic learns a constant: exploit, explore and target have nothing to climb.",
        "Give returns that tell good from bad, or use the prior query alone.",
    )


def about_reset_rows(rows: int, episodes: int) -> Finding | None:
    """Rows that are no steps."""
    if not rows:
        return None
    return Finding(
        "problem",
        f"{rows:,} of {episodes:,} episodes begin with a reset row: the last state of an episode before, an "
        "action that nobody carried out, and a jump to the first state.",
        "A vector environment with next-step autoreset logs such rows. Plans are inferred from these states, "
        "which no episode of the environment begins with.",
        "Drop them with --drop-reset-rows (drop_reset_rows=True in Python), or log without them "
        "(AutoresetMode.SAME_STEP, with final_obs as the last next observation).",
    )
