"""Model fields as files of the CAMS European air quality reanalyses: one pollutant, one height, one month a file.

See `airloom.sources.cams` for the layout and what it was checked against.
"""

from pathlib import Path
from typing import Literal

import netCDF4
import numpy as np
import xarray as xr

from airloom.errors import DataError, nearest
from airloom.files import whole
from airloom.sources.cams import GASES

DIMENSIONS = ("time", "height", "latitude", "longitude")
TITLES = {"vra": "validated", "ira": "interim"}
DAY = 24  # hours in a chunk, so that a day can be read alone


def write_cams(fields: xr.Dataset, folder: Path, *, stream: Literal["vra", "ira"] = "vra") -> list[Path]:
    """Write fields into files such as `cams.eaq.vra.ENSa.no2.l0.2019-01.nc`, and say which.

    Arguments:
        fields: concentrations [ug m-3] of `GASES` on (time, height, latitude, longitude): full hours of one month or more,
            heights in whole metres.
        folder: where the files go; one of the same name is replaced.
        stream: "vra" for the validated, "ira" for the interim reanalysis.

    Raises:
        DataError: a variable is no pollutant of the product, or has other dimensions or another unit.
    """
    for name, array in fields.data_vars.items():
        if name not in GASES:
            raise DataError(f"{name!r} is no pollutant of CAMS. {nearest(str(name), GASES)}")
        if array.dims != DIMENSIONS or array.attrs.get("units") != "ug m-3":
            raise DataError(
                f"{name} is on {array.dims} in {array.attrs.get('units')!r}, expected {DIMENSIONS} in 'ug m-3'. Transpose or convert."
            )
    written = []
    for month, part in fields.groupby(fields["time"].astype("datetime64[M]").rename("month")):
        for name, array in part.data_vars.items():
            for metres in part["height"].to_numpy():
                date = str(np.datetime64(month, "M"))
                path = folder / f"cams.eaq.{stream}.ENSa.{name}.l{metres:.0f}.{date}.nc"
                with whole(path) as aside:
                    _write(array.sel(height=metres).sortby("latitude"), aside, date, TITLES[stream])
                written.append(path)
    return written


def _write(array: xr.DataArray, path: Path, month: str, stream: str) -> None:
    """One file: latitudes ascend, time counts hours from the first of the month."""
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts(
            {
                "Conventions": "CF-1.7",
                "Title": f"CAMS European air quality {stream} reanalysis",
                "Provider": "airloom twin, in the layout of the COPERNICUS European air quality service",
                "Production": "airloom twin: no real air",
            }
        )
        hours = (array["time"].to_numpy() - np.datetime64(month, "ns")) / np.timedelta64(1, "h")
        axes = {
            "time": (hours, {"units": f"hours since {month}-01 00:00:00", "calendar": "standard", "standard_name": "time"}),
            "lat": (array["latitude"].to_numpy(), {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": (array["longitude"].to_numpy(), {"units": "degrees_east", "standard_name": "longitude"}),
        }
        for name, (values, attributes) in axes.items():
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis.setncatts(attributes)
            axis[:] = values
        chunks = min(DAY, array.sizes["time"]), array.sizes["latitude"], array.sizes["longitude"]
        data = file.createVariable(
            str(array.name),
            "f4",
            (*axes,),
            compression="zlib",
            complevel=1,
            shuffle=True,
            chunksizes=chunks,
            fill_value=np.nan,
        )
        data.setncatts({"units": "µg/m3", "long_name": f"{GASES[str(array.name)]} concentration"})
        data[:] = array.to_numpy()
