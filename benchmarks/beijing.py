"""AQ-Net in Beijing: the shipped study whole and timed, its cyclic encoding off, weather known ahead, and 35 stations hidden in folds.

    python benchmarks/beijing.py FOLDER --data DIR [--only whole cyclic-off ahead hidden hidden-by-distance]

Each is `airloom run` of studies/beijing.yaml or beijing-35.yaml with a few keys changed, in a folder of its own below FOLDER; an
interrupted call goes on. `cyclic-off` and `ahead` have the task of hours alone, and as baselines those that are to be compared. Writes
benchmarks/results/beijing.json: scores and minutes of each; those that it holds and that are not asked for are kept.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from _stamp import stamp

from airloom.files import write_json

ROOT = Path(__file__).parents[1]
HOURS = {"kind": "forecast", "name": "hours", "window": 24, "leads": [6, 12, 24], "steps": 1000}
WEATHER = ["t2m", "d2m", "sp", "tp", "wind"]


def variants() -> dict[str, tuple[str, dict[str, Any]]]:
    """The study that each starts from, and the keys that it changes."""
    return {
        "whole": ("beijing", {}),
        "cyclic-off": ("beijing", {"method.cyclic": False, "tasks": [HOURS], "verification.baselines": ["persistence"]}),
        "ahead": (
            "beijing",
            {
                "tasks": [{**HOURS, "ahead": WEATHER}],
                "verification.baselines": ["persistence", "ridge", "gradient-boosting"],
            },
        ),
        "hidden": ("beijing-35", {}),
        "hidden-by-distance": ("beijing-35", {"method.weights": "distance"}),
    }


def carry(name: str, folder: Path, data: Path) -> dict[str, Any]:
    """One study from files to a report; its scores, and the minutes that its stages took."""
    stem, changes = variants()[name]
    run, written = folder / name, folder / f"{name}.yaml"
    content = yaml.safe_load((ROOT / "studies" / f"{stem}.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        *parents, last = key.split(".")
        part = content
        for parent in parents:
            part = part[parent]
        part[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    written.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    command = [Path(sys.executable).parent / "airloom", "run", written, "--data", data, "--folder", run]
    subprocess.run(list(map(str, command)), check=True)
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    timings = json.loads((run / "timings.json").read_text(encoding="utf-8"))
    return {
        "run": name,
        "changes": changes,
        **stamp("torch"),
        "minutes": {stage: seconds / 60 for stage, seconds in timings.items()},
        "rows": scores["rows"],
        "intervals": scores["intervals"],
    }


def main() -> None:
    """Carry, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("AIRLOOM_DATA")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=given, required=given is None)
    parser.add_argument("--only", nargs="+", default=list(variants()), choices=list(variants()))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "beijing.json")
    asked = parser.parse_args()
    for name in asked.only:
        found = carry(name, asked.folder.resolve(), asked.data)
        known = json.loads(asked.out.read_text(encoding="utf-8")).get("runs", []) if asked.out.is_file() else []
        write_json(asked.out, {"runs": [*(r for r in known if r["run"] != name), found]})
        for r in found["rows"]:
            print(
                f"{name:18} {r['task']:6} {r['what']:6} {r['lead']!s:4} {r['model']:20} RMSE {r['rmse']:.2f} R² {r['r2']:.3f}"
            )
        print(f"{name}: {sum(found['minutes'].values()):.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
