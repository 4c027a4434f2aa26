"""Weather as ERA5 files of the Climate Data Store: NetCDF as it was delivered until 2024, and as it is since.

The layouts were read off real files: those of grib_to_netcdf 2.15 to 2.36 for the former, headers of cfgrib 0.9.15 for the
present one.
"""

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from airloom.errors import DataError, nearest
from airloom.files import whole
from airloom.sources.era5_hours import HOUR
from airloom.sources.era5_variables import PRESSURE, SINGLE, Parameter
from airloom.twin.writers.era5_names import NAMES, STEPS, Name

LARGEST, MISSING = 32766, -32767  # the packed integers run from −32766 to 32766
PARAMETERS = SINGLE | PRESSURE


def write_former(fields: xr.Dataset, path: Path) -> None:
    """Write fields as the store did until September 2024: one file, packed into 16 bits, hours since 1900, levels ascending.

    Arguments:
        fields: canonical variables of ERA5 on single levels, or on pressure levels, on (time, [level,] latitude, longitude):
            a mean stands at the start of its hour. The file has it at the end, as the provider does, and holds the hours
            that all of its variables have: where moments and means go into one file, give one hour more at the beginning.
        path: the file, ending in .nc.

    Raises:
        DataError: a variable, dimension, grid or unit is not canonical, single and pressure levels are mixed, or no hour has
            all variables.
    """
    _check(fields)
    hours = _hours(fields)
    with whole(path) as aside, netCDF4.Dataset(aside, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.setncatts({"Conventions": "CF-1.6", "history": "airloom twin, in the layout of grib_to_netcdf"})
        _former_axes(file, fields, hours)
        for name, values in _values(fields, hours):
            _packed(file, name, values)


def write_present(fields: xr.Dataset, folder: Path, stem: str) -> Path:
    """Write fields as the store does since September 2024, and say where: a file for each way that values stand in time
    (moments, means, sums), together in a zip archive, or the bare file where there is one.

    float32, `valid_time` in seconds since 1970, `pressure_level` descending, `expver` 0001 along time, a scalar `number`.
    `fields` and errors as in `write_former`. Returns folder/stem.zip or folder/stem.nc.
    """
    _check(fields)
    hours = _hours(fields)
    groups: dict[str, list[str]] = {}
    for name in map(str, fields.data_vars):
        groups.setdefault(STEPS[PARAMETERS[name].kind], []).append(name)
    if len(groups) == 1:
        path = folder / f"{stem}.nc"
        with whole(path) as aside:
            _present(aside, fields, hours, *groups)
        return path
    path = folder / f"{stem}.zip"
    with (
        whole(path) as aside,
        tempfile.TemporaryDirectory(dir=folder, prefix=".era5-") as inner,
        zipfile.ZipFile(aside, "w") as archive,  # the files inside are compressed already
    ):
        for step, names in groups.items():
            one = Path(inner) / f"data_stream-oper_stepType-{step}.nc"
            _present(one, fields[names], hours, step)
            archive.write(one, one.name)
    return path


def _check(fields: xr.Dataset) -> None:
    """Refuse what is not in canonical form."""
    names = [str(n) for n in fields.data_vars]
    for name in names:
        if name not in PARAMETERS:
            raise DataError(f"{name!r} is not a variable of ERA5 as airloom names them; {nearest(name, PARAMETERS)}.")
        dims = ("time", *(["level"] if name in PRESSURE else []), "latitude", "longitude")
        if fields[name].dims != dims:
            raise DataError(f"{name} is on ({', '.join(map(str, fields[name].dims))}), expected ({', '.join(dims)}).")
        expected = PARAMETERS[name].variable.units
        if (units := fields[name].attrs.get("units")) != expected:
            raise DataError(f"{name} is in {units!r}, expected {expected!r}. Set the attribute `units`.")
    if len({n in PRESSURE for n in names}) != 1:
        raise DataError(f"one file holds single levels or pressure levels, not both and not none; found {', '.join(names)}.")
    for axis, sign in (("latitude", -1), ("longitude", 1)):
        steps = np.diff(fields[axis].to_numpy()) * sign
        if not len(steps) or (steps <= 0).any() or not np.allclose(steps, steps[0], rtol=0, atol=1e-4):
            way = "descend" if sign < 0 else "ascend"
            raise DataError(f"{axis} must {way} in equal steps, and have two of them at least; found {fields[axis].values}.")


def _hours(fields: xr.Dataset) -> np.ndarray:
    """Times of the file (time,), datetime64[ns]: those for which every variable has a value."""
    start = fields["time"].to_numpy().astype("datetime64[ns]")
    shifts = {_shift(str(name)) for name in fields.data_vars}
    found = start + shifts.pop()
    for shift in shifts:
        found = np.intersect1d(found, start + shift)
    if not len(found):
        raise DataError(
            f"no hour has all of {', '.join(map(str, fields.data_vars))}: times are {start[0]:.16} to {start[-1]:.16}, and a "
            "mean is written at the end of its hour. Give one hour more at the beginning."
        )
    return found


def _shift(name: str) -> np.timedelta64:
    """From the canonical time of a value to the provider's."""
    return np.timedelta64(0, "h") if PARAMETERS[name].kind == "instant" else HOUR


def _values(fields: xr.Dataset, hours: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each variable in the provider's units at the file's hours, float64 on (time, [level descending,] latitude, longitude)."""
    for name, array in fields.data_vars.items():
        chosen = array.sel(time=hours - _shift(str(name)))
        if "level" in array.dims:
            chosen = chosen.sortby("level", ascending=False)
        yield str(name), chosen.to_numpy() * _factor(PARAMETERS[str(name)])


def _factor(parameter: Parameter) -> float:
    """From the canonical unit to that of the files, the first one; a sum is over one hour."""
    return (3600 if parameter.kind == "sum" else 1) / next(iter(parameter.units.values()))


def _levels(fields: xr.Dataset) -> np.ndarray | None:
    """Pressures, descending [hPa]."""
    return np.sort(fields["level"].to_numpy())[::-1] if "level" in fields.dims else None


def _former_axes(file: netCDF4.Dataset, fields: xr.Dataset, hours: np.ndarray) -> None:
    """Dimensions and coordinates in the order of grib_to_netcdf."""
    levels = _levels(fields)
    since = (hours - np.datetime64("1900-01-01", "ns")) // HOUR
    axes = [
        ("longitude", "f4", fields["longitude"].to_numpy(), {"units": "degrees_east", "long_name": "longitude"}),
        ("latitude", "f4", fields["latitude"].to_numpy(), {"units": "degrees_north", "long_name": "latitude"}),
        *(
            [("level", "i4", levels[::-1], {"units": "millibars", "long_name": "pressure_level"})]
            if levels is not None
            else []
        ),
        ("time", "i4", since, {"units": "hours since 1900-01-01 00:00:00.0", "long_name": "time", "calendar": "gregorian"}),
    ]
    for name, _, values, _ in axes:
        file.createDimension(name, len(values))
    for name, kind, values, attributes in axes:
        variable = file.createVariable(name, kind, (name,))
        variable.setncatts(attributes)
        variable[:] = values


def _packed(file: netCDF4.Dataset, name: str, values: np.ndarray) -> None:
    """One variable as 16-bit integers that span its own range."""
    known = NAMES[name]
    if "level" in file.dimensions:
        values = values[:, ::-1]
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    scale = (highest - lowest) / 2 / LARGEST or 1.0
    offset = (highest + lowest) / 2
    dims = ("time", *(["level"] if "level" in file.dimensions else []), "latitude", "longitude")
    variable = file.createVariable(PARAMETERS[name].others[0] if known.former else name, "i2", dims, fill_value=MISSING)
    variable.set_auto_maskandscale(False)
    attributes = {"scale_factor": scale, "add_offset": offset, "missing_value": np.int16(MISSING), "units": known.units}
    attributes["long_name"] = known.former or known.name
    if known.standard:
        attributes["standard_name"] = known.standard
    variable.setncatts(attributes)
    integers = np.rint((values - offset) / scale)
    variable[:] = np.where(np.isnan(integers), MISSING, integers).astype(np.int16)


def _present(path: Path, fields: xr.Dataset, hours: np.ndarray, step: str) -> None:
    """One file in cfgrib's layout."""
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        centre = "European Centre for Medium-Range Weather Forecasts"
        attributes = {"GRIB_centre": "ecmf", "GRIB_centreDescription": centre, "GRIB_subCentre": np.int64(0)}
        file.setncatts(attributes | {"Conventions": "CF-1.7", "institution": centre})
        file.setncattr("history", "airloom twin, in the layout of cfgrib")
        _present_axes(file, fields, hours)
        dims = ("valid_time", *(["pressure_level"] if "level" in fields.dims else []), "latitude", "longitude")
        # a chunk is a day of all cells; a reader that takes single hours unpacks no more than that
        chunks = [min(24, len(hours)), *(len(file.dimensions[d]) for d in dims[1:])]
        for name, values in _values(fields, hours):
            variable = file.createVariable(name, "f4", dims, zlib=True, complevel=1, chunksizes=chunks, fill_value=np.nan)
            variable.setncatts(_grib_attributes(NAMES[name], name, fields, step))
            variable[:] = values.astype(np.float32)


def _present_axes(file: netCDF4.Dataset, fields: xr.Dataset, hours: np.ndarray) -> None:
    levels, decreasing = _levels(fields), {"stored_direction": "decreasing"}
    since = (hours - np.datetime64("1970-01-01", "ns")) // np.timedelta64(1, "s")
    number = file.createVariable("number", "i8", ())
    number.setncatts({"long_name": "ensemble member numerical id", "units": "1", "standard_name": "realization"})
    number[...] = 0
    file.createDimension("valid_time", len(hours))
    time = file.createVariable("valid_time", "i8", ("valid_time",))
    time.setncatts({"long_name": "time", "standard_name": "time", "units": "seconds since 1970-01-01"})
    time.setncattr("calendar", "proleptic_gregorian")
    time[:] = since
    axes = {"latitude": fields["latitude"].to_numpy(), "longitude": fields["longitude"].to_numpy()}
    if levels is not None:
        axes = {"pressure_level": levels} | axes
    attributes = {
        "pressure_level": {"long_name": "pressure", "units": "hPa", "positive": "down", **decreasing}
        | {"standard_name": "air_pressure"},
        "latitude": {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude", **decreasing},
        "longitude": {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude"},
    }
    for name, values in axes.items():
        file.createDimension(name, len(values))
        axis = file.createVariable(name, "f8", (name,), fill_value=np.nan)
        axis.setncatts(attributes[name])
        axis[:] = values
    expver = file.createVariable("expver", str, ("valid_time",))
    expver[:] = np.full(len(hours), "0001", object)


def _grib_attributes(known: Name, name: str, fields: xr.Dataset, step: str) -> dict[str, object]:
    """What cfgrib says of a variable."""
    latitude, longitude = fields["latitude"].to_numpy(), fields["longitude"].to_numpy()
    levels = "level" in fields.dims
    counts = {"numberOfPoints": latitude.size * longitude.size, "Nx": longitude.size, "Ny": latitude.size}
    flags = ("uvRelativeToGrid", "NV", "iScansNegatively", "jPointsAreConsecutive", "jScansPositively", "totalNumber")
    integers = {"paramId": known.number, "stepUnits": 1, **counts, **dict.fromkeys(flags, 0)}
    grib: dict[str, object] = {key: np.int64(value) for key, value in integers.items()}
    grib |= {
        "dataType": "an" if step == "instant" else "fc",
        "typeOfLevel": "isobaricInhPa" if levels else "surface",
        "stepType": step,
        "gridType": "regular_ll",
        "cfName": known.standard or "unknown",
        "cfVarName": name,
        "gridDefinitionDescription": "Latitude/Longitude Grid",
        "iDirectionIncrementInDegrees": _step(longitude),
        "jDirectionIncrementInDegrees": _step(latitude),
        "latitudeOfFirstGridPointInDegrees": float(latitude[0]),
        "latitudeOfLastGridPointInDegrees": float(latitude[-1]),
        "longitudeOfFirstGridPointInDegrees": float(longitude[0]),
        "longitudeOfLastGridPointInDegrees": float(longitude[-1]),
        "missingValue": float(np.finfo(np.float32).max),
        "name": known.name,
        "shortName": known.short,
        "units": known.units,
    }
    surface = {} if levels else {"GRIB_surface": 0.0}
    vertical = "isobaricInhPa " if levels else ""
    said = {"long_name": known.name, "units": known.units, "standard_name": known.standard or "unknown"}
    place = {"coordinates": f"number valid_time {vertical}latitude longitude expver"}
    return {f"GRIB_{key}": value for key, value in grib.items()} | said | surface | place


def _step(axis: np.ndarray) -> float:
    """Distance of two grid points [degrees]."""
    return round(abs(float(axis[1] - axis[0])), 6)
