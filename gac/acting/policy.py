"""Acting under a fixed plan: a rolling context of M steps, fixed shapes, one compilation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy import ndarray

from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.model.generator import Generator, PlanMemory


class Context(NamedTuple):
    """The last M states and the M - 1 actions between them, standardised; oldest first."""

    states: Float[Array, "batch steps obs"]
    actions: Float[Array, "batch acted act"]
    valid: Bool[Array, "batch steps"]


@jax.jit
def act(
    generator: Generator,
    standardiser: Standardiser,
    memory: list[PlanMemory],
    context: Context,
    observation: Float[Array, "batch obs"],
) -> tuple[Context, Float[Array, "batch act"]]:
    """Shift the observation into the context and take the mean action of p_beta(a_t | context, z_traj).

    Returns:
        The next context and the actions, raw.
    """
    state = standardiser.standardise_observation(observation)
    states = jnp.concatenate([context.states[:, 1:], state[:, None]], axis=1)
    valid = jnp.concatenate([context.valid[:, 1:], jnp.ones_like(context.valid[:, :1])], axis=1)
    action = jnp.clip(generator.act(memory, states, context.actions, valid), -1.0, 1.0)
    actions = jnp.concatenate([context.actions, action[:, None]], axis=1)[:, 1:]
    return Context(states, actions, valid), standardiser.raw_action(action)


class Policy:
    """Acts for a batch of plans; holds their contexts. Made by `Agent.policy`."""

    def __init__(
        self,
        generator: Generator,
        standardiser: Standardiser,
        memory: list[PlanMemory],
        context: int,
        single: bool,
    ) -> None:
        self._generator, self._memory, self._single = generator, memory, single
        self._standardiser = jax.tree.map(jnp.asarray, standardiser)
        batch, obs, act_dim = memory[0].read.shape[0], *(len(standardiser[i]) for i in (0, 2))
        self._shape = (batch, obs)
        self._empty = Context(
            jnp.zeros((batch, context, obs)),
            jnp.zeros((batch, context - 1, act_dim)),
            jnp.zeros((batch, context), bool),
        )
        self.reset()

    def reset(self) -> None:
        """Forget the context: a new episode begins, under the same plans."""
        self._context = self._empty

    def __call__(self, observation: Any) -> Float[ndarray, "*batch act"]:
        """Actions for the current observations.

        Args:
            observation: `(obs,)` for a single plan, else `(batch, obs)`, raw.

        Returns:
            Actions of the same leading shape, raw, within the range that the data showed.

        Raises:
            UserError: an observation of another shape.
        """
        current = np.asarray(observation, np.float32)
        current = current[None] if self._single else current
        if current.shape != self._shape:
            expected = self._shape[1:] if self._single else self._shape
            raise UserError(
                f"observation has shape {np.shape(observation)}, expected {expected}, as at planning"
            )
        given = jnp.asarray(current)
        self._context, action = act(self._generator, self._standardiser, self._memory, self._context, given)
        return np.asarray(action)[0] if self._single else np.asarray(action)
