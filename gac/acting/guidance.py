r"""Guidance: act as the plan does and others would not, from wherever the episode is now.

Imitation confuses causes. Near a goal most of what was logged leaves it, so in a state that its own way
never met, a plan that leads there is acted out like any other plan: the actor follows the state. What the
plan itself asks for shows in the difference to other plans *from the same state*. With weight w,

$$p_w(a | s_t) \propto p_\beta(a | s_t, z) \left(\frac{p_\beta(a | s_t, z)}{p(a | s_t)}\right)^w
    \propto p_\beta(a | s_t, z)\, p(z | a, s_t)^w,$$

so actions count as they tell the plan. With Gaussians of one spread, its mean is

$$\bar a_\beta(z) + w \Big(\bar a_\beta(z) - \frac{1}{K} \sum_k \bar a_\beta(z_k)\Big), \qquad
    z = f_\alpha(s, \epsilon), \quad z_k = f_\alpha(s, \epsilon_k), \quad \epsilon_k \sim N(0, I).$$

s is the last state at which an episode may begin: where the data's first states are everywhere, each state.
So what is left of an episode is taken as one of its own, under the same base noise, and a plan from far away
does not outlive the way that it was made for. Where all the data's episodes are of one length, what is left
is shorter than any of them, and s stays the first state.

Source: classifier-free guidance, J. Ho and T. Salimans, arXiv 2207.12598, there of a diffusion model's score.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
from numpy import ndarray

from gac.acting.policy import Context, advance, empty_context, see
from gac.config import ModelConfig
from gac.data.standardise import Standardiser
from gac.model.generator import Generator
from gac.model.joint import GAC

OTHERS = 4
"""Other plans K, the same draws for all rows and steps: 16 act alike (docs/research.md)."""


class Guide(NamedTuple):
    """What guided acting needs beside the plan."""

    weight: Float[Array, "batch"]
    """w of each plan; 0 is no guidance, only plans from where an episode may begin."""
    others: Float[Array, "others n_z dim"]
    """epsilon_k."""
    lowest: Float[Array, "obs"]
    """Least of each dimension of the data's first states, standardised."""
    highest: Float[Array, "obs"]
    """Largest."""

    @classmethod
    def new(
        cls,
        weight: Float[ndarray, "batch"],
        config: ModelConfig,
        lowest: Float[Array, "obs"],
        highest: Float[Array, "obs"],
    ) -> "Guide":
        """With the same draws every time."""
        others = jax.random.normal(jax.random.key(0), (OTHERS, config.latent_tokens, config.embed_dim))
        return cls(jnp.asarray(weight, jnp.float32), others, lowest, highest)

    def may_begin(self, state: Float[Array, "batch obs"]) -> Bool[Array, "batch"]:
        """Whether every dimension is within what the data's first states span."""
        return jnp.all((state >= self.lowest[None]) & (state <= self.highest[None]), axis=1)


class GuidedContext(NamedTuple):
    """A context, and the state that plans are read from."""

    seen: Context
    begin: Float[Array, "batch obs"]


class Guided(NamedTuple):
    """Plans to act out as others would not."""

    model: GAC
    standardiser: Standardiser
    epsilon: Float[Array, "batch n_z dim"]
    guide: Guide

    @property
    def generator(self) -> Generator:
        """p_beta."""
        return self.model.generator

    @property
    def size(self) -> int:
        """Number of plans."""
        return len(self.epsilon)

    def start(self, context: int) -> GuidedContext:
        """Nothing seen yet."""
        obs, act = len(self.standardiser.observation_mean), len(self.standardiser.action_middle)
        return GuidedContext(empty_context(self.size, context, obs, act), jnp.zeros((self.size, obs)))

    def rows(self, some: slice) -> "Guided":
        """Some of the plans."""
        guide = self.guide._replace(weight=self.guide.weight[some])
        return self._replace(epsilon=self.epsilon[some], guide=guide)

    def choose(
        self, context: GuidedContext, state: Float[Array, "batch obs"]
    ) -> tuple[GuidedContext, Float[Array, "batch act"]]:
        """`choose_guided` for these plans."""
        return choose_guided(self.model, self.guide, self.epsilon, context, state)


def choose_guided(
    model: GAC,
    guide: Guide,
    epsilon: Float[Array, "batch n_z dim"],
    context: GuidedContext,
    state: Float[Array, "batch obs"],
) -> tuple[GuidedContext, Float[Array, "batch act"]]:
    """Shift a state into the context and take the guided mean action, scaled; row by row independent."""
    states, valid = see(context.seen, state)
    fresh = ~jnp.any(context.seen.valid, axis=1) | guide.may_begin(state)
    begin = jnp.where(fresh[:, None], state, context.begin)
    plans = 1 + len(guide.others)

    def for_each_plan(rows: Array) -> Array:
        return jnp.tile(rows, (plans, *(1,) * (rows.ndim - 1)))

    noise = jnp.concatenate([epsilon, jnp.repeat(guide.others, len(state), axis=0)])
    memory = model.generator.remember(model.prior(for_each_plan(begin), noise)[1])
    means = model.generator.act(memory, *map(for_each_plan, (states, context.seen.actions, valid)))
    own, *others = jnp.split(means, plans)
    action = jnp.clip(own + guide.weight[:, None] * (own - sum(others) / len(others)), -1.0, 1.0)
    return GuidedContext(advance(context.seen, states, valid, action), begin), action
