"""`airloom fuse`: fields straight from tables of sensors, once or whenever a new table comes."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from airloom import __version__
from airloom.errors import DataError
from airloom.grid import Grid
from airloom.infer.cf import field_dataset
from airloom.infer.fields import read, surface, write_netcdf
from airloom.ledger import Ledger
from airloom.methods.pointconv.fuse import COVERAGE, with_interval
from airloom.methods.pointconv.model import Model
from airloom.methods.pointconv.sensors import on_cells, read_sensors

TABLES = (".csv", ".csv.gz", ".parquet")
METRES = 111_000.0  # of a degree of latitude
PAUSE = 5.0  # seconds between two looks into a folder
SETTLED = 2.0  # seconds after which a file that no longer grows is taken for whole


def fuse(
    model: Model,
    paths: Sequence[Path],
    out: Path,
    *,
    first: date | None = None,
    last: date | None = None,
    background: Path | None = None,
) -> Ledger:
    """Daily fields of all days that the tables speak of, in one NetCDF file: with `coverage` and, where the model was evaluated, the ends of
    80 % intervals. With a background there are none: its departures are not what was evaluated.

    Arguments:
        model: trained.
        paths: tables as `read_sensors` takes them.
        out: the file.
        first: day to begin with; that of the tables by default.
        last: day to end with, likewise.
        background: a field (NetCDF or Zarr, on the model's grid) from which the sensors' departures are fused, and to which they
            are added again, the less the less is known of a cell.

    Returns:
        What was left out and why.

    Raises:
        DataError: as `read_sensors`; no day is left; the background lies on other cells, or lacks the pollutant or a day.
    """
    study, ledger = model.study, Ledger()
    ranges = {n.variable: (n.stations.lowest, n.stations.highest) for n in study.networks}
    rows = read_sensors(paths, study.target_grid, ranges, ledger)
    rows = rows.filter(pl.col("day").is_between(first or date.min, last or date.max))
    if rows.filter(pl.col("variable") == study.pollutant).is_empty():
        raise DataError(f"{paths[0].name}: no value of {study.pollutant} between {first or 'ever'} and {last or 'ever'}.")
    days, observed = on_cells(rows, study.variables)
    if model.adapted:
        row, column = observed[0].row, observed[0].column
        observed[0] = replace(observed[0], features=model.adapted.known_of(row, column, study.target_grid.shape))
    before = _background(background, days, study.pollutant, study.target_grid)
    blocks = list(model.fuser.fields(observed, np.arange(len(days)), before))
    field, known = (np.concatenate([block[part] for block in blocks]) for part in (1, 2))
    attributes = {"title": study.title, "source": f"airloom {__version__}, method pointconv"}
    found = field_dataset(field, grid=study.target_grid, days=days, pollutant=study.pollutant, attrs=attributes)
    found = found.assign(coverage=(("time", "y", "x"), known, COVERAGE))
    calibration = model.calibration if before is None else None
    write_netcdf(found, out, partial(with_interval, pollutant=study.pollutant, calibration=calibration))
    return ledger


def _background(path: Path | None, days: np.ndarray, pollutant: str, grid: Grid) -> np.ndarray | None:
    """A field of those days on (day, y, x)."""
    if path is None:
        return None
    field = read(path)
    if pollutant not in field:
        raise DataError(f"{path}: holds {', '.join(map(str, field.data_vars))} and no {pollutant}. Name a field of it.")
    ground: xr.DataArray = surface(field, pollutant)
    if not _lies_on(field, grid):
        raise DataError(
            f"{path}: lies on other cells than the model, {grid.shape} of {grid.cell:g} m. Bring it to the model's grid."
        )
    ground = ground.assign_coords(time=ground["time"].dt.floor("D"))
    if lacking := [str(d) for d in days if d.astype("datetime64[ns]") not in ground["time"].values]:
        raise DataError(f"{path}: lacks {len(lacking)} days that the sensors have, {lacking[0]} the first.")
    return ground.sel(time=days.astype("datetime64[ns]")).to_numpy()


def _lies_on(field: xr.Dataset, grid: Grid) -> bool:
    """Whether the cells are a grid's, but for a hundredth of their edge; x and y alone do not say where they are counted from."""
    near = grid.cell / 100 / METRES
    return all(
        field[name].shape == wanted.shape and np.allclose(field[name], wanted, rtol=0, atol=near)
        for name, wanted in zip(("lon", "lat"), grid.lonlat(), strict=True)
    )


def tables_in(folder: Path) -> list[Path]:
    """Tables in a folder, sorted."""
    return sorted(p for p in folder.iterdir() if p.name.lower().endswith(TABLES) and not p.name.startswith("."))


def new_tables(folder: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Tables of a folder as they come, and where the field of each belongs; a table that changes comes again. Never ends."""
    seen: dict[Path, float] = {}
    while True:
        for path in tables_in(folder):
            to, written = out / f"{_stem(path)}.nc", path.stat().st_mtime
            done = seen.get(path) == written or (to.is_file() and to.stat().st_mtime >= written)
            if not done and time.time() - written > SETTLED:
                seen[path] = written  # also where it turns out to be broken
                yield path, to
        time.sleep(PAUSE)


def _stem(table: Path) -> str:
    """Its name without what says of which kind it is."""
    ending = next(e for e in TABLES if table.name.lower().endswith(e))
    return table.name[: -len(ending)]
