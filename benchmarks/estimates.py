"""How far off `airloom check` is: what it estimates of a study beside what a finished run of it took.

    python benchmarks/estimates.py STUDY RUN --data DIR [--workers 2]

RUN is the folder of a finished run of STUDY on this machine, by as many workers and without interruption. Writes
benchmarks/results/estimates.json: seconds of each stage and of all, estimated and measured, and their ratio; a study's entry replaces an
earlier one of its name.
"""

import argparse
import json
import os
from pathlib import Path

from _stamp import stamp

from airloom.check import check
from airloom.facts import TIMINGS
from airloom.files import read_json, write_json
from airloom.study import load

ROOT = Path(__file__).parents[1]
STAGES = ("prepare", "train", "predict")


def of_stage(seconds: dict[str, float], stage: str) -> float:
    """Sum of the parts of a stage."""
    return sum(taken for what, taken in seconds.items() if what.startswith(stage))


def main() -> None:
    """Estimate, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("AIRLOOM_DATA"), required="AIRLOOM_DATA" not in os.environ
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "estimates.json")
    asked = parser.parse_args()
    study = load(asked.study)
    found, taken = check(study, asked.data, asked.run, workers=asked.workers), read_json(asked.run / TIMINGS)
    both = {stage: (of_stage(found.seconds, stage), of_stage(taken, stage)) for stage in STAGES}
    both["all"] = sum(a for a, _ in both.values()), sum(b for _, b in both.values())
    stages = {stage: {"estimated_s": a, "measured_s": b, "ratio": a / b} for stage, (a, b) in both.items()}
    result = read_json(asked.out) if asked.out.is_file() else {}
    result[study.name] = {
        **stamp(),
        "stages": stages,
    }
    write_json(asked.out, result)
    print(json.dumps(stages, indent=1))


if __name__ == "__main__":
    main()
