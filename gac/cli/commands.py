"""The commands, each a function of its flags: call the library, print, and no more.

JAX and MuJoCo are imported inside the commands, so that `gac --help` answers at once.
"""

import dataclasses
import functools
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from gac.cli.acting import environment_of, evaluate, usual_target
from gac.cli.flags import Address, Count, DataName, DataSet, EnvId, FileName, Number, RunFolder, Switch
from gac.config import Config, OnlineConfig, Settings
from gac.errors import UserError
from gac.methods import METHODS, only_gac
from gac.writing import check_target

PRESETS = tuple(METHODS["gac"].presets)
BENCHED = ("fast", "paper")
DEMO_DATA = "hopper-medium-replay"
DEMO_OUT = Path("runs/demo")


def demo(
    *,
    out: Path = DEMO_OUT,
    minutes: float = 6.0,
    episodes: int = 100,
    seed: int = 0,
    overwrite: Switch = False,
) -> None:
    """The whole story on embedded data: make it, train, ask the four queries, write a report.

    Args:
        out: Folder of the run and of report.html. The default one is the demo's own: it starts over there.
        minutes: Wall-clock minutes of training.
        episodes: Episodes of evaluation per query.
        seed: Seed of everything random.
        overwrite: Replace an existing run in the folder.
    """
    config = dataclasses.replace(preset("fast"), seed=seed)
    train(DEMO_DATA, out=out, config=config, minutes=minutes, overwrite=overwrite or out == DEMO_OUT)
    evaluate(out, query="all", episodes=episodes, seed=seed)
    report((out,), out=out / "report.html")


def train(
    data: DataName,
    /,
    *,
    out: Path,
    config: OmitArgPrefixes[Config],
    method: Literal["gac", "gtp", "lpt", "odt"] = "gac",
    minutes: Number = None,
    updates: Count = None,
    seeds: Count = None,
    resume: Switch = False,
    overwrite: Switch = False,
    on_disk: Switch = False,
    drop_reset_rows: Switch = False,
    coordinator: Address = None,
    processes: Count = None,
    process: Count = None,
    rewards: Literal["none", "given", "learned"] = "none",
) -> None:
    """Train on a data set. Every field of the configuration is a flag; unset ones keep the preset's value.

    Args:
        data: Name or path of a data set; see gac data list. Of a recipe, the data of seed 0. A maze without
            :cut=... in its name is cut by hold where most of its windows never meet the target.
        out: Folder of the run.
        config: The run's configuration.
        method: Generative Actor Critic (gac); Generative Trajectory Policies (gtp), which learns from a
            reward at each step; Latent Plan Transformer (lpt), or Online Decision Transformer (odt). Each has
            flags of its own: gac train --method gtp --help.
        minutes: Wall-clock minutes of training in this call; 15 unless --updates is given.
        updates: Number of updates of the whole run, instead of minutes.
        seeds: Train so many models at once, of --seed and the seeds after it; the folders seed-0, seed-1 and
            so on in the run's folder are theirs.
        resume: Go on from the run in the folder, whose configuration then is the start, not the preset's.
        overwrite: Replace an existing run in the folder.
        on_disk: Leave the steps in the file and read each batch when it is due; without this flag, that is
            done where memory is too small.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes.
        coordinator: Train by several processes, each on devices of its own: host:port where the first one
            listens; or auto, where SLURM, Open MPI or Kubernetes started them and says the rest.
        processes: Number of processes.
        process: Number of this one, from 0. The first writes the run's folder.
        rewards: gac learns from one return per episode and takes none; --method gtp takes given or learned.
    """
    if rewards != "none":
        raise UserError(
            f"--rewards is {rewards}, and gac learns from one return per episode; give none, or --method gtp"
        )
    train_and_tell(
        data,
        out=out,
        config=config,
        minutes=minutes,
        updates=updates,
        seeds=seeds,
        resume=resume,
        overwrite=overwrite,
        on_disk=on_disk,
        drop_reset_rows=drop_reset_rows,
        coordinator=coordinator,
        processes=processes,
        process=process,
    )


def train_and_tell(
    data: str,
    *,
    out: Path,
    config: Settings,
    minutes: float | None = None,
    updates: int | None = None,
    seeds: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_disk: bool = False,
    drop_reset_rows: bool = False,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    """`gac train` by any method, that of the configuration."""
    if minutes is not None and updates is not None:
        raise UserError(f"--minutes {minutes:g} and --updates {updates} are both given; give one of them")
    first = out if seeds is None else out / f"seed-{config.seed}"
    if coordinator is None:
        claim(out, resume=resume, overwrite=overwrite, run=first)
    import gac
    from gac.compilation import keep_compiled
    from gac.console import activity, training_progress
    from gac.credit.record import FILE as CREDIT_FILE
    from gac.credit.record import read_credit
    from gac.training.scale.devices import one_device_per_core
    from gac.training.scale.processes import all_or_none, connect, is_first

    one_device_per_core()
    connect(coordinator, processes, process)
    keep_compiled()
    with all_or_none("read the data"), activity(f"reading {data}"):
        episodes = gac.load_data(data, on_disk=on_disk or None, drop_reset_rows=drop_reset_rows)
    if "cut=" in episodes.name and "cut=" not in data and is_first():
        print(f"training on {episodes.name}: most windows of a horizon never meet the target")
    if episodes.on_disk and is_first():
        print(f"{data} stays on disk: {episodes.num_episodes} episodes, {episodes.num_steps} steps")
    begin: Any = gac.train if seeds is None else functools.partial(gac.train_seeds, seeds=seeds)
    again = go_on(
        "train",
        data,
        out,
        seeds=seeds,
        minutes=None if minutes is None else f"{minutes:g}",
        updates=updates,
        on_disk=on_disk,
        drop_reset_rows=drop_reset_rows,
        coordinator=coordinator,
        processes=processes,
        process=process,
    )
    with (
        saying_how_to_go_on(again, first / "state.safetensors"),
        training_progress() if is_first() else nullcontext() as progress,
    ):
        begin(
            episodes,
            config,
            out=out,
            minutes=minutes,
            updates=updates,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
        )
    if is_first():
        if (first / CREDIT_FILE).exists():
            print(read_credit(first / CREDIT_FILE).words())
        print(f"run: {out}")


def finetune(
    run: RunFolder,
    /,
    *,
    out: Path,
    config: OmitArgPrefixes[OnlineConfig],
    data: DataSet = None,
    drop_reset_rows: Switch = False,
    env_id: EnvId = None,
    resume: Switch = False,
    overwrite: Switch = False,
) -> None:
    """Improve a run in stages: collect episodes with plans that aim high, learn from them, evaluate.

    Writes a run of its own. After a kill, --resume goes on, and collects nothing twice.

    Args:
        run: Folder of the run to begin with.
        out: Folder of the new run.
        config: Settings of the stages.
        data: Name or path of the data set that the buffer begins with; the run's unless given.
        drop_reset_rows: Leave out the rows that a vector environment with next-step autoreset logs between
            episodes; done by itself where the run was trained without them.
        env_id: Gymnasium id of the environment; unless given the data set's, as it was recorded.
        resume: Go on from what the folder holds, in the environment that it was begun in, whose settings then
            are the start; only the number of stages may differ.
        overwrite: Replace what the folder holds.
    """
    if resume and overwrite:
        raise UserError("--resume and --overwrite are both given; give one of them")
    only_gac(run, "gac finetune")
    check_target(out / "online.json")
    import gac
    from gac.compilation import keep_compiled
    from gac.console import activity, print_table, stage_progress
    from gac.online.folder import environment_begun_in
    from gac.online.stages_table import stages_table
    from gac.training.scale.devices import one_device_per_core

    one_device_per_core()
    keep_compiled()
    with activity(f"loading {run}"):
        agent = gac.load(run)
    begun = environment_begun_in(out) if resume else None
    environment = begun or environment_of(run, agent, env_id)
    source = data or agent.facts.name
    with activity(f"reading {source}"):
        in_memory = False if Path(source).suffix in (".hdf5", ".h5") else None
        episodes = gac.load_data(source, on_disk=in_memory, drop_reset_rows=drop_reset_rows)
    if config.targets == "y-star" and config.y_star is None:
        config = dataclasses.replace(config, y_star=usual_target(environment.id))
    with (
        saying_how_to_go_on(
            go_on("finetune", run, out, data=data, drop_reset_rows=drop_reset_rows, env_id=env_id),
            out / "online.json",
        ),
        stage_progress(config.stages) as progress,
    ):
        gac.finetune(
            agent,
            episodes,
            env_id,
            out=out,
            config=config,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
        )
    print_table(stages_table(out))
    print(f"run: {out}")


def report(runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")], /, *, out: Path) -> None:
    """Write one HTML page, with all it needs inside, about one run or several.

    Args:
        runs: Folders of runs; a folder of seeds (gac train --seeds) stands for the runs in it.
        out: The page to write.
    """
    from gac.report import write_report

    if not runs:
        raise UserError("no run is given; try: gac report RUN --out report.html")
    check_target(out)
    write_report(list(runs), out)
    print(f"report: {out}")


def bench(
    *,
    presets: Annotated[tuple[str, ...], arg(metavar="NAME...")] = BENCHED,
    repeats: Annotated[int, arg(metavar="N")] = 5,
    run: Annotated[Path | None, arg(metavar="RUN")] = None,
    quick: Switch = False,
    json: FileName = None,
) -> None:
    """Measure how fast training and acting are here, beside what this machine can do at best.

    Run it on an idle machine. The paper preset takes minutes on a few cores.

    Args:
        presets: Presets to measure.
        repeats: Timed calls of each measure; slow ones get fewer.
        run: Trained run to plan, act and evaluate with as well, as these depend on what a model learned.
        quick: Tiny sizes, only to see that everything runs.
        json: Also write every figure here.
    """
    from rich.console import Console

    from gac.bench import limits, show
    from gac.bench import run as measuring
    from gac.console import activity
    from gac.training.scale.devices import one_device_per_core
    from gac.writing import write_or_print

    if json is not None:
        check_target(json)
    one_device_per_core()
    # Before anything is measured, and nothing is kept on disk here: compiling is one of the measures.
    machine = limits.machine()
    measures = measuring.bench(presets, repeats=repeats, run=run, quick=quick, announce=activity)
    show.print_measures(measures, Console(highlight=False))
    if json is not None:
        write_or_print(json, show.to_json(machine, quick, measures))


def preset(name: str) -> Config:
    """The configuration of a preset of gac."""
    config: Config = METHODS["gac"].preset(name)
    return config


def claim(out: Path, *, resume: bool, overwrite: bool, run: Path | None = None) -> None:
    """Refuse a folder in use before any work is done for it; `run` is where to go on from, if not there."""
    if resume and overwrite:
        raise UserError("--resume and --overwrite are both given; give one of them")
    if resume and not ((run or out) / "config.json").exists():
        from gac.records import seed_folders

        if run in (None, out) and (seeds := seed_folders(out)):
            raise UserError(
                f"{out} holds the runs of {len(seeds)} seeds; go on with --seeds {len(seeds)}, or with one "
                f"of them: --out {seeds[0]}"
            )
        raise UserError(f"{out} holds no run to go on from; leave out --resume to begin one")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file, expected a folder; choose another name")
    if not resume and not overwrite and out.is_dir() and any(out.iterdir()):
        raise UserError(
            f"{out} is not empty; go on with --resume, replace it with --overwrite, or choose another"
        )
    check_target(out / "config.json")


@contextmanager
def saying_how_to_go_on(command_line: str, saved: Path) -> Iterator[None]:
    """Ctrl-C says by which command to go on, once there is the file to go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if not saved.exists():
            raise
        raise KeyboardInterrupt(f"stopped, everything is saved; go on with: {command_line}") from None


def go_on(command: str, subject: str | Path, out: Path, **flags: str | int | None) -> str:
    """The command line that resumes what a command left in a folder, with those flags that were given."""
    words = ["gac", command, str(subject), "--out", str(out), "--resume"]
    for name, value in flags.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        words += [] if value is True else [str(value)]
    return shlex.join(words)
