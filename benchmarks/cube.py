"""Building a cube of the published region: its rate beside mere decoding, its memory by days, two dask workers beside one.

    python benchmarks/cube.py [--days 100] [--repeats 3] [--folder FOLDER] [--small]

Makes ERA5 files of the region of studies/western-europe.yaml in the layout of the Climate Data Store, 14 variables on single
levels and 7 on eight pressures, hourly, ten days a file, values rounded to 16 bits of their range as the store's are; CAMS'
NO₂ on eight heights, a month a file, of the region alone; and four stations. They are built into cubes as `airloom prepare`
does it, in processes of their own, whose peak memory is that of the process and, beside it, of its largest child. Merely
decoding opens the same files with the same library and loads every value. They take turns, A B A B; figures are medians of
seconds. Writes benchmarks/results/cube.json.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr
from _stamp import stamp

from airloom.cube.build import build, input_files
from airloom.files import write_json
from airloom.sources.era5_variables import PRESSURE, SINGLE
from airloom.study import Study, changed, load
from airloom.twin.writers.cams import write_cams
from airloom.twin.writers.era5 import write_present

ROOT = Path(__file__).parents[1]
FIRST, IN_A_FILE, FEW = np.datetime64("2019-01-01"), 10, 10  # days
DEGREES, TEACHER = 0.25, 0.1  # cells of the weather and of the chemistry model
ROOM = 1.0  # degrees round the region
SMALL = [96, 96]  # cells
STATIONS = {"a": (0.0, 46.0), "b": (2.0, 48.0), "c": (4.0, 50.0), "d": (6.0, 47.0)}


def study(days: int, *, small: bool) -> Study:
    """Weather, chemistry and stations of the published study, for so many days; of the middle of its region where `small`."""
    whole = load(ROOT / "studies" / "western-europe.yaml")
    year = FIRST.astype(object).year
    return changed(
        whole,
        {
            "period": {"start": str(FIRST), "end": str(FIRST + days - 1)},
            "grid.shape": SMALL if small else whole.grid.shape,
            **{"daily": [], "emissions": [], "geography": [], "assimilation": None},
            "stations": {"source": "station-table", "observations": ["observed.csv"], "metadata": "stations.csv"},
            "phases": [{"number": 2, "years": [year], "start_from": "scratch", "epochs": 1, "batch": 2}],
            "verification": {"years": [year]},
        },
    )


def make(asked: Study, folder: Path) -> float:
    """The study's files in a folder; how many megabytes they take."""
    days = (asked.period.end - asked.period.start).days + 1
    lon, lat = asked.target_grid.lonlat()
    latitude = np.arange(np.ceil(lat.max() + ROOM), lat.min() - ROOM, -DEGREES)
    longitude = np.arange(np.floor(lon.min() - ROOM), lon.max() + ROOM, DEGREES)
    for name in ("era5", "cams"):
        (folder / name).mkdir()
    for first in range(0, days, IN_A_FILE):
        start = FIRST + first
        hours = np.arange(start, FIRST + min(first + IN_A_FILE, days), dtype="datetime64[h]")
        assert asked.weather
        assert asked.upper
        for stem, names, levels in (
            ("single", asked.weather.variables, None),
            ("pressure", asked.upper.variables, asked.upper.levels),
        ):
            fields = _fields(names, hours, levels, latitude, longitude, first)
            write_present(fields, folder / "era5", f"{stem}-{start}")
    hours = np.arange(FIRST, FIRST + days, dtype="datetime64[h]")
    latitude, longitude = (np.arange(min(a), max(a), TEACHER) for a in (latitude, longitude))
    for month in np.unique(hours.astype("datetime64[M]")):
        some = hours[hours.astype("datetime64[M]") == month]
        write_cams(_chemistry(some, asked.levels, latitude, longitude), folder / "cams")
    hours = hours.astype("datetime64[us]")
    values = 20 + 10 * np.sin(np.arange(len(hours)) / 7)
    pl.concat(pl.DataFrame({"station": n, "time": hours, "value": values}) for n in STATIONS).write_csv(
        folder / "observed.csv", datetime_format="%Y-%m-%d %H:%M"
    )
    rows = [{"station": n, "lon": x, "lat": y, "type": "background", "area": "urban"} for n, (x, y) in STATIONS.items()]
    pl.DataFrame(rows).write_csv(folder / "stations.csv")
    return sum(p.stat().st_size for p in folder.rglob("*")) / 1e6


def _fields(
    names: tuple[str, ...],
    hours: np.ndarray,
    levels: tuple[float, ...] | None,
    latitude: np.ndarray,
    longitude: np.ndarray,
    seed: int,
) -> xr.Dataset:
    """Waves and noise within each variable's possible values; a mean stands at the start of its hour."""
    draw = np.random.default_rng(seed)
    shape = len(hours), *((len(levels),) if levels else ()), len(latitude), len(longitude)
    wave = (
        np.sin(np.arange(len(hours)) / 9).reshape(-1, *[1] * (len(shape) - 1))
        + np.cos(latitude / 3)[:, None]
        + np.sin(longitude / 4)
    )
    fields = {}
    for name in names:
        known = (SINGLE | PRESSURE)[name]
        middle, width = (known.lowest + known.highest) / 2, (known.highest - known.lowest) / 16
        values = middle + width * (wave + 0.05 * draw.standard_normal(shape, np.float32))
        step = 8 * width / 2**16
        dims = ("time", *(("level",) if levels else ()), "latitude", "longitude")
        fields[name] = (dims, (np.rint(values / step) * step).astype(np.float32), {"units": known.variable.units})
    axes = {"time": hours.astype("datetime64[ns]"), "latitude": latitude, "longitude": longitude}
    return xr.Dataset(fields, axes | ({"level": list(levels)} if levels else {}))


def _chemistry(hours: np.ndarray, heights: tuple[float, ...], latitude: np.ndarray, longitude: np.ndarray) -> xr.Dataset:
    """NO₂ as waves and noise."""
    draw = np.random.default_rng(0)
    shape = len(hours), len(heights), len(latitude), len(longitude)
    values = 10 + 3 * np.cos(latitude / 3)[:, None] + 3 * np.sin(longitude / 4) + draw.standard_normal(shape, np.float32)
    axes = {"time": hours.astype("datetime64[ns]"), "height": list(heights), "latitude": latitude, "longitude": longitude}
    return xr.Dataset({"no2": (tuple(axes), np.abs(values).astype(np.float32), {"units": "ug m-3"})}, axes)


def decoded(asked: Study, data: Path) -> float:
    """Megabytes of values in the gridded files, all loaded."""
    files = input_files(asked, data)
    total = 0
    for path in sorted({*files["weather"], *files["upper"], *files["chemistry"]}):
        with ExitStack() as stack, tempfile.TemporaryDirectory(dir=data) as aside:
            for inner in _inside(path, Path(aside)):
                total += stack.enter_context(xr.open_dataset(inner, engine="netcdf4")).load().nbytes
    return total / 1e6


def _inside(path: Path, aside: Path) -> list[Path]:
    """A file, or those of an archive."""
    if path.suffix != ".zip":
        return [path]
    with zipfile.ZipFile(path) as archive:
        return [Path(archive.extract(name, aside)) for name in archive.namelist()]


def built(asked: Study, data: Path, workers: int | str) -> float:
    """Megabytes of a cube's arrays, built and thrown away."""
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        cube = build(asked, data, Path(folder) / "cube.zarr", workers=workers)
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


def by_dask(asked: Study, data: Path, workers: int) -> float:
    """As `built`, on a cluster of so many workers on this machine."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        return built(asked, data, cluster.scheduler_address)


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files are made and removed; needs 20 GB for 100 days")
    parser.add_argument("--small", action="store_true", help="192 km of the region, 11 days, once")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "cube.json")
    asked = parser.parse_args()
    if asked.small:
        asked.days, asked.repeats = FEW + 1, 1
    if asked.days <= FEW:
        parser.error(f"--days: more than {FEW}, which it is compared with")
    with tempfile.TemporaryDirectory(dir=asked.folder) as aside:
        parts = {}
        for days in (FEW, asked.days):
            (data := Path(aside) / f"{days}" / "data").mkdir(parents=True)
            parts[days] = study(days, small=asked.small), data
            apart(partial(make, *parts[days]))  # a process takes over the peak memory of the one that starts it
        few, many = (parts[d] for d in (FEW, asked.days))
        ways = {
            "decode": partial(decoded, *many),
            "build": partial(built, *many, 1),
            "build, few days": partial(built, *few, 1),
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
        **stamp("xarray", "zarr"),
        "days": [FEW, asked.days],
        "runs": middle,
        "spread_seconds": {n: [min(t["seconds"] for t in e), max(t["seconds"] for t in e)] for n, e in taken.items()},
        "build_to_decoding": middle["decode"]["seconds"] / middle["build"]["seconds"],
        "memory_of_many_to_few": middle["build"]["memory_gb"] / middle["build, few days"]["memory_gb"],
        "two_dask_workers_to_one": middle["build, one dask worker"]["seconds"]
        / middle["build, two dask workers"]["seconds"],
    }
    write_json(asked.out, result)
    print(json.dumps({k: v for k, v in result.items() if isinstance(v, float)}, indent=1))


if __name__ == "__main__":
    main()
