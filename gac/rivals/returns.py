"""Returns as the rivals take them: their unit, and the return that is asked for when acting."""

import re

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.errors import UserError

TARGETS = {
    "hopper": 3600.0,
    "walker2d": 5000.0,
    "halfcheetah": 6000.0,
    "maze2d-umaze": 165.0,
    "maze2d-medium": 280.0,
    "maze2d-large": 275.0,
    "antmaze": 1.0,
}
"""y*, raw and undiscounted, by the first words of an environment's id: LPT's; ODT has the robots' ones."""


def usual_target(env_id: str) -> float | None:
    """The papers' y* in an environment; None where they have none."""
    name = re.sub(r"^.*/(Noisy)?", "", env_id, flags=re.I).lower()
    return next((y for start, y in TARGETS.items() if name.startswith(start)), None)


def asked_target(target: float | None, env_id: str | None) -> float:
    """The return to ask for, raw.

    Raises:
        UserError: none is given, and the papers have none for the environment.
    """
    found = target if target is not None else usual_target(env_id or "")
    if found is None:
        raise UserError(
            f"no return to ask for is known in {env_id or 'no environment'}; give it, raw: --target Y, such "
            "as the best of the data (gac data inspect)"
        )
    return found


def unit_of(returns: Float[ndarray, "episodes"], scale: float) -> float:
    """What returns are divided by: `scale`; for 0, the largest power of ten that some |return| reaches.

    That power is what the papers chose by hand: 1000 on the robots, 100 in the mazes of maze2d, 1 in AntMaze.
    """
    largest = float(np.abs(np.asarray(returns, np.float64)).max())
    if scale:
        return scale
    return 10.0 ** np.floor(np.log10(largest)).item() if largest > 0.0 else 1.0
