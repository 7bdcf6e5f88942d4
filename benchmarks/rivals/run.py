"""Train one rival on one data set and evaluate it: the command that `gac compare` runs for a rival.

    .venv-rivals/bin/python benchmarks/rivals/run.py --list
    .venv-rivals/bin/python benchmarks/rivals/run.py hopper-medium --method td3+bc --out runs/td3 --minutes 15

Data are read by gac, under the same names, and episodes are played by gac's loop in the same environments on
the same seeds; what plays is what training ended with. The folder gets config.json, metrics.jsonl and
eval-policy.json.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # gac is read from this checkout.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

OFFLINE = ("td3+bc", "iql", "cql", "cal-ql", "rebrac", "dt", "qdt")
ONLINE = ("sac", "ppo")
"""From nothing, in the environment alone."""
PACKAGES = {True: ("d3rlpy", "torch"), False: ("sbx-rl", "jax")}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main(words: list[str] | None = None) -> None:
    given = parsed(words)
    for name in THREADS:
        os.environ[name] = "1"
    from gac.errors import UserError

    try:
        run(given)
    except UserError as error:
        print(f"rivals: {error}", file=sys.stderr)
        sys.exit(2)


def parsed(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--list", action="version", version="\n".join(OFFLINE + ONLINE), help="name all methods"
    )
    parser.add_argument("data", help="name or path of a data set, as gac data list has them")
    parser.add_argument("--method", choices=OFFLINE + ONLINE, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, a new or empty one")
    parser.add_argument("--rewards", choices=("given", "return"), default="given")
    parser.add_argument("--minutes", type=float, help="wall-clock minutes of training")
    parser.add_argument("--updates", type=int, help="number of updates, instead of minutes")
    parser.add_argument("--online", type=int, default=0, help="new episodes to learn from, after the data")
    parser.add_argument("--episodes", type=int, default=100, help="episodes of the evaluation")
    parser.add_argument("--seed", type=int, default=0, help="of training; evaluation is on seeds 0, 1, …")
    given = parser.parse_args(words)
    if given.method in ONLINE and (given.online < 1 or given.minutes or given.updates):
        parser.error(
            f"{given.method} learns from --online episodes alone; give their number and no other budget"
        )
    if given.method in OFFLINE and (given.minutes is None) == (given.updates is None):
        parser.error("give either --minutes or --updates")
    if given.out.is_dir() and any(given.out.iterdir()):
        parser.error(f"{given.out} is not empty; choose another folder")
    return given


def run(given: argparse.Namespace) -> None:
    """Read, train, play, record."""
    import numpy as np

    import gac
    from gac.provenance import commit

    data = gac.load_data(given.data)
    given.out.mkdir(parents=True, exist_ok=True)
    offline = given.method in OFFLINE
    if offline:
        import torch
        from learning import Budget, train
        from playing import evaluate

        torch.set_num_threads(1)
        budget = Budget(given.minutes, given.updates)
        policy, settings = train(
            given.method, data, given.rewards, budget, given.online, given.seed, given.out
        )
    else:
        from online import from_nothing
        from playing import Greedy, evaluate

        act, settings = from_nothing(given.method, data, given.rewards, given.online, given.seed, given.out)
        policy = Greedy(act)
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(given).items()}
    config = {"rival": asked, "commit": commit(), "machine": platform.platform(), "settings": settings}
    (given.out / "config.json").write_text(json.dumps(config, indent=1, default=str) + "\n")
    record = evaluate(policy, data, given.episodes, 0, (*PACKAGES[offline], "gymnasium", "mujoco"))
    partial = given.out / ".eval-policy.json"
    partial.write_text(record.to_json() + "\n", encoding="utf-8")
    os.replace(partial, given.out / "eval-policy.json")
    score = np.nan if record.normalized_mean is None else record.normalized_mean
    print(f"{given.method} on {data.name}: {record.mean:.1f} ± {record.std:.1f}, normalised {score:.1f}")


if __name__ == "__main__":
    main()
