r"""Decisions in NumPy: Eq. (15) with all that does not depend on the state worked out before.

A compiled program takes twice as long for one environment: at a batch of one, calls cost more than
arithmetic. What is done to x at step i is $\alpha_i x + \beta_i F_\theta$, and the times add a constant to
the first layer.
"""

import itertools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gac.acting.policy import offset_of
from gac.data.blocks import LARGEST
from gac.data.precision import less
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.gtp.config import GTPConfig
from gac.gtp.map import FlowMap, scaling
from gac.gtp.times import sampling_times
from gac.masks import unmasked

BLOCK = 64
"""Decisions whose noise is drawn at once."""


class Step(NamedTuple):
    """One step of Eq. (15)."""

    into: Float[ndarray, "act width"]
    """Weights of x in the first layer, scaled by c_in."""
    bias: Float[ndarray, "width"]
    """What the times, and the layer's own bias, add to the first layer."""
    alpha: Float[ndarray, ""]
    beta: Float[ndarray, ""]


class Sampler:
    """Samples scaled actions for states; keeps its work space between calls."""

    def __init__(self, actor: FlowMap, config: GTPConfig, steps: int) -> None:
        first, *rest = actor.network.hidden
        weight = np.asarray(first.weight)
        act = actor.network.out.weight.shape[1]
        obs = len(weight) - act - 2 * config.time_features
        self._of_state, of_x, of_times = np.split(weight, [obs, obs + act])
        self._hidden = [(np.array(layer.weight), np.array(layer.bias)) for layer in rest]
        self._out = np.array(actor.network.out.weight), np.array(actor.network.out.bias)
        self.action_dim, self._largest = act, np.float32(config.sigma_max)
        times = sampling_times(steps, config)
        self._steps = []
        for t, s in itertools.pairwise(times):
            end = s if config.sampler == "map" else t
            since, until = jnp.full((1, 1), t), jnp.full((1, 1), end)
            skip, scale, scale_in = (np.asarray(each)[0, 0] for each in scaling(since, config.sigma_data))
            features = np.concatenate([actor.since(since)[0], actor.until(until)[0]])
            bias = features @ of_times + np.asarray(first.bias)
            ratio = s / t
            step = of_x * scale_in, bias, ratio + (1 - ratio) * skip, (1 - ratio) * scale
            self._steps.append(Step(*(np.asarray(each, np.float32) for each in step)))
        self._space: list[ndarray] = []

    def __call__(
        self, state: Float[ndarray, "*batch obs"], noise: Float[ndarray, "*batch act"]
    ) -> Float[ndarray, "*batch act"]:
        """Actions in [-1, 1]; the arguments, standardised states and noise z, are float32."""
        shape = (*state.shape[:-1], len(self._steps[0].bias))
        if not self._space or self._space[0].shape != shape:
            self._space = [np.empty(shape, np.float32) for _ in range(4)]
        h, other, *spare = self._space
        of_state, x = np.dot(state, self._of_state), self._largest * noise
        for step in self._steps:
            np.dot(x, step.into, out=h)
            h += of_state
            h += step.bias
            _mish(h, *spare)
            for weight, bias in self._hidden:
                np.dot(h, weight, out=other)
                other += bias
                _mish(other, *spare)
                h, other = other, h
            f = np.dot(h, self._out[0])
            f += self._out[1]
            x = step.alpha * x + step.beta * f
        return np.clip(x, -1.0, 1.0, out=x)


def _mish(h: ndarray, e: ndarray, ratio: ndarray) -> None:
    """`gac.gtp.layers.mish`, in place."""
    np.minimum(h, 20.0, out=e)
    np.exp(e, out=e)
    np.add(e, 2.0, out=ratio)
    ratio *= e
    np.add(ratio, 2.0, out=e)
    ratio /= e
    h *= ratio


class Noise:
    """The noise z of each row's decisions, from a generator of its own: no row depends on another."""

    def __init__(self, seed: int, action_dim: int) -> None:
        self._seed, self._width, self._place = seed, action_dim, BLOCK
        self._rows: list[np.random.Generator] = []
        self._block = np.zeros((BLOCK, 0, action_dim), np.float32)

    def __call__(self, rows: int) -> Float[ndarray, "rows act"]:
        """For the next decision of so many rows."""
        if self._place == BLOCK or self._block.shape[1] != rows:
            self._rows += [np.random.default_rng(self._seed + i) for i in range(len(self._rows), rows)]
            size, kind = (BLOCK, self._width), np.float32
            drawn = [row.standard_normal(size, kind) for row in self._rows[:rows]]
            self._block, self._place = np.stack(drawn, axis=1), 0
        self._place += 1
        values: ndarray = self._block[self._place - 1]
        return values


class GTPPolicy:
    """Acts for one environment or for a batch. Made by `GTPAgent.policy`."""

    def __init__(self, sampler: Sampler, standardiser: Standardiser, seed: int) -> None:
        self._sampler, self._standardiser, self._seed = sampler, standardiser, seed
        self._units = [np.asarray(each, np.float32) for each in standardiser[:4]]
        self._offset = offset_of(standardiser)
        self.replans, self.replan_seconds = np.zeros(1, np.int64), 0.0
        self.reset()

    def reset(self) -> None:
        """Begin the noise anew; nothing else is kept between decisions."""
        self._noise = Noise(self._seed, self._sampler.action_dim)

    def __call__(
        self, observation: Any, active: Bool[ndarray, "batch"] | None = None
    ) -> Float[ndarray, "*batch act"]:
        """Actions for the current observations.

        Args:
            observation: `(obs,)` or `(batch, obs)`, raw.
            active: which rows still act, all unless given; what the others observe need not be finite.

        Returns:
            Actions of the same leading shape, raw, within the range that the data showed.

        Raises:
            UserError: an observation of another width, or one masked or not finite.
        """
        mean, std, middle, half = self._units
        kind: Any = np.float32 if self._offset is None else np.float64
        given: ndarray = np.asarray(unmasked(observation, "observation"), kind)
        if given.ndim not in (1, 2) or given.shape[-1] != len(mean):
            raise UserError(
                f"observation has shape {np.shape(observation)}, expected ({len(mean)},) or "
                f"(batch, {len(mean)})"
            )
        sizes = np.abs(given if active is None else given[active])
        if not sizes.max(initial=0.0) <= LARGEST:
            raise UserError(
                f"observation holds NaN or infinity or more than {LARGEST:g}; expected smaller numbers"
            )
        given = given if self._offset is None else less(given, self._offset)
        single = given.ndim == 1
        noise = self._noise(1 if single else len(given))
        if active is not None:
            given = np.where(active[:, None], given, mean)
        if not single and len(given) != len(self.replans):
            self.replans = np.zeros(len(given), np.int64)
        action = self._sampler((given - mean) / std, noise[0] if single else noise)
        raw: ndarray = middle + half * action
        return raw
