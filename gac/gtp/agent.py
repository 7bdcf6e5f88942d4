"""The agent of Generative Trajectory Policies: a trained map with everything that acting needs."""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Float
from numpy import ndarray

from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.files import read_metadata, read_tree, write_text, write_tree
from gac.gtp.acting import GTPPolicy, Sampler
from gac.gtp.config import GTPConfig
from gac.gtp.map import FlowMap
from gac.json_fields import read_text
from gac.records import DataFacts, no_run, read_facts
from gac.trained import Trained

MODEL_SCHEMA = "1"
MOST_STEPS = 1000


class GTPAgent(Trained):
    """Samples an action for each observation.

    Args:
        actor: theta⁻, the averaged weights.
        standardiser: the units of the training data.
        config: the run's configuration.
        facts: the run's data set.
        run: the folder that training wrote beside this agent; None where there is none.
    """

    def __init__(
        self,
        actor: FlowMap,
        standardiser: Standardiser,
        config: GTPConfig,
        facts: DataFacts,
        run: Path | None = None,
    ) -> None:
        self.actor, self.standardiser = actor, standardiser
        self.config, self.facts, self.run = config, facts, run
        self._acting: GTPPolicy | None = None

    def act(self, observation: Any) -> Float[ndarray, "*batch act"]:
        """An action for one observation or a batch of them, by a policy of seed 0 that the agent keeps.

        Args:
            observation: `(obs,)` or `(batch, obs)`, raw.

        Returns:
            Actions of the same leading shape, raw; another draw at every call.

        Raises:
            UserError: an observation of another width, or one masked or not finite.
        """
        self._acting = self._acting or self.policy()
        return self._acting(observation)

    def policy(self, seed: int = 0, steps: int | None = None) -> GTPPolicy:
        """What acts, with noise of its own.

        Args:
            seed: of the noise; row i of a batch has that of `seed + i`, whatever else is in the batch.
            steps: sampling steps K; the configuration's unless given.

        Raises:
            UserError: a number of steps that is not 1 to 1000.
        """
        return GTPPolicy(Sampler(self.actor, self.config, self.checked(steps)), self.standardiser, seed)

    def checked(self, steps: int | None) -> int:
        """The number K of sampling steps: the configuration's unless given."""
        steps = self.config.steps if steps is None else steps
        if not 1 <= steps <= MOST_STEPS:
            raise UserError(f"steps is {steps}, expected 1 to {MOST_STEPS} sampling steps; try 2 or 5")
        return steps

    def save(self, folder: str | Path) -> None:
        """Write config.json, data.json and model.safetensors: enough to act without the data."""
        folder = Path(folder)
        write_text(folder / "config.json", self.config.to_json())
        write_text(folder / "data.json", self.facts.to_json())
        metadata = {
            "schema_version": MODEL_SCHEMA,
            "method": "gtp",
            "sizes": json.dumps(self.standardiser.sizes),
        }
        write_tree(
            folder / "model.safetensors", (eqx.filter(self.actor, eqx.is_array), self.standardiser), metadata
        )


def load(folder: str | Path) -> GTPAgent:
    """Read what `GTPAgent.save` or a training run wrote.

    Raises:
        UserError: no run there, another method, a newer schema, a truncated or foreign file.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise no_run(folder)
    config = GTPConfig.from_json(read_text(folder / "config.json"), str(folder / "config.json"))
    path = folder / "model.safetensors"
    metadata = read_metadata(path)
    found = metadata.get("method"), metadata.get("schema_version")
    if found != ("gtp", MODEL_SCHEMA) or "sizes" not in metadata:
        raise UserError(
            f"{path} has schema {found[1]} of method {found[0]}, this gac reads {MODEL_SCHEMA} of gtp; "
            "train again"
        )
    units = Standardiser.empty(**json.loads(metadata["sizes"]))
    sizes = len(units.observation_mean), len(units.action_middle)
    like = eqx.filter_eval_shape(FlowMap, config, *sizes, jax.random.key(0))
    static = eqx.filter(like, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True)
    weights, standardiser = read_tree(path, (like, units))
    facts = read_facts(folder / "data.json")
    return GTPAgent(eqx.combine(weights, static), standardiser, config, facts, run=folder)
