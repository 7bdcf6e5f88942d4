"""Episodes and their returns: ragged data, held flat."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64
from numpy import ndarray

from gac.data.agreement import check_returns
from gac.data.blocks import LARGEST, blocks, first_unusable, joined, sums_of_runs, usable
from gac.data.precision import hold_actions, hold_numbers, hold_states, less, rounded
from gac.envs.specification import checked_spec
from gac.errors import UserError
from gac.masks import unmasked

SHORTEST = 2
"""Fewest steps of an episode: one transition that the model can learn from."""

_VALUES = ("observations", "actions", "rewards", "final_observations", "returns")


class Episode(NamedTuple):
    """One trajectory tau and its return y, raw and undiscounted."""

    observations: Float[ndarray, "steps obs"]
    """Raw; float64 where float32 cannot hold them."""
    actions: Float32[ndarray, "steps act"]
    rewards: Float[ndarray, "steps"] | None
    y: float
    terminated: bool
    truncated: bool
    final_observation: Float[ndarray, "obs"] | None


@dataclass(frozen=True, eq=False)
class Episodes:
    """E whole episodes of N steps in all; everything is checked on entry.

    Args:
        observations: States `s_t`, raw but for `observation_offset`.
        actions: Actions `a_t`, raw.
        rewards: Rewards, or None where a source has returns alone; float64 where float32 cannot hold them.
        returns: `y`, the raw undiscounted return of each whole episode; float64 as for rewards.
        lengths: Steps T of each episode, in the order of the rows.
        terminated: The environment ended the episode.
        truncated: A time limit, or the source, ended the episode.
        final_observations: State `s_T` after the last action; None where a source lacks it.
        env_id: The Gymnasium id of the environment, if known.
        name: What to call the data in messages and records.
        env_spec: JSON of Gymnasium's specification (`env.spec.to_json()`) where the environment is more than
            its id: wrappers, arguments, a time limit of its own.
        observation_offset: What the states are held less, where float32 could not hold how a column varies
            (`gac.data.precision`): `raw` adds it. None where nothing is subtracted.

    Raises:
        UserError: what `from_arrays` lists.
    """

    observations: Float32[ndarray, "steps obs"]
    actions: Float32[ndarray, "steps act"]
    rewards: Float[ndarray, "steps"] | None
    returns: Float[ndarray, "episodes"]
    lengths: Int32[ndarray, "episodes"]
    terminated: Bool[ndarray, "episodes"]
    truncated: Bool[ndarray, "episodes"]
    final_observations: Float32[ndarray, "episodes obs"] | None
    env_id: str | None
    name: str
    env_spec: str | None = None
    observation_offset: Float64[ndarray, "obs"] | None = None

    def __post_init__(self) -> None:
        if self.env_spec is not None:
            object.__setattr__(self, "env_spec", checked_spec(self.env_spec, self.env_id, self.name))
        _check_layout(self)
        _check_values(self)

    @classmethod
    def from_arrays(
        cls,
        observations: Sequence[Any],
        actions: Sequence[Any],
        rewards: Sequence[Any] | None = None,
        returns: Sequence[float] | ndarray | None = None,
        terminated: Sequence[bool] | ndarray | None = None,
        truncated: Sequence[bool] | ndarray | None = None,
        env_id: str | None = None,
        name: str = "arrays",
        env_spec: str | None = None,
        observation_offset: ndarray | None = None,
    ) -> "Episodes":
        """Build episodes from one array each.

        Args:
            observations: Per episode `(T, S)`, or `(T + 1, S)` with the state after the last action.
            actions: Per episode `(T, A)`.
            rewards: Per episode `(T,)`; may be missing if `returns` is there.
            returns: `(E,)` raw undiscounted returns; the sums of `rewards` unless given.
            terminated: `(E,)`; unless given, those not `truncated` (none if neither is given).
            truncated: `(E,)`; unless given, those not `terminated`.
            env_id: The Gymnasium id of the environment.
            name: What to call the data.
            env_spec: JSON of Gymnasium's specification of the environment (`env.spec.to_json()`), where that
                is more than its id.
            observation_offset: `(S,)`, what the given observations are less already; found where they need it
                unless given.

        Raises:
            UserError: no episodes, one shorter than two steps, lengths or widths that do not match, values
                that are masked or no real numbers of at most 1e19 in size, neither rewards nor returns or
                the two at odds, an episode that is neither terminated nor truncated.
        """
        count = len(observations)
        check_count("actions", len(actions), count, name)
        if count == 0:
            raise UserError(f"{name} has no episodes, expected one or more; give observations and actions")
        states = [_numbers(x, 2, f"observations[{i}]", name) for i, x in enumerate(observations)]
        acts = [_numbers(x, 2, f"actions[{i}]", name) for i, x in enumerate(actions)]
        lengths = np.array([len(a) for a in acts], np.int32)
        has_final = _has_final([len(s) for s in states], lengths, name)
        flat_rewards = None
        if rewards is not None:
            check_count("rewards", len(rewards), count, name)
            flat_rewards = _join_rewards(rewards, lengths, name)
        if terminated is not None and truncated is None:
            truncated = ~_flags(terminated, "terminated", count, name)
        elif truncated is not None and terminated is None:
            terminated = ~_flags(truncated, "truncated", count, name)
        steps = _join([s[: len(a)] for s, a in zip(states, acts, strict=True)], "observations", name)
        final = _join([s[-1:] for s in states], "observations", name) if has_final else None
        given, offset = observation_offset is not None, observation_offset
        steps, offset = (rounded(steps), offset) if given else hold_states(steps, name)
        return cls(
            observations=steps,
            actions=hold_actions(_join(acts, "actions", name), name),
            rewards=flat_rewards,
            returns=episode_returns(flat_rewards, returns, lengths, name),
            lengths=lengths,
            terminated=_flags(
                [False] * count if terminated is None else terminated, "terminated", count, name
            ),
            truncated=_flags([True] * count if truncated is None else truncated, "truncated", count, name),
            final_observations=None if final is None else less(final, None if given else offset),
            env_id=env_id,
            name=name,
            env_spec=env_spec,
            observation_offset=offset,
        )

    @property
    def num_episodes(self) -> int:
        """Number E of episodes."""
        return len(self.lengths)

    @property
    def num_steps(self) -> int:
        """Number N of steps over all episodes."""
        return len(self.observations)

    @property
    def observation_dim(self) -> int:
        """Width S of an observation."""
        return int(self.observations.shape[1])

    @property
    def action_dim(self) -> int:
        """Width A of an action."""
        return int(self.actions.shape[1])

    @property
    def on_disk(self) -> bool:
        """Whether the steps stay in the file that they were read from and are read when needed."""
        return isinstance(self.observations, np.memmap)

    @cached_property
    def starts(self) -> Int64[ndarray, "episodes"]:
        """Row of each episode's first step."""
        starts: ndarray = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        return starts

    def raw(self, observations: Float32[ndarray, "... obs"]) -> Float[ndarray, "... obs"]:
        """States of this data in the units of its source; in float64 where an offset is added."""
        return observations if self.observation_offset is None else observations + self.observation_offset

    def __len__(self) -> int:
        return self.num_episodes

    def __getitem__(self, index: int) -> Episode:
        i = range(self.num_episodes)[index]
        rows, final = (
            slice(int(self.starts[i]), int(self.starts[i] + self.lengths[i])),
            self.final_observations,
        )
        return Episode(
            observations=self.raw(self.observations[rows]),
            actions=self.actions[rows],
            rewards=None if self.rewards is None else self.rewards[rows],
            y=float(self.returns[i]),
            terminated=bool(self.terminated[i]),
            truncated=bool(self.truncated[i]),
            final_observation=None if final is None else self.raw(final[i]),
        )

    def select(self, indices: Sequence[int] | slice | ndarray) -> "Episodes":
        """The episodes at `indices` (numbers, a slice or a mask), in that order.

        Raises:
            UserError: nothing is selected.
            IndexError: an index is out of range.
        """
        everything = np.arange(self.num_episodes)
        if isinstance(indices, slice):
            chosen = everything[indices]
        else:  # An empty list would become a float array, which is no index.
            chosen = everything[np.asarray(unmasked(indices, "indices")) if len(indices) else slice(0)]
        if chosen.size == 0:
            raise UserError(
                f"no episode of {self.name} is selected, expected one or more; widen the selection"
            )
        starts, ends = self.starts[chosen], self.starts[chosen] + self.lengths[chosen]

        return Episodes(
            observations=joined(self.observations, starts, ends),
            actions=joined(self.actions, starts, ends),
            rewards=None if self.rewards is None else joined(self.rewards, starts, ends),
            returns=self.returns[chosen],
            lengths=self.lengths[chosen],
            terminated=self.terminated[chosen],
            truncated=self.truncated[chosen],
            final_observations=None if self.final_observations is None else self.final_observations[chosen],
            env_id=self.env_id,
            name=self.name,
            env_spec=self.env_spec,
            observation_offset=self.observation_offset,
        )


def episode_returns(
    rewards: Float[ndarray, "steps"] | None, returns: Any, lengths: Int32[ndarray, "episodes"], name: str
) -> Float[ndarray, "episodes"]:
    """The given returns, or the sum of each episode's rewards.

    Raises:
        UserError: neither is there, the two are at odds, or the returns are not one number per episode.
    """
    if returns is not None:
        y = _numbers(returns, 1, "returns", name)
        check_count("returns", len(y), len(lengths), name)
        if rewards is not None:
            check_returns(rewards, y, lengths, name, whole=True)
        return hold_numbers(y)
    if rewards is None:
        raise UserError(
            f"{name} has neither rewards nor returns, expected one of them; give returns, one per episode"
        )
    sums = sums_of_runs(rewards, lengths, np.asarray)
    # Of rewards that were rounded to float32, float32 holds all that the sum tells.
    return hold_numbers(sums) if rewards.dtype == np.float64 else rounded(sums)


def _numbers(values: Any, rank: int, what: str, name: str) -> ndarray:
    """A float32 or float64 array of the rank; what is not finite is left for `_check_values` to name."""
    shown = unmasked(values, f"{what} of {name}")
    try:
        array = np.asarray(shown)
    except (TypeError, ValueError):
        raise UserError(
            f"{what} of {name} is ragged, expected an array of rank {rank}; give equal rows"
        ) from None
    if array.dtype.kind not in "fiu":
        fix = "fill in what is None, and convert it" if array.dtype.kind == "O" else "convert it"
        raise UserError(f"{what} of {name} has dtype {array.dtype}, expected real numbers; {fix} to float32")
    if array.ndim != rank:
        axes = "(steps, width)" if rank == 2 else "(steps,)" if "[" in what else "(episodes,)"
        raise UserError(f"{what} of {name} has shape {array.shape}, expected {axes}; reshape it")
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.ascontiguousarray(array, np.float32 if narrow else np.float64)


def _flags(values: Any, what: str, count: int, name: str) -> ndarray:
    array = np.asarray(unmasked(values, f"{what} of {name}"))
    if array.dtype != np.bool_ or array.ndim != 1:
        found = f"dtype {array.dtype} and shape {array.shape}"
        raise UserError(f"{what} of {name} has {found}, expected one bool per episode; convert it")
    check_count(what, len(array), count, name)
    return array


def check_count(what: str, found: int, expected: int, name: str) -> None:
    """Refuse what has not one entry per episode."""
    if found != expected:
        raise UserError(
            f"{what} of {name} has {found} entries, expected {expected}, one per episode; add or drop some"
        )


def _has_final(rows: list[int], lengths: ndarray, name: str) -> bool:
    """Whether every episode has T + 1 observations (True) or T (False); a mixture is an error."""
    extra = rows[0] - int(lengths[0]) == 1
    for i, (found, steps) in enumerate(zip(rows, lengths, strict=True)):
        if found - steps != extra:
            wanted = f"{steps + 1}" if extra and i else f"{steps}" if i else f"{steps} or {steps + 1}"
            raise UserError(
                f"episode {i} of {name} has {found} observations for {steps} actions, expected {wanted}; "
                "give T or T + 1 observations, the same way in all episodes"
            )
    return extra


def _join_rewards(rewards: Sequence[Any], lengths: ndarray, name: str) -> ndarray:
    parts = [_numbers(x, 1, f"rewards[{i}]", name) for i, x in enumerate(rewards)]
    for i, (part, steps) in enumerate(zip(parts, lengths, strict=True)):
        if len(part) != steps:
            raise UserError(
                f"episode {i} of {name} has {len(part)} rewards for {steps} actions; give one per action"
            )
    return hold_numbers(np.concatenate(parts))


def _join(parts: list[ndarray], what: str, name: str) -> ndarray:
    width = parts[0].shape[1]
    for i, part in enumerate(parts):
        if part.shape[1] != width:
            found = f"{what} of width {part.shape[1]}"
            raise UserError(
                f"episode {i} of {name} has {found}, expected {width} as in episode 0; make them equal"
            )
    return np.concatenate(parts)


def _check_layout(e: Episodes) -> None:
    """Types and shapes of the flat arrays, and the episodes' lengths."""
    steps, count = len(e.observations), len(e.lengths)
    layout: dict[str, tuple[Any, tuple[int | None, ...]]] = {
        "observations": (np.float32, (steps, None)),
        "actions": (np.float32, (steps, None)),
        "rewards": (np.float32, (steps,)),
        "returns": (np.float32, (count,)),
        "lengths": (np.int32, (count,)),
        "terminated": (np.bool_, (count,)),
        "truncated": (np.bool_, (count,)),
        "final_observations": (np.float32, (count, *e.observations.shape[1:])),
        "observation_offset": (np.float64, e.observations.shape[1:]),
    }
    for key, (dtype, shape) in layout.items():
        array = getattr(e, key)
        if array is None and key in ("rewards", "final_observations", "observation_offset"):
            continue
        unmasked(array, f"{key} of {e.name}")
        if key in ("rewards", "returns") and array.dtype == np.float64:
            dtype = np.float64
        fits = array.ndim == len(shape) and all(
            n in (None, m) for n, m in zip(shape, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            wanted = f"{np.dtype(dtype)} {tuple('any' if n is None else n for n in shape)}"
            raise UserError(
                f"{key} of {e.name} is {array.dtype} {array.shape}, expected {wanted}; convert it"
            )
        if array.ndim == 2 and array.shape[1] == 0:
            raise UserError(f"{key} of {e.name} has width 0, expected 1 or more; give at least one dimension")
    if count == 0:
        raise UserError(f"{e.name} has no episodes, expected one or more; give some")
    if np.any(e.lengths < SHORTEST):
        i = int(np.argmax(e.lengths < SHORTEST))
        raise UserError(
            f"episode {i} of {e.name} has length {e.lengths[i]}, expected {SHORTEST} or more; drop it"
        )
    if (total := int(e.lengths.sum(dtype=np.int64))) != steps:
        raise UserError(
            f"lengths of {e.name} add up to {total}, expected {steps} as there are rows; correct them"
        )


def _check_values(e: Episodes) -> None:
    """Numbers to compute with, an end to every episode, returns that are the sums of the rewards."""
    for key in _VALUES:
        array = getattr(e, key)
        place = None if array is None else first_unusable(array)
        if place is None:
            continue
        i, where = place[0], ""
        if len(array) == e.num_steps:
            i = int(np.searchsorted(e.starts, place[0], side="right")) - 1
            where = f", step {place[0] - e.starts[i]}"
        raise UserError(
            f"episode {i} of {e.name} has {key} {array[place]:g}{where}, {_unusable(e)}, "
            f"expected finite float32 of at most {LARGEST:g} in size; drop such episodes"
        )
    endless = ~(e.terminated | e.truncated)
    if endless.any():
        i = int(np.argmax(endless))
        raise UserError(f"episode {i} of {e.name} is neither terminated nor truncated; set one of them")
    if e.rewards is not None:
        check_returns(e.rewards, e.returns, e.lengths, e.name)


def _unusable(e: Episodes) -> str:
    """How many values are not usable, in how many episodes and in which arrays."""
    counts, holders = Counter[str](), set[int]()
    for key in _VALUES:
        array, before = getattr(e, key), 0
        for block in [] if array is None else blocks(array):
            rows = before + np.argwhere(~usable(block))[:, 0]
            of_step = len(array) == e.num_steps
            counts[key] += len(rows)
            holders.update(np.searchsorted(e.starts, rows, side="right") - 1 if of_step else rows)
            before += len(block)
    where = ", ".join(f"{count:,} in {key}" for key, count in counts.items() if count)
    return f"the first value of {counts.total():,} in {len(holders):,} episodes ({where})"
