"""The agent of Online Decision Transformer: the mean action, asked for a return at each step."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpy import ndarray

from gac.acting.policy import Acts, Context, advance, empty_context, see
from gac.data.standardise import Standardiser
from gac.rivals.agent import Asked
from gac.rivals.odt.config import ODTConfig
from gac.rivals.odt.odt import ODT


class ODTActing(NamedTuple):
    """The policy and what each row asks for, as arrays."""

    theta: ODT
    standardiser: Standardiser
    g: Float[Array, "batch"]

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.g)

    def start(self, context: int) -> Context:
        """Nothing seen yet."""
        sizes = len(self.standardiser.observation_mean), len(self.standardiser.action_middle)
        return empty_context(self.size, context, *sizes)

    def rows(self, some: slice) -> "ODTActing":
        """What some of the rows ask for."""
        return self._replace(g=self.g[some])

    def choose(
        self, context: Context, state: Float[Array, "batch obs"]
    ) -> tuple[Context, Float[Array, "batch act"]]:
        """Shift a state into the context and act by the mean before tanh, scaled."""
        states, valid = see(context, state)
        # The last state's action is to be chosen: what stands in its place is seen by nothing before it.
        actions = jnp.pad(context.actions, ((0, 0), (0, 1), (0, 0)))
        action = jnp.tanh(self.theta(self.g, states, actions, valid).mean[:, -1])
        return advance(context, states, valid, action), action


class ODTAgent(Asked):
    """Asks for the return y* at each step; no reward is subtracted from it. Its model is theta."""

    queries = ("target",)
    settings = ODTConfig

    @staticmethod
    def skeleton(config: ODTConfig, observation_dim: int, action_dim: int) -> Any:
        """A model of these sizes."""
        return ODT(config, observation_dim, action_dim, jax.random.key(0))

    def acting(
        self, query: str, target: float | None, seeds: list[int]
    ) -> tuple[Acts, Float[ndarray, "rows"] | None]:
        """The policy; it predicts no return."""
        g = jnp.full(len(seeds), (target or 0.0) / self.unit, jnp.float32)
        return ODTActing(self.model, self.standardiser, g), None


def load(folder: str | Path) -> ODTAgent:
    """Read a run of odt; see `Asked.load`."""
    agent: ODTAgent = ODTAgent.load(folder)
    return agent
