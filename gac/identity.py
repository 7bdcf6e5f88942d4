"""Whether data is what a run was trained on, and if not, what differs: for whoever goes on with a run.

Of its data a run keeps a fingerprint (state.safetensors, or online.json), the return and length of each
episode (data.json) and its units (model.safetensors). Return and length find the run's episodes among
others; only the fingerprint proves that they are these.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from gac.agent import Agent, load
from gac.data.blocks import extremes, moments
from gac.data.episodes import Episodes
from gac.data.reset_rows import without_reset_rows
from gac.data.standardise import Standardiser
from gac.errors import UserError
from gac.records import read_online
from gac.training.checkpoint import fingerprint, read_progress

ALIKE = 1e-3
"""Relative difference of two statistics of the same values, beyond what float32 makes of them."""
OTHER_UNITS = 10.0
"""How many times larger or smaller values of other episodes are that no behaviour explains."""


class Known(NamedTuple):
    """What a run keeps of the episodes that it was trained on, those aside that fine-tuning collected."""

    returns: Float32[ndarray, "episodes"]
    lengths: Int64[ndarray, "episodes"]
    standardiser: Standardiser
    fingerprint: str | None
    """None where the agent lies in no run's folder."""

    @classmethod
    def of(cls, agent: Agent) -> "Known":
        """What the agent and its run keep."""
        facts = agent.facts
        offline = facts.episodes - facts.collected
        return cls(
            np.asarray(facts.returns[:offline], np.float32),
            np.asarray(facts.lengths[:offline], np.int64),
            agent.standardiser,
            None if agent.run is None else _stored_fingerprint(agent.run),
        )


class Found(NamedTuple):
    """Data beside a run's own."""

    episodes: Episodes
    """The run's in their order, then those that it was not trained on; as given where they differ."""
    added: int = 0
    """How many of them, the last ones, are new."""
    differs: str | None = None
    """What differs, in words that follow the data's name; None where the run's episodes are all there."""
    units: bool = False
    """Whether it is the meaning of the columns: nothing can be learned on from such data."""
    reordered: bool = False
    without_reset_rows: bool = False
    """The run's episodes are these without the rows that only reset."""


def compare(known: Known, data: Episodes) -> Found:
    """Find a run's episodes in data, wherever they stand there, or say what differs."""
    sizes = data.observation_dim, data.action_dim
    expected = len(known.standardiser.observation_mean), len(known.standardiser.action_middle)
    if sizes != expected:
        return Found(
            data,
            differs=f"has observations and actions of widths {sizes[0]} and {sizes[1]}, the run's have "
            f"{expected[0]} and {expected[1]}",
            units=True,
        )
    found = _located(known, data)
    if found is None and not data.on_disk and len(stripped := _stripped(data)) and stripped is not data:
        found = _located(known, stripped)
        found = None if found is None else found._replace(without_reset_rows=True)
    return found or _different(known, data)


def refusal(found: Found, name: str) -> UserError:
    """The refusal of data that differs."""
    where = "in the units that the run was trained in" if found.units else "that the run was trained on"
    return UserError(f"{name} {found.differs}; give the data {where}")


def check_same(out: Path, data: Episodes, its_fingerprint: str) -> None:
    """Refuse to go on with the run of a folder on anything but the episodes that it was trained on.

    Raises:
        UserError: what differs, or which episodes were added, and what to do.
    """
    # Within a stage of fine-tuning, training goes on with a buffer that holds more than the run's data.
    if read_progress(out).data == its_fingerprint or _stored_fingerprint(out) in (None, its_fingerprint):
        return
    found = compare(Known.of(load(out)), data)
    began = f"{out} was trained on other episodes than these: {data.name}"
    if found.differs is not None:
        raise UserError(f"{began} {found.differs}; resume with the same data set, or train in another folder")
    if found.added:
        old = len(found.episodes) - found.added
        raise UserError(
            f"{began} holds the run's {old} episodes and {found.added} that were added; resume with the "
            f"{old} alone, learn from all with gac finetune {out}, or train in another folder"
        )
    if found.without_reset_rows:
        raise UserError(f"{began} holds reset rows, which the run's did not; resume with --drop-reset-rows")
    raise UserError(
        f"{began} holds the same ones in another order; put them in order, or train in another folder"
    )


def _stored_fingerprint(run: Path) -> str | None:
    """Of the offline episodes; None where the folder tells of none."""
    try:
        if (run / "online.json").exists():
            return str(read_online(run)[0].get("data"))
        return read_progress(run).data
    except UserError:
        return None


def _stripped(data: Episodes) -> Episodes:
    try:
        return without_reset_rows(data)
    except UserError:
        return data


def _located(known: Known, data: Episodes) -> Found | None:
    """The run's episodes among the data's; None unless all of them are there, unchanged."""
    places, count = _places(known, data), len(known.returns)
    if (places < 0).any():
        return None
    rest = np.setdiff1d(np.arange(len(data)), places)
    moved = bool((places != np.arange(count)).any())
    if moved and data.on_disk:
        return None
    ordered = data.select(np.concatenate([places, rest])) if moved else data
    if known.fingerprint is not None:
        same = fingerprint(ordered, count) == known.fingerprint
    else:
        same = not _changes(known.standardiser, _units(ordered, count))
    return Found(ordered, len(rest), reordered=moved) if same else None


def _places(known: Known, data: Episodes) -> Int64[ndarray, "episodes"]:
    """Where in the data an episode of the same return and length as each of the run's is; -1 for none."""
    at = defaultdict(list)
    for i, pair in enumerate(zip(data.lengths.tolist(), data.returns.tolist(), strict=True)):
        at[pair].append(i)
    pairs = zip(known.lengths.tolist(), known.returns.tolist(), strict=True)
    left = {pair: iter(indices) for pair, indices in at.items()}
    return np.array([next(left.get(pair, iter(())), -1) for pair in pairs], np.int64)


def _units(data: Episodes, count: int) -> Standardiser:
    """Of the first so many episodes; of all where they stay on disk."""
    return Standardiser.fit(data if data.on_disk or count == len(data) else data.select(slice(0, count)))


def _different(known: Known, data: Episodes) -> Found:
    """In what way data that does not hold all of the run's episodes differs."""
    count, total = len(known.returns), len(data)
    lined_up = total >= count and bool((data.lengths[:count] == known.lengths).all())
    if lined_up and _follows(known, data.returns[:count]):
        changes = _changes(known.standardiser, _units(data, count))
        if changes:
            words = f"has the run's episodes in other units: {'; '.join(changes)}"
            return Found(data, differs=words, units=True)
        return Found(data, differs=f"has the run's {count} episodes with other values, in the same units")
    if unlike := _unlike(known, data):
        return Found(data, differs=f"is in other units than the run's data: {'; '.join(unlike)}", units=True)
    there = int((_places(known, data) >= 0).sum())
    if there == count:
        words = (
            f"has returns and lengths of all the run's {count} episodes, but other values or another order"
        )
        return Found(data, differs=words)
    held = f"holds {there} of the run's {count} episodes (by return and length) and {total - there} others"
    return Found(data, differs=held)


def _follows(known: Known, returns: Float32[ndarray, "episodes"]) -> bool:
    """Whether returns are the run's, in a unit of their own: a factor, and a constant for each step."""
    old, new = known.returns.astype(np.float64), returns.astype(np.float64)
    columns = np.column_stack([old, known.lengths])
    if len(np.unique(old)) <= columns.shape[1] or not new.std() > 0.0:
        return False  # Any episodes might have such returns.
    scale = np.abs(columns).max(axis=0)
    fitted = columns @ (np.linalg.lstsq(columns / scale, new, rcond=None)[0] / scale)
    return bool(np.abs(fitted - new).max() <= ALIKE * new.std())


def _changes(old: Standardiser, new: Standardiser) -> list[str]:
    """Columns whose units are not those of the run, in words."""
    said: dict[tuple[str, str], list[int]] = defaultdict(list)
    for kind, (old_mean, old_scale), (new_mean, new_scale) in zip(
        ("observation", "action", "return"), _pairs(old), _pairs(new), strict=True
    ):
        for i, (mean, scale) in enumerate(zip(new_mean, new_scale, strict=True)):
            still = scale == 0.0 or old_scale[i] == 0.0
            factor = 1.0 if still else scale / old_scale[i]
            factor = factor if abs(factor - 1.0) > ALIKE else 1.0
            shift = mean - factor * old_mean[i]
            # Rounding of a mean is of its own size, however little the column varies.
            shift = shift if abs(shift) > ALIKE * max(scale, ALIKE * abs(mean)) else 0.0
            if (factor, shift) != (1.0, 0.0):
                times = "" if factor == 1.0 else f"{factor:.4g} times "
                said[kind, f"{times}the run's{f' {shift:+.4g}' if shift else ''}"].append(i)
    return [_columns(kind, indices, words) for (kind, words), indices in said.items()]


def _unlike(known: Known, data: Episodes) -> list[str]:
    """Columns of other episodes that no behaviour brings to such a size, in words."""
    old = known.standardiser
    mean, std = moments(data.observations)
    low, high = (limit.astype(np.float64) for limit in extremes(data.actions))
    y = data.returns.astype(np.float64)
    new = (mean, std), ((low + high) / 2, (high - low) / 2), (y.mean()[None], y.std()[None])
    said: dict[tuple[str, str], list[int]] = defaultdict(list)
    for kind, (old_mean, old_scale), (new_mean, new_scale) in zip(
        ("observation", "action", "return"), _pairs(old), new, strict=True
    ):
        for i, scale in enumerate(old_scale.tolist()):
            # A column that never varied has no unit, or one of 1; one that stands still now tells none.
            if scale in (0.0, 1.0) or new_scale[i] == 0.0:
                continue
            factor = float(np.hypot(new_scale[i], new_mean[i] - old_mean[i])) / scale
            if factor <= OTHER_UNITS and new_scale[i] >= scale / OTHER_UNITS:
                continue
            ratio = factor if factor > OTHER_UNITS else new_scale[i] / scale
            if kind == "return" and ratio < 1.0 and abs(new_mean[0]) >= abs(old_mean[0]) / OTHER_UNITS:
                continue  # Episodes that are all about as good.
            said[kind, f"about {ratio:.2g} times as far from the run's mean as there"].append(i)
    return [_columns(kind, indices, words) for (kind, words), indices in said.items()]


Scales = tuple[tuple[ndarray, ndarray], ...]


def _pairs(units: Standardiser) -> Scales:
    """Mean and scale of each column of observations, actions and returns."""
    pairs = (
        (units.observation_mean, units.observation_std),
        (units.action_middle, units.action_half_range),
        (units.return_mean, units.return_std),
    )
    return tuple(
        (np.atleast_1d(np.asarray(mean, np.float64)), np.atleast_1d(np.asarray(scale, np.float64)))
        for mean, scale in pairs
    )


def _columns(kind: str, indices: list[int], words: str) -> str:
    if kind == "return":
        return f"returns are {words}"
    numbers = ", ".join(map(str, indices))
    return f"{kind}s {numbers} are {words}" if len(indices) > 1 else f"{kind} {numbers} is {words}"
