"""ERA5 NetCDF of the Climate Data Store, as written before 2024 (grib_to_netcdf) and since (cfgrib's names)."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from airloom.errors import DataError
from airloom.sources.era5_fields import Field, Fields, expver_number
from airloom.sources.era5_hours import FINAL, PRELIMINARY, Series
from airloom.sources.era5_variables import Parameter, canonical, plain
from airloom.sources.members import Member
from airloom.sources.netcdf import opened

TIMES = ("valid_time", "time")  # new files may hold `time` besides, as the reference time of a forecast
LEVELS = ("pressure_level", "level", "isobaricInhPa")
LEVEL_UNITS = ("hPa", "millibars", "mbar")
HORIZONTAL = ("latitude", "longitude")


def read_netcdf(member: Member, variables: Sequence[str], parameters: dict[str, Parameter]) -> Fields:
    """Those of `variables` that a file holds.

    Both generations are understood: dimensions (time, [level,] latitude, longitude), packed, with an `expver` dimension
    where reanalysis and preliminary data are mixed; and (valid_time, [pressure_level,] latitude, longitude) with `expver`
    along valid_time and a scalar `number`.

    Raises:
        DataError: the file cannot be read, or its dimensions are others; the text names the file.
    """
    with opened(member) as file:
        names = [str(n) for n in file.data_vars]
        file = _one_member(file, member.label)
        time = _time(file, member.label)
        if time not in file.dims:
            file = file.expand_dims(time)
        found = canonical(names, parameters)
        fields = {name: _field(file[found[name]], file, time, member.label) for name in variables if name in found}
        latitude, longitude = (file[h].to_numpy().astype(float) for h in HORIZONTAL)
        return Fields(latitude, longitude, fields, tuple(names))


def span_of_netcdf(member: Member, parameters: dict[str, Parameter]) -> tuple[np.datetime64, np.datetime64] | None:
    """First and last time that values are valid at, datetime64[ns]; None where the file holds none of `parameters`.

    Raises:
        DataError: as `read_netcdf`, as far as headers tell.
    """
    with opened(member) as file:
        hours = file[_time(file, member.label)].to_numpy().ravel()
        if not canonical(map(str, file.data_vars), parameters) or not hours.size:
            return None
        return hours.min(), hours.max()


def _time(file: xr.Dataset, label: str) -> str:
    """What the file calls the time that its values are valid at."""
    time = next((t for t in TIMES if t in file.variables), None)
    if time is None or any(h not in file.dims for h in HORIZONTAL):
        raise DataError(
            f"{label} has dimensions {', '.join(map(str, file.dims))}; expected valid_time or time, latitude, longitude."
        )
    if file[time].dtype.kind != "M":
        raise DataError(f"{label}: {time} has no units such as 'hours since 1900-01-01'.")
    return time


def _one_member(file: xr.Dataset, label: str) -> xr.Dataset:
    """The file without its ensemble dimension."""
    if "number" not in file.dims:
        return file
    if file.sizes["number"] > 1:
        numbers = ", ".join(str(n) for n in file["number"].values)
        raise DataError(
            f"{label} holds ensemble members {numbers}; airloom reads one. "
            "Ask for the product type reanalysis, or write one member to a file of its own."
        )
    return file.squeeze("number")


def _field(array: xr.DataArray, file: xr.Dataset, time: str, label: str) -> Field:
    """One variable, its mixed `expver` dimension resolved."""
    level = next((v for v in LEVELS if v in array.dims), None)
    order = [time, *([level] if level else []), *HORIZONTAL]
    if strange := set(array.dims) - {*order, "expver"}:
        raise DataError(
            f"{label}: {array.name} has a dimension {sorted(map(str, strange))[0]!r}, expected {', '.join(order)}."
        )
    if level and file[level].attrs.get("units") not in LEVEL_UNITS:
        raise DataError(f"{label}: {level} is in {file[level].attrs.get('units')!r}, expected hPa.")
    if "units" not in array.attrs:
        raise DataError(f"{label}: {array.name} carries no units.")
    try:
        if "expver" in array.dims:
            values, expver = _mixed(array.transpose("expver", *order), label)
        else:
            values = array.transpose(*order).to_numpy()
            expver = _expver(file, time, label)
    except (OSError, RuntimeError) as error:  # HDF5 finds damage only when it reads a chunk
        raise DataError(f"{label}: {array.name} cannot be read: {error}. Fetch the file again.") from error
    hours = file[time].to_numpy().astype("datetime64[ns]")
    series = Series(hours, values.astype(np.float32), expver, np.full(len(hours), label, object))
    return Field(plain(array.attrs["units"]), file[level].to_numpy().astype(float) if level else None, series)


def _mixed(array: xr.DataArray, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and expver of (expver, time, …): the reanalysis where it has a number, else the preliminary value."""
    numbers = [expver_number(str(v), label) for v in array["expver"].values]
    kinds = dict(zip(numbers, array.to_numpy(), strict=True))
    if PRELIMINARY not in kinds or FINAL not in kinds:
        return kinds[numbers[0]], np.full(array.shape[1], numbers[0])
    fill = np.isnan(kinds[FINAL]) & ~np.isnan(kinds[PRELIMINARY])
    used = fill.any(axis=tuple(range(1, fill.ndim)))
    return np.where(fill, kinds[PRELIMINARY], kinds[FINAL]), np.where(used, PRELIMINARY, FINAL)


def _expver(file: xr.Dataset, time: str, label: str) -> np.ndarray:
    """Experiment version of each time: the coordinate of new files; old ones without the dimension are the reanalysis."""
    if "expver" not in file.variables:
        return np.full(file.sizes[time], FINAL)
    found = np.broadcast_to(file["expver"].to_numpy(), file.sizes[time])
    numbers = {v: expver_number(v.decode() if isinstance(v, bytes) else str(v), label) for v in set(found.tolist())}
    return np.array([numbers[v] for v in found.tolist()])
