"""A source to copy: hourly weather that already bears airloom's names, in NetCDF.

To add a product: copy this file, name its variables, write `read` for one file and `combine` for many, add the class to
`registry.py`, and copy `tests/test_template_source.py`. What a source must return stands in `base.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import xarray as xr

from airloom.errors import DataError, nearest
from airloom.ledger import Ledger
from airloom.sources.base import GriddedSource, Variable
from airloom.sources.members import Member

DIMENSIONS = ("time", "latitude", "longitude")


class Template(GriddedSource):
    """Hourly `t2m` [K] and `blh` [m] out of NetCDF files with dimensions (time, latitude, longitude).

    The files' times are UTC and mark the moment of each value; latitudes may run either way, days may come in any order.
    """

    name = "template"
    title = "Weather in airloom's own names"
    variables: ClassVar = {
        "t2m": Variable("K", "air temperature 2 m above ground"),
        "blh": Variable("m", "height of the boundary layer"),
    }

    def read(self, member: Member, variables: Sequence[str]) -> xr.Dataset:
        """One file's `variables` on (time, latitude, longitude).

        Raises:
            DataError: the file is no NetCDF, or lacks a variable or a dimension, or a variable has another unit.
        """
        with _opened(member) as file:
            found = file.load()
        for name in variables:
            self._check(found, name, member.label)
        return found[list(variables)].astype("float32")

    def span(self, member: Member) -> tuple[np.datetime64, np.datetime64] | None:
        """First and last hour (datetime64[h]) of a file; None where it holds none of this source's variables, or no hour.

        Raises:
            DataError: as `read`.
        """
        with _opened(member) as file:
            names = [name for name in self.variables if name in file]
            for name in names:
                self._check(file, name, member.label)
            hours = file["time"].values.astype("datetime64[h]") if names else np.empty(0)
        return (hours.min(), hours.max()) if hours.size else None

    def _check(self, found: xr.Dataset, name: str, label: str) -> None:
        """Refuse a variable that is absent or is not what its name says."""
        if name not in found:
            raise DataError(f"{label} holds no {name!r}. {nearest(name, map(str, found.data_vars))}")
        if found[name].dims != DIMENSIONS:
            raise DataError(f"{label}, {name}: its dimensions are {found[name].dims}, expected {DIMENSIONS}.")
        units, expected = found[name].attrs.get("units"), self.variables[name].units
        if units != expected:
            raise DataError(f"{label}, {name}: its unit is {units!r}, expected {expected!r}. Convert the file first.")

    def combine(self, parts: Sequence[xr.Dataset], ledger: Ledger) -> xr.Dataset:
        """All hours of all parts, each once, in order; latitude descends, longitude ascends.

        Raises:
            DataError: two parts hold different values for one hour, or lie on different cells.
        """
        parts = [part.sortby("latitude", ascending=False).sortby("longitude") for part in parts]
        try:
            joined = xr.concat(parts, "time", join="exact", data_vars="all", coords="minimal", compat="override")
        except ValueError as error:
            raise DataError(f"{self.name}: the files' latitudes or longitudes differ. Read one region at a time.") from error
        joined = joined.sortby("time")
        again = np.flatnonzero(joined.indexes["time"].duplicated())
        for hour in again:
            if not joined.isel(time=hour - 1).drop_vars("time").equals(joined.isel(time=hour).drop_vars("time")):
                raise DataError(f"two files differ about {joined.time.values[hour]}. Remove the older one.")
        if len(again):
            ledger.out("value", self.name, "hour repeated with equal values", len(again))
        joined = joined.isel(time=np.setdiff1d(np.arange(joined.sizes["time"]), again))
        for name, array in joined.data_vars.items():
            variable = self.variables[str(name)]
            array.attrs = {"units": variable.units, "long_name": variable.long_name}
        return joined


@contextmanager
def _opened(member: Member) -> Iterator[xr.Dataset]:
    """A file for as long as the block lasts; what is no NetCDF, or breaks off, is a DataError."""
    try:
        with member.local() as path, xr.open_dataset(path, engine="netcdf4") as file:
            yield file
    except (OSError, ValueError) as error:
        raise DataError(f"{member.label} cannot be read as NetCDF: {error}. Fetch it again.") from error
