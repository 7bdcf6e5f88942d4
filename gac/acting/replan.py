"""When to plan anew within an episode: small frozen objects, and the words that name them."""

from dataclasses import dataclass

from gac.errors import UserError

SIGNALS = ("surprise", "fall", "either")
"""What the trigger may look at; see `gac.acting.watch`."""
DEFAULT_RATE = 0.05
_EXPECTED = "expected never, every:N (such as every:50), trigger or trigger:RATE (such as trigger:0.05)"


@dataclass(frozen=True)
class Never:
    """One plan for the whole episode."""

    def __str__(self) -> str:
        return "never"


@dataclass(frozen=True)
class Every:
    """A new plan every so many steps, whatever happens.

    Args:
        steps: steps that a plan is followed, 1 or more.
    """

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"every:{self.steps} replans never, expected 1 step or more; try every:50")

    def __str__(self) -> str:
        return f"every:{self.steps}"


@dataclass(frozen=True)
class Trigger:
    """A new plan when the present one no longer holds; needs a calibrated agent (`gac.calibrate`).

    Only where a plan may begin, at states within what the data's first states span, and no longer than
    held-out episodes tell what is usual (`Calibration.horizon`).

    Args:
        rate: false alarms per episode: the share of the data's episodes, under plans that fit them, in
            which the trigger may fire at all.
        signal: the generator's `surprise`, the `fall` of the expected return, or whichever of the two
            is the more unusual.
    """

    rate: float = DEFAULT_RATE
    signal: str = "either"

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise UserError(
                f"the trigger's rate is {self.rate:g}, expected more than 0 and below 1; try 0.05"
            )
        if self.signal not in SIGNALS:
            raise UserError(f"the trigger's signal is {self.signal!r}, expected one of {', '.join(SIGNALS)}")

    def __str__(self) -> str:
        return f"trigger:{self.rate:g}:{self.signal}"


Replan = Never | Every | Trigger


def parse_replan(text: str) -> Replan:
    """`never`, `every:N`, `trigger[:RATE[:SIGNAL]]` as an object; `str` of it gives the words again.

    Raises:
        UserError: anything else.
    """
    kind, *rest = text.split(":")
    try:
        if kind == "never" and not rest:
            return Never()
        if kind == "every" and len(rest) == 1:
            return Every(int(rest[0]))
        if kind == "trigger" and len(rest) <= 2:
            rate = float(rest[0]) if rest else DEFAULT_RATE
            signal = rest[1] if len(rest) == 2 else "either"
            return Trigger(rate, signal)
    except UserError:
        raise
    except ValueError:
        pass
    raise UserError(f"replan is {text!r}, {_EXPECTED}")
