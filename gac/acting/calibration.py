r"""From a false-alarm rate per episode to a threshold: what held-out episodes showed, as a record.

The largest value that a trigger's score reached is one number per held-out episode, $m_1 \dots m_n$. With
the threshold at the $\lceil (n + 1)(1 - \text{rate}) \rceil$-th smallest of them, a new episode that is
exchangeable with these exceeds it with a probability of at most `rate`, whatever the distribution.

Source: V. Vovk, A. Gammerman, G. Shafer, *Algorithmic Learning in a Random World*, 2005 (split conformal
prediction, with the maximum over an episode as the score).
"""

import dataclasses
import functools
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gac.acting.replan import Trigger
from gac.acting.watch import MEMORY_STEPS, SIGNALS
from gac.config import MOST_HELDOUT
from gac.errors import UserError
from gac.files import write_text
from gac.json_fields import Fields, read_text
from gac.model.joint import GAC

FILE = "calibration.json"
SCHEMA = 4
LIKE = 5
"""Held-out episodes whose plans are most like another, which tell how far it can be judged."""


@dataclass(frozen=True)
class Calibration:
    """What the signals did on held-out episodes under plans that fit them; the file calibration.json."""

    model: str
    """Fingerprint of the weights that it holds for."""
    data: str
    """Name of the data set."""
    memory_steps: int
    """W of the average."""
    scale: tuple[float, ...]
    """rho: root mean square of the residual of each state dimension, standardised."""
    surprise: tuple[float, ...]
    """The largest smoothed surprise of each held-out episode."""
    fall: tuple[float, ...]
    """The largest smoothed fall of each held-out episode."""
    states: tuple[int, ...]
    """States of each held-out episode."""
    mu: tuple[tuple[float, ...], ...]
    """Mean of the plan of each held-out episode, q(epsilon | tau, y), flat."""
    log_sigma: tuple[tuple[float, ...], ...]
    """Logarithms of its standard deviations."""
    first_lowest: tuple[float, ...]
    """Least value of each dimension over the data's first states, standardised."""
    first_highest: tuple[float, ...]
    """Greatest value of each dimension over the data's first states, standardised."""

    def may_begin(self, state: Float[ndarray, "batch obs"]) -> Bool[ndarray, "batch"]:
        """Whether a plan may begin at a state: every dimension is within what first states of the data span.

        The state enters a plan as `token(s0)` alone, which training showed first states only. Beyond them the
        critic extrapolates, and a new plan's promise is worth nothing (docs/replanning.md).
        """
        inside = (state >= np.asarray(self.first_lowest)) & (state <= np.asarray(self.first_highest))
        return np.asarray(inside.all(axis=1))

    def score(self, average: Float[ndarray, "batch signals"], signal: str) -> Float[ndarray, "batch"]:
        """How unusual smoothed signals are: from the median of the held-out episodes' maxima, in
        interquartile ranges of these, so that two signals compare; `either` takes the larger.
        """
        columns = [place for place, name in enumerate(SIGNALS) if signal in (name, "either")]
        low, middle, high = self._quartiles
        scores = (np.asarray(average, np.float64) - middle) / np.maximum(high - low, 1e-9)
        largest: Float[ndarray, "batch"] = scores[:, columns].max(axis=1)
        return largest

    @functools.cached_property
    def _quartiles(self) -> Float[ndarray, "3 signals"]:
        """Of the held-out episodes' maxima."""
        maxima = np.array([self.surprise, self.fall]).T
        quartiles: ndarray = np.percentile(maxima, [25, 50, 75], axis=0)
        return quartiles

    def threshold(self, trigger: Trigger) -> float:
        """The score above which the trigger fires.

        Raises:
            UserError: a rate below what so few held-out episodes can tell.
        """
        count = len(self.surprise)
        rank = math.ceil((count + 1) * (1.0 - trigger.rate) - 1e-9)
        if rank > count:
            raise UserError(
                f"the trigger's rate is {trigger.rate:g}, expected at least {1 / (count + 1):.3g} with "
                f"{count} held-out episodes; raise the rate, or train with a larger --heldout-fraction "
                f"({MOST_HELDOUT} episodes are the most that it holds out)"
            )
        return float(np.sort(self.score(np.array([self.surprise, self.fall]).T, trigger.signal))[rank - 1])

    def horizon(self, trigger: Trigger, epsilon: Float[ndarray, "batch n_z dim"]) -> Int[ndarray, "batch"]:
        """States of each plan that are judged: as many as the longest of the LIKE most like it have.

        Like a plan are the held-out episodes to whose q its base noise is most probable. Beyond their ends a
        state under it is what no episode showed, as after the arrival at a goal that ended these episodes:
        unusual without being wrong. Nor is any plan judged beyond where so few held-out episodes go that they
        cannot tell the rate, for rates that `threshold` accepts.
        """
        (mu, log_sigma), states = self._plans, np.asarray(self.states)
        needed = max(1, math.ceil(1.0 / trigger.rate - 1e-9) - 1)
        apart = (epsilon.reshape(-1, 1, mu.shape[1]) - mu) / np.exp(log_sigma)
        log_q = -np.sum(0.5 * np.square(apart) + log_sigma, axis=2)
        like = states[np.argsort(-log_q, axis=1)[:, :LIKE]].max(axis=1)
        judged: Int[ndarray, "batch"] = np.minimum(like, np.sort(states)[-needed])
        return judged

    @functools.cached_property
    def _plans(self) -> Float[ndarray, "2 heldout noise"]:
        """Means and logarithms of the standard deviations of the held-out episodes' plans."""
        return np.array([self.mu, self.log_sigma])

    def save(self, folder: Path) -> None:
        """Write calibration.json, a line for each field."""
        record = {"schema_version": SCHEMA, **dataclasses.asdict(self)}
        lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in record.items())
        write_text(folder / FILE, "{\n" + ",\n".join(lines) + "\n}\n")


def fingerprint(model: GAC) -> str:
    """SHA-256 of the weights."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array)):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def read_calibration(folder: Path, model: GAC) -> Calibration | None:
    """Read what `Calibration.save` wrote; None if there is none, or one of other weights.

    A run that trained on has other weights, and its old calibration says nothing about them.

    Raises:
        UserError: a damaged file.
    """
    path = folder / FILE
    if not path.exists():
        return None
    fields = Fields.parse(read_text(path), str(path))
    if fields.whole("schema_version") != SCHEMA:
        return None
    calibration = Calibration(
        model=fields.words("model"),
        data=fields.words("data"),
        memory_steps=fields.whole("memory_steps"),
        scale=fields.numbers("scale"),
        surprise=fields.numbers("surprise"),
        fall=fields.numbers("fall"),
        states=tuple(map(int, fields.numbers("states"))),
        mu=fields.table("mu"),
        log_sigma=fields.table("log_sigma"),
        first_lowest=fields.numbers("first_lowest"),
        first_highest=fields.numbers("first_highest"),
    )
    if calibration.memory_steps != MEMORY_STEPS or calibration.model != fingerprint(model):
        return None
    plans = calibration.mu, calibration.log_sigma
    counts = [len(each) for each in (calibration.surprise, calibration.fall, calibration.states, *plans)]
    width = model.config.latent_tokens * model.config.embed_dim
    if not counts[0] or len(set(counts)) > 1 or {len(row) for rows in plans for row in rows} != {width}:
        raise UserError(
            f"{path}: surprise, fall, states, mu and log_sigma have {', '.join(map(str, counts))} values, "
            f"expected one of each per held-out episode, the last two rows of {width}; delete the file and "
            "calibrate again"
        )
    return calibration
