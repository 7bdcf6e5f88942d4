"""Decisions as inference queries: small frozen objects that differ only in their objective."""

import math
from dataclasses import dataclass
from typing import ClassVar

from gac.config import FARTHEST, NEAR, check_guidance
from gac.errors import UserError

PLANS = ("one", "several")
"""How many plans an exploit query acts by."""


@dataclass(frozen=True)
class Exploit:
    """Expected return, held near the best of logged behaviour, Eq. (2): for evaluation and deployment.

    Held near the prior instead where that promises more by sigma_y, as when no logged plan promises what was
    logged at best (docs/method.md).

    Args:
        kl_weight: standard deviations of return that a plan must gain for each nat it moves away
            from there. Free of units, so one value serves every data set.
        guidance: how much more than in the data its plans tell in what is done; of every query that aims at
            a return. 0: actions are p_beta's. Unless given, `Agent.usual_guidance`
            (`gac.acting.guidance`).
        plans: `one`, the one that the objective ends at, or `several`, which act by their mean action
            (`gac.inference.elites`). Unless given, `Agent.usual_plans`.
    """

    name: ClassVar[str] = "exploit"
    kl_weight: float = 0.2
    guidance: float | None = None
    plans: str | None = None

    def __post_init__(self) -> None:
        check_guidance(self.guidance)
        if self.plans not in (None, *PLANS):
            raise UserError(f"plans is {self.plans!r}, expected one of {', '.join(PLANS)}")
        if self.plans == "several" and self.guidance:
            raise UserError(f"guidance is {self.guidance:g} and plans several: one plan is guided; give one")
        if not 0.0 < self.kl_weight < math.inf:
            raise UserError(f"kl_weight is {self.kl_weight}, expected a finite number above 0; try 0.2")


@dataclass(frozen=True)
class Explore:
    """Somewhat more than one of the better returns, Eq. (3), then a sample of q: for collecting data.

    Args:
        quantile: y is drawn from the returns of the buffer above this quantile, in [0, 1).
        delta_y: added to y, in standard deviations of the offline data's returns.
        guidance: as of `Exploit`.
    """

    # Differs from the paper: delta_y there is in units of its own per task (10 on Hopper); in
    # standard deviations one value serves every data set.
    name: ClassVar[str] = "explore"
    quantile: float = 0.8
    delta_y: float = 0.25
    guidance: float | None = None

    def __post_init__(self) -> None:
        check_guidance(self.guidance)
        if not 0.0 <= self.quantile < 1.0:
            raise UserError(f"quantile is {self.quantile}, expected at least 0 and below 1; try 0.8")
        if not abs(self.delta_y) <= FARTHEST:
            raise UserError(
                f"delta_y is {self.delta_y:g}, expected at most {FARTHEST:g} standard deviations; try 0.25"
            )


@dataclass(frozen=True)
class Target:
    """One given return y*, raw and undiscounted, by the objective of `Explore`.

    Args:
        y_star: the return; a tuple gives each first observation of a batch one of its own.
        near: what plans are held near: `prior`, as Eq. (3) has it, or `logged`, one of the plans that the
            agent keeps, drawn by how well what it returns explains y*; `both`: for each plan one of these, by
            the toss of a coin. The logged plans are of the best episodes, so none is found near them for a
            low return.
        guidance: as of `Exploit`; a tuple gives each first observation of a batch one of its own.
    """

    name: ClassVar[str] = "target"
    y_star: float | tuple[float, ...]
    near: str = "prior"
    guidance: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_guidance(self.guidance)
        if self.near not in NEAR:
            raise UserError(f"near is {self.near!r}, expected one of {', '.join(NEAR)}")
        for each in self.y_star if isinstance(self.y_star, tuple) else (self.y_star,):
            if not math.isfinite(each):
                raise UserError(f"the return to aim at (y_star, --target) is {each}, expected a finite one")


@dataclass(frozen=True)
class Prior:
    """epsilon ~ N(0, I): behaviour as in the data, nothing optimised, and acted out as it is."""

    name: ClassVar[str] = "prior"
    guidance: ClassVar[float] = 0.0


Query = Exploit | Explore | Target | Prior
