"""The DACNO₂ paper's region, inputs and phases at full size: time and memory of every stage, from files to a report.

    python benchmarks/full_size.py WORK [--days 3] [--tiles N] [--preset base] [--threads N]
    python benchmarks/full_size.py WORK --small

A twin of the region of studies/western-europe.yaml, a square that holds it, is made in WORK/twin, or taken up again where it
was stopped. Then the study runs on it with one epoch a phase, of all tiles or of N a day: one of the days validates, the others
teach. Prediction and what phase 3 starts from are of all tiles.
Each stage is a process of its own, so that peak memory is its own; within a stage it is the highest so far. --small is a
window of 256 × 192 km with small tiles and the small preset, to try the script on: about two minutes.
Writes benchmarks/results/full_size.json, or full_size_small.json.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import torch
import xarray as xr
import yaml
from _stamp import stamp

from airloom.files import read_json, whole, write_json
from airloom.grid import Tile, tiles
from airloom.methods.describe import describe
from airloom.run import Run
from airloom.study import Study, changed, load
from airloom.twin.make import make
from airloom.twin.world import Plan

ROOT = Path(__file__).parents[1]
STAGES = ("twin", "prepare", "train", "predict", "evaluate", "report")
START = date(2019, 1, 14)  # a Monday in winter
TWIN_FILES = {  # where a twin's files lie elsewhere than downloads
    "daily.0.files": ["static/flights.csv"],
    "emissions.0.files": ["static/CAMS-GLOB-ANT_*_nox_*.nc"],
    "verification.truth": ["window/*.nc"],
}
SMALL = {"grid.shape": [128, 96], "tiles.size": 64, "tiles.stride": 48}


def study(days: int, preset: str, tiles_a_day: int | None, *, small: bool) -> Study:
    """The paper's study on a twin of so many days, all of which but one are learnt from."""
    asked = load(ROOT / "studies" / "western-europe.yaml")
    changes: dict[str, Any] = {
        "name": "full-size",
        "period.start": str(START),
        "period.end": str(START + timedelta(days=days - 1)),
        "verification.years": [START.year],
        "method.preset": "small" if small else preset,
        **TWIN_FILES,
        **(SMALL if small else {}),
    }
    for i, phase in enumerate(asked.phases):
        batch = min(phase.batch, days - 1)
        of_phase = {"years": [START.year], "epochs": 1, "batch": batch, "accumulate": 1, "tiles_a_day": tiles_a_day}
        of_phase["validation.fraction"] = 1 / days
        changes |= {f"phases.{i}.{key}": value for key, value in of_phase.items()}
    return changed(asked, changes)


def plan(asked: Study) -> Plan:
    """The smallest twin that holds the study's window."""
    lon, lat = asked.grid.centre
    size = max(asked.grid.shape) * asked.grid.cell
    return Plan(asked.period.start, asked.period.end, lon=lon, lat=lat, size=size, cell=asked.grid.cell)


def cut_truth(asked: Study, twin: Path) -> None:
    """The truth of a square twin on the study's cells, as evaluation wants it."""
    for path in sorted((twin / "truth").glob("*.nc")):
        with xr.open_dataset(path, engine="netcdf4") as truth, whole(twin / "window" / path.name) as aside:
            inside = truth[[asked.pollutant]].sel(y=asked.target_grid.y, x=asked.target_grid.x)
            inside.to_netcdf(aside, engine="netcdf4")


class Watch:
    """Follows a stage through its progress: when each part first and last told how far it was, and peak memory by then."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.perf_counter()
        part = self.parts.setdefault(what, {"first_s": now, "first_done": done})
        part |= {"last_s": now, "last_done": done, "total": total, "peak_gb": peak()}


def peak() -> float:
    """Largest memory so far of this process or of one that it started [GB]."""
    return max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024 / 1e9


def carry_out(stage: str, work: Path, threads: int) -> None:
    """One stage in this process; leaves its figures in WORK."""
    torch.set_num_threads(threads)
    asked, watch, started = load(work / "study.yaml"), Watch(), time.perf_counter()
    if stage == "twin":
        make(plan(asked), work / "twin", threads=threads, progress=watch)
        cut_truth(asked, work / "twin")
    else:
        # one worker: what processes beside this one hold would not be in its peak
        getattr(Run(asked, work / "twin", work / "run", workers=1, progress=watch), stage)()
    found: dict[str, Any] = {"seconds": time.perf_counter() - started, "peak_gb": peak()}
    if torch.cuda.is_available():
        found["accelerator_peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    parts = {
        name: {"until_s": p["last_s"] - started, "peak_gb": p["peak_gb"], **_rate(name, p, asked)}
        for name, p in watch.parts.items()
    }
    write_json(work / f"{stage}.json", {**found, "parts": parts})


def _rate(name: str, part: dict[str, float], asked: Study) -> dict[str, float]:
    """Samples a second of a phase's training, but for the first step: that one pays for fresh memory and libraries."""
    steps, seconds = part["last_done"] - part["first_done"], part["last_s"] - part["first_s"]
    if not name.startswith("train") or not steps:
        return {}
    days = (asked.period.end - asked.period.start).days  # all but the one that validates
    samples = days * (asked.phases[0].tiles_a_day or len(windows(asked)))
    return {"steps": part["total"], "samples": samples, "samples_s": samples * steps / part["total"] / seconds}


def windows(asked: Study) -> list[Tile]:
    """The tiles of a day."""
    return tiles(asked.target_grid.shape, asked.tiles.size, asked.tiles.stride, asked.tile_multiple)


def run(asked: Study, work: Path, threads: int) -> dict[str, Any]:
    """All stages, one after the other; their figures by name."""
    for stale in ("run", "cubes"):
        shutil.rmtree(work / stale, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    (work / "study.yaml").write_text(yaml.safe_dump(asked.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    found = {}
    for stage in STAGES:
        words = [str(work), "--stage", stage, "--threads", str(threads)]
        subprocess.run([sys.executable, __file__, *words], check=True)
        found[stage] = read_json(work / f"{stage}.json")
        print(f"{stage}: {found[stage]['seconds']:.0f} s, {found[stage]['peak_gb']:.1f} GB", flush=True)
    return found


def main() -> None:
    """Read the command line, run, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of the twin and the run")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--tiles", type=int, help="tiles of a day that are learnt from and validated on; all by default")
    parser.add_argument("--preset", default="base")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--small", action="store_true", help="a small window, small tiles and the small preset")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)  # what a process of its own does
    asked = parser.parse_args()
    if asked.stage:
        carry_out(asked.stage, asked.work, asked.threads)
        return
    what = study(asked.days, asked.preset, asked.tiles, small=asked.small)
    network = describe(what)[0]
    stages = run(what, asked.work, asked.threads)
    timings = read_json(asked.work / "run" / "timings.json")
    result = {
        **stamp("torch", "numpy", "xarray", "zarr", threads=asked.threads),
        **({"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "grid": {"shape": what.grid.shape, "cell_m": what.grid.cell, "levels": len(what.levels)},
        "twin_cells": list(plan(what).grid.shape),
        "days": asked.days,
        "tiles": {"size": what.tiles.size, "a_day": len(windows(what)), "learnt_a_day": asked.tiles},
        "batch": what.phases[0].batch,
        "network": {"preset": what.method.preset, "parameters": network.parameters, "gflop": network.operations / 1e9},
        "stages": stages,
        "predicted_days_s": {p.number: asked.days / timings[f"predict phase {p.number}"] for p in what.phases},
    }
    path = ROOT / "benchmarks" / "results" / ("full_size_small.json" if asked.small else "full_size.json")
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
