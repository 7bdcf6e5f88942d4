"""A tiny method for tests of `gac compare`: its score is known before, and it can fail or wait for a file."""

import json
import os
import sys
import time
from pathlib import Path

if "--list" in sys.argv:
    print("steady\nbroken\nslow")
    sys.exit()
words = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
out, method, seed = Path(words["--out"]), words["--method"], int(words["--seed"])
out.mkdir(parents=True)
if method == "broken":
    print("first line\nValueError: it broke\n", file=sys.stderr)
    sys.exit(1)
if method == "slow":
    (out / "pid").write_text(str(os.getpid()))
    while not Path(os.environ["FAKE_GO"]).exists():
        time.sleep(0.05)
returns = [1000.0 + 100 * seed + i for i in range(int(words["--episodes"]))]
with open(out / "metrics.jsonl", "w") as file:
    print(json.dumps({"update": 7, "seconds": 90.0}), file=file)
record = {
    "query": "policy",
    "env_id": "Hopper-v4",
    "seed": 0,
    "returns": returns,
    "lengths": [10] * len(returns),
    "predicted_returns": [],
    "mean": sum(returns) / len(returns),
    "std": 0.0,
    "normalized_mean": 1.0,
    "normalized_std": 0.0,
    "plan_seconds": 0.0,
    "steps_per_second": 1.0,
    "versions": {"fake": "1"},
    "began": time.time(),
}
(out / "eval-policy.json").write_text(json.dumps(record))
