"""How CF-1.11 describes fields of daily concentrations: dimensions, names, units, projection, attributes.

Fields have the dimensions (time, [level,] y, x). `time` is the START of the UTC day that a value averages, or of the
hours of that day where it averages some only, for CF wants it within its bounds; `time_bnds` are both ends. `x`, `y` are
cell centres in the grid's projection, `lon`, `lat` the same in degrees; `level` is the height above ground [m]. The
projection stands in `crs` as CF and as WKT, so GDAL and QGIS place a field by themselves.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import xarray as xr
from pyproj import CRS

from airloom import __version__
from airloom.errors import DataError
from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, Hours, named

POLLUTANTS = {  # name: (CF standard name, what it is)
    "no2": ("mass_concentration_of_nitrogen_dioxide_in_air", "nitrogen dioxide"),
    "o3": ("mass_concentration_of_ozone_in_air", "ozone"),
    "so2": ("mass_concentration_of_sulfur_dioxide_in_air", "sulfur dioxide"),
    "pm2p5": ("mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air", "particles below 2.5 µm"),
    "pm10": ("mass_concentration_of_pm10_ambient_aerosol_particles_in_air", "particles below 10 µm"),
}
SYMBOLS = {"no2": "NO₂", "o3": "O₃", "so2": "SO₂", "pm2p5": "PM2.5", "pm10": "PM10"}  # how pages write them
TIMES = ("time", "time_bnds")
LINKED = ("time_bnds", "y_bnds", "x_bnds", "crs")  # coordinates that others name in their attributes
EPOCH = np.datetime64("1970-01-01")


def field_dataset(
    values: np.ndarray,
    *,
    grid: Grid,
    days: np.ndarray,
    levels: Sequence[float] | None = None,
    hours: Hours = WHOLE_DAY,
    pollutant: str = "no2",
    attrs: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """A field.

    Arguments:
        values: means over the `hours` of each day [µg m⁻³] on (time, y, x), or (time, level, y, x) with `levels`; NaN where
            there is none.
        grid: where y and x lie.
        days: UTC days, datetime64[D].
        levels: heights above ground [m].
        hours: of the UTC day.
        pollutant: a name of POLLUTANTS.
        attrs: global attributes such as title, institution, source, references; they stand before the defaults.

    Raises:
        DataError: the shape of `values` is not what grid, days and levels make.
    """
    expected = shape_of(grid, days, levels)
    if values.shape != expected:
        raise DataError(f"a field of {len(days)} days on this grid has the shape {expected}; values have {values.shape}.")
    described = description(grid, days, levels, hours, pollutant, attrs)
    array = dims_of(levels), values.astype("float32", copy=False), value_attributes(pollutant, hours)
    return described.assign({pollutant: array})


def linked(field: xr.Dataset) -> xr.Dataset:
    """A field with the attributes by which its variables refer to each other; xarray hides them when it reads."""
    found = field.reset_coords(LINKED)
    for name in ("time", "y", "x"):
        found[name].attrs["bounds"] = f"{name}_bnds"
    for array in found.data_vars.values():
        if {"y", "x"} <= set(array.dims):
            array.attrs["grid_mapping"] = "crs"
    return found


def dims_of(levels: Sequence[float] | None) -> tuple[str, ...]:
    """Dimensions of the values."""
    return ("time", "y", "x") if levels is None else ("time", "level", "y", "x")


def shape_of(grid: Grid, days: np.ndarray, levels: Sequence[float] | None) -> tuple[int, ...]:
    """Size of each of the dimensions."""
    return (len(days), *(() if levels is None else (len(levels),)), *grid.shape)


def unit_of(field: xr.Dataset) -> Literal["D", "h"]:
    """In what times are counted: in days, or in hours where a mean begins or ends within a day."""
    bounds = field["time_bnds"].to_numpy()
    return "D" if (bounds == bounds.astype("datetime64[D]")).all() else "h"


def time_encoding(unit: Literal["D", "h"]) -> dict[str, Any]:
    """How times are stored."""
    words = {"D": "days", "h": "hours"}
    return {"units": f"{words[unit]} since {EPOCH} 00:00:00", "calendar": "standard", "dtype": "int32", "_FillValue": None}


def value_attributes(pollutant: str, hours: Hours) -> dict[str, str]:
    """What CF wants to know of the concentration."""
    standard_name, words = POLLUTANTS[pollutant]
    return {
        "standard_name": standard_name,
        "long_name": f"{named(hours)} mass concentration of {words}",
        "units": "ug m-3",
        "cell_methods": "time: mean",
    }


def description(
    grid: Grid,
    days: np.ndarray,
    levels: Sequence[float] | None,
    hours: Hours,
    pollutant: str,
    attrs: Mapping[str, str] | None,
) -> xr.Dataset:
    """A field without its values: coordinates, bounds, projection and global attributes."""
    start, end = (days.astype("datetime64[D]") + np.timedelta64(hour, "h") for hour in hours)
    lon, lat = grid.lonlat()
    half = np.array([-grid.cell / 2, grid.cell / 2])
    time = {
        "standard_name": "time",
        "long_name": "start of the UTC day" if hours == WHOLE_DAY else "start of the hours that are averaged, UTC",
        "axis": "T",
        "units_metadata": "leap_seconds: none",
    }
    coords: dict[str, Any] = {
        "time": ("time", start.astype("datetime64[ns]"), time),
        "time_bnds": (("time", "bnds"), np.stack([start, end], 1).astype("datetime64[ns]")),
        "y": ("y", grid.y, _projected("y")),
        "x": ("x", grid.x, _projected("x")),
        "y_bnds": (("y", "bnds"), grid.y[:, None] - half),  # descending, as y itself
        "x_bnds": (("x", "bnds"), grid.x[:, None] + half),
        "lat": (("y", "x"), lat, {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}),
        "lon": (("y", "x"), lon, {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}),
        "crs": ((), np.int32(0), CRS.from_user_input(grid.crs).to_cf() | {"long_name": "projection of x and y"}),
    }
    if levels is not None:
        height = {"standard_name": "height", "long_name": "height above ground", "units": "m", "positive": "up", "axis": "Z"}
        coords["level"] = ("level", np.asarray(levels, "float64"), height)
    words = POLLUTANTS[pollutant][1]
    defaults = {
        "Conventions": "CF-1.11",
        "title": f"{named(hours)[0].upper()}{named(hours)[1:]} {words}",
        "institution": "not stated",
        "source": f"airloom {__version__}",
        "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} made by airloom {__version__}",
        "references": "not stated",
    }
    return xr.Dataset(coords=coords, attrs=defaults | dict(attrs or {}))


def _projected(axis: str) -> dict[str, str]:
    return {
        "standard_name": f"projection_{axis}_coordinate",
        "long_name": f"{axis} of the cell centre in the grid's projection",
        "units": "m",
        "axis": axis.upper(),
    }
