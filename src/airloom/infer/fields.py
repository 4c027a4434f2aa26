"""Fields on disk, described as in `airloom.infer.cf`: in one NetCDF file or, day by day, in a Zarr store."""

import errno
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import netCDF4
import numpy as np
import xarray as xr
import zarr

from airloom.errors import DataError
from airloom.files import whole
from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, Hours
from airloom.infer.cf import (
    EPOCH,
    TIMES,
    description,
    dims_of,
    linked,
    shape_of,
    time_encoding,
    unit_of,
    value_attributes,
)

ROWS = 128  # of a chunk; a tile's height or a part of it, so that a strip of tiles is written in few pieces


def write_netcdf(field: xr.Dataset, path: Path, finish: Callable[[xr.Dataset], xr.Dataset] = lambda day: day) -> None:
    """Write a field as one compressed NetCDF-4 file, chunked by day; whole or not at all. One day is in memory at a time.

    `finish`: what is made of each day as it is written, such as one with further variables.

    Raises:
        DataError: the disk is full; the message says how much was needed.
    """
    first, days, unit = finish(field.isel(time=slice(0, 1))), field.sizes["time"], unit_of(field)
    encoding: dict[str, dict[str, Any]] = {str(name): {"_FillValue": None} for name in first.variables}
    for name, array in first.data_vars.items():
        encoding[str(name)] = {"zlib": True, "complevel": 4, "chunksizes": array.shape, "_FillValue": np.float32(np.nan)}
    for name in TIMES:
        encoding[name] |= time_encoding(unit)
    for name in ("lon", "lat"):
        encoding[name] |= {"zlib": True, "complevel": 4}
    needed = field.coords.to_dataset().nbytes + days * sum(array.nbytes for array in first.data_vars.values())
    with _room(path, needed), whole(path) as aside:
        linked(first).to_netcdf(aside, engine="netcdf4", format="NETCDF4", encoding=encoding, unlimited_dims=["time"])
        with netCDF4.Dataset(aside, "a") as file:  # laid out by the first day; the others follow
            for name in TIMES:
                file[name][:days] = (field[name].to_numpy() - EPOCH) // np.timedelta64(1, unit)
            for day in range(1, days):
                for name, array in finish(field.isel(time=slice(day, day + 1))).data_vars.items():
                    file[str(name)][day] = array.to_numpy()[0]


def create_zarr(
    path: Path,
    grid: Grid,
    days: np.ndarray,
    *,
    levels: Sequence[float] | None = None,
    hours: Hours = WHOLE_DAY,
    pollutant: str = "no2",
    attrs: Mapping[str, str] | None = None,
    beside: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> np.ndarray:
    """Lay out a Zarr store for a field that is written day by day; say which days it holds already, bool on (time,).

    A store of the same field that stands at `path` is left as it is, so that an interrupted run goes on. Its variable
    `written` is 1 on the days whose values are complete. `beside`: further variables of the ground on (time, y, x), by name, and
    their attributes.

    Raises:
        DataError: another field stands at `path`, or the disk is full.
    """
    wanted = description(grid, days, levels, hours, pollutant, attrs)
    if path.exists():
        if not _same_layout(_open(path), wanted, pollutant):
            raise DataError(
                f"{path} holds a field of another grid, period, pollutant, or of other hours or levels. Remove it, or name "
                "another store."
            )
        if absent := set(beside) - set(_beside(path, pollutant)):
            raise DataError(f"{path} holds a field without {', '.join(sorted(absent))}. Remove it, or name another store.")
        return written(path)
    wanted = wanted.assign(written=("time", np.zeros(len(days), "int8"), {"long_name": "1 where the day is complete"}))
    stored = time_encoding(unit_of(wanted))
    encoding = {"written": {"chunks": (1,)}, **dict.fromkeys(TIMES, stored)}  # a day is a file: days may be written at once
    with _room(path, wanted.nbytes), whole(path) as aside:
        linked(wanted).to_zarr(aside, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
        shape = shape_of(grid, days, levels)
        group = zarr.open_group(aside, mode="r+", use_consolidated=False)
        del group.attrs["coordinates"]  # lat and lon, which belong to the values alone
        flat = (shape[0], *shape[-2:]), dims_of(None)
        arrays = {
            pollutant: (shape, dims_of(levels), value_attributes(pollutant, hours)),
            **{n: (*flat, a) for n, a in beside.items()},
        }
        for name, (size, dims, attributes) in arrays.items():
            group.create_array(
                name,
                shape=size,
                chunks=(1, *size[1:-2], min(ROWS, size[-2]), size[-1]),
                dtype="float32",
                fill_value=float("nan"),
                dimension_names=dims,
                attributes={**attributes, "grid_mapping": "crs", "coordinates": "lat lon"},
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)  # read by zarr-python
            zarr.consolidate_metadata(aside)
    return np.zeros(len(days), bool)


def write_day(
    path: Path,
    index: int,
    values: np.ndarray,
    *,
    pollutant: str = "no2",
    beside: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> None:
    """Write the values [µg m⁻³] of day `index`, on ([level,] y, x), into a store that `create_zarr` laid out; and further variables that
    it has `beside`, all of them, on (y, x).

    The day counts as written only once all its values are on disk. Days may be written in any order, and by several
    processes.

    Raises:
        DataError: there is no such day, the shape is another, a variable is lacking, or the disk is full.
    """
    every = {pollutant: values, **beside}
    if absent := set(_beside(path, pollutant)) - set(beside):
        raise DataError(f"{path}, day {index}: {', '.join(sorted(absent))} belongs to a day of this store and is not given.")
    for name, given in every.items():
        expected = _array(path, name).shape[1:]
        if given.shape != expected:
            raise DataError(f"{path}, day {index}: {name} has the shape {given.shape}, the store's days {expected}.")
    start_day(path, index)
    for name, given in every.items():
        write_rows(path, index, 0, given, pollutant=name)
    finish_day(path, index)


def start_day(path: Path, index: int) -> None:
    """Say that a day's rows are about to be written; until `finish_day` it does not count as written.

    Raises:
        DataError: there is no such day, or the disk is full.
    """
    flags = _array(path, "written")
    if not 0 <= index < flags.shape[0]:
        raise DataError(f"{path}: day {index} does not exist; the store has {flags.shape[0]} days, counted from 0.")
    with _room(path, 1):
        flags[index] = 0


def write_rows(path: Path, index: int, top: int, values: np.ndarray, *, pollutant: str = "no2") -> None:
    """Write the rows from `top` on of a day that was started: values [µg m⁻³] on ([level,] y, x), all levels and columns.

    Raises:
        DataError: the disk is full.
    """
    with _room(path, 4 * values.size):
        _array(path, pollutant)[index, ..., top : top + values.shape[-2], :] = values.astype("float32", copy=False)


def finish_day(path: Path, index: int) -> None:
    """Say that all rows of a day are on disk.

    Raises:
        DataError: the disk is full.
    """
    with _room(path, 1):
        _array(path, "written")[index] = 1


def written(path: Path) -> np.ndarray:
    """Which days of a Zarr store are complete, bool on (time,)."""
    return np.asarray(_array(path, "written", "r")[:]) == 1


def read(path: Path) -> xr.Dataset:
    """A field from NetCDF or Zarr, its values read when they are used; days of a store that are not complete are left out.

    Raises:
        DataError: nothing is there, or it is no field.
    """
    field = _open(path)
    if path.is_dir():
        field = field.isel(time=np.flatnonzero(written(path))).drop_vars("written")
    return field


def surface(field: xr.Dataset, pollutant: str) -> xr.DataArray:
    """The lowest level of a field [µg m⁻³], on (time, y, x)."""
    return field[pollutant].isel(level=0) if "level" in field[pollutant].dims else field[pollutant]


def at_cells(field: xr.Dataset, rows: np.ndarray, columns: np.ndarray, days: np.ndarray, pollutant: str) -> np.ndarray:
    """The lowest level of a field [µg m⁻³] in some cells, on (time, station); NaN on days (datetime64[D]) that it lacks."""
    ground = surface(field, pollutant)
    y, x = (xr.DataArray(at, dims="station") for at in (rows, columns))
    values = ground.isel(y=y, x=x).assign_coords(time=ground["time"].dt.floor("D"))
    values = values.reindex(time=days.astype("datetime64[ns]")).transpose("time", "station")
    return values.to_numpy().astype(float)


def _array(path: Path, name: str, mode: Literal["r", "r+"] = "r+") -> zarr.Array:
    """An array of a Zarr store."""
    array = zarr.open_group(path, mode=mode, use_consolidated=False)[name]
    assert isinstance(array, zarr.Array)
    return array


def _open(path: Path) -> xr.Dataset:
    """What stands at `path`, as it is."""
    if not path.exists():
        raise DataError(f"{path} does not exist; a field is a NetCDF file or a Zarr folder.")
    try:
        if path.is_dir():
            field = xr.open_zarr(path, chunks=None, decode_coords="all", consolidated=True)
        else:
            field = xr.open_dataset(path, engine="netcdf4", decode_coords="all")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read as a field: {error}. Write it again.") from error
    if missing := {"time_bnds", "crs", "x", "y", "lon", "lat"} - set(field.variables):
        raise DataError(f"{path} is no field of airloom: it lacks {', '.join(sorted(missing))}.")
    return field


def _beside(path: Path, pollutant: str) -> list[str]:
    """Variables of the ground that a store holds besides the pollutant; asked of every day, so of the consolidated metadata."""
    group = zarr.open_group(path, mode="r", use_consolidated=True)
    ground = [n for n, a in group.arrays() if getattr(a.metadata, "dimension_names", None) == dims_of(None)]
    return [n for n in ground if n != pollutant]


def _same_layout(found: xr.Dataset, wanted: xr.Dataset, pollutant: str) -> bool:
    """Whether a store was laid out for the field that is wanted."""
    return (
        pollutant in found
        and set(found.coords) == set(wanted.coords)
        and all(np.array_equal(found[name], wanted[name]) for name in (*wanted.indexes, "time_bnds"))
        and found["crs"].attrs["crs_wkt"] == wanted["crs"].attrs["crs_wkt"]
    )


@contextmanager
def _room(path: Path, needed: int) -> Iterator[None]:
    """Turn a full disk into an error that says how much was `needed` [bytes, before compression]."""
    folder = next(p for p in path.absolute().parents if p.exists())
    free = shutil.disk_usage(folder).free
    try:
        yield
    except (OSError, RuntimeError) as error:  # the NetCDF library says RuntimeError, and no reason
        if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT) and free > needed:
            raise
        raise DataError(
            f"{path}: the disk is full. {needed:,} bytes were needed before compression, {free:,} were free in {folder}. "
            "Nothing was left half-written; make room and run again."
        ) from error
