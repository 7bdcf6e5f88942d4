"""GAC, Generative Actor Critic: decisions as inference on a model of trajectories and returns.

The public API, by name; each name is imported when it is first used, so that `gac --help` does not
wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gac import presets
    from gac.acting.agent import Agent, Plan, load
    from gac.acting.evaluate import evaluate
    from gac.acting.policy import Policy
    from gac.acting.scores import normalized_score
    from gac.config import Config, ModelConfig, OnlineConfig, PosteriorConfig, TrainingConfig
    from gac.data import Episodes, load_data, read_table
    from gac.errors import UserError
    from gac.inference.queries import Exploit, Explore, Prior, Target
    from gac.online.finetune import finetune
    from gac.online.stages import Online
    from gac.records import Evaluation
    from gac.training.offline import train
    from gac.training.seeds import train_seeds

_HOMES = {
    "gac.acting.agent": ("Agent", "Plan", "load"),
    "gac.acting.evaluate": ("evaluate",),
    "gac.acting.policy": ("Policy",),
    "gac.acting.scores": ("normalized_score",),
    "gac.config": ("Config", "ModelConfig", "OnlineConfig", "PosteriorConfig", "TrainingConfig"),
    "gac.data": ("Episodes", "load_data", "read_table"),
    "gac.errors": ("UserError",),
    "gac.inference.queries": ("Exploit", "Explore", "Prior", "Target"),
    "gac.online.finetune": ("finetune",),
    "gac.online.stages": ("Online",),
    "gac.records": ("Evaluation",),
    "gac.training.offline": ("train",),
    "gac.training.seeds": ("train_seeds",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "Config",
    "Episodes",
    "Evaluation",
    "Exploit",
    "Explore",
    "ModelConfig",
    "Online",
    "OnlineConfig",
    "Plan",
    "Policy",
    "PosteriorConfig",
    "Prior",
    "Target",
    "TrainingConfig",
    "UserError",
    "evaluate",
    "finetune",
    "load",
    "load_data",
    "normalized_score",
    "presets",
    "read_table",
    "train",
    "train_seeds",
]


def __getattr__(name: str) -> Any:
    if name == "presets":
        return importlib.import_module("gac.presets")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'gac' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
