"""The commands, each a function of its flags: call the library, print, and no more.

JAX and MuJoCo are imported inside the commands, so that `gac --help` answers at once.
"""

import dataclasses
import functools
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg

from gac.config import Config, OnlineConfig
from gac.errors import UserError

QUERIES = ("exploit", "explore", "target", "prior")
PRESETS = ("fast", "paper")
DEMO_DATA = "hopper-medium-replay"
DEMO_OUT = Path("runs/demo")
TARGETS = {"hopper": 3600.0, "walker2d": 6000.0, "halfcheetah": 5000.0}
"""The paper's y*, raw and undiscounted, by the first part of the environment's id."""

DataName = Annotated[Positional[str], arg(metavar="DATA")]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
Switch = FlagCreatePairsOff[bool]
Number = Annotated[float | None, arg(metavar="X")]
Count = Annotated[int | None, arg(metavar="N")]
FileName = Annotated[Path | None, arg(metavar="FILE")]


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
    minutes: Number = None,
    updates: Count = None,
    seeds: Count = None,
    resume: Switch = False,
    overwrite: Switch = False,
    on_disk: Switch = False,
) -> None:
    """Train on a data set. Every field of the configuration is a flag; unset ones keep the preset's value.

    Args:
        data: Name or path of a data set; see gac data list.
        out: Folder of the run.
        config: The run's configuration.
        minutes: Wall-clock minutes of training in this call.
        updates: Number of updates of the whole run, instead of minutes.
        seeds: Train so many models at once, of --seed and the seeds after it; the folders seed-0, seed-1 and
            so on in the run's folder are theirs.
        resume: Go on from the run in the folder, whose configuration then is the start, not the preset's.
        overwrite: Replace an existing run in the folder.
        on_disk: Leave the steps in the file and read each batch when it is due; without this flag, that is
            done where memory is too small.
    """
    if minutes is not None and updates is not None:
        raise UserError(f"--minutes {minutes:g} and --updates {updates} are both given; give one of them")
    first = out if seeds is None else out / f"seed-{config.seed}"
    claim(out, resume=resume, overwrite=overwrite, run=first)
    import gac
    from gac.compilation import keep_compiled
    from gac.console import activity, training_progress

    keep_compiled()
    with activity(f"reading {data}"):
        episodes = gac.load_data(data, on_disk=on_disk or None)
    if episodes.on_disk:
        print(f"{data} stays on disk: {episodes.num_episodes} episodes, {episodes.num_steps} steps")
    try:
        with training_progress() as progress:
            begin = gac.train if seeds is None else functools.partial(gac.train_seeds, seeds=seeds)
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
    except KeyboardInterrupt:
        if not (first / "state.safetensors").exists():
            raise
        again = f"gac train {shlex.quote(data)} --out {shlex.quote(str(out))} --resume"
        again += f" --seeds {seeds}" if seeds is not None else ""
        again += " --on-disk" if on_disk else ""
        raise KeyboardInterrupt(f"stopped, everything is saved; go on with: {again}") from None
    print(f"run: {out}")


def evaluate(
    run: RunFolder,
    /,
    *,
    query: Literal["exploit", "explore", "target", "prior", "all"] = "exploit",
    episodes: int = 100,
    env_id: Annotated[str | None, arg(metavar="ID")] = None,
    target: Number = None,
    seed: int = 0,
    json: FileName = None,
) -> None:
    """Play episodes with plans from a query; writes RUN/eval-<query>.json and prints the table.

    Args:
        run: Folder of a run.
        query: The inference query, or all four.
        episodes: Number of episodes per query.
        env_id: Gymnasium id of the environment; the data set's unless given.
        target: The return y* of the target query, raw and undiscounted; the paper's where it has one.
        seed: Seed of the environments and of the queries.
        json: Also write the record here; a list of records for --query all.
    """
    if episodes < 1:
        raise UserError(f"--episodes is {episodes}, expected 1 or more")
    if target is not None and query not in ("target", "all"):
        raise UserError(f"--target {target:g} goes with --query target or all, not {query}; leave it out")
    import gac
    from gac.compilation import keep_compiled
    from gac.console import activity
    from gac.files import write_text

    keep_compiled()
    with activity(f"loading {run}"):
        agent = gac.load(run)
    name = trusted(run, agent, env_id)
    aim = TARGETS.get(game(name)) if target is None else target
    queries = {each: make_query(each, aim) for each in (QUERIES if query == "all" else (query,))}
    records = []
    for each, asked in queries.items():
        with activity(f"{each}: {episodes} episodes of {name}"):
            result = gac.evaluate(agent, name, query=asked, episodes=episodes, seed=seed)
        records.append(result.to_json())
        write_text(run / f"eval-{each}.json", records[-1])
    if json is not None:
        write_text(json, records[0] if len(records) == 1 else "[" + ",\n".join(records) + "]\n")
    print_table(run)


def finetune(
    run: RunFolder,
    /,
    *,
    out: Path,
    config: OmitArgPrefixes[OnlineConfig],
    data: Annotated[str | None, arg(metavar="DATA")] = None,
    env_id: Annotated[str | None, arg(metavar="ID")] = None,
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
        env_id: Gymnasium id of the environment; the data set's unless given.
        resume: Go on from what the folder holds, whose settings then are the start; only the number of
            stages may differ.
        overwrite: Replace what the folder holds.
    """
    if resume and overwrite:
        raise UserError("--resume and --overwrite are both given; give one of them")
    import gac
    from gac.console import activity, stage_progress

    with activity(f"loading {run}"):
        agent = gac.load(run)
    name = trusted(run, agent, env_id)
    source = data or agent.facts.name
    with activity(f"reading {source}"):
        episodes = gac.load_data(source, on_disk=False if Path(source).suffix in (".hdf5", ".h5") else None)
    if config.targets == "y-star" and config.y_star is None:
        config = dataclasses.replace(config, y_star=TARGETS.get(game(name)))
    try:
        with stage_progress(config.stages) as progress:
            gac.finetune(
                agent,
                episodes,
                name,
                out=out,
                config=config,
                resume=resume,
                overwrite=overwrite,
                progress=progress,
            )
    except KeyboardInterrupt:
        if not (out / "online.json").exists():
            raise
        again = f"gac finetune {shlex.quote(str(run))} --out {shlex.quote(str(out))} --resume"
        again += f" --data {shlex.quote(data)}" if data else ""
        again += f" --env-id {shlex.quote(env_id)}" if env_id else ""
        raise KeyboardInterrupt(f"stopped, everything is saved; go on with: {again}") from None
    print_stages(out)
    print(f"run: {out}")


def report(runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")], /, *, out: Path) -> None:
    """Write one HTML page, with all it needs inside, about one run or several.

    Args:
        runs: Folders of runs.
        out: The page to write.
    """
    from gac.report import write_report

    if not runs:
        raise UserError("no run is given; try: gac report RUN --out report.html")
    write_report(list(runs), out)
    print(f"report: {out}")


def bench(
    *,
    presets: Annotated[tuple[str, ...], arg(metavar="NAME...")] = PRESETS,
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
    from gac.files import write_text

    # Before anything is measured, and nothing is kept on disk here: compiling is one of the measures.
    machine = limits.machine()
    measures = measuring.bench(presets, repeats=repeats, run=run, quick=quick, announce=activity)
    show.print_measures(measures, Console(highlight=False))
    if json is not None:
        write_text(json, show.to_json(machine, quick, measures))


def preset(name: str) -> Config:
    """The configuration of a preset."""
    from gac import presets

    if name not in PRESETS:
        raise UserError(f"--preset is {name}, expected one of {', '.join(PRESETS)}")
    config: Config = getattr(presets, name)()
    return config


def claim(out: Path, *, resume: bool, overwrite: bool, run: Path | None = None) -> None:
    """Refuse a folder in use before any work is done for it; `run` is where to go on from, if not there."""
    if resume and overwrite:
        raise UserError("--resume and --overwrite are both given; give one of them")
    if resume and not ((run or out) / "config.json").exists():
        raise UserError(f"{out} holds no run to go on from; leave out --resume to begin one")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file, expected a folder; choose another name")
    if not resume and not overwrite and out.is_dir() and any(out.iterdir()):
        raise UserError(
            f"{out} is not empty; go on with --resume, replace it with --overwrite, or choose another"
        )


def trusted(run: Path, agent: Any, env_id: str | None) -> str:
    """The environment to play in: the one that is asked for, else the data's."""
    name: str | None = env_id or agent.env_id
    if env_id is None and name is not None and ":" in name:
        raise UserError(
            f"{run} names the environment {name}, which would import a module that the data chose; "
            f"give --env-id {name} if you trust it"
        )
    if name is None:
        raise UserError(
            f"{run} names no environment to play in; give --env-id ID (such as Hopper-v5), or act without "
            "one in Python: agent.plan, agent.policy"
        )
    return name


def game(env_id: str) -> str:
    """The first part of an environment's id, a key of `TARGETS`."""
    return env_id.split("-")[0].lower()


def make_query(name: str, target: float | None) -> Any:
    """The query object of a name; `target` is the return y*, raw and undiscounted."""
    import gac

    if name == "target":
        if target is None:
            raise UserError(
                "--query target needs the return to aim at; give --target Y, raw, such as --target 3600"
            )
        return gac.Target(target)
    return {"exploit": gac.Exploit, "explore": gac.Explore, "prior": gac.Prior}[name]()


def print_table(run: Path) -> None:
    """Print the evaluations that a run's folder holds, beside the returns of its data."""
    from rich.console import Console

    from gac.report import query_table, read_run

    console = Console()
    # A pipe has no width: rich would take 80 columns and break the cells.
    console.print(query_table([read_run(run)]), width=None if console.is_terminal else 120)


def print_stages(run: Path) -> None:
    """Print what the stages of a fine-tuned run aimed at, achieved and are worth; returns are raw."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from gac.online.folder import existing
    from gac.online.record import read_record, record_path

    table = Table("stage", "delta_y", "aims", "reached", "collected", "exploit", "score", "minutes")
    for each in map(read_record, existing(run, record_path)):
        cells = [str(each.stage), "", "", "", ""]
        if (found := each.collection) is not None:
            aims = [y for y in found.y_plus if y is not None]
            cells = [str(each.stage), f"{each.targets.delta_y:.2f}", f"{np.mean(aims):.1f}" if aims else "-"]
            cells += [f"{found.reached:.0%}", f"{found.mean:.1f} ± {found.std:.1f}"]
        scores = each.after
        cells.append("-" if scores is None else f"{scores.mean:.1f} ± {scores.std:.1f}")
        known = scores is not None and scores.normalized_mean is not None
        cells.append(f"{scores.normalized_mean:.1f}" if scores is not None and known else "-")
        table.add_row(*cells, f"{sum(each.seconds.values()) / 60:.1f}")
    console = Console()
    # A pipe has no width: rich would take 80 columns and break the cells.
    console = console if console.is_terminal else Console(width=120)
    console.print(table)
