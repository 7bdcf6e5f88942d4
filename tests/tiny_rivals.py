"""Tiny configurations of the rivals."""

from gac.rivals.lpt.config import LPTConfig
from gac.rivals.odt.config import ODTConfig

LPT = LPTConfig(
    preset="tiny",
    latent_tokens=2,
    embed_dim=8,
    layers=1,
    context=2,
    unet_patch=4,
    unet_width=4,
    head_width=8,
    batch_size=4,
    windows=2,
    warmup_updates=5,
    learning_rate=3e-3,
    act_steps=5,
    checkpoint_seconds=0.0,
)
ODT = ODTConfig(
    preset="tiny",
    embed_dim=8,
    layers=1,
    context=3,
    batch_size=4,
    windows=2,
    warmup_updates=5,
    learning_rate=3e-3,
    checkpoint_seconds=0.0,
)
BOTH = [LPT, ODT]
