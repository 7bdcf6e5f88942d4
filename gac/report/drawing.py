"""What every figure is made with: its canvas and theme, densities, limits, names that can be shown.

Nothing here touches pyplot, so no global figure is left behind and no display is needed.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase

from gac.report.style import Theme

HALF, WIDE = (5.6, 4.1), (11.2, 4.3)
"""Inches: figures of half a page's width are drawn at their own size, so that 10 points stay 10 points."""

Span = tuple[float, float]


def make_figure(size: tuple[float, float], theme: Theme, draw: Callable[[FigureBase], None]) -> Figure:
    """A figure in a theme; the settings hold while it is drawn and, through its artists, when it is saved."""
    with theme.context():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
    return figure


def density(
    values: Sequence[float], at: Float[np.ndarray, "grid"], floor: float
) -> Float[np.ndarray, "grid"]:
    """Gaussian kernel density with Silverman's bandwidth, scaled to a peak of 1.

    Args:
        values: The sample; one value is enough.
        at: Where to evaluate it.
        floor: Least bandwidth, so that equal or few values give a bump that can be seen.
    """
    sample = np.asarray(values, dtype=np.float64)
    quartiles = np.percentile(sample, [25, 75])
    spreads = [spread for spread in (sample.std(), (quartiles[1] - quartiles[0]) / 1.34) if spread > 0]
    bandwidth = max(0.9 * min(spreads, default=0.0) * len(sample) ** -0.2, floor)
    # Bins keep the cost independent of the sample's size; they are far narrower than the kernel.
    counts, edges = np.histogram(sample, bins=1024)
    centres = (edges[:-1] + edges[1:]) / 2
    kernel = np.exp(-0.5 * np.square((at[:, None] - centres[None, :]) / bandwidth))
    heights: Float[np.ndarray, "grid"] = kernel @ counts.astype(np.float64)
    peak = float(heights.max())
    return heights / peak if peak > 0 else heights


def nothing(axis: Axes, words: str, theme: Theme) -> None:
    """Say in an axis why nothing is drawn there."""
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color=theme.muted)
    axis.set_yticks([])
    axis.grid(visible=False)


def span_of(values: Sequence[float]) -> Span:
    """Limits with a margin around all values; a unit interval around a single one."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def printable(text: str) -> str:
    """A name from a file as the figures' font can show it, and not longer than there is room for."""
    kept = "".join(
        character if character.isprintable() and ord(character) < 256 else "?" for character in text
    )
    # A leading underscore would drop the name from a legend.
    kept = kept if not kept.startswith("_") else f" {kept}"
    return kept if len(kept) <= 32 else f"{kept[:29]}..."
