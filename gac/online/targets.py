r"""Returns to aim at: their distribution, and a controller that moves it from stage to stage.

An aim is $y^+ = y + \delta_y$, with y drawn from the buffer's returns above a quantile. The controller
sets $\delta_y$ by what came of the last aims. Everything is in standard deviations of the data's returns,
so that no constant belongs to a task.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.config import OnlineConfig


@dataclass(frozen=True)
class Targets:
    """State of the rule that sets aims; saved in the record of every stage."""

    rule: str
    """`auto`, `fixed` or `y-star`."""
    quantile: float
    """Returns of the buffer above this quantile are drawn from."""
    delta_y: float
    """What an aim adds to a drawn return, in standard deviations of the data's returns."""
    y_star: float | None
    """The one aim of `y-star`, raw; None under the other rules."""

    @classmethod
    def start(cls, config: OnlineConfig) -> "Targets":
        """Before anything is collected."""
        assert config.targets is not None  # resolved; for the type checker
        return cls(config.targets, config.quantile, config.delta_y, config.y_star)


class Outcome(NamedTuple):
    """What came of a stage's aims; raw and undiscounted, one of each per episode."""

    y_plus: Float[ndarray, "episodes"]
    """The aims; NaN for episodes without one, which say nothing."""
    returns: Float[ndarray, "episodes"]
    """Achieved."""
    spread: Float[ndarray, "episodes"]
    r"""The critic's own uncertainty, $\sqrt{Var_q[\mu_\gamma(z_y)] + \sigma_y^2}$."""


def floor(targets: Targets, returns: Float[ndarray, "episodes"], share: Float[ndarray, "episodes"]) -> float:
    """The least return that an aim is drawn from: the quantile of the buffer.

    `fixed` takes that of all episodes alike, as the paper does. `auto` takes that of the buffer as it is
    learned from, where recent and high returns count more, and never less than the former.
    """
    alike = float(np.quantile(returns, targets.quantile, method="lower"))
    return (
        alike if targets.rule == "fixed" else max(alike, weighted_quantile(returns, share, targets.quantile))
    )


def draw(
    targets: Targets,
    returns: Float[ndarray, "episodes"],
    share: Float[ndarray, "episodes"],
    unit: float,
    count: int,
    rng: np.random.Generator,
) -> Float[ndarray, "count"]:
    r"""Aims $y^+ = y + \delta_y$, y from the buffer's returns at or above the floor.

    Args:
        targets: the rule.
        returns: of the buffer's episodes, raw.
        share: of each episode in what is learned; sums to 1. `auto` draws y by it, `fixed` evenly.
        unit: standard deviation of the data's returns, raw.
        count: number of aims.
        rng: randomness.

    Returns:
        Raw returns.
    """
    if targets.y_star is not None:
        return np.full(count, targets.y_star)
    high = returns >= floor(targets, returns, share)
    weight = high * (np.ones(len(returns)) if targets.rule == "fixed" else np.maximum(share, 1e-12))
    y = rng.choice(returns.astype(np.float64), count, p=weight / weight.sum())
    return y + targets.delta_y * unit


def slack(outcome: Outcome) -> Float[ndarray, "known"]:
    r"""$y - (y^+ - u)$ of each aim, u the critic's uncertainty: 0 or more where it was reached; raw."""
    known = np.isfinite(outcome.y_plus)
    over: ndarray = (outcome.returns - outcome.y_plus + outcome.spread)[known]
    return over


def reached(outcome: Outcome) -> float:
    r"""Share of the aims that were reached: $y \ge y^+ - u$, u the critic's uncertainty.

    One half is added to reached and missed alike (Laplace's rule with half weights), so that a handful
    of episodes moves little, and none nothing.
    """
    hit = slack(outcome) >= 0.0
    return float((hit.sum() + 0.5) / (len(hit) + 1.0))


def moved(targets: Targets, outcome: Outcome, unit: float) -> Targets:
    r"""The rule for the next stage; only `auto` moves.

    $$\delta_y \leftarrow \max(0,\ \delta_y + d), \qquad
        d = \bar u\,(r - \tfrac12) \ \text{ within } \pm |\mathrm{median}(y - (y^+ - u))|$$

    with r the share of aims that were `reached` and $\bar u$ the mean of the critic's uncertainty. A step
    is at most half of $\bar u$, up if all aims were reached, down if none was: the returns that aims are
    drawn from rise with the buffer as well. And it is at most what would have had half of these aims
    reached: where all that is achieved is alike, r jumps from one to none within a small part of
    $\bar u$, and longer steps would jump over that place for ever. It rests where half are, hence
    where an aim lies one $\bar u$ above the median of what it achieves: ahead of the data, and no further
    than the critic takes for possible. An uncertain critic takes longer steps, and is allowed to miss by
    more. At $\delta_y = 0$ aims are returns that the buffer holds; there is no way further down.

    Args:
        targets: the rule of the stage that is over.
        outcome: what came of it.
        unit: standard deviation of the data's returns, raw.
    """
    over = slack(outcome)
    if targets.rule != "auto" or not len(over):
        return targets
    most = abs(float(np.median(over)))
    spread = float(outcome.spread[np.isfinite(outcome.y_plus)].mean())
    step = float(np.clip(spread * (reached(outcome) - 0.5), -most, most)) / unit
    return replace(targets, delta_y=max(0.0, targets.delta_y + step))


def weighted_quantile(
    values: Float[ndarray, "episodes"], share: Float[ndarray, "episodes"], q: float
) -> float:
    """The least value that has at least the share q at or below it."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(share[order])
    place = np.searchsorted(total, q * total[-1], side="left")
    return float(values[order[min(int(place), len(values) - 1)]])
