"""Acting under a fixed plan: a rolling context of M steps, fixed shapes, one compilation."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64
from numpy import ndarray

from gac.acting.plans import Plans, rows
from gac.compilation import JitSmall
from gac.data.blocks import LARGEST
from gac.data.precision import less
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.masks import unmasked
from gac.model.generator import Generator


class Context(NamedTuple):
    """The last M states and the M - 1 actions between them, standardised; oldest first."""

    states: Float[Array, "batch steps obs"]
    actions: Float[Array, "batch acted act"]
    valid: Bool[Array, "batch steps"]


def see(
    context: Context, state: Float[Array, "batch obs"]
) -> tuple[Float[Array, "batch steps obs"], Bool[Array, "batch steps"]]:
    """The states of the context with one more, and which of them were seen."""
    states = jnp.concatenate([context.states[:, 1:], state[:, None]], axis=1)
    valid = jnp.concatenate([context.valid[:, 1:], jnp.ones_like(context.valid[:, :1])], axis=1)
    return states, valid


def advance(
    context: Context,
    states: Float[Array, "batch steps obs"],
    valid: Bool[Array, "batch steps"],
    action: Float[Array, "batch act"],
) -> Context:
    """The context after the action that followed the states of `see`."""
    actions = jnp.concatenate([context.actions, action[:, None]], axis=1)[:, 1:]
    return Context(states, actions, valid)


def empty_context(batch: int, context: int, observation_dim: int, action_dim: int) -> Context:
    """Nothing seen yet."""
    return Context(
        jnp.zeros((batch, context, observation_dim)),
        jnp.zeros((batch, context - 1, action_dim)),
        jnp.zeros((batch, context), bool),
    )


@runtime_checkable
class Acts(Protocol):
    """What decides for each row of a batch, a NamedTuple of arrays: `Acting`, or another method's."""

    @property
    def standardiser(self) -> Standardiser:
        """The units of the training data."""

    @property
    def size(self) -> int:
        """Number of rows."""

    def start(self, context: int) -> Any:
        """What a row holds before its first state; its arrays have the rows as their first axis."""

    def rows(self, some: slice) -> "Acts":
        """The same for some of the rows."""

    def choose(self, context: Any, state: Float[Array, "batch obs"]) -> tuple[Any, Float[Array, "batch act"]]:
        """Take in a state (standardised) and decide: what is held after it, and the actions, scaled."""


class Acting(NamedTuple):
    """Plans and what they are acted out with, as arrays."""

    generator: Generator
    standardiser: Standardiser
    plans: Plans

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.plans.epsilon)

    def start(self, context: int) -> Context:
        """Nothing seen yet."""
        obs, act = len(self.standardiser.observation_mean), len(self.standardiser.action_middle)
        return empty_context(self.size, context, obs, act)

    def rows(self, some: slice) -> "Acting":
        """The plans of some of the rows."""
        return self._replace(plans=rows(self.plans, some))

    def choose(
        self, context: Context, state: Float[Array, "batch obs"]
    ) -> tuple[Context, Float[Array, "batch act"]]:
        """Shift a state into the context and act by the mean action, scaled."""
        states, valid = see(context, state)
        action = jnp.clip(self.generator.act(self.plans.memory, states, context.actions, valid), -1.0, 1.0)
        return advance(context, states, valid, action), action


def act_traced(
    acting: Acts, context: Any, observation: Float[Array, "batch obs"]
) -> tuple[Any, Float[Array, "batch act"]]:
    """One decision in raw units.

    Returns:
        The next context and the actions, raw.
    """
    state = acting.standardiser.standardise_observation(observation)
    context, action = acting.choose(context, state)
    return context, acting.standardiser.raw_action(action)


act = JitSmall(act_traced)


Flat = Callable[[list[Array], Any, Any], tuple[Any, Float[Array, "batch act"]]]


@functools.lru_cache(maxsize=16)
def flat_act(tree: Any) -> Flat:
    """`act` with what stays the same during an episode as a list of its arrays.

    To take the model apart at every step would be a seventh of the time of a single decision.

    Args:
        tree: structure of what acts.
    """

    def acting(
        leaves: list[Array], context: Any, observation: Float[Array, "batch obs"]
    ) -> tuple[Any, Float[Array, "batch act"]]:
        return act_traced(jax.tree.unflatten(tree, leaves), context, observation)

    return JitSmall(acting)


def batch_of(
    observation: Any,
    shape: tuple[int, int],
    single: bool,
    active: Any = None,
    offset: Float64[ndarray, "obs"] | None = None,
) -> Float[ndarray, "batch obs"]:
    """An observation, or a batch of them, as a batch; a compiled program takes in NumPy's arrays fastest.

    Args:
        observation: raw.
        shape: of the batch.
        single: whether one observation is given.
        active: rows that must be finite; all unless given.
        offset: what the model's states are less, subtracted here.

    Raises:
        UserError: an observation of another shape, or in an active row NaN, infinity or a number too large to
            square, which the row's context would go on holding.
    """
    current = np.asarray(unmasked(observation, "observation"), np.float32 if offset is None else np.float64)
    current = current[None] if single else current
    if current.shape != shape:
        raise UserError(
            f"observation has shape {np.shape(observation)}, expected {shape[1:] if single else shape}, "
            "as at planning"
        )
    sizes = np.abs(current if active is None else current[np.asarray(active, bool)])
    # `usable` of all in less time: NaN is the greatest where it is, and below nothing.
    if not sizes.max(initial=0.0) <= LARGEST:
        raise UserError(
            f"observation holds NaN or infinity or more than {LARGEST:g}; expected smaller numbers"
        )
    return current if offset is None else less(current, offset)


def offset_of(standardiser: Standardiser) -> Float64[ndarray, "obs"] | None:
    """What states are held less, in float64: JAX would round it."""
    offset = standardiser.observation_offset
    return None if offset is None else np.asarray(offset, np.float64)


def awaited(action: Float[Array, "batch act"], single: bool) -> Float[ndarray, "*batch act"]:
    """A copy of actions, for whoever gets them to write into; for a single plan the first row.

    A decision for one environment takes a tenth of a millisecond, and a thread that sleeps until it is made
    half as long again, to wake up. So this one asks again and again. It sleeps through a batch, which needs
    the core.
    """
    if single:
        while not action.is_ready():  # type: ignore[attr-defined]
            pass
    values = np.array(action)
    return values[0] if single else values


class Policy:
    """Acts for a batch of plans; holds their contexts. Made by `Agent.policy`.

    Args:
        acting: plans, and how they are acted out.
        context: steps M that the generator sees.
        single: whether one observation is given rather than a batch.
    """

    def __init__(self, acting: Acts, context: int, single: bool) -> None:
        self._single, self._context_steps, self._given = single, context, acting
        self._offset = offset_of(acting.standardiser)
        self._leaves, self._tree = jax.tree.flatten(jax.tree.map(jnp.asarray, acting))
        self._act = flat_act(self._tree)
        self._shape = (acting.size, len(acting.standardiser.observation_mean))
        self._empty = acting.start(context)
        self.reset()

    @property
    def batch(self) -> int:
        """Number of plans."""
        return self._shape[0]

    def halves(self) -> "tuple[Policy, Policy]":
        """Policies of the first and of the second half of the plans, with empty contexts."""

        def part(rows: slice) -> Policy:
            return Policy(self._given.rows(rows), self._context_steps, single=False)

        middle = self.batch // 2
        return part(slice(middle)), part(slice(middle, None))

    def reset(self) -> None:
        """Forget the context: a new episode begins, under the same plans."""
        self._context = self._empty
        self.replans = np.zeros(self._shape[0], np.int64)
        """New plans that each row got: none, here."""
        self.replan_seconds = 0.0

    def __call__(self, observation: Any, active: Any = None) -> Float[ndarray, "*batch act"]:
        """Actions for the current observations.

        Args:
            observation: `(obs,)` for a single plan, else `(batch, obs)`, raw.
            active: which rows still act, all unless given; what the others observe need not be finite.

        Returns:
            Actions of the same leading shape, raw, within the range that the data showed.

        Raises:
            UserError: an observation of another shape, or one not finite; the context stays as it was.
        """
        given = batch_of(observation, self._shape, self._single, active, self._offset)
        self._context, action = self._act(self._leaves, self._context, given)
        return awaited(action, self._single)
