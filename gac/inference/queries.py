"""Decisions as inference queries: small frozen objects that differ only in their objective."""

import math
from dataclasses import dataclass
from typing import ClassVar

from gac.config import FARTHEST
from gac.errors import UserError


@dataclass(frozen=True)
class Exploit:
    """The highest expected return, Eq. (2): for evaluation.

    By default a lower bound of it, among logged plans (`gac.inference.added.logged`).
    """

    name: ClassVar[str] = "exploit"


@dataclass(frozen=True)
class Explore:
    """Somewhat more than one of the better returns, Eq. (3), then a sample of q: for collecting data.

    Args:
        quantile: y is drawn from the returns of the buffer above this quantile, in [0, 1).
        delta_y: added to y, in standard deviations of the offline data's returns.
    """

    # Differs from the paper: delta_y there is in units of its own per task (10 on Hopper); in
    # standard deviations one value serves every data set.
    name: ClassVar[str] = "explore"
    quantile: float = 0.8
    delta_y: float = 0.25

    def __post_init__(self) -> None:
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
    """

    name: ClassVar[str] = "target"
    y_star: float | tuple[float, ...]

    def __post_init__(self) -> None:
        for each in self.y_star if isinstance(self.y_star, tuple) else (self.y_star,):
            if not math.isfinite(each):
                raise UserError(f"the return to aim at (y_star, --target) is {each}, expected a finite one")


@dataclass(frozen=True)
class Prior:
    """epsilon ~ N(0, I): behaviour as in the data, nothing optimised."""

    name: ClassVar[str] = "prior"


Query = Exploit | Explore | Target | Prior
