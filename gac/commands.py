"""The commands, each a function of its flags: call the library, print, and no more.

JAX and MuJoCo are imported inside the commands, so that `gac --help` answers at once.
"""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg

from gac.config import Config
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
        resume: Go on from the run in the folder, whose configuration then is the start, not the preset's.
        overwrite: Replace an existing run in the folder.
        on_disk: Leave the steps in the file and read each batch when it is due; without this flag, that is
            done where memory is too small.
    """
    if minutes is not None and updates is not None:
        raise UserError(f"--minutes {minutes:g} and --updates {updates} are both given; give one of them")
    claim(out, resume=resume, overwrite=overwrite)
    import gac
    from gac.console import activity, training_progress

    with activity(f"reading {data}"):
        episodes = gac.load_data(data, on_disk=on_disk or None)
    if episodes.on_disk:
        print(f"{data} stays on disk: {episodes.num_episodes} episodes, {episodes.num_steps} steps")
    try:
        with training_progress() as progress:
            gac.train(
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
        if not (out / "state.safetensors").exists():
            raise
        again = f"gac train {shlex.quote(data)} --out {shlex.quote(str(out))} --resume"
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
    replan: Annotated[str, arg(metavar="never|every:N|trigger[:RATE[:SIGNAL]]")] = "never",
    disturb: Annotated[str | None, arg(metavar="push:SPEED|noise:STD")] = None,
    data: Annotated[str | None, arg(metavar="DATA")] = None,
    json: FileName = None,
) -> None:
    """Play episodes with plans from a query; writes RUN/eval-<query>.json and prints the table.

    With --replan or --disturb the file's name says so: RUN/eval-exploit-every_50-push_1.json.

    Args:
        run: Folder of a run.
        query: The inference query, or all four.
        episodes: Number of episodes per query.
        env_id: Gymnasium id of the environment; the data set's unless given.
        target: The return y* of the target query, raw and undiscounted; the paper's where it has one.
        seed: Seed of the environments, of the queries and of what disturbs.
        replan: When to plan anew within an episode: never, every N steps, or at the trigger, with RATE false
            alarms per episode (0.05) and SIGNAL surprise, fall or either (the default).
        disturb: Push the body at random steps (SPEED in m/s), or add noise to the actions.
        data: The data set of the run, to calibrate the trigger anew; without this flag, that is done once,
            with the data set that the run names.
        json: Also write the record here; a list of records for --query all.
    """
    if episodes < 1:
        raise UserError(f"--episodes is {episodes}, expected 1 or more")
    if target is not None and query not in ("target", "all"):
        raise UserError(f"--target {target:g} goes with --query target or all, not {query}; leave it out")
    from gac.acting.replan import Trigger, parse_replan

    when = parse_replan(replan)
    if data is not None and not isinstance(when, Trigger):
        raise UserError(f"--data {data} goes with --replan trigger, not {replan}; leave it out")
    import gac
    from gac.console import activity
    from gac.envs.disturb import parse_disturbance
    from gac.files import write_text

    what = None if disturb is None else parse_disturbance(disturb)
    with activity(f"loading {run}"):
        agent = gac.load(run)
    name = environment_of(run, agent.env_id, env_id)
    aim = TARGETS.get(name.split("-")[0].lower()) if target is None else target
    queries = {each: make_query(each, aim) for each in (QUERIES if query == "all" else (query,))}
    if isinstance(when, Trigger):
        calibrated(run, agent, data)
    records = []
    for each, asked in queries.items():
        with activity(f"{each}: {episodes} episodes of {name}"):
            result = gac.evaluate(
                agent, name, query=asked, episodes=episodes, seed=seed, replan=when, disturb=what
            )
        records.append(result.to_json())
        write_text(run / f"{result.stem}.json", records[-1])
    if json is not None:
        write_text(json, records[0] if len(records) == 1 else "[" + ",\n".join(records) + "]\n")
    print_table(run)


def consistency(
    run: RunFolder,
    /,
    *,
    values: int = 9,
    episodes: int = 50,
    env_id: Annotated[str | None, arg(metavar="ID")] = None,
    seed: int = 0,
    json: FileName = None,
) -> None:
    """Command returns from the data's least to beyond its best; writes RUN/consistency.json for the report.

    Per command, episodes are played with the target query (does the actor do as it is told?), and p(y | tau)
    is inferred from each trajectory alone (does the critic know what it earned?).

    Args:
        run: Folder of a run.
        values: Number of commanded returns; two are beyond the data's best.
        episodes: Number of episodes per command.
        env_id: Gymnasium id of the environment; the data set's unless given.
        seed: Seed of the environments, of the queries and of the inference.
        json: Also write the record here.
    """
    if episodes < 1:
        raise UserError(f"--episodes is {episodes}, expected 1 or more")
    import gac
    from gac.console import activity, stderr_console
    from gac.files import write_text

    with activity(f"loading {run}"):
        agent = gac.load(run)
    name, console = environment_of(run, agent.env_id, env_id), stderr_console()
    record = gac.consistency(
        agent,
        name,
        values=values,
        episodes=episodes,
        seed=seed,
        progress=lambda one: console.print(f"commanded {one.y_star:.1f}, achieved {one.mean:.1f}"),
    )
    text = record.to_json()
    write_text(run / "consistency.json", text)
    if json is not None:
        write_text(json, text)
    print_rich("consistency_table", record)


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


def preset(name: str) -> Config:
    """The configuration of a preset."""
    from gac import presets

    if name not in PRESETS:
        raise UserError(f"--preset is {name}, expected one of {', '.join(PRESETS)}")
    config: Config = getattr(presets, name)()
    return config


def claim(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder in use before any work is done for it."""
    if resume and overwrite:
        raise UserError("--resume and --overwrite are both given; give one of them")
    if resume and not (out / "config.json").exists():
        raise UserError(f"{out} holds no run to go on from; leave out --resume to begin one")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file, expected a folder; choose another name")
    if not resume and not overwrite and out.is_dir() and any(out.iterdir()):
        raise UserError(
            f"{out} is not empty; go on with --resume, replace it with --overwrite, or choose another"
        )


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


def environment_of(run: Path, own: str | None, given: str | None) -> str:
    """The environment to play in: the one that is given, else the data's own."""
    name = given or own
    if given is None and name is not None and ":" in name:
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


def calibrated(run: Path, agent: Any, data: str | None) -> None:
    """Calibrate the agent's trigger and keep that in the run, unless it is done and no data is given."""
    if agent.calibration is not None and data is None:
        return
    import gac
    from gac.console import activity

    with activity(f"calibrating the trigger on {data or agent.facts.name}"):
        try:
            episodes = gac.load_data(data or agent.facts.name)
        except UserError as error:
            if data is not None:
                raise
            raise UserError(
                f"{run} was trained on {agent.facts.name}, which the trigger needs once to be calibrated on; "
                f"give it with --data DATA ({error})"
            ) from None
        gac.calibrate(agent, episodes).save(run)


def print_table(run: Path) -> None:
    """Print the evaluations that a run's folder holds, beside the returns of its data."""
    from gac.report import read_run

    found = read_run(run)
    print_rich("query_table", [found])
    if found.variants:
        print_rich("variants_table", found)


def print_rich(table: str, *content: Any) -> None:
    """Print a table of `gac.report`."""
    from rich.console import Console

    import gac.report

    console = Console()
    # A pipe has no width: rich would take 80 columns and break the cells.
    console.print(getattr(gac.report, table)(*content), width=None if console.is_terminal else 120)
