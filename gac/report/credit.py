"""Learned credit along an episode, beside the true reward: a figure."""

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
    lines = {"learned credit": (record.credit, theme.runs[1]), "true reward": (record.rewards, colour(DATA))}

    def draw(figure: FigureBase) -> None:
        step, total = figure.subplots(2, 1, sharex=True)
        for name, (values, ink) in lines.items():
            if values:
                at = np.arange(1, len(values) + 1)
                # The truth is dashed and on top: where the two agree, both are seen.
                style = {"color": ink, "linestyle": "-" if name == "learned credit" else (0, (3, 2))}
                step.plot(at, values, linewidth=0.9, **style)
                total.plot(at, np.cumsum(values), linewidth=1.6, label=name, **style)
        step.set_ylabel("of a step")
        total.set_ylabel("sum so far")
        total.set_xlabel("step")
        figure.legend(loc="outside upper left", ncols=2)

    return make_figure(HALF, theme, draw)
