"""The record of a stage, stage-<n>.json: every number of it, and what the next stage needs."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gac.data.episodes import Episodes
from gac.data.scores import normalized_score
from gac.errors import UserError
from gac.json_fields import read_text
from gac.online.collected import Collected, aims_together
from gac.online.targets import Outcome, Targets, reached, weighted_quantile
from gac.records import Evaluation, read_evaluation

SCHEMA_VERSION = 1
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Collection:
    """What a stage collected. Returns are raw and undiscounted; None where there was no plan."""

    y_plus: tuple[float | None, ...]
    """Returns aimed at."""
    predicted_returns: tuple[float | None, ...]
    """mu_gamma(z_y) of each plan."""
    spread: tuple[float | None, ...]
    """The critic's uncertainty of each."""
    returns: tuple[float, ...]
    """Achieved."""
    lengths: tuple[int, ...]
    mean: float
    std: float
    normalized_mean: float | None
    """0 to 100; None where no reference exists."""
    reached: float
    """Share of the aims that were reached, as `gac.online.targets.reached` counts it."""


@dataclass(frozen=True)
class BufferFacts:
    """The buffer that a stage learned from."""

    episodes: int
    steps: int
    quantiles: Mapping[str, float]
    """Of the returns of all its episodes alike."""
    learned_quantiles: Mapping[str, float]
    """Of the returns as they are learned from, by share."""
    new_share: float
    """Share of the newest stage's episodes in what is learned."""


@dataclass(frozen=True)
class StageRecord:
    """One stage; stage 0 is what everything began from, with nothing but `after`."""

    stage: int
    env_id: str | None
    seed: int
    targets: Targets
    """That aims of this stage were drawn by."""
    next_targets: Targets
    """What the controller made of it, for the next stage."""
    collection: Collection | None
    buffer: BufferFacts | None
    first_update: int
    """Updates that were done before the stage."""
    last_update: int
    elbo: Mapping[str, float | None]
    """The last line of metrics.jsonl of this stage: elbo, its terms, and others that are numbers;
    heldout_elbo and heldout_elbo_before of the episodes that were held out offline."""
    before: Evaluation | None
    """exploit before the stage; None where there is no environment."""
    after: Evaluation | None
    """exploit after it."""
    seconds: Mapping[str, float]
    """Wall clock of `collect`, `train` and `evaluate`."""
    trained_seconds: float
    """Seconds in updates of the whole run until now."""

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}, indent=1)


def record_path(out: Path, stage: int) -> Path:
    """Where the record of a stage is."""
    return out / f"stage-{stage}.json"


def read_record(path: Path) -> StageRecord:
    """Read a record strictly.

    Raises:
        UserError: no such file, not JSON, another schema, unknown or missing fields.
    """
    try:
        raw: dict[str, Any] = json.loads(read_text(path))
        version = raw.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise UserError(f"{path} has schema_version {version!r}, not {SCHEMA_VERSION}; fine-tune anew")
        for name, kind in (("targets", Targets), ("next_targets", Targets)):
            raw[name] = kind(**raw[name])
        for name in ("before", "after"):
            if raw[name] is not None:
                raw[name] = read_evaluation(json.dumps(raw[name]), f"{path}: {name}")
        if raw["collection"] is not None:
            lists: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in raw["collection"].items()
            }
            raw["collection"] = Collection(**lists)
        if raw["buffer"] is not None:
            raw["buffer"] = BufferFacts(**raw["buffer"])
        return StageRecord(**raw)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no record of a stage ({error}); restore the file") from None


def outcome(batches: list[Collected]) -> Outcome:
    """What came of the aims of a stage."""
    aims = aims_together([batch.aims for batch in batches])
    returns = np.concatenate([batch.episodes.returns for batch in batches]).astype(np.float64)
    return Outcome(aims.y_plus, returns, aims.spread)


def collection(batches: list[Collected], env_id: str | None) -> Collection:
    """What a stage collected."""
    aims = aims_together([batch.aims for batch in batches])
    result = outcome(batches)
    scores = normalized_score(env_id, result.returns)
    return Collection(
        y_plus=known(aims.y_plus),
        predicted_returns=known(aims.predicted),
        spread=known(aims.spread),
        returns=tuple(result.returns.tolist()),
        lengths=tuple(int(n) for batch in batches for n in batch.episodes.lengths),
        mean=float(result.returns.mean()),
        std=float(result.returns.std()),
        normalized_mean=None if scores is None else float(scores.mean()),
        reached=reached(result),
    )


def buffer_facts(buffer: Episodes, share: Float[ndarray, "episodes"], newest: int) -> BufferFacts:
    """What a stage learned from; its last `newest` episodes are the newest stage's."""
    returns = buffer.returns.astype(np.float64)
    return BufferFacts(
        episodes=buffer.num_episodes,
        steps=buffer.num_steps,
        quantiles={str(q): float(np.quantile(returns, q)) for q in QUANTILES},
        learned_quantiles={str(q): weighted_quantile(returns, share, q) for q in QUANTILES},
        new_share=float(share[len(share) - newest :].sum()),
    )


def known(values: Float[ndarray, "episodes"]) -> tuple[float | None, ...]:
    """Numbers, with None for NaN, which JSON has not."""
    return tuple(float(value) if np.isfinite(value) else None for value in values)
