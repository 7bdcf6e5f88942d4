"""What an agent of any method tells of what it was trained on."""

from typing import Any

from gac.data.standardise import Standardiser
from gac.envs.specification import Environment
from gac.records import DataFacts


class Trained:
    """The units and the facts of an agent's data, and what follows from them."""

    standardiser: Standardiser
    facts: DataFacts
    config: Any
    """Configuration of the run, that of its method."""

    @property
    def env_id(self) -> str | None:
        """Gymnasium id of the environment that the data came from, where it is known."""
        return self.facts.env_id

    @property
    def environment(self) -> Environment | None:
        """The same with all that it was made with."""
        return Environment.of(self.facts)

    @property
    def observation_dim(self) -> int:
        """Length of an observation."""
        return len(self.standardiser.observation_mean)

    @property
    def action_dim(self) -> int:
        """Length of an action."""
        return len(self.standardiser.action_middle)
