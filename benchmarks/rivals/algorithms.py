"""The rivals that d3rlpy has, with its own defaults for each domain.

The defaults are those of the configurations, and of the library's reproduction scripts where these differ:
The scripts are for MuJoCo robots; in mazes CQL, ReBRAC and DT keep those settings, and IQL those of its
configuration. Cal-QL has a script for AntMaze alone, and here the settings of CQL.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from d3rlpy.algos import (
    CalQLConfig,
    CQLConfig,
    DecisionTransformerConfig,
    IQLConfig,
    ReBRACConfig,
    TD3PlusBCConfig,
)
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.optimizers import AdamFactory, GPTAdamWFactory
from d3rlpy.optimizers.lr_schedulers import CosineAnnealingLRFactory, WarmupSchedulerFactory
from d3rlpy.preprocessing import (
    MultiplyRewardScaler,
    ReturnBasedRewardScaler,
    StandardObservationScaler,
)
from jaxtyping import Float
from numpy import ndarray

from gac.data.episodes import Episodes

REBRAC_BETAS = {
    "halfcheetah-medium-replay": (0.01, 0.001),
    "halfcheetah-medium": (0.001, 0.01),
    "hopper-medium-replay": (0.05, 0.5),
    "hopper-medium": (0.01, 0.001),
    "walker2d-medium-replay": (0.05, 0.01),
    "walker2d-medium": (0.05, 0.1),
}
"""ReBRAC's weights (actor, critic) by data set, as its paper chose them, arXiv 2305.09836."""
REBRAC_USUAL = (0.01, 0.01)
"""Those of the library's script for any other data set."""
IQL_STEPS = 500_000
"""Updates over which the library's script anneals the actor's rate."""
IQL_SCALE = 1000.0


@dataclass(frozen=True)
class Domain:
    """What a default depends on."""

    data: str
    """Name of the data set."""
    env_id: str
    spread: float
    """Best less worst return of the data, raw."""
    longest: int
    """Steps of the longest episode."""
    mean: Float[ndarray, "obs"]
    std: Float[ndarray, "obs"]
    """Of the observations."""

    @property
    def robot(self) -> bool:
        """One of the MuJoCo robots that the library has scripts for."""
        return self.env_id.lower().startswith(("hopper", "walker2d", "halfcheetah"))

    @property
    def standard(self) -> StandardObservationScaler:
        """A scaler with the data's moments; to find them, the library walks through all transitions."""
        return StandardObservationScaler(mean=self.mean, std=self.std)

    @classmethod
    def of(cls, episodes: Episodes) -> "Domain":
        """The domain of a data set."""
        states = episodes.raw(episodes.observations)
        return cls(
            data=episodes.name,
            env_id=episodes.env_id or "",
            spread=float(np.ptp(episodes.returns)),
            longest=int(episodes.lengths.max()),
            mean=states.mean(axis=0, dtype=np.float64).astype(np.float32),
            std=states.std(axis=0, dtype=np.float64).astype(np.float32),
        )


def td3_bc(domain: Domain) -> Any:
    return TD3PlusBCConfig(observation_scaler=domain.standard)


def iql(domain: Domain) -> Any:
    # Of a range that is known: to measure it, the library walks through all transitions.
    scaler = ReturnBasedRewardScaler(return_max=domain.spread, return_min=0.0, multiplier=IQL_SCALE)
    actor = AdamFactory(lr_scheduler_factory=CosineAnnealingLRFactory(T_max=IQL_STEPS))
    return IQLConfig(reward_scaler=scaler, actor_optim_factory=actor) if domain.robot else IQLConfig()


def cql(domain: Domain) -> Any:
    return _conservative(CQLConfig)


def cal_ql(domain: Domain) -> Any:
    return _conservative(CalQLConfig)  # Its own script is for AntMaze alone.


def _conservative(kind: Any) -> Any:
    encoder = VectorEncoderFactory([256, 256, 256])
    return kind(
        actor_encoder_factory=encoder,
        critic_encoder_factory=encoder,
        alpha_learning_rate=0.0,
        conservative_weight=5.0,
    )


def rebrac(domain: Domain) -> Any:
    actor, critic = REBRAC_BETAS.get(_bare(domain.data), REBRAC_USUAL)
    return ReBRACConfig(
        actor_encoder_factory=VectorEncoderFactory([256, 256, 256]),
        critic_encoder_factory=VectorEncoderFactory([256, 256, 256], use_layer_norm=True),
        observation_scaler=domain.standard,
        actor_beta=actor,
        critic_beta=critic,
    )


def _bare(data: str) -> str:
    """The name of a data set without where it is from and how it is cut: `d4rl/hopper-medium-v2` too."""
    return data.split("/")[-1].split(":")[0].removesuffix("-v2")


def decision_transformer(domain: Domain) -> Any:
    return DecisionTransformerConfig(
        optim_factory=GPTAdamWFactory(
            weight_decay=1e-4,
            clip_grad_norm=0.25,
            lr_scheduler_factory=WarmupSchedulerFactory(warmup_steps=10_000),
        ),
        encoder_factory=VectorEncoderFactory([128], exclude_last_activation=True),
        observation_scaler=domain.standard,
        reward_scaler=MultiplyRewardScaler(0.001),
        context_size=20,
        max_timestep=max(1000, domain.longest),
    )


Q_LEARNING: dict[str, Callable[[Domain], Any]] = {
    "td3+bc": td3_bc,
    "iql": iql,
    "cql": cql,
    "cal-ql": cal_ql,
    "rebrac": rebrac,
}
"""The configuration of a method that learns values, from the domain."""
