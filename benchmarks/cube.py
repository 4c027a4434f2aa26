"""Building a cube: its rate beside merely decoding the same files, its memory by the number of days, and two dask workers beside one.

    python benchmarks/cube.py TWIN [--months 12] [--repeats 3]

TWIN is a folder that `airloom twin make` filled for the window of studies/po-valley.yaml (`python benchmarks/skill.py` makes one). Its
first months are built into cubes as `airloom prepare` does it, in processes of their own, whose peak memory is that of the process and its
children. Merely decoding opens the weather and chemistry files that the study reads, with the same library, and loads every value.
They take turns, A B A B; figures are medians of seconds. Writes benchmarks/results/cube.json.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

import airloom
from airloom.cube.build import build, input_files
from airloom.files import write_json
from airloom.study import Study, changed, load

ROOT = Path(__file__).parents[1]
FILES = ("weather", "upper", "chemistry")
DATED = ("era5", "cams")


def part_of(twin: Path, folder: Path, months: int) -> Study:
    """A folder with the files of the first months, and the study of them."""
    study = load(ROOT / "studies" / "po-valley.yaml")
    year = study.period.start.year
    assert months <= 12, months
    wanted = {f"{year}-{m + 1:02}" for m in range(months)}
    for path in twin.rglob("*"):
        where = path.relative_to(twin)
        dated = where.parts[0] in DATED
        if path.is_file() and where.parts[0] not in ("state", "truth") and (not dated or path.stem[-7:] in wanted):
            (folder / where).parent.mkdir(parents=True, exist_ok=True)
            (folder / where).symlink_to(path)
    phases = [{**p.model_dump(mode="json"), "years": [year]} for p in study.phases]
    end = date(year + months // 12, months % 12 + 1, 1)
    return changed(
        study,
        {
            "period.end": str(date.fromordinal(end.toordinal() - 1)),
            "phases": phases,
            "verification.years": [year],
        },
    )


def decoded(study: Study, data: Path) -> float:
    """Megabytes of values in the files, all loaded."""
    total = 0
    for path in sorted({p for group in FILES for p in input_files(study, data)[group]}):
        with xr.open_dataset(path, engine="netcdf4") as file:
            total += file.load().nbytes
    return total / 1e6


def built(study: Study, data: Path, workers: int | str) -> float:
    """Megabytes of a cube's arrays, built and thrown away."""
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        cube = build(study, data, Path(folder) / "cube.zarr", workers=workers)
        return sum(array.nbytes for _, array in cube.group.arrays()) / 1e6


def apart(work: Callable[[], float]) -> dict[str, float]:
    """Seconds, megabytes and peak memory of some work in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, work).result()


def _measured(work: Callable[[], float]) -> dict[str, float]:
    started = time.perf_counter()
    size = work()
    seconds = time.perf_counter() - started
    most = [resource.getrusage(who).ru_maxrss * 1024 / 1e9 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"seconds": seconds, "megabytes": size, "memory_gb": most[0], "memory_of_a_child_gb": most[1]}


def by_dask(study: Study, data: Path, workers: int) -> float:
    """As `built`, on a cluster of so many workers on this machine."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        return built(study, data, cluster.scheduler_address)


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("twin", type=Path)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "cube.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        parts = {}
        for months in (1, asked.months):
            (data := Path(aside) / f"{months}" / "data").mkdir(parents=True)
            parts[months] = part_of(asked.twin.resolve(), data, months), data
        few, many = (parts[m] for m in (1, asked.months))
        ways = {
            "decode": partial(decoded, *many),
            "build": partial(built, *many, 1),
            "build, one month": partial(built, *few, 1),
            "build, one dask worker": partial(by_dask, *many, 1),
            "build, two dask workers": partial(by_dask, *many, 2),
        }
        taken: dict[str, list[dict[str, float]]] = {}
        for _ in range(asked.repeats):
            for name, way in ways.items():
                taken.setdefault(name, []).append(apart(way))
                print(name, {k: round(v, 2) for k, v in taken[name][-1].items()}, flush=True)
    middle = {n: {k: statistics.median(t[k] for t in every) for k in every[0]} for n, every in taken.items()}
    result: dict[str, Any] = {
        "date": str(date.today()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"airloom": airloom.__version__, "xarray": xr.__version__, "zarr": zarr.__version__},
        "months": asked.months,
        "runs": middle,
        "spread_seconds": {n: [min(t["seconds"] for t in e), max(t["seconds"] for t in e)] for n, e in taken.items()},
        "build_to_decoding": middle["decode"]["seconds"] / middle["build"]["seconds"],
        "memory_of_many_to_few": middle["build"]["memory_gb"] / middle["build, one month"]["memory_gb"],
        "two_dask_workers_to_one": middle["build, one dask worker"]["seconds"]
        / middle["build, two dask workers"]["seconds"],
    }
    write_json(asked.out, result)
    print(json.dumps({k: v for k, v in result.items() if isinstance(v, float)}, indent=1))


if __name__ == "__main__":
    main()
