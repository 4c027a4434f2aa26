"""How fast the twin runs: a step of each part, days of a world, memory, and how near that is to the machine's ceiling.

    python benchmarks/twin_speed.py [--days 3] [--threads 1 2] [--made FOLDER]

Two worlds: 512 × 512 km at 2 km with NO, NO₂ and O₃, and at 4 km with all species. The floor is what the arithmetic must
move: every sweep reads and writes each tracer once, measured against copying arrays of the same size in the same run. Of a twin that
was made, with reanalysis and all files, `--made` adds what each month took, by the twin's own records.
Writes benchmarks/results/twin_speed.json.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from _stamp import stamp
from numba import set_num_threads

from airloom.twin.columns import lift, mix
from airloom.twin.model import STEPS
from airloom.twin.transport import horizontal
from airloom.twin.world import Plan, World

ROOT = Path(__file__).parents[1]
SWEEPS = 5  # along x, along y, vertical wind, mixing, chemistry: each must read and write all tracers


def median(*works: Callable[[], object], rounds: int = 7) -> list[float]:
    """Seconds of each, in turns (A B A B), after one round that is not counted."""
    seconds: list[list[float]] = [[] for _ in works]
    for round_ in range(rounds + 1):
        for work, found in zip(works, seconds, strict=True):
            start = time.perf_counter()
            work()
            if round_:
                found.append(time.perf_counter() - start)
    return [statistics.median(s) for s in seconds]


def parts(world: World, threads: int) -> dict[str, float]:
    """A step's parts, and copying the tracers once, in seconds."""
    set_num_threads(threads)
    model = world.model
    state = model.start(world.plan.start)
    other, air = np.empty_like(state.amount), model.air.copy()
    wind = np.full(air.shape, 2.0, np.float32)
    border = model.beyond(world.plan.start, world.weather.day(world.plan.start))
    exchanged, settled = model.between * np.float32(0.1), model.night * np.float32(0.01)
    names = ("horizontal wind", "vertical wind", "mixing", "copy")
    works = (
        lambda: horizontal(state.amount, air, wind, wind, border=border, x_first=True),
        lambda: lift(state.amount, air, model.air, border[:, -1]),
        lambda: mix(state.amount, model.air, exchanged, settled, 1200.0),
        lambda: np.copyto(other, state.amount),
    )
    return dict(zip(names, median(*works), strict=True))


def days(world: World, count: int, threads: int) -> list[float]:
    """Seconds of each day, weather and emissions included; the first, which compiles, is left out."""
    model, found = world.model, []
    model.threads = threads
    state = model.start(world.plan.start)
    for i in range(count + 1):
        start = time.perf_counter()
        day = world.plan.start + timedelta(days=i)
        for _ in model.day(state, day, world.emissions.day(day, world.emitted)):
            pass
        found.append(time.perf_counter() - start)
    return found[1:]


def made(folder: Path) -> dict[str, Any]:
    """Seconds a day of each month of a twin, and of all."""
    months = [json.loads(p.read_text()) | {"month": p.stem} for p in sorted((folder / "state").glob("????-??.json"))]
    days, seconds = (sum(m[k] for m in months) for k in ("days", "seconds"))
    return {
        "plan": Plan.load(folder).to_json(),
        "days": days,
        "minutes": seconds / 60,
        "seconds_a_day": {m["month"]: m["seconds"] / m["days"] for m in months},
    }


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--size", type=float, default=512_000)
    parser.add_argument("--made", type=Path)
    asked = parser.parse_args()
    found = []
    for species, cell in (("nox", 2000.0), ("all", 4000.0)):
        world = World(Plan(date(2019, 1, 14), date(2019, 12, 31), size=asked.size, cell=cell, species=species))
        for threads in asked.threads:
            seconds, steps = days(world, asked.days, threads), parts(world, threads)
            year = statistics.median(seconds) * 365
            floor = SWEEPS * steps["copy"] * STEPS * 24 * 365
            found.append(
                {
                    "species": species,
                    "cell_m": cell,
                    "cells": list(world.plan.grid.shape),
                    "threads": threads,
                    "seconds_a_day": seconds,
                    "minutes_a_year": year / 60,
                    "floor_minutes_a_year": floor / 60,
                    "seconds_of_a_step": steps,
                    "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
                }
            )
            print(
                f"{species} at {cell:g} m, {threads} threads: a year in {year / 60:.1f} min, floor {floor / 60:.1f} min",
                flush=True,
            )
    result = {
        **stamp("numpy"),
        "runs": found,
        **({"made": made(asked.made)} if asked.made else {}),
    }
    path = ROOT / "benchmarks" / "results" / "twin_speed.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
