"""A policy that infers new plans within an episode, for those of a batch that need one, in fixed shapes."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

from gac.acting.calibration import Calibration
from gac.acting.plans import Plans
from gac.acting.policy import Acting, act, awaited, batch_of, offset_of
from gac.acting.replan import Every, Trigger
from gac.acting.watch import Watch, act_and_expect, judged, watch
from gac.compilation import JitSmall
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.model.joint import GAC

GROUP = 16
"""Most rows that are replanned at once: with a few rows due, few are computed for nothing."""

Infer = Callable[[Float[Array, "group obs"], Int[ndarray, "group"], Int[ndarray, "group"]], Plans]
"""`(standardised states, their rows, numbers of the plan) -> plans`, row by row independent."""


class ReplanningPolicy:
    """As `Policy`, with new plans where `replan` asks for them. Made by `Agent.policy`.

    The new plan answers the query of the first one at the current state. Where `choosy`, the old one stays
    unless the new one promises sigma_y more from there. Context and environment go on; the trigger begins
    anew with either.

    Args:
        model: theta.
        standardiser: the units of the training data.
        first: the first plans.
        infer: answers the query.
        replan: when to plan anew.
        calibration: what held-out episodes showed; the trigger needs it.
        single: whether one observation is given rather than a batch.
        choosy: keep a plan unless the new one promises sigma_y more, as exploit does.

    Raises:
        UserError: a trigger without a calibration, or with a rate that it cannot tell.
    """

    def __init__(
        self,
        model: GAC,
        standardiser: Standardiser,
        first: Plans,
        infer: Infer,
        replan: Every | Trigger,
        calibration: Calibration | None,
        single: bool,
        choosy: bool,
    ) -> None:
        self._choosy, self._offset = choosy, offset_of(standardiser)
        self._model, self._standardiser = model, jax.tree.map(jnp.asarray, standardiser)
        self._first, self._infer, self._single = first, infer, single
        self._replan, self._calibration = replan, calibration
        batch, obs = len(first.epsilon), len(standardiser.observation_mean)
        self._shape, self._group = (batch, obs), min(batch, GROUP)
        if isinstance(replan, Trigger):
            if calibration is None:
                raise UserError(
                    "the trigger is not calibrated; give gac evaluate --data DATA, or call "
                    "gac.calibrate(agent, data) with the data that the run was trained on"
                )
            self._threshold = calibration.threshold(replan)
            self._scale = jnp.asarray(calibration.scale, jnp.float32)
        self._first_left = self._span(np.asarray(first.epsilon))
        self._plans = first
        self._empty = self._acting().start(model.config.context)
        self.reset()

    def reset(self) -> None:
        """Forget the episode: a new one begins, under the first plans."""
        batch, obs = self._shape
        self._context, self._plans = self._empty, self._first
        self._watch = Watch.new(batch, obs)
        self._left = self._first_left.copy()
        self.replans: Int[ndarray, "batch"] = np.zeros(batch, np.int64)
        """Times that a new plan was inferred for each row."""
        self.replan_seconds = 0.0
        """Wall-clock seconds of inferring them, compilation included."""

    def __call__(
        self, observation: Any, active: Bool[ndarray, "batch"] | None = None
    ) -> Float[ndarray, "*batch act"]:
        """Actions for the current observations, after a new plan where one is due.

        Args:
            observation: `(obs,)` for a single plan, else `(batch, obs)`, raw.
            active: rows whose episode goes on, all unless given: for the others no plan is inferred.

        Returns:
            Actions of the same leading shape, raw, within the range that the data showed.

        Raises:
            UserError: an observation of another shape, or one not finite; the context stays as it was.
        """
        given = jnp.asarray(batch_of(observation, self._shape, self._single, active, self._offset))
        state = self._standardiser.standardise_observation(given)
        due = self._due(state) & (True if active is None else np.asarray(active, bool))
        if due.any():
            self._plan_anew(np.flatnonzero(due), state)
        self._left -= 1
        if isinstance(self._replan, Trigger):
            self._context, action, expected = act_and_expect(self._acting(), self._context, state)
            self._watch = self._watch._replace(expected=expected)
        else:
            self._context, action = act(self._acting(), self._context, given)
        return awaited(action, self._single)

    def _acting(self) -> Acting:
        """The present plans, as they are acted out."""
        return Acting(self._model.generator, self._standardiser, self._plans)

    def _due(self, state: Float[Array, "batch obs"]) -> Bool[ndarray, "batch"]:
        """The rows that need a new plan; the trigger takes in the state."""
        if isinstance(self._replan, Every):
            return self._left <= 0
        assert self._calibration is not None  # checked when made
        self._before = self._watch
        self._watch = watch(self._model, self._plans.epsilon, self._scale, self._watch, state)
        average, seen = np.asarray(self._watch.average), np.asarray(self._watch.seen)
        unusual = self._calibration.score(average, self._replan.signal) > self._threshold
        known = judged(seen, self.replans) & (self._left > 0)
        due: Bool[ndarray, "batch"] = unusual & known
        return due & self._calibration.may_begin(np.asarray(state)) if due.any() else due

    def _plan_anew(self, rows: Int[ndarray, "due"], state: Float[Array, "batch obs"]) -> None:
        """Infer plans for the rows, a padded group after the other, and begin with those that are taken."""
        began = time.perf_counter()
        self.replans[rows] += 1
        for start in range(0, len(rows), self._group):
            some = rows[start : start + self._group]
            # Rows that fill the group up are its first one again: the same plan, put in the same place.
            group = np.concatenate([some, np.repeat(some[:1], self._group - len(some))])
            at = jnp.asarray(group)
            here = _take(state, at)
            fresh = self._infer(here, group, self.replans[group])
            begins = np.ones(len(some), bool)
            if self._choosy:
                fresh, more = _promising_more(self._model, here, fresh, _take(self._plans, at))
                if isinstance(self._replan, Trigger):
                    begins = np.asarray(more)[: len(some)]
            self._plans = _put(self._plans, at, fresh)
            self._left[some[begins]] = self._span(np.asarray(fresh.epsilon)[: len(some)][begins])
        if isinstance(self._replan, Trigger):
            new = np.zeros(self._shape[0], bool)
            new[rows] = True
            # The other rows take the same step again, with the same result.
            before = self._before._replace(seen=jnp.where(new, 0, self._before.seen))
            self._watch = watch(self._model, self._plans.epsilon, self._scale, before, state)
        # Or the clock would stop too early.
        jax.block_until_ready((self._plans, self._watch))  # type: ignore[no-untyped-call]
        self.replan_seconds += time.perf_counter() - began

    def _span(self, epsilon: Float[ndarray, "plans n_z dim"]) -> Int[ndarray, "plans"]:
        """Steps after which plans that begin now are replaced or, at a trigger, no longer judged."""
        if isinstance(self._replan, Every):
            return np.full(len(epsilon), self._replan.steps)
        assert self._calibration is not None  # checked when made
        return self._calibration.horizon(self._replan, epsilon)


@JitSmall
def _promising_more(
    model: GAC, state: Float[Array, "group obs"], new: Plans, old: Plans
) -> tuple[Plans, Bool[Array, "group"]]:
    """Row by row the new plan where it promises sigma_y more from here, else the old one; and which it is.

    A new plan may not fit where the agent is. Taking every new plan led away from the goal of a maze.
    """
    promised = model.predicted_return(state, old.epsilon)
    more = model.predicted_return(state, new.epsilon) > promised + model.critic.sigma_y()
    chosen: Plans = jax.tree.map(
        lambda a, b: jnp.where(more.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old
    )
    return chosen, more


@jax.jit
def _take(whole: Any, rows: Int[Array, "group"]) -> Any:
    """Some rows of the arrays."""
    return jax.tree.map(lambda leaf: leaf[rows], whole)


@jax.jit
def _put(whole: Any, rows: Int[Array, "group"], part: Any) -> Any:
    """The arrays with some rows replaced."""
    return jax.tree.map(lambda old, new: old.at[rows].set(new), whole, part)
