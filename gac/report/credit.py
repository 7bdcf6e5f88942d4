"""Learned credit along an episode, beside the true reward: a figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure, FigureBase

from gac.credit.record import CreditRecord
from gac.report.drawing import HALF, make_figure
from gac.report.style import DATA, LIGHT, Theme, colour


def credit_along(record: CreditRecord, theme: Theme = LIGHT) -> Figure:
    """Credit of each step of the record's episode beside the true rewards, where known; their sums below.

    Args:
        record: What a run learned.
        theme: Colours of the figure.
    """
    # The truth is wide and below: where the two agree, both are seen.
    lines: dict[str, tuple[Sequence[float], dict[str, Any], tuple[float, float]]] = {
        "true reward": (record.rewards, {"color": colour(DATA), "alpha": 0.6}, (1.8, 4.0)),
        "learned credit": (record.credit, {"color": theme.runs[1]}, (0.7, 1.3)),
    }

    def draw(figure: FigureBase) -> None:
        step, total = figure.subplots(2, 1, sharex=True)
        for name, (values, style, (thin, wide)) in lines.items():
            if values:
                at = np.arange(1, len(values) + 1)
                step.plot(at, values, linewidth=thin, **style)
                total.plot(at, np.cumsum(values), linewidth=wide, label=name, **style)
        step.set_ylabel("of a step")
        total.set_ylabel("sum so far")
        total.set_xlabel("step")
        figure.legend(loc="outside upper left", ncols=2)

    return make_figure(HALF, theme, draw)
