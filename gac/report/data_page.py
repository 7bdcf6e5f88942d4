"""One self-contained HTML page about a data set: findings, figures, and every dimension in numbers."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from gac.data.environment import is_maze, maze_of
from gac.data.episodes import Episodes
from gac.data.inspect import Facts
from gac.data.problems import Finding
from gac.data.step_facts import Columns
from gac.data.words import NO_FINDING, facts_in_words
from gac.files import write_text
from gac.report.data_figures import (
    MOST_DIMENSIONS,
    MOST_PATHS,
    MOST_POINTS,
    action_distributions,
    length_histogram,
    maze_paths,
    return_against_length,
    return_histogram,
    state_coverage,
    state_spread,
)
from gac.report.page import definitions, page, picture, refuse_folder, wrap

STRIP = "Below: half of the episodes lie in the bar, nine tenths on the line; tick: median; diamond: mean."
CAPTIONS = {
    "returns": ("Returns", f"What the critic learns to predict, and exploit to raise. {STRIP}"),
    "lengths": ("Lengths", f"Steps per episode, by how it ended. {STRIP}"),
    "return-length": (
        "Return against length",
        f"A point per episode, at most {MOST_POINTS:,} of them. On one line, the return is survival alone.",
    ),
    "states": (
        "States",
        "In standard deviations, as the model sees them. Thick: half of the steps; thin: 98%; grey: all; "
        f"tick: median. Dimensions that vary, at most {MOST_DIMENSIONS}.",
    ),
    "actions": (
        "Actions",
        "A histogram per dimension, each scaled to its own peak. At the sides, the share of steps at each "
        "bound, which is also that part of the last bar that stands out.",
    ),
    "coverage": (
        "Where the states are",
        "Along the first two principal axes of the standardised states. Left: how often the data is there. "
        "Right: the mean return of the episodes that come by; the plans that exploit looks for lead there.",
    ),
    "paths": (
        "Paths",
        f"Positions of at most {MOST_PATHS} episodes, evenly chosen by return, the best drawn last.",
    ),
}


def write_data_page(episodes: Episodes, facts: Facts, found: Sequence[Finding], out: Path) -> None:
    """Write a page that needs nothing else: no network, no script, no file beside it.

    Args:
        episodes: The data.
        facts: What `describe` says about it.
        found: What `findings` says about it.
        out: The page to write; it appears whole or not at all.

    Raises:
        UserError: `out` is a folder.
    """
    refuse_folder(out, "data.html")
    write_text(out, render_data(episodes, facts, found))


def render_data(episodes: Episodes, facts: Facts, found: Sequence[Finding]) -> str:
    """The page's text; the same data gives the same text."""
    body = (
        f"<header><p>Generative Actor Critic: data</p><h1>{wrap(facts.name)}</h1></header>",
        f'<div class="facts single">{definitions(facts_in_words(facts))}</div>',
        f"<section><h2>What will hurt training</h2>{_findings(found)}</section>",
        f'<section><h2>Episodes</h2><div class="figures">{_episodes(episodes, facts)}</div></section>',
        f'<section><h2>States and actions</h2><div class="figures">{_steps(episodes, facts)}</div>'
        f"{_table('States', facts.observations)}{_table('Actions', facts.actions)}</section>",
    )
    return page(f"GAC data: {facts.name}", "\n".join(body))


def _findings(found: Sequence[Finding]) -> str:
    if not found:
        return f"<p>{NO_FINDING}</p>"
    items = "".join(
        f'<li><b class="{each.severity}">{each.severity}</b><div><p>{wrap(each.what)}</p>'
        f"<p>{escape(each.why)}</p><p>{escape(each.do)}</p></div></li>"
        for each in found
    )
    return f'<ul class="findings">{items}</ul>'


def _episodes(episodes: Episodes, facts: Facts) -> str:
    maze = maze_of(facts.env_id)
    pictures = [picture("returns", CAPTIONS["returns"], lambda theme: return_histogram(facts, theme))]
    if not facts.lengths.spread.constant:
        title, words = CAPTIONS["return-length"]
        correlation = facts.returns.length_correlation
        correlated = "" if correlation is None else f" Their correlation is {correlation:+.2f}."
        pictures += [
            picture("lengths", CAPTIONS["lengths"], lambda theme: length_histogram(episodes, facts, theme)),
            picture(
                "return-length",
                (title, words + correlated),
                lambda theme: return_against_length(episodes, theme),
            ),
        ]
    if is_maze(facts.env_id) and facts.observation_dim >= 2:
        title, words = CAPTIONS["paths"]
        star = " Grey: walls; star: the target." if maze is not None else " The map is not known."
        pictures.append(
            picture("paths", (title, words + star), lambda theme: maze_paths(episodes, maze, theme))
        )
    return "".join(pictures)


def _steps(episodes: Episodes, facts: Facts) -> str:
    return (
        picture("states", CAPTIONS["states"], lambda theme: state_spread(facts, theme))
        + picture("actions", CAPTIONS["actions"], lambda theme: action_distributions(episodes, facts, theme))
        + picture("coverage wide", CAPTIONS["coverage"], lambda theme: state_coverage(episodes, theme))
    )


def _table(title: str, columns: Columns) -> str:
    heads = ("dimension", "mean", "std", "min", "5%", "median", "95%", "max")
    rows = []
    for each in columns.dimensions:
        q = each.quantiles
        values = (each.mean, each.std, each.min, q["0.05"], q["0.5"], q["0.95"], each.max)
        cells = "".join(f"<td>{value:.4g}</td>" for value in values)
        rows.append(f"<tr><th scope=row>{each.index}</th>{cells}</tr>")
    head = "".join(f"<th scope=col>{name}</th>" for name in heads)
    return (
        f"<details><summary>{title}, every dimension, raw</summary><div class=scroll>"
        f"<table class=settings><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "</div></details>"
    )
