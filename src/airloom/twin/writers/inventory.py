"""Emissions as files of CAMS-GLOB-ANT: monthly fluxes by sector on 0.1°.

See `airloom.sources.cams_glob_ant` for the layout and what it was checked against.
"""

from collections.abc import Sequence
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from pyproj import Transformer

from airloom.errors import DataError
from airloom.files import whole
from airloom.grid import Grid
from airloom.sources.cams_glob_ant import MONTHS
from airloom.sources.overlap import degree_areas, spread

DIMENSIONS = ("time", "lat", "lon")
VERSION = "v6.2"


def on_tenths(fields: xr.Dataset, grid: Grid, step: float = 0.1) -> xr.Dataset:
    """Fluxes [kg m-2 s-1] on (..., y, x) of a grid → cells of `step` degrees that enclose it, on (..., lat, lon), mass kept.

    Cells are centred between multiples of `step`; latitudes ascend. What a cell has outside of the grid counts as no emission.
    """
    to_degrees = Transformer.from_crs(grid.crs, 4326, always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*grid.bounds, densify_pts=51)
    first, last = np.floor([west / step, south / step]).astype(int), np.ceil([east / step, north / step]).astype(int)
    lon_edges, lat_edges = (np.arange(a, b + 1) * step for a, b in zip(first, last, strict=True))
    lat_edges = lat_edges[::-1]
    x, y = to_degrees.transform(*np.meshgrid(lon_edges, lat_edges), direction="INVERSE")
    latitude, longitude = (lat_edges[1:] + lat_edges[:-1]) / 2, (lon_edges[1:] + lon_edges[:-1]) / 2
    area = degree_areas(latitude, step)[:, None]
    arrays = {}
    for name, array in fields.data_vars.items():
        mass = spread(array.transpose(..., "y", "x").to_numpy() * grid.cell**2, grid.transform, x, y)
        leading = [d for d in array.dims if d not in ("y", "x")]
        arrays[name] = ([*leading, "lat", "lon"], (mass / area)[..., ::-1, :], array.attrs)
    kept = {n: c for n, c in fields.coords.items() if not {"y", "x"} & set(c.dims)}
    return xr.Dataset(arrays, kept | {"lat": np.round(latitude[::-1], 4), "lon": np.round(longitude, 4)})


def write_inventory(sectors: xr.Dataset, folder: Path, *, year: int, species: str = "nox") -> Path:
    """Write a year into `CAMS-GLOB-ANT_Glb_0.1x0.1_anthro_nox_v6.2_monthly_2018.nc`, with `sum` over the sectors besides.

    Arguments:
        sectors: fluxes [kg m-2 s-1], one variable a sector by its code (`tro`, `ene`, …), on (time, lat, lon) with twelve
            months, or on (lat, lon), the same in each month.
        folder: where the file goes.
        year: goes into its name and its times.
        species: goes into its name; masses of NOx are those of NO.

    Raises:
        DataError: a sector has other dimensions, another unit or another number of months.
    """
    fields = {str(name): _monthly(str(name), array) for name, array in sectors.data_vars.items()}
    path = folder / f"CAMS-GLOB-ANT_Glb_0.1x0.1_anthro_{species}_{VERSION}_monthly_{year}.nc"
    days = [np.datetime64(f"{year}-{month + 1:02d}-01") for month in range(MONTHS)]
    since = np.datetime64(f"{year}-01-01")
    axes: dict[str, tuple[Sequence | np.ndarray, str]] = {
        "time": ([int((day - since).astype(int)) for day in days], f"days since {since} 00:00:00"),
        "lat": (sectors["lat"].to_numpy(), "degrees_north"),
        "lon": (sectors["lon"].to_numpy(), "degrees_east"),
    }
    with whole(path) as aside, netCDF4.Dataset(aside, "w") as file:
        file.setncatts(
            {"Conventions": "CF-1.6", "title": "airloom twin, in the layout of CAMS-GLOB-ANT", "projection": "latlon"}
        )
        for name, (values, units) in axes.items():
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = values
        for name, values in (fields | {"sum": np.sum([*fields.values()], axis=0)}).items():
            data = file.createVariable(name, "f4", DIMENSIONS, compression="zlib", complevel=1)
            data.setncatts({"units": "kg m-2 s-1", "long_name": f"{species} emissions, {name}"})
            data[:] = values
    return path


def _monthly(name: str, array: xr.DataArray) -> np.ndarray:
    """A sector on (month, lat, lon)."""
    if array.attrs.get("units") != "kg m-2 s-1" or array.dims not in (DIMENSIONS, DIMENSIONS[1:]):
        raise DataError(f"{name} is on {array.dims} in {array.attrs.get('units')!r}, expected {DIMENSIONS} in 'kg m-2 s-1'.")
    if array.sizes.get("time", MONTHS) != MONTHS:
        raise DataError(f"{name} has {array.sizes['time']} months, expected {MONTHS}.")
    values = array.to_numpy()
    return values if array.ndim == len(DIMENSIONS) else np.repeat(values[None], MONTHS, axis=0)
