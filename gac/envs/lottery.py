"""Lottery: one decision between a sure payment and a ticket, a test of honesty for methods of returns.

Whoever infers plans from good returns alone buys, as all the best episodes did; buying is the worse choice.
"""

import re
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float, Float32
from numpy import ndarray

from gac.errors import UserError

KINDS = ("seen", "hidden", "spread")
SURE = 1.0
"""Return of not buying."""
MOST = 1e18
"""The largest payoff: beyond it, float32 cannot hold squares of returns."""
EXPECTED = {
    "kind": "seen, hidden or spread",
    "p": "a number above 0, at most 1",
    "win": f"a number above 0, at most {MOST:g}",
    "steps": "a whole number, 2 or more",
}
"""What each parameter must be, in words."""
VALID: dict[str, Callable[[Any], bool]] = {
    "kind": KINDS.__contains__,
    "p": lambda p: 0.0 < p <= 1.0,
    "win": lambda win: 0.0 < win <= MOST,
    "steps": lambda steps: steps >= 2 and steps == int(steps),
}
"""Whether a value is that; it must be of the default's type."""

_ID = re.compile(
    r"gac/Lottery-(?P<kind>[a-z]+)-p(?P<p>[^-]+(?:e-\d+)?)-win(?P<win>.+)-steps(?P<steps>\d+)-v0"
)


class Lottery(gymnasium.Env[ndarray, ndarray]):
    """The first action buys a ticket if it is positive; later actions do nothing.

    Not buying pays 1 in all. Buying pays `win` with probability `p`, else 0. The draw is made at the first
    step, whether a ticket was bought or not, by the environment's own generator. The episode terminates
    after `steps` steps. What is paid when, and what of it is seen, depends on the kind:

    | kind | reward | the last entry of a state |
    |---|---|---|
    | `seen` | all at the last step | 1 from the first step on if the ticket won, -1 if it lost, else 0 |
    | `hidden` | all at the last step | 0: winners and losers see the same states |
    | `spread` | an equal part at every step | the sum of the rewards so far |

    Observation: float32 `(left, bought, seen)`: the share of the steps that are left, from 1 to 0; 0 before
    the first action, then 1 if a ticket was bought and -1 if not; the entry above.
    Action: one number in [-1, 1].

    Args:
        kind: One of `KINDS`.
        p: Probability that a ticket wins, above 0.
        win: Return of a winning ticket, above 0.
        steps: Steps T of an episode, 2 or more.

    Raises:
        UserError: a parameter that is not in its range.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own is no ClassVar

    def __init__(self, kind: str = "seen", p: float = 0.05, win: float = 10.0, steps: int = 4) -> None:
        check(kind, p, win, steps)
        self.kind, self.p, self.win, self.steps = kind, p, win, int(steps)
        high = max(1.0, win) if kind == "spread" else 1.0
        self.observation_space = Box(_array(0.0, -1.0, -1.0), _array(1.0, 1.0, high))
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[ndarray, "3"], dict[str, Any]]:
        """Begin an episode; there are no options."""
        super().reset(seed=seed)
        self._step, self._bought, self._won = 0, False, False
        return self._observe(), {}

    def step(
        self, action: Float[ndarray, "1"]
    ) -> tuple[Float32[ndarray, "3"], float, bool, bool, dict[str, Any]]:
        """Decide, at the first step; wait, at the others."""
        if self._step == 0:
            self._bought = bool(action[0] > 0)
            # Drawn for a ticket that nobody bought too: what comes later does not depend on the decision.
            self._won = bool(self.np_random.random() < self.p)
        self._step += 1
        over = self._step >= self.steps
        paid = 1.0 / self.steps if self.kind == "spread" else float(over)
        return self._observe(), paid * self._payoff, over, False, {}

    @property
    def _payoff(self) -> float:
        return SURE if not self._bought else self.win if self._won else 0.0

    def _observe(self) -> Float32[ndarray, "3"]:
        bought = seen = 0.0
        if self._step > 0:
            bought = 1.0 if self._bought else -1.0
            if self.kind == "spread":
                seen = self._payoff * self._step / self.steps
            elif self.kind == "seen" and self._bought:
                seen = 1.0 if self._won else -1.0
        return _array(1.0 - self._step / self.steps, bought, seen)


def check(kind: str, p: float, win: float, steps: int) -> None:
    """Refuse a parameter that is not in its range.

    Raises:
        UserError: the first such one, with what was expected.
    """
    for key, value in (("kind", kind), ("p", p), ("win", win), ("steps", steps)):
        if not VALID[key](value):
            raise UserError(f"{key} of the lottery is {value!r}, expected {EXPECTED[key]}")


def lottery_id(kind: str = "seen", p: float = 0.05, win: float = 10.0, steps: int = 4) -> str:
    """A Gymnasium id that says all parameters, such as gac/Lottery-seen-p0.05-win10-steps4-v0; registered.

    Raises:
        UserError: a parameter that is not in its range.
    """
    check(kind, p, win, steps)
    env_id = f"gac/Lottery-{kind}-p{_text(p)}-win{_text(win)}-steps{steps}-v0"
    if env_id not in gymnasium.registry:
        gymnasium.register(
            env_id,
            entry_point="gac.envs.lottery:Lottery",
            disable_env_checker=True,
            kwargs={"kind": kind, "p": float(p), "win": float(win), "steps": steps},
        )
    return env_id


def register_by_id(env_id: str | None) -> None:
    """Register the environment of an id that `lottery_id` made; leave any other id alone."""
    found = _ID.fullmatch(env_id or "")
    if found is None:
        return
    try:
        parameters = found["kind"], float(found["p"]), float(found["win"]), int(found["steps"])
        lottery_id(*parameters)
    except (ValueError, UserError):
        return  # Gymnasium then says that it knows no such id.


def _array(left: float, bought: float, seen: float) -> Float32[ndarray, "3"]:
    return np.array([left, bought, seen], np.float32)


def _text(value: float) -> str:
    """A short text that reads back as the same number and that Gymnasium takes into an id."""
    return repr(float(value)).removesuffix(".0").replace("e+", "e")
