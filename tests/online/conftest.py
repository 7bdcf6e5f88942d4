"""The two stages of `staged`, played once."""

from types import SimpleNamespace

import gymnasium
import pytest
from staged import BATCH, ENV_ID, SETTINGS, STAGES

import gac
from gac.online import finetune as module
from gac.online.record import read_record


@pytest.fixture(scope="session")
def stages_env():
    gymnasium.register(ENV_ID, "toy_env:Walk")
    before, module.BATCH = module.BATCH, BATCH
    yield
    module.BATCH = before
    del gymnasium.registry[ENV_ID]


@pytest.fixture(scope="session")
def whole(trained, stages_env, tmp_path_factory):
    """Two stages that nothing interrupted."""
    out, told = tmp_path_factory.mktemp("whole") / "run", []
    agent = gac.finetune(
        trained.agent,
        trained.episodes,
        ENV_ID,
        out=out,
        progress=lambda stage, part, metrics, done: told.append((stage, part, done)),
        **SETTINGS,
    )
    records = [read_record(out / f"stage-{stage}.json") for stage in (0, *STAGES)]
    return SimpleNamespace(folder=out, agent=agent, told=told, records=records)
