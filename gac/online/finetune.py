"""Fine-tuning in an environment: every stage collects, trains and is judged."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gac.acting.evaluate import check_fits, chosen_environment, evaluated
from gac.agent import Agent
from gac.config import OnlineConfig
from gac.data.episodes import Episodes
from gac.envs.specification import Environment
from gac.errors import UserError
from gac.inference.queries import Exploit
from gac.online.collect import collect
from gac.online.folder import environment_begun_in
from gac.online.processes import Crew
from gac.online.stages import Online
from gac.records import Evaluation

BATCH = 25
"""Episodes that are planned and played together, and that a kill can cost."""

Progress = Callable[[int, str, dict[str, Any], float], None]
"""`(stage, part, metrics, share done)`; part is `collect`, `train` or `evaluate`."""


def finetune(
    agent: Agent,
    data: Episodes,
    env_id: str | None = None,
    *,
    out: str | Path | None = None,
    config: OnlineConfig | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Agent:
    """Improve an agent in stages: collect with plans that aim high, add to the buffer, train, evaluate.

    A kill at any moment loses nothing: with `resume` the result is that of an uninterrupted call, to the
    bit where `updates` rather than minutes are given, and nothing is collected twice.

    Args:
        agent: a trained agent; its run's state, where it has one, is what training goes on from.
        data: the episodes that it was trained on, and those that were added since, if there are any: the
            buffer begins with them.
        env_id: Gymnasium id; unless given the data's own environment, as it was recorded, or, with `resume`,
            the one that `out` was begun in.
        out: folder of the new run; without it, a temporary one, and only the agent is kept.
        config: settings of the stages; the defaults of `OnlineConfig` unless given.
        resume: go on from what `out` holds; everything but the number of stages must be as it was.
        overwrite: replace what `out` holds.
        progress: told what is done.
        settings: fields of `OnlineConfig` to replace, such as stages=3, episodes=100.

    Returns:
        The agent after the last stage.

    Raises:
        UserError: an environment that cannot be made or does not fit the agent, or that the data chose
            with a module to import; one that fails, hangs, or gives what is not finite; what was
            collected is kept in `out`. And what `Online` refuses.
    """
    if agent.config.method != "gac":
        raise UserError(f"the agent is of method {agent.config.method}, and fine-tuning is for gac alone")
    config = dataclasses.replace(config or OnlineConfig(), **settings)
    begun = environment_begun_in(Path(out)) if resume and out is not None else None
    environment = begun or _chosen(agent, data, env_id)
    if env_id is not None and environment != Environment(env_id):
        raise UserError(
            f"{out} was begun with another env_id, {environment}, than {env_id}; to go on, leave out env_id "
            "(--env-id)"
        )
    longest = check_fits(environment, agent, longest=config.longest)
    if out is None:
        if resume:
            raise UserError("resume needs the folder to go on from; give out")
        with tempfile.TemporaryDirectory(prefix="gac-") as folder:
            tuned = finetune(agent, data, env_id, out=Path(folder, "run"), config=config, progress=progress)
        tuned.run = None
        return tuned
    online = Online(
        agent,
        data,
        out,
        config,
        env_id=environment.id,
        env_spec=environment.spec,
        resume=resume,
        overwrite=overwrite,
    )
    with Crew(environment, agent.observation_dim, agent.action_dim, config.step_seconds) as crew:
        scene = Scene(crew, environment, longest)
        if not online.records:
            online.judge(*_judged(online, online.agent, scene, progress))
        while online.stage <= config.stages:
            _collect(online, scene, progress)
            _train(online, scene, progress)
    return online.agent


def _chosen(agent: Agent, data: Episodes, env_id: str | None) -> Environment:
    of_data = Environment.of(data) or agent.environment
    if env_id is None and of_data is None:
        raise UserError(
            "the data names no environment; give env_id, such as 'Hopper-v4', or use gac.Online with "
            "episodes that you collect"
        )
    return chosen_environment(env_id, of_data)


class Scene(NamedTuple):
    """Where the stages play."""

    crew: Crew
    environment: Environment
    longest: int | None
    """Steps after which an episode counts as endless; None where the environment has a limit."""


def _collect(online: Online, scene: Scene, progress: Progress | None) -> None:
    """The episodes of a stage, batch by batch; those that the folder holds are not collected again."""
    config, stage, episodes = online.config, online.stage, online.config.episodes
    sizes = [len(part) for part in np.array_split(np.arange(episodes), math.ceil(episodes / BATCH))]
    batches = []
    for number, size in enumerate(sizes):

        def tell(done: float, before: int = sum(sizes[:number]), size: int = size) -> None:
            _tell(progress, stage, "collect", (before + size * done) / episodes)

        words = np.random.SeedSequence([config.seed, stage, number, 1]).generate_state(size) >> 1
        try:
            batches.append(
                collect(
                    online.batch_path(number),
                    online.agent,
                    scene.crew,
                    [int(word) for word in words],
                    lambda first, number=number: online.plans(first, seed=number),  # type: ignore[misc]
                    scene.environment,
                    scene.longest,
                    tell,
                )
            )
        except UserError as error:
            raise UserError(
                f"stage {stage}, batch {number}: {error}; what was collected is kept in {online.out}, "
                "go on with --resume"
            ) from None
    online.hold(batches)


def _train(online: Online, scene: Scene, progress: Progress | None) -> None:
    """The training of a stage, and what it is worth."""
    stage = online.stage

    def report(metrics: dict[str, Any], done: float) -> None:
        _tell(progress, stage, "train", done, metrics)

    online.train(report, lambda agent: _judged(online, agent, scene, progress))


def _judged(
    online: Online, agent: Agent, scene: Scene, progress: Progress | None
) -> tuple[Evaluation, float]:
    """exploit's evaluation, and the seconds that it took."""
    began, config = time.monotonic(), online.config
    stage = online.stage if online.records else 0
    try:
        scores = evaluated(
            agent,
            scene.crew,
            scene.environment,
            query=Exploit(),
            episodes=config.eval_episodes,
            seed=config.seed,
            longest=scene.longest,
            progress=lambda over, _: _tell(progress, stage, "evaluate", over / config.eval_episodes),
        )
    except UserError as error:
        raise UserError(
            f"evaluation of stage {stage}: {error}; everything is kept, go on with --resume"
        ) from None
    return scores, time.monotonic() - began


def _tell(
    progress: Progress | None, stage: int, part: str, done: float, metrics: dict[str, Any] | None = None
) -> None:
    if progress is not None:
        progress(stage, part, metrics or {}, done)
