"""The agent of Latent Plan Transformer: a plan for each episode, fixed while it lasts."""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from gac.acting.policy import Acts, Context, advance, empty_context, see
from gac.compilation import float32_products
from gac.data.standardise import Standardiser
from gac.model.generator import Generator, PlanMemory
from gac.rivals.agent import Asked, keys_of
from gac.rivals.lpt.config import LPTConfig
from gac.rivals.lpt.lpt import LPT, make_plans, prior_plans


class LPTActing(NamedTuple):
    """Plans and what they are acted out with, as arrays."""

    generator: Generator
    standardiser: Standardiser
    memory: list[PlanMemory]

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.memory[0].bias)

    def start(self, context: int) -> Context:
        """Nothing seen yet."""
        sizes = len(self.standardiser.observation_mean), len(self.standardiser.action_middle)
        return empty_context(self.size, context, *sizes)

    def rows(self, some: slice) -> "LPTActing":
        """The plans of some of the rows."""
        return self._replace(memory=jax.tree.map(lambda leaf: leaf[some], self.memory))

    def choose(
        self, context: Context, state: Float[Array, "batch obs"]
    ) -> tuple[Context, Float[Array, "batch act"]]:
        """Shift a state into the context and act by the mean action, scaled."""
        states, valid = see(context, state)
        action = jnp.tanh(self.generator.act(self.memory, states, context.actions, valid))
        return advance(context, states, valid, action), action


class LPTAgent(Asked):
    """Samples a plan for y*, or from the prior, then acts. Its model is theta, and z0 of the best trajectory.

    `target` samples p(z0) p(y* | z), `exploit` (LPT-EI) p(z0) p(y* | z)^w, and `prior` p(z0).
    """

    queries = ("target", "exploit", "prior")
    settings = LPTConfig

    @staticmethod
    def skeleton(config: LPTConfig, observation_dim: int, action_dim: int) -> Any:
        """A model of these sizes."""
        best = jnp.zeros((config.latent_tokens, config.embed_dim))
        return LPT(config, observation_dim, action_dim, jax.random.key(0)), best

    def acting(
        self, query: str, target: float | None, seeds: list[int]
    ) -> tuple[Acts, Float[ndarray, "rows"] | None]:
        """Plans of the rows, and the returns that they predict."""
        theta, best = self.model
        weight = self.config.exploit_weight if query == "exploit" else 1.0
        y = None if query == "prior" else jnp.full(len(seeds), (target or 0.0) / self.unit, jnp.float32)
        memory, predicted = _planned(theta, best, y, keys_of(seeds), weight, self.config)
        return LPTActing(theta.generator, self.standardiser, memory), np.asarray(predicted)


@eqx.filter_jit
def _planned(
    theta: LPT,
    best: Float[Array, "n_z dim"],
    y: Float[Array, "batch"] | None,
    keys: Any,
    weight: float,
    config: LPTConfig,
) -> tuple[list[PlanMemory], Float[Array, "batch"]]:
    """Plans as the generator reads them; of the prior where no return is asked for."""
    with float32_products():
        if y is None:
            z, predicted = prior_plans(theta, best.shape, keys)
        else:
            z, predicted = make_plans(theta, best, y, keys, weight, config)
        return theta.generator.remember(z), predicted


def load(folder: str | Path) -> LPTAgent:
    """Read a run of lpt; see `Asked.load`."""
    agent: LPTAgent = LPTAgent.load(folder)
    return agent
