"""Colours and themes: one colour per query, the same in every table and figure."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib

DATA = "data"

COLOURS = {
    DATA: "#7a828c",
    "exploit": "#0072b2",
    "explore": "#d55e00",
    "target": "#009e73",
    "prior": "#cc79a7",
}
"""Okabe and Ito's palette, told apart with any colour vision; a contrast of 3 or more on both themes."""

MARKERS = {"exploit": "o", "explore": "^", "target": "s", "prior": "D"}
"""A second way to tell the queries apart."""


def colour(query: str) -> str:
    """The colour of a query or of the data; one for all that is neither."""
    return COLOURS.get(query, "#a08000")


def marker(query: str) -> str:
    """The marker of a query."""
    return MARKERS.get(query, "P")


@dataclass(frozen=True)
class Theme:
    """Colours of a figure that are not a query's."""

    paper: str
    ink: str
    muted: str
    grid: str
    runs: tuple[str, ...]
    """Colours of the runs where several share an axis."""

    def context(self) -> AbstractContextManager[None]:
        """Matplotlib's settings for this theme, to draw and to save in."""
        settings: Any = {
            "figure.facecolor": self.paper,
            "savefig.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "axes.edgecolor": self.muted,
            "axes.labelcolor": self.ink,
            "axes.titlecolor": self.ink,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "axes.formatter.useoffset": False,
            "text.color": self.ink,
            "text.parse_math": False,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "xtick.labelcolor": self.ink,
            "ytick.labelcolor": self.ink,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "grid.color": self.grid,
            "grid.linewidth": 0.7,
            "lines.linewidth": 1.5,
            "lines.solid_capstyle": "round",
            "legend.frameon": False,
            "legend.fontsize": 9,
            "font.family": "DejaVu Sans",
            "font.size": 10,
            # Text as paths: a figure looks the same wherever it is opened.
            "svg.fonttype": "path",
            "svg.hashsalt": "gac",
        }
        return matplotlib.rc_context(settings)


LIGHT = Theme("#ffffff", "#1f2429", "#6b737c", "#e6e8eb", ("#1f2429", "#c79500", "#56b4e9", "#8f6bc2"))
DARK = Theme("#1a1e23", "#e3e6ea", "#8d959f", "#2d333a", ("#e3e6ea", "#d9a514", "#56b4e9", "#a585d6"))
