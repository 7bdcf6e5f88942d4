"""What a GPU gives at the paper's sizes: share of its arithmetic, minutes to a plateau, five seeds at once.

    python benchmarks/gpu.py hopper-medium --out runs/gpu --json benchmarks/records/gpu.json

In float32 and with products in bfloat16 (JAX's own setting, JAX_DEFAULT_MATMUL_PRECISION), each by the
commands that a user would give. It runs on any device that JAX finds; `--quick` shows on a CPU that all of it
runs.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PRECISIONS = {"float32": "float32", "bfloat16": "BF16_BF16_F32"}
PLATEAU = 0.99
"""Share of what the held-out ELBO gains in all, from which on it counts as a plateau."""

SMALL = {
    "embed-dim": 16,
    "heads": 2,
    "batch-size": 8,
    "inner-steps": 4,
    "inner-windows": 2,
    "outer-windows": 2,
}
"""Sizes of a trial run."""


def command(words: list[str], precision: str) -> None:
    """Run a command of gac with products in that precision."""
    program = [sys.executable, "-c", "from gac.cli import entry; entry()", *words]
    print("gac", *words, f"({precision})", flush=True)
    subprocess.run(
        program, check=True, env={**os.environ, "JAX_DEFAULT_MATMUL_PRECISION": PRECISIONS[precision]}
    )


def curve(run: Path) -> list[tuple[float, float]]:
    """Seconds of training and held-out ELBO, wherever a run computed it."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["seconds"], line["heldout_elbo"]) for line in lines if "heldout_elbo" in line]


def plateau_seconds(points: list[tuple[float, float]]) -> float | None:
    """Seconds until the held-out ELBO has made PLATEAU of its whole gain; None where it still rises.

    It still rises if the last tenth of the time is what it took.
    """
    if len(points) < 2:
        return None
    first, best = points[0][1], max(value for _, value in points)
    reached = next(seconds for seconds, value in points if value >= first + PLATEAU * (best - first))
    return reached if reached <= 0.9 * points[-1][0] else None


def measure(data: str, out: Path, precision: str, quick: bool) -> dict[str, Any]:
    """All figures in one precision."""
    settings = SMALL | {"heldout-every": 1} if quick else {"heldout-every": 20}
    size = [
        "--preset",
        "paper",
        *(word for name, value in settings.items() for word in (f"--{name}", str(value))),
    ]
    one, many = out / precision / "one", out / precision / "five"
    bench = out / precision / "bench.json"
    bench.parent.mkdir(parents=True, exist_ok=True)
    command(["bench", "--presets", "paper", "--json", str(bench), *["--quick"] * quick], precision)
    extent = ["--updates", "3"] if quick else ["--minutes", "10"]
    command(["train", data, "--out", str(one), *size, *extent], precision)
    command(["evaluate", str(one), "--episodes", "2" if quick else "100", "--seed", "1000"], precision)
    extent = ["--updates", "3"] if quick else ["--minutes", "20"]
    command(["train", data, "--out", str(many), "--seeds", "5", *size, *extent], precision)
    seeds = [curve(many / f"seed-{seed}") for seed in range(5)]
    exploit = json.loads((one / "eval-exploit.json").read_text())
    return {
        "bench": json.loads(bench.read_text()),
        "one": {
            "curve": curve(one),
            "plateau_seconds": plateau_seconds(curve(one)),
            "exploit": [exploit["mean"], exploit["std"]],
        },
        "five": {"curves": seeds, "plateau_seconds": [plateau_seconds(points) for points in seeds]},
    }


def main() -> None:
    """Measure in both precisions and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="name or path of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs; must not exist")
    parser.add_argument("--json", type=Path, required=True, help="where the record goes")
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} exists; choose another folder")
    figures = {name: measure(args.data, args.out, name, args.quick) for name in PRECISIONS}
    args.json.write_text(json.dumps({"data": args.data, "quick": args.quick} | figures, indent=1) + "\n")
    for name, row in figures.items():
        loops = row["bench"]["figures"]["paper"]
        shares = [loops[loop]["share_of_matrix_product"]["median"] for loop in ("inner loop", "outer loop")]
        print(f"{name}: inner and outer loop at {shares[0]:.0%} and {shares[1]:.0%} of the matrix product")
        print(
            f"  plateau of one run, seconds: {row['one']['plateau_seconds']}; exploit {row['one']['exploit']}"
        )
        print(f"  of five seeds at once: {row['five']['plateau_seconds']}")


if __name__ == "__main__":
    main()
