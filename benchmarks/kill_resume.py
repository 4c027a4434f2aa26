"""Kill a run again and again, and see that it ends as if nothing had happened.

    python benchmarks/kill_resume.py STUDY --data DIR [--kills 10] [--seed 0] [--stages train …] [--set phases.0.epochs=1 …]
    python benchmarks/kill_resume.py --small [--kills 10] [--seed 0] [--stages train …]

Runs the study undisturbed once. Then runs it in another folder, with a cube of its own, and kills the whole process group
with SIGKILL at random moments, as many of each of the stages as of any other (all: prepare, train, predict, evaluate, report). After
each kill every file under a final name must be whole; in the end scores, fields, weights, normalisation, ledger and cube
must equal the undisturbed ones to the bit. Writes benchmarks/results/kill_resume.json; exit code 1 where anything differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import polars as pl
import yaml
import zarr
from _stamp import stamp
from safetensors.numpy import load_file

from airloom.study import Study, changed, load

ROOT = Path(__file__).parents[1]
STAGES = ("prepare", "train", "predict", "evaluate", "report")
TRIES = 5  # to kill a run before it ends by itself


class Attempt:
    """One start of `airloom run`, in a process group of its own."""

    def __init__(self, study: Path, data: Path, folder: Path) -> None:
        words = ["run", str(study), "--data", str(data), "--folder", str(folder)]
        code = "from airloom.cli import main; main()"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (lives as long as the attempt)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words], start_new_session=True, stdout=subprocess.DEVNULL, stderr=self.log
        )
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long ago it started."""
        return time.monotonic() - self.started

    def over(self) -> bool:
        """Whether it has ended by itself.

        Raises:
            SystemExit: it ended with an error, which is shown.
        """
        code = self.process.poll()
        if code:
            self.log.seek(0)
            raise SystemExit(f"the run ended with exit code {code}:\n{self.log.read()}")
        return code == 0

    def to_the_end(self) -> float:
        """Wait for it; seconds that it took."""
        while not self.over():
            time.sleep(0.02)
        return self.seconds

    def kill(self) -> None:
        """End all its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def began(stage: str, folder: Path, name: str) -> bool:
    """Whether a run's files say that a stage has begun."""
    signs = {
        "prepare": [folder / "study.yaml"],
        "train": (folder.parent / "cubes").glob("[!.]*.zarr"),
        "predict": [folder / "fields"],
        "evaluate": [folder / "fields" / f"{name}.nc"],
        "report": [folder / "scores.json"],
    }
    return any(sign.exists() for sign in signs[stage])


def durations(folder: Path) -> dict[str, float]:
    """Seconds that each stage of the undisturbed run took."""
    timings = json.loads((folder / "timings.json").read_text())
    parts = {stage: (stage,) for stage in STAGES} | {"predict": ("predict", "assimilate", "write NetCDF")}
    return {stage: sum(v for k, v in timings.items() if k.startswith(parts[stage])) for stage in STAGES}


def kill_once(stage: str, lengths: dict[str, float], draw: random.Random, attempt: Attempt, folder: Path, name: str) -> dict:
    """Kill a run at a moment drawn from a stage's undisturbed duration; what happened.

    Where an earlier attempt has reached the stage, the moment lies about the time when the program has started and goes on.
    """
    early, length = began(stage, folder, name), lengths[stage]
    while not early and not began(stage, folder, name) and not attempt.over():
        time.sleep(0.005)
    first = 0.8 * lengths["start"] if early else attempt.seconds
    if early:
        length += 0.4 * lengths["start"] + (lengths["evaluate"] if stage == "report" else 0)  # evaluated anew each time
    moment = first + draw.random() * length
    while attempt.seconds < moment and not attempt.over():
        time.sleep(0.005)
    killed = not attempt.over()
    if killed:
        attempt.kill()
    return {"stage": stage, "killed": killed, "seconds": round(attempt.seconds, 2)}


def broken_files(parent: Path) -> list[str]:
    """Files under a final name that are not whole."""
    broken = []
    for path in sorted(p for p in parent.rglob("*") if p.is_file()):
        if path.name.startswith(".") or path.suffix == ".partial":
            continue  # written aside
        try:
            _open_whole(path)
        except Exception as error:  # whatever a library says of a broken file
            broken.append(f"{path.relative_to(parent)}: {error}")
    for path in parent.rglob("fields/[!.]*.zarr"):
        store = zarr.open_group(path, mode="r", use_consolidated=False)
        if not np.isfinite(store["no2"][:][store["written"][:] == 1]).all():
            broken.append(f"{path.relative_to(parent)}: a day that counts as written has no values")
    return broken


def _open_whole(path: Path) -> None:
    """Read a file to its end with the library of its kind."""
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".safetensors":
        load_file(path)
    elif path.suffix == ".parquet":
        pl.read_parquet(path)
    elif path.suffix == ".nc":
        with netCDF4.Dataset(path) as file:
            for variable in file.variables.values():
                variable[:]
    elif path.suffix == ".html":
        assert path.read_text().rstrip().endswith("</html>"), "does not end"


def results(folder: Path, study: Study) -> dict[str, Any]:
    """All that must be equal, by name; arrays as bytes."""
    found: dict[str, Any] = {n: (folder / n).read_bytes() for n in ("scores.json", "ledger.json", "normalisation.json")}
    for path in sorted(folder.glob("phase-*/member-*/best.safetensors")):
        found |= {f"{path.parent.relative_to(folder)} {name}": a.tobytes() for name, a in load_file(path).items()}
    for path in sorted(folder.glob("fields/[!.]*.zarr")):
        found |= {f"{path.name} {name}": a[...].tobytes() for name, a in zarr.open_group(path, mode="r").arrays()}
    with netCDF4.Dataset(folder / "fields" / f"{study.name}.nc") as file:
        found |= {f"NetCDF {name}": np.ma.getdata(v[:]).tobytes() for name, v in file.variables.items()}
    (cube,) = (folder.parent / "cubes").glob("[!.]*.zarr")
    group = zarr.open_group(cube, mode="r")
    found |= {f"cube {name}": a[...].tobytes() for name, a in group.arrays()}
    return {**found, "cube attributes": json.dumps(dict(group.attrs), sort_keys=True)}


def disturb(study_file: Path, data: Path, work: Path, kills: int, seed: int, stages: Sequence[str]) -> dict[str, Any]:
    """The undisturbed run, the disturbed one, and how they compare."""
    study = load(study_file)
    calm, rough = (work / kind / study.name for kind in ("undisturbed", "disturbed"))
    seconds = Attempt(study_file, data, calm).to_the_end()
    print(f"undisturbed: {seconds:.1f} s", flush=True)
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import airloom.run"], check=True)
    lengths = {**durations(calm), "start": time.monotonic() - started}
    draw, told, broken = random.Random(seed), [], []
    for stage in sorted((stages[i % len(stages)] for i in range(kills)), key=STAGES.index):
        for _ in range(TRIES):
            told.append(kill_once(stage, lengths, draw, Attempt(study_file, data, rough), rough, study.name))
            broken += broken_files(rough.parent)
            print(", ".join(f"{k} {v}" for k, v in told[-1].items()), flush=True)
            if told[-1]["killed"]:
                break
            shutil.rmtree(rough.parent)  # it ended before the moment came: from the beginning
    last = Attempt(study_file, data, rough).to_the_end()
    ours, theirs = results(rough, study), results(calm, study)
    return {
        "study": study.name,
        "seed": seed,
        "undisturbed_seconds": round(seconds, 1),
        "stage_seconds": {k: round(v, 2) for k, v in lengths.items()},
        "attempts": told,
        "kills": sum(t["killed"] for t in told),
        "last_seconds": round(last, 1),
        "compared": len(theirs),
        "different": sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)),
        "broken_files": broken,
        "left_aside": sorted(p.name for p in rough.rglob(".*")),
    }


def main() -> None:
    """Read the command line, run, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?", help="a study file")
    parser.add_argument("--data", type=Path, default=os.environ.get("AIRLOOM_DATA"), help="folder of its input files")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES, help="in which it is killed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the study")
    parser.add_argument("--small", action="store_true", help="the small study of the tests, with its invented files")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "kill_resume.json")
    asked = parser.parse_args()
    if not asked.small and (asked.study is None or asked.data is None):
        parser.error("name a STUDY and --data DIR, or use --small")
    work = Path(tempfile.mkdtemp(prefix="kill-resume-"))
    study, data = asked.study, asked.data
    if asked.small:
        subprocess.run([sys.executable, "-m", "tests.small", work / "data"], cwd=ROOT, check=True)
        study, data = work / "data" / "study.yaml", work / "data"
    if asked.set:
        changes = {key: yaml.safe_load(value) for key, _, value in (change.partition("=") for change in asked.set)}
        content = changed(load(study), changes).model_dump(mode="json")
        study = work / "study.yaml"
        study.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    found = {
        **stamp("torch", "zarr", "netCDF4", "safetensors"),
        "set": asked.set,
        **disturb(study, data, work, asked.kills, asked.seed, asked.stages),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    wrong = found["different"] + found["broken_files"]
    print(f"{found['kills']} kills: {found['compared']} results compared, {len(found['different'])} differ; {asked.out}")
    if wrong:
        raise SystemExit("\n".join([*wrong, f"the folders are kept: {work}"]))
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
