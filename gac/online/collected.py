"""What was collected, with the aims and plans behind it: files that are whole or not there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from jaxtyping import Float, Int
from numpy import ndarray
from safetensors import SafetensorError

from gac.data.episodes import Episodes
from gac.errors import UserError, one_line
from gac.files import read_metadata, whole_file

SCHEMA = "1"


class Aims(NamedTuple):
    """What was asked of plans, and what they are, one row per plan."""

    y_plus: Float[ndarray, "batch"]
    """Return aimed at, raw; NaN where there was none."""
    predicted: Float[ndarray, "batch"]
    """mu_gamma(z_y) of the plan, raw; NaN where there was no plan."""
    spread: Float[ndarray, "batch"]
    """The critic's uncertainty of the return under q, raw; NaN where there was no plan."""
    mu: Float[ndarray, "batch n_z dim"]
    log_sigma: Float[ndarray, "batch n_z dim"]
    """q_phi(epsilon) that the plan was drawn from: where the posterior of its episode begins."""

    def at(self, rows: Any) -> "Aims":
        """Those of some rows."""
        return Aims(*(array[rows] for array in self))


@dataclass(frozen=True)
class Collected:
    """Episodes of a batch of plans, those that are over."""

    episodes: Episodes
    aims: Aims
    rows: Int[ndarray, "episodes"]
    """Place of each episode in its batch."""
    planned: int
    """Size of the batch; once all of it is played, without the episodes of a single step."""
    seconds: float
    """Wall-clock seconds that collecting took."""

    @property
    def whole(self) -> bool:
        """Whether every episode of the batch is there."""
        return len(self.rows) == self.planned

    def write(self, path: Path) -> None:
        """Write the file."""
        e = self.episodes
        arrays = {
            "observations": e.observations,
            "actions": e.actions,
            "rewards": e.rewards,
            "returns": e.returns,
            "lengths": e.lengths,
            "terminated": e.terminated,
            "truncated": e.truncated,
            "final_observations": e.final_observations,
            "observation_offset": e.observation_offset,
        }
        present = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
        aims = {name: np.ascontiguousarray(array) for name, array in self.aims._asdict().items()}
        facts = {"schema_version": SCHEMA, "planned": str(self.planned), "seconds": repr(self.seconds)}
        named = {"name": e.name, "env_id": e.env_id, "env_spec": e.env_spec}
        facts |= {key: value for key, value in named.items() if value is not None}
        with whole_file(path) as partial:
            safetensors.numpy.save_file(present | aims | {"rows": self.rows}, partial, facts)

    @classmethod
    def read(cls, path: Path) -> "Collected":
        """Read `write`'s file.

        Raises:
            UserError: a damaged or foreign file.
        """
        facts = read_metadata(path)
        if facts.get("schema_version") != SCHEMA:
            raise UserError(
                f"{path} has schema {facts.get('schema_version')}, this gac reads {SCHEMA}; collect anew"
            )
        try:
            arrays: dict[str, Any] = safetensors.numpy.load_file(path)
            aims = Aims(*(arrays.pop(name) for name in Aims._fields))
            rows = arrays.pop("rows")
            names = ("rewards", "final_observations", "observation_offset")
            optional = {name: arrays.pop(name, None) for name in names}
            named: dict[str, Any] = {name: facts.get(name) for name in ("env_id", "env_spec")}
            episodes = Episodes(**arrays, **optional, **named, name=facts["name"])
            return cls(episodes, aims, rows, int(facts["planned"]), float(facts["seconds"]))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged ({one_line(error)}); remove it to collect anew") from None


def aims_together(parts: list[Aims]) -> Aims:
    """Several batches as one."""
    return Aims(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
