"""Small ERA5 files for tests: GRIB messages by eccodes, NetCDF in both generations of the Climate Data Store."""

from datetime import datetime
from pathlib import Path

import numpy as np
import xarray as xr

from airloom.ledger import Ledger
from airloom.sources.members import members

LATITUDE, LONGITUDE = (41.0, 40.0), (-4.0, -3.0, -2.0)
T2M, SSRD, TP, T = 167, 169, 228, 130


def message(param: int, reference: str, values, *, step: int = 0, product: str = "ea", edition: int = 1, **keys) -> bytes:
    """A message on 2 × 3 cells valid `step` hours after `reference`, such as 2020-01-01T00."""
    import eccodes

    time = datetime.fromisoformat(reference)
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_{'pl' if 'level' in keys else 'sfc'}_grib{edition}")
    grid = {
        "Ni": 3,
        "Nj": 2,
        "latitudeOfFirstGridPointInDegrees": LATITUDE[0],
        "latitudeOfLastGridPointInDegrees": LATITUDE[-1],
        "longitudeOfFirstGridPointInDegrees": 360 + LONGITUDE[0],
        "longitudeOfLastGridPointInDegrees": 360 + LONGITUDE[-1],
        "iDirectionIncrementInDegrees": 1,
        "jDirectionIncrementInDegrees": 1,
        "setLocalDefinition": 1,
    }
    mars = {"class": product, "stream": "oper", "expver": "0001", "paramId": param, "bitsPerValue": 24}
    when = {"dataDate": int(f"{time:%Y%m%d}"), "dataTime": int(f"{time:%H%M}"), "endStep": step}
    for key, value in (grid | mars | when | keys).items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, np.broadcast_to(np.asarray(values, float), (2, 3)).ravel())
    content = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


def grib(path: Path, *content: bytes) -> Path:
    path.write_bytes(b"".join(content))
    return path


def hours(start: str, count: int) -> np.ndarray:
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(1, "h")


def old_netcdf(path: Path, name: str, units: str, values, start: str = "2020-01-01T00", **changes) -> Path:
    """grib_to_netcdf's layout: packed 16-bit integers, hours since 1900; values on (time,), or on (time, expver)."""
    values = np.asarray(values, float)
    dims = ["time", "expver", "latitude", "longitude"] if values.ndim == 2 else ["time", "latitude", "longitude"]
    coords = {"time": hours(start, len(values)), "latitude": np.float32(LATITUDE), "longitude": np.float32(LONGITUDE)}
    coords |= {"expver": [1, 5]} if values.ndim == 2 else {}
    coords |= changes
    spread = np.broadcast_to(values[..., None, None], [len(coords[d]) for d in dims])
    file = xr.Dataset({name: (dims, spread, {"units": units})}, coords)
    lowest, highest = np.nanmin(values), np.nanmax(values)
    packing = {"dtype": "int16", "scale_factor": (highest - lowest or 1) / 65532, "add_offset": (highest + lowest) / 2}
    time = {"dtype": "int32", "units": "hours since 1900-01-01", "calendar": "gregorian"}
    if "time" in changes:
        time["units"] = "minutes since 1990-01-01"
    file.to_netcdf(path, engine="netcdf4", encoding={name: packing | {"_FillValue": -32767}, "time": time})
    return path


def new_netcdf(path: Path, name: str, units: str, values, start: str = "2024-01-01T00", *, expver=None, levels=()) -> Path:
    """The layout that the store documents since 2024: valid_time, pressure_level, expver along valid_time, scalar number."""
    values = np.asarray(values, np.float32)
    dims = ["valid_time", *(["pressure_level"] if levels else []), "latitude", "longitude"]
    spread = np.broadcast_to(values[..., None, None], (*values.shape, len(LATITUDE), len(LONGITUDE)))
    coords = {
        "valid_time": hours(start, len(values)),
        "latitude": list(LATITUDE),
        "longitude": list(LONGITUDE),
        "number": np.int64(0),
        "expver": ("valid_time", np.array(expver or ["0001"] * len(values))),
    }
    if levels:
        coords["pressure_level"] = ("pressure_level", np.array(levels, float), {"units": "hPa", "positive": "down"})
    file = xr.Dataset({name: (dims, spread, {"units": units, "GRIB_units": units})}, coords)
    file.to_netcdf(path, engine="netcdf4", encoding={"valid_time": {"units": "seconds since 1970-01-01", "dtype": "int64"}})
    return path


def read(source, *paths: Path, variables):
    """Parts of files, not yet combined."""
    return [source.read(m, variables) for m in members(paths)]


def opened(source, *paths: Path, variables) -> tuple[xr.Dataset, Ledger]:
    ledger = Ledger()
    return source.open(paths, variables, ledger), ledger
