"""GAC, Generative Actor Critic: decisions as inference on a model of trajectories and returns.

The public API, by name; each name is imported when it is first used, so that `gac --help` does not
wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gac.version import __version__ as __version__

if TYPE_CHECKING:
    from gac import presets
    from gac.acting.calibrate import calibrate
    from gac.acting.calibration import Calibration
    from gac.acting.policy import Policy
    from gac.acting.replan import Every, Never, Trigger
    from gac.acting.replanning import ReplanningPolicy
    from gac.acting.sweep import consistency
    from gac.agent import Agent, Plan
    from gac.config import Config, CreditConfig, ModelConfig, OnlineConfig, PosteriorConfig, TrainingConfig
    from gac.data import Episodes, load_data, read_table
    from gac.data.scores import normalized_score
    from gac.envs.disturb import Disturbance
    from gac.errors import UserError
    from gac.gtp.agent import GTPAgent
    from gac.gtp.config import GTPConfig
    from gac.inference.queries import Exploit, Explore, Prior, Target
    from gac.methods import evaluate, load, train, train_seeds
    from gac.online.finetune import finetune
    from gac.online.stages import Online
    from gac.records import Consistency, Evaluation
    from gac.rivals.lpt.agent import LPTAgent
    from gac.rivals.lpt.config import LPTConfig
    from gac.rivals.odt.agent import ODTAgent
    from gac.rivals.odt.config import ODTConfig

_HOMES = {
    "gac.agent": ("Agent", "Plan"),
    "gac.acting.calibrate": ("calibrate",),
    "gac.acting.calibration": ("Calibration",),
    "gac.acting.policy": ("Policy",),
    "gac.acting.replan": ("Every", "Never", "Trigger"),
    "gac.acting.replanning": ("ReplanningPolicy",),
    "gac.data.scores": ("normalized_score",),
    "gac.acting.sweep": ("consistency",),
    "gac.config": (
        "Config",
        "CreditConfig",
        "ModelConfig",
        "OnlineConfig",
        "PosteriorConfig",
        "TrainingConfig",
    ),
    "gac.data": ("Episodes", "load_data", "read_table"),
    "gac.envs.disturb": ("Disturbance",),
    "gac.errors": ("UserError",),
    "gac.gtp.agent": ("GTPAgent",),
    "gac.gtp.config": ("GTPConfig",),
    "gac.inference.queries": ("Exploit", "Explore", "Prior", "Target"),
    "gac.methods": ("evaluate", "load", "train", "train_seeds"),
    "gac.online.finetune": ("finetune",),
    "gac.online.stages": ("Online",),
    "gac.records": ("Consistency", "Evaluation"),
    "gac.rivals.lpt.agent": ("LPTAgent",),
    "gac.rivals.lpt.config": ("LPTConfig",),
    "gac.rivals.odt.agent": ("ODTAgent",),
    "gac.rivals.odt.config": ("ODTConfig",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "Calibration",
    "Config",
    "Consistency",
    "CreditConfig",
    "Disturbance",
    "Episodes",
    "Evaluation",
    "Every",
    "Exploit",
    "Explore",
    "GTPAgent",
    "GTPConfig",
    "LPTAgent",
    "LPTConfig",
    "ModelConfig",
    "Never",
    "ODTAgent",
    "ODTConfig",
    "Online",
    "OnlineConfig",
    "Plan",
    "Policy",
    "PosteriorConfig",
    "Prior",
    "ReplanningPolicy",
    "Target",
    "TrainingConfig",
    "Trigger",
    "UserError",
    "calibrate",
    "consistency",
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
    if name in ("data", "envs", "presets"):
        return importlib.import_module(f"gac.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'gac' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
