"""Agents that are asked for a return: what their files and their policies share."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.acting.policy import Acts, Policy
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.files import read_metadata, read_tree, write_text, write_tree
from gac.json_fields import read_text
from gac.records import DataFacts, no_run, read_facts
from gac.rivals.returns import asked_target, unit_of
from gac.trained import Trained

MODEL_SCHEMA = "1"


class Asked(Trained, ABC):
    """A trained agent of a method, with the units of its data.

    Args:
        model: weights, and what else acts.
        standardiser: the units of the training data.
        config: the run's configuration.
        facts: the run's data set.
        run: the folder that training wrote beside this agent; None where there is none.
    """

    queries: ClassVar[tuple[str, ...]]
    """What may be asked, the usual one first."""
    settings: ClassVar[Any]
    """Type of the configuration."""

    def __init__(
        self, model: Any, standardiser: Standardiser, config: Any, facts: DataFacts, run: Path | None = None
    ) -> None:
        self.model, self.standardiser = model, standardiser
        self.config, self.facts, self.run = config, facts, run
        self.unit = unit_of(np.asarray(facts.returns), config.return_scale)
        """What returns are divided by."""

    @staticmethod
    @abstractmethod
    def skeleton(config: Any, observation_dim: int, action_dim: int) -> Any:
        """A model of these sizes, to read a file into."""

    @abstractmethod
    def acting(
        self, query: str, target: float | None, seeds: list[int]
    ) -> tuple[Acts, Float[ndarray, "rows"] | None]:
        """What acts in each row, and the raw return that it predicts, where it predicts any."""

    def policy(
        self, rows: int | None = None, *, query: str | None = None, target: float | None = None, seed: int = 0
    ) -> Policy:
        """A policy for one environment, or for so many side by side.

        Args:
            rows: environments; None for one whose observations have no batch axis.
            query: one of `queries`, the first unless given.
            target: the return y* to ask for, raw; the paper's for the data's environment unless given.
            seed: row i draws with seed + i, whatever else is in the batch.

        Raises:
            UserError: an unknown query, or no return to ask for.
        """
        return self.planned(rows, query=query, target=target, seed=seed)[0]

    def planned(
        self,
        rows: int | None,
        *,
        query: str | None = None,
        target: float | None = None,
        env_id: str | None = None,
        seed: int = 0,
    ) -> tuple[Policy, tuple[float, ...]]:
        """`policy` in an environment, and the raw returns that it predicts, none where it predicts none."""
        query = self.checked(query)
        if query != "prior":
            target = asked_target(target, env_id or self.env_id)
            self.standardiser.check_aim(target)
        acting, predicted = self.acting(query, target, [seed + i for i in range(rows or 1)])
        policy = Policy(acting, self.config.context, single=rows is None)
        return policy, () if predicted is None else tuple((predicted * self.unit).tolist())

    def checked(self, query: str | None) -> str:
        """The query that is asked, the usual one where none is given.

        Raises:
            UserError: one that the method has not.
        """
        query = self.queries[0] if query is None else query
        if query not in self.queries:
            raise UserError(
                f"query is {query}, expected one of {', '.join(self.queries)} for a run of method "
                f"{self.config.method}"
            )
        return query

    def save(self, folder: str | Path) -> None:
        """Write config.json, data.json and model.safetensors: enough to act without the data."""
        folder = Path(folder)
        write_text(folder / "config.json", self.config.to_json())
        write_text(folder / "data.json", self.facts.to_json())
        metadata = {
            "schema_version": MODEL_SCHEMA,
            "method": self.config.method,
            "sizes": json.dumps(self.standardiser.sizes),
        }
        arrays = eqx.filter(self.model, eqx.is_array), self.standardiser
        write_tree(folder / "model.safetensors", arrays, metadata)

    @classmethod
    def load(cls, folder: str | Path) -> Any:
        """Read what `save` or a training run wrote.

        Raises:
            UserError: no run there, another method, a newer schema, a truncated or foreign file.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise no_run(folder)
        config = cls.settings.from_json(read_text(folder / "config.json"), str(folder / "config.json"))
        path = folder / "model.safetensors"
        metadata = read_metadata(path)
        found = metadata.get("method"), metadata.get("schema_version")
        if found != (config.method, MODEL_SCHEMA) or "sizes" not in metadata:
            raise UserError(
                f"{path} has schema {found[1]} of method {found[0]}, this gac reads {MODEL_SCHEMA} of "
                f"{config.method}; train again"
            )
        units = Standardiser.empty(**json.loads(metadata["sizes"]))
        sizes = len(units.observation_mean), len(units.action_middle)
        like = eqx.filter_eval_shape(cls.skeleton, config, *sizes)
        static = eqx.filter(like, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True)
        weights, standardiser = read_tree(path, (like, units))
        facts = read_facts(folder / "data.json")
        return cls(eqx.combine(weights, static), standardiser, config, facts, run=folder)


def keys_of(seeds: list[int]) -> Any:
    """The key of each row."""
    numbers = jnp.asarray(np.asarray(seeds) % 2**32, jnp.uint32)
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(0), seed))(numbers)
