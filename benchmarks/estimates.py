"""How far off `airloom check` is: what it estimates of a study beside what a finished run of it took.

    python benchmarks/estimates.py STUDY RUN --data DIR [--workers 2]
    python benchmarks/estimates.py STUDY RUN --data DIR --measure

RUN is the folder of a finished run of STUDY on this machine, by as many workers and without interruption. With --measure it is made
first, by one worker, for what others hold would not be counted; each stage is a process of its own, which tells the most
memory that it took. Writes benchmarks/results/estimates.json: seconds of each stage and of all, and gigabytes where they
were measured, estimated and measured, and their ratio; a study's entry replaces an earlier one of its name.
"""

import argparse
import json
import os
import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from _stamp import stamp

from airloom.check import check
from airloom.facts import TIMINGS
from airloom.files import read_json, write_json
from airloom.run import Run
from airloom.study import load

ROOT = Path(__file__).parents[1]
STAGES = ("prepare", "train", "predict")


def carried_out(study: Path, data: Path, run: Path, stage: str) -> float:
    """Gigabytes that this process takes at most while it carries out a stage."""
    getattr(Run(load(study), data, run), stage)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measured(study: Path, data: Path, run: Path) -> dict[str, float]:
    """The same of each stage, in a process of its own."""
    peaks = {}
    for stage in STAGES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            peaks[stage] = pool.submit(carried_out, study, data, run, stage).result()
    return peaks


def beside(estimated: float, measured: float, unit: str) -> dict[str, float]:
    """Both and their ratio."""
    return {f"estimated_{unit}": estimated, f"measured_{unit}": measured, "ratio": estimated / measured}


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
    parser.add_argument("--measure", action="store_true", help="make RUN, and compare memory, too")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "estimates.json")
    asked = parser.parse_args()
    if asked.measure and asked.run.exists():
        parser.error(f"{asked.run} is there already; --measure makes it.")
    study, workers = load(asked.study), 1 if asked.measure else asked.workers
    # before anything else: a process takes over the peak memory of the one that starts it
    peaks = measured(asked.study, asked.data, asked.run) if asked.measure else {}
    found, taken = check(study, asked.data, asked.run, workers=workers), read_json(asked.run / TIMINGS)
    both = {stage: (of_stage(found.seconds, stage), of_stage(taken, stage)) for stage in STAGES}
    both["all"] = sum(a for a, _ in both.values()), sum(b for _, b in both.values())
    stages = {stage: beside(*seconds, "s") for stage, seconds in both.items()}
    memory = {"peaks_gb": peaks, **beside(found.memory / 1e9, max(peaks.values()), "gb")} if peaks else None
    result = read_json(asked.out) if asked.out.is_file() else {}
    result[study.name] = {**stamp(), "stages": stages, "memory": memory}
    write_json(asked.out, result)
    print(json.dumps({"stages": stages, "memory": memory}, indent=1))


if __name__ == "__main__":
    main()
