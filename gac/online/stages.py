"""Stages of fine-tuning, section 4 of the method: collect, add to the buffer, train, go on.

`Online` is the whole of it without an environment; `gac.online.finetune` plays the episodes for it.
"""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gac.agent import Agent, Plan, load
from gac.config import OnlineConfig, resolved
from gac.data.episodes import Episodes
from gac.errors import UserError
from gac.files import write_text
from gac.identity import Found
from gac.model.joint import Phi
from gac.online import record as records
from gac.online import targets as aiming
from gac.online.buffer import check_widths, joined, shares, split_buffer
from gac.online.collected import Aims, Collected, aims_together
from gac.online.folder import (
    batch_path,
    batches,
    begun_path,
    claim_stages,
    existing,
    last_metrics,
)
from gac.online.planning import Known, plans_to_collect
from gac.online.start import begun_data, check_start, digest, kept_by, of_stages, own_data, starting_state
from gac.records import ONLINE_SCHEMA, DataFacts, Evaluation
from gac.training.checkpoint import (
    Progress,
    fingerprint,
    read_arrays,
    read_progress,
    write_state,
)
from gac.training.offline import Trainer
from gac.training.update import TrainState, init_state

DEFAULT_UPDATES = 120
"""Updates per stage: with five times as many, what a good run had learned was lost."""

Report = Callable[[dict[str, Any], float], None]


class Begun(NamedTuple):
    """Where the training of a stage began; written before its first update."""

    update: int
    seconds: float
    heldout_elbo: float | None


class Online:
    """Fine-tuning in stages, with episodes that are collected anywhere.

    A stage is `plans`, `add` (both as often as wanted), then `train`. Everything is on disk as soon as a
    call returns; the same object made with `resume` goes on after a kill.

    Args:
        agent: where to begin. If it was loaded from a run, or trained in this process, training goes on
            from that run's state.
        data: the offline episodes, with which the buffer begins: those that the agent was trained on, and
            others that were added since, if there are any.
        out: folder of the new run.
        config: settings of the stages.
        env_id: Gymnasium id for the records, where there is one; the data's environment unless given.
        env_spec: JSON of its specification, where it is more than its id.
        resume: go on from what the folder holds; everything else must be as it was.
        overwrite: replace what the folder holds.

    Raises:
        UserError: data that do not fit the agent or are in other units, a folder in use, a resume with
            another agent, data set or configuration.
    """

    def __init__(
        self,
        agent: Agent,
        data: Episodes,
        out: str | Path,
        config: OnlineConfig | None = None,
        *,
        env_id: str | None = None,
        env_spec: str | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.out, self.config = Path(out), resolved(config or OnlineConfig(), agent.config.added)
        self.env_id = env_id or data.env_id
        self.env_spec = data.env_spec if env_id is None else env_spec
        check_start(agent, data, self.out, self.config)
        begun = resume and all((self.out / name).exists() for name in ("online.json", "state.safetensors"))
        found = Found(begun_data(self.out, data)) if begun else own_data(agent, data)
        self.offline = data = found.episodes
        identity: dict[str, Any] = {"env_id": self.env_id, "env_spec": self.env_spec}
        identity |= {"model": digest(agent), "data": fingerprint(data)}
        claim_stages(self.out, identity, self.config, resume=resume, overwrite=overwrite)
        header = {"schema_version": ONLINE_SCHEMA, "run": None if agent.run is None else str(agent.run)}
        settings = {"config": dataclasses.asdict(self.config)}
        write_text(self.out / "online.json", json.dumps(header | identity | settings, indent=1))
        if not (self.out / "state.safetensors").exists():
            state, progress = starting_state(agent, found)
            parts = agent.model, agent.logged, agent.standardiser, of_stages(agent.config, self.config)
            Agent(*parts, DataFacts.of(data, added=found.added)).save(self.out)
            write_state(self.out, state, progress)
        self.agent = load(self.out)
        self.records = [records.read_record(path) for path in existing(self.out, records.record_path)]
        self._past = [batches(self.out, stage) for stage in range(1, self.stage)]
        self._now = batches(self.out, self.stage)

    @property
    def stage(self) -> int:
        """Number of the stage at hand, from 1."""
        return max(len(self.records), 1)

    @property
    def targets(self) -> aiming.Targets:
        """The rule that aims of this stage are drawn by."""
        return self.records[-1].next_targets if self.records else aiming.Targets.start(self.config)

    @property
    def last_scores(self) -> Evaluation | None:
        """exploit as it was judged last; None where it never was."""
        return self.records[-1].after if self.records else None

    @property
    def training_began(self) -> bool:
        """Whether this stage is being trained, and takes no more episodes."""
        return begun_path(self.out, self.stage).exists()

    def judge(self, scores: Evaluation | None, seconds: float = 0.0) -> None:
        """Record where everything begins, as stage 0: exploit's scores, and the seconds that they took."""
        progress, rule = read_progress(self.out), aiming.Targets.start(self.config)
        update = int(self._state(self.offline.num_episodes).update)
        self._write(
            records.StageRecord(
                stage=0,
                env_id=self.env_id,
                seed=self.config.seed,
                targets=rule,
                next_targets=rule,
                collection=None,
                buffer=None,
                first_update=update,
                last_update=update,
                elbo={},
                before=None,
                after=scores,
                seconds={"collect": 0.0, "train": 0.0, "evaluate": seconds},
                trained_seconds=progress.seconds,
            )
        )

    def plans(self, observation: Any, seed: int | None = None) -> tuple[Plan, Aims]:
        """Plans for the next episodes, each with a return of its own to aim at.

        Args:
            observation: first observations, `(batch, obs)`, raw.
            seed: the same seed and observations give the same plans throughout a stage; the number of
                batches that the stage holds unless given.

        Returns:
            The plans, for `agent.policy`, and their aims, for `add`.

        Raises:
            UserError: a stage that is being trained, or what `Agent.plan` refuses.
        """
        self._check_open()
        first = np.asarray(observation, np.float64)
        first = first[None] if first.ndim == 1 else first
        number = len(self._now) if seed is None else seed
        # The buffer as it was when the stage began: plans do not depend on what was added since.
        before = [self.offline, *(each.episodes for stage in self._past for each in stage)]
        newest = sum(each.episodes.num_episodes for each in self._past[-1]) if self._past else 0
        returns = np.concatenate([part.returns for part in before]).astype(np.float64)
        share = shares(
            returns,
            np.arange(len(returns)) >= len(returns) - newest,
            self.config.return_power,
            self.config.new_share,
        )
        seeds = np.random.SeedSequence([self.config.seed, self.stage, number])
        return plans_to_collect(self.agent, self.targets, Known(returns, share), first, seeds)

    def add(self, episodes: Episodes, aims: Aims | None = None) -> None:
        """Hand in episodes of this stage, in the order of their plans.

        Args:
            episodes: of the agent's widths; each with its return.
            aims: what `plans` gave with their plans; without it, the episodes are learned from and say
                nothing about the aims.

        Raises:
            UserError: other widths, another number of aims, a stage that is being trained.
        """
        self._check_open()
        check_widths(self.offline, episodes)
        count, model = episodes.num_episodes, self.agent.config.model
        if aims is not None and len(aims.y_plus) != count:
            raise UserError(f"{count} episodes come with {len(aims.y_plus)} aims, expected one for each")
        if aims is None:
            phi, unknown = Phi.at_prior(count, model), np.full(count, np.nan)
            aims = Aims(unknown, unknown, unknown, np.asarray(phi.mu), np.asarray(phi.log_sigma))
        batch = Collected(episodes, aims, np.arange(count, dtype=np.int32), count, 0.0)
        batch.write(self.batch_path(len(self._now)))
        self._now.append(batch)

    def batch_path(self, number: int) -> Path:
        """File of a batch of this stage."""
        return batch_path(self.out, self.stage, number)

    def hold(self, batches: list[Collected]) -> None:
        """Take what lies in this stage's files as what it collected."""
        self._now = batches

    def train(
        self,
        progress: Report | None = None,
        judge: Callable[[Agent], tuple[Evaluation, float]] | None = None,
    ) -> records.StageRecord:
        """Learn from the buffer, and close the stage.

        Args:
            progress: called with the line of metrics and the share done at every logged update.
            judge: from an agent to its evaluation and the seconds that this took.

        Returns:
            The record, which is also in the folder.

        Raises:
            UserError: a stage without episodes; a value that is not finite during training.
            KeyboardInterrupt: after everything is saved.
        """
        if not self.records:
            self.judge(None)
        if not self._now or not all(batch.whole for batch in self._now):
            raise UserError(f"stage {self.stage} has no episodes to learn from; add some")
        buffer = joined([self.offline, *(e.episodes for stage in [*self._past, self._now] for e in stage)])
        newest = sum(batch.episodes.num_episodes for batch in self._now)
        standardiser, config = self.agent.standardiser, self.agent.config
        offline, added = self.offline.num_episodes, self.agent.facts.added
        split, share = split_buffer(buffer, offline, newest, standardiser, config, self.config, added)
        trainer = Trainer(buffer, config, self.out, split)
        begun = self._begin(trainer, newest)
        self._run(trainer, begun, progress or (lambda *_: None))
        self.agent = trainer.agent()
        heldout = trainer.heldout_elbo()
        scores, judge_seconds = judge(self.agent) if judge is not None else (None, 0.0)
        outcome = records.outcome(self._now)
        unit = float(standardiser.return_std)
        last = last_metrics(self.out)
        self._write(
            records.StageRecord(
                stage=self.stage,
                env_id=self.env_id,
                seed=self.config.seed,
                targets=self.targets,
                next_targets=aiming.moved(self.targets, outcome, unit),
                collection=records.collection(self._now, self.env_id if self.env_spec is None else None),
                buffer=records.buffer_facts(buffer, share, newest),
                first_update=begun.update,
                last_update=int(trainer.state.update),
                elbo=last | {"heldout_elbo_before": begun.heldout_elbo, "heldout_elbo": heldout},
                before=self.last_scores,
                after=scores,
                seconds={
                    "collect": sum(batch.seconds for batch in self._now),
                    "train": trainer.progress.seconds - begun.seconds,
                    "evaluate": judge_seconds,
                },
                trained_seconds=trainer.progress.seconds,
            )
        )
        self._past.append(self._now)
        self._now = []
        return self.records[-1]

    def _check_open(self) -> None:
        if self.training_began:
            raise UserError(f"stage {self.stage} is being trained; call train() to finish it first")

    def _state(self, episodes: int) -> TrainState:
        """The saved state, of a buffer of so many episodes."""
        agent = self.agent
        like = init_state(agent.config, agent.observation_dim, agent.action_dim, episodes)
        return read_arrays(self.out, like)

    def _begin(self, trainer: Trainer, newest: int) -> Begun:
        """Bring the trainer to where this stage's training stands, or to its beginning."""
        path, stored = begun_path(self.out, self.stage), read_progress(self.out)
        if path.exists() and stored.data == trainer.progress.data:
            trainer.resume()
            begun = Begun(**json.loads(path.read_text()))
            trainer.kept = begun.update, kept_by(self.agent)
            return begun
        before = self._state(trainer.episodes.num_episodes - newest)
        aims = aims_together([batch.aims for batch in self._now])
        # A collected episode's posterior begins at the q that its plan was drawn from: nearer than the
        # prior, and as wide.
        bank = Phi(
            *(jnp.concatenate(pair) for pair in zip(before.bank, (aims.mu, aims.log_sigma), strict=True))
        )
        state = before._replace(bank=bank, key=trainer.state.key)
        trainer.begin_from(state, Progress(stored.seconds, trainer.progress.data))
        begun = Begun(int(before.update), stored.seconds, trainer.heldout_elbo())
        trainer.kept = begun.update, kept_by(self.agent)
        write_text(path, json.dumps(begun._asdict()))
        trainer.save()
        return begun

    def _run(self, trainer: Trainer, begun: Begun, report: Report) -> None:
        """Train what is left of the stage."""
        minutes, updates = self.config.minutes, self.config.updates
        if minutes is None:
            left, last = math.inf, begun.update + (updates or DEFAULT_UPDATES)
        else:
            left, last = minutes - (trainer.progress.seconds - begun.seconds) / 60.0, None
        if left <= 0.0 or (last is not None and int(trainer.state.update) >= last):
            return
        try:
            trainer.run(left, last, report, begun.update)
        except (KeyboardInterrupt, UserError):
            trainer.save()
            raise

    def _write(self, record: records.StageRecord) -> None:
        if record.after is not None:
            write_text(self.out / "eval-exploit.json", record.after.to_json())
        write_text(records.record_path(self.out, record.stage), record.to_json())
        self.records.append(record)
