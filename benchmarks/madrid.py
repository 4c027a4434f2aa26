"""Madrid with several seeds and station splits on one prepared cube: skill beside the baselines of the same runs.

    python benchmarks/madrid.py --data DIR [--runs runs] [--seeds 0 1 2] [--splits 1 2]

The study's own withheld stations are run with each of `--seeds`; each of `--splits` draws other withheld stations (a
third of them) with seed 0. Writes benchmarks/results/madrid.json, where runs that are not asked for stay as they were.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from _stamp import stamp

from airloom.files import write_json

ROOT = Path(__file__).parents[1]


def run(name: str, changes: list[str], data: Path, runs: Path) -> dict:
    """One run of the study, taken up again where it was stopped; its scores in short."""
    folder = runs / name
    command = ["airloom", "run", "studies/madrid.yaml", "--data", data, "--folder", folder]
    for change in changes:
        command += ["--set", change]
    subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    scores = json.loads((folder / "scores.json").read_text())
    keep = ("model", "phase", "n", "rmse", "mae", "r", "r2", "bias", "rmse_ci", "r2_ci")
    return {
        "run": name,
        "changes": changes,
        **stamp("torch"),
        "withheld": [{k: r[k] for k in keep} for r in scores["rows"] if r["target"] == "withheld" and r["stratum"] == "all"],
        "differences": [d for d in scores["differences"] if d["target"] == "withheld"],
        "seconds": json.loads((folder / "timings.json").read_text()),
    }


def main() -> None:
    """Run all, print a line each, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("AIRLOOM_DATA"), required="AIRLOOM_DATA" not in os.environ
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--splits", type=int, nargs="*", default=[1, 2])
    asked = parser.parse_args()
    data, runs = asked.data.resolve(), asked.runs.resolve()
    plan = [("madrid" if s == 0 else f"madrid-seed-{s}", [f"seed={s}"] if s else []) for s in asked.seeds]
    other = "stations.split.withheld=[]", "stations.split.fraction=0.34"
    plan += [(f"madrid-split-{s}", [*other, f"stations.split.seed={s}"]) for s in asked.splits]
    found = []
    for name, changes in plan:
        found.append(run(name, changes, data, runs))
        for row in found[-1]["withheld"]:
            label = row["model"] if row["phase"] is None else f"{row['model']} phase {row['phase']}"
            print(
                f"{name:18} {label:28} n {row['n']} RMSE {row['rmse']:.2f} R² {row['r2']:.3f} bias {row['bias']:+.2f}",
                flush=True,
            )
    path = ROOT / "benchmarks" / "results" / "madrid.json"
    known = json.loads(path.read_text())["runs"] if path.is_file() else []
    runs_of_all = {r["run"]: r for r in [*known, *found]}
    write_json(path, {"runs": [runs_of_all[name] for name in sorted(runs_of_all)]})


if __name__ == "__main__":
    main()
