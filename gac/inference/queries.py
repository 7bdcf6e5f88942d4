"""Decisions as inference queries: small frozen objects that differ only in their objective."""

import math
from dataclasses import dataclass
from typing import ClassVar

from gac.config import FARTHEST, NEAR, check_guidance
from gac.errors import UserError


@dataclass(frozen=True)
class Exploit:
    """The highest expected return, Eq. (2), with what the run's `added` section adds: for evaluation.

    Args:
        kl_weight: standard deviations of return that a plan must gain for each nat of KL; 0 is Eq. (2) alone.
            The run's own (`added.kl_weight`) unless given.
        guidance: guidance weight, of every query that aims at a return: how strongly actions follow what
            distinguishes the plan; 0 is off. What the run decided (`Agent.acts`) unless given.
        plans: how many plans act by their mean action; 1 is the one that the query infers. What the run
            decided unless given.
    """

    name: ClassVar[str] = "exploit"
    kl_weight: float | None = None
    guidance: float | None = None
    plans: int | None = None

    def __post_init__(self) -> None:
        check_guidance(self.guidance)
        if self.plans is not None and self.plans < 1:
            raise UserError(f"plans is {self.plans}, expected 1 or more; try 32")
        if self.guidance and (self.plans or 1) > 1:
            raise UserError(
                f"guidance is {self.guidance:g} and plans {self.plans}, but only one plan can be guided; "
                "give one of them"
            )
        if self.kl_weight is not None and not 0.0 <= self.kl_weight < math.inf:
            raise UserError(f"kl_weight is {self.kl_weight}, expected a finite number, 0 or more; try 0.2")


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
                f"delta_y is {self.delta_y:g}, expected a finite number of at most {FARTHEST:g} standard "
                "deviations; try 0.25"
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
