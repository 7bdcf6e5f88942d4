"""The commands that judge a run by playing episodes, each a function of its flags."""

from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from gac.cli.flags import Count, DataSet, EnvId, FileName, Number, RunFolder
from gac.config import LONGEST
from gac.errors import UserError
from gac.methods import METHODS, method_of, only_gac

QUERIES = METHODS["gac"].queries
TARGETS = {"hopper": 3600.0, "walker2d": 6000.0, "halfcheetah": 5000.0}
"""The paper's y*, raw and undiscounted, by the first part of the environment's id."""


def _check_query(
    run: Path, query: str, target: float | None, steps: int | None, replan: str, data: str | None
) -> None:
    """Refuse flags of `gac evaluate` that do not go with a query, before anything is loaded."""
    from gac.acting.replan import Trigger, parse_replan

    if steps is not None:
        raise UserError(
            f"--steps {steps} goes with a run of method gtp, and {run} is one of gac; leave it out"
        )
    if target is not None and query not in ("target", "all"):
        raise UserError(f"--target {target:g} goes with --query target or all, not {query}; leave it out")
    when = parse_replan(replan)
    if data is not None and not isinstance(when, Trigger):
        raise UserError(f"--data {data} goes with --replan trigger, not {replan}; leave it out")


def _refuse(run: Path, method: str, given: dict[str, Any]) -> None:
    """Refuse flags of `gac evaluate` that a method other than gac does not have."""
    for flag, value in given.items():
        if value not in (None, "never") and flag not in METHODS[method].asked:
            others = " and ".join(name for name, each in METHODS.items() if flag in each.asked)
            owner = f"a run of method {others}" if flag == "--steps" else "runs of gac"
            raise UserError(f"{flag} {value} goes with {owner}, and {run} is one of {method}; leave it out")


def evaluate(
    run: RunFolder,
    /,
    *,
    query: Literal["exploit", "explore", "target", "prior", "all"] | None = None,
    episodes: int = 100,
    env_id: EnvId = None,
    target: Number = None,
    steps: Count = None,
    seed: int = 0,
    replan: Annotated[str, arg(metavar="never|every:N|trigger[:RATE[:SIGNAL]]")] = "never",
    disturb: Annotated[str | None, arg(metavar="push:SPEED|noise:STD")] = None,
    longest: int = LONGEST,
    data: DataSet = None,
    json: FileName = None,
) -> None:
    """Play episodes with plans from a query; writes RUN/eval-<query>.json and prints the table.

    A run of method gtp has no queries: its file is RUN/eval-steps-<K>.json. Runs of lpt take target (their
    default), exploit (LPT-EI) and prior; runs of odt take target alone.

    With --replan or --disturb the file's name says so: RUN/eval-exploit-every_50-push_1.json.

    Args:
        run: Folder of a run.
        query: The inference query, or all four; exploit unless given, or target for runs of lpt and odt.
        episodes: Number of episodes per query.
        env_id: Gymnasium id of the environment; unless given the data set's, with the wrappers, arguments and
            time limit that it was recorded with.
        target: The return y* of the target query, raw and undiscounted; the paper's where it has one, else
            the best return of the data for --query all. Of lpt and odt the return to ask for; the papers'
            where they have one.
        steps: Sampling steps K of a run of method gtp; what its configuration says unless given.
        seed: Seed of the environments, of the queries and of what disturbs.
        replan: When to plan anew within an episode: never, every N steps, or at the trigger, with RATE false
            alarms per episode (0.05) and SIGNAL surprise, fall or either (the default).
        disturb: Push the body at random steps (SPEED in m/s), or add noise to the actions.
        longest: Steps after which an episode counts as endless, where the environment has no time limit.
        data: The data set of the run, to calibrate the trigger anew; without this flag, that is done once,
            with the data set that the run names.
        json: Also write the record here; a list of records for --query all.
    """
    if episodes < 1:
        raise UserError(f"--episodes is {episodes}, expected 1 or more")
    # What is no run is refused by whoever loads it.
    method = method_of(run) if (run / "config.json").is_file() else "gac"
    if method == "gac":
        _check_query(run, query or "exploit", target, steps, replan, data)
    else:
        words: dict[str, Any] = {"--query": query, "--target": target, "--steps": steps}
        _refuse(run, method, words | {"--data": data, "--replan": replan})
    import gac
    from gac.compilation import keep_compiled
    from gac.console import activity, playing
    from gac.envs.disturb import parse_disturbance
    from gac.writing import check_target, write_or_print

    if json is not None:
        check_target(json)
    what = None if disturb is None else parse_disturbance(disturb)
    keep_compiled()
    with activity(f"loading {run}"):
        agent = gac.load(run)
    check_target(run / "eval.json")
    environment = environment_of(run, agent, env_id)
    if method == "gac":
        asked = _asked(run, agent, query or "exploit", target, replan, data, environment.id)
    elif method == "gtp":
        asked = {f"K = {agent.checked(steps)}": {"steps": steps}}
    else:
        asked = {agent.checked(query): {"query": query, "target": target}}
    records = []
    for name, how in asked.items():
        with playing(f"{name}: {episodes} episodes of {environment}", episodes) as progress:
            result = gac.evaluate(
                agent,
                env_id,
                episodes=episodes,
                seed=seed,
                disturb=what,
                longest=longest,
                progress=progress,
                **how,
            )
        records.append(result.to_json())
        write_or_print(run / f"{result.stem}.json", records[-1])
    if json is not None:
        write_or_print(json, records[0] if len(records) == 1 else "[" + ",\n".join(records) + "]\n")
    print_evaluations(run)


def _asked(
    run: Path,
    agent: Any,
    query: str,
    target: float | None,
    replan: str,
    data: str | None,
    env_id: str,
) -> dict[str, dict[str, Any]]:
    """For each query by name what `gac.evaluate` is told; calibrates the trigger where one is asked for."""
    from gac.acting.replan import Trigger, parse_replan

    when = parse_replan(replan)
    aim = usual_target(env_id) if target is None else target
    if aim is None and query == "all":
        aim = max(agent.facts.returns)
    if aim is not None and query in ("target", "all"):
        agent.standardiser.check_aim(aim)
    queries = {each: make_query(each, aim) for each in (QUERIES if query == "all" else (query,))}
    if isinstance(when, Trigger):
        calibrated(run, agent, data)
    return {name: {"query": each, "replan": when} for name, each in queries.items()}


def consistency(
    run: RunFolder,
    /,
    *,
    values: int = 9,
    episodes: int = 50,
    env_id: EnvId = None,
    seed: int = 0,
    longest: int = LONGEST,
    json: FileName = None,
) -> None:
    """Command returns from the data's least to beyond its best; writes RUN/consistency.json for the report.

    Per command, episodes are played with the target query (does the actor do as it is told?), and p(y | tau)
    is inferred from each trajectory alone (does the critic know what it earned?).

    Args:
        run: Folder of a run.
        values: Number of commanded returns; two are beyond the data's best.
        episodes: Number of episodes per command.
        env_id: Gymnasium id of the environment; unless given the data set's, as it was recorded.
        seed: Seed of the environments, of the queries and of the inference.
        longest: Steps after which an episode counts as endless, where the environment has no time limit.
        json: Also write the record here.
    """
    if episodes < 1:
        raise UserError(f"--episodes is {episodes}, expected 1 or more")
    only_gac(run, "gac consistency")
    import gac
    import gac.report
    from gac.compilation import keep_compiled
    from gac.console import activity, print_table, stderr_console
    from gac.writing import check_target, write_or_print

    if json is not None:
        check_target(json)
    keep_compiled()
    with activity(f"loading {run}"):
        agent = gac.load(run)
    check_target(run / "consistency.json")
    environment_of(run, agent, env_id)
    console = stderr_console()
    record = gac.consistency(
        agent,
        env_id,
        values=values,
        episodes=episodes,
        seed=seed,
        longest=longest,
        progress=lambda one: console.print(f"commanded {one.y_star:.1f}, achieved {one.mean:.1f}"),
    )
    text = record.to_json()
    write_or_print(run / "consistency.json", text)
    if json is not None:
        write_or_print(json, text)
    print_table(gac.report.consistency_table(record))


def environment_of(run: Path, agent: Any, env_id: str | None) -> Any:
    """The environment to play in: the one that is asked for, else the data's, with all it was made with."""
    from gac.acting.evaluate import chosen_environment

    if env_id is None and agent.env_id is None:
        raise UserError(
            f"{run} names no environment to play in; give --env-id ID (such as Hopper-v4), or act without "
            "one in Python: agent.plan, agent.policy"
        )
    return chosen_environment(env_id, agent.environment)


def usual_target(env_id: str) -> float | None:
    """The paper's y* in an environment, raw and undiscounted; None where it has none."""
    return TARGETS.get(env_id.split("-")[0].lower())


def make_query(name: str, target: float | None) -> Any:
    """The query object of a name; `target` is the return y*, raw."""
    import gac

    if name == "target":
        if target is None:
            raise UserError(
                "--query target needs the return to aim at; give --target Y, raw, such as --target 3600"
            )
        return gac.Target(target)
    return {"exploit": gac.Exploit, "explore": gac.Explore, "prior": gac.Prior}[name]()


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


def print_evaluations(run: Path) -> None:
    """Print the evaluations that a run's folder holds, beside the returns of its data."""
    from gac.console import print_table
    from gac.report import query_table, read_run, variants_table

    found = read_run(run)
    print_table(query_table([found]))
    if found.variants:
        print_table(variants_table(found))
