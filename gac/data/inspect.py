"""What a data set holds, in numbers and in words."""

from typing import Any

import numpy as np
from numpy import ndarray

from gac.data.episodes import Episodes

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_CONSTANT_STD = 1e-6
_SATURATED_MARGIN = 1e-3


def describe(episodes: Episodes) -> dict[str, Any]:
    """Figures of a data set, ready for JSON.

    Returns:
        `name, env_id, episodes, steps, observation_dim, action_dim, has_rewards, has_final_observations,
        terminated` (share of episodes), `lengths {mean, std, min, max}`, `returns {mean, std, min, max,
        quantiles}` (raw, undiscounted), `saturated_actions` (share of action entries at either end of
        their dimension's range in the data), `constant_observations` (indices), `normalized_mean` (0 to
        100; None where no reference exists).
    """
    # Here, not above: acting builds on data, and this is the one thing needed from there.
    from gac.acting.scores import normalized_score

    std = episodes.observations.std(axis=0, dtype=np.float64)
    scores = normalized_score(episodes.env_id, episodes.returns)
    quantiles = np.quantile(episodes.returns.astype(np.float64), QUANTILES)
    return {
        "name": episodes.name,
        "env_id": episodes.env_id,
        "episodes": episodes.num_episodes,
        "steps": episodes.num_steps,
        "observation_dim": episodes.observation_dim,
        "action_dim": episodes.action_dim,
        "has_rewards": episodes.rewards is not None,
        "has_final_observations": episodes.final_observations is not None,
        "terminated": float(episodes.terminated.mean()),
        "lengths": _moments(episodes.lengths),
        "returns": {
            **_moments(episodes.returns),
            "quantiles": {f"{q:g}": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        },
        "saturated_actions": _saturated(episodes.actions),
        "constant_observations": np.flatnonzero(std < _CONSTANT_STD).tolist(),
        "normalized_mean": None if scores is None else float(scores.mean()),
    }


def format_description(description: dict[str, Any]) -> str:
    """A few lines about `describe`'s figures."""
    d = description
    lengths, returns, normalized = d["lengths"], d["returns"], d["normalized_mean"]
    quantiles = ", ".join(f"{float(q):.0%} {value:.1f}" for q, value in returns["quantiles"].items())
    score = "no reference" if normalized is None else f"{normalized:.1f} (0 random, 100 expert)"
    missing = [word for word in ("rewards", "final_observations") if not d[f"has_{word}"]]
    spread = "{mean:.1f} ± {std:.1f}, {min:.1f} to {max:.1f}"
    constant = d["constant_observations"] or "none"
    rows = {
        "environment": d["env_id"] or "unknown",
        "episodes": f"{d['episodes']:,}, {d['terminated']:.0%} of them terminated",
        "steps": f"{d['steps']:,}",
        "length": spread.format(**lengths),
        "return": spread.format(**returns),
        "quantiles": quantiles,
        "normalised": score,
        "observations": f"{d['observation_dim']} dimensions, constant: {constant}",
        "actions": f"{d['action_dim']} dimensions, {d['saturated_actions']:.1%} saturated",
        "missing": ", ".join(missing).replace("_", " ") or "nothing",
    }
    return "\n".join([d["name"], *(f"  {key:<13} {value}" for key, value in rows.items())])


def _moments(values: ndarray) -> dict[str, float]:
    exact = values.astype(np.float64)
    return {word: float(getattr(exact, word)()) for word in ("mean", "std", "min", "max")}


def _saturated(actions: ndarray) -> float:
    """A dimension with fewer than three values has no interior, and counts as not saturated."""
    low, high = actions.min(axis=0), actions.max(axis=0)
    margin = _SATURATED_MARGIN * (high - low) / 2
    return float(((high > low) & ((actions <= low + margin) | (actions >= high - margin))).mean())
