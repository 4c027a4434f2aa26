"""ERA5 and ERA5-Land of the Copernicus Climate Data Store: hourly weather, GRIB or NetCDF."""

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import xarray as xr

from airloom.errors import DataError, nearest
from airloom.ledger import Ledger
from airloom.sources.base import GriddedSource, Variable
from airloom.sources.era5_fields import Field, Fields, read_grib, span_of_grib
from airloom.sources.era5_hours import HOUR, PRELIMINARY, Series, joined, packing_step, steps_since_midnight, without_noise
from airloom.sources.era5_netcdf import read_netcdf, span_of_netcdf
from airloom.sources.era5_variables import PRESSURE, SINGLE, SURFACE, Parameter, canonical
from airloom.sources.members import Member
from airloom.sources.ordered import ordered

HOUR_SECONDS, DAY_SECONDS = 3600, 86400


class ERA5(GriddedSource, ABC):
    """What the three products share.

    A part, as `read` returns it, has dimensions (time, [level,] latitude, longitude), attributes `units` and, where a
    variable holds sums since 00 UTC, `accumulated = 1` on each variable, a coordinate `expver` along time (1: reanalysis,
    5: preliminary), and attributes `file`, `asked` and `holds`. A caller that regrids parts keeps all of these; `combine`
    takes whatever the horizontal dimensions and their coordinates are called by then.
    """

    parameters: ClassVar[dict[str, Parameter]]
    product: ClassVar[str]  # MARS class
    levels: ClassVar[bool] = False
    since_midnight: ClassVar[bool] = False  # sums run from 00 UTC; else over one hour

    def read(self, member: Member, variables: Sequence[str]) -> xr.Dataset:
        """Those of `variables` that a file holds; a member of an archive may hold none of them.

        Raises:
            DataError: a variable is not one of this product; the file cannot be read, is of another product, stream, unit,
                grid or time step, holds several ensemble members, impossible values, or none of the variables.
        """
        for name in variables:
            if name not in self.parameters:
                now = next(iter(canonical([name], self.parameters)), None)
                hint = f"airloom calls it {now!r}" if now else nearest(name, self.parameters)
                raise DataError(f"{name!r} is not a variable of {self.title}. {hint}")
        if _is_grib(member):
            raw = read_grib(member, variables, self.parameters, self.product, self.levels)
        else:
            raw = read_netcdf(member, variables, self.parameters)
        if not raw.fields and member.inner is None:
            raise DataError(f"{member.label} holds none of {', '.join(variables)}; it holds {_list(raw.holds)}.")
        return self._part(raw, member.label, variables)

    def combine(self, parts: Sequence[xr.Dataset], ledger: Ledger) -> xr.Dataset:
        """Canonical fields out of parts. The ledger counts preliminary hours, and values that were packing noise.

        Of ERA5-Land the mean over an hour is the step of the sum since 00 UTC, known only where the sum an hour earlier is,
        or at the first hour of a day; other hours are NaN, or absent from `time` where no variable has them.

        Raises:
            DataError: a variable that was asked for is in no part; two parts lie on different grids, or differ about the same
                hour; a part lost its attributes.
        """
        self._require(parts)
        filled = [p for p in parts if p.data_vars]
        for part in filled[1:]:
            _same_place(filled[0], part)
        names = list(dict.fromkeys(str(n) for p in filled for n in p.data_vars))
        preliminary: set[np.datetime64] = set()
        arrays = {}
        for name in names:
            holding = [p for p in filled if name in p.data_vars]
            level = _levels(holding, name)
            series = joined(name, [self._series(p, name, level) for p in holding])
            preliminary.update(series.time[series.expver == PRELIMINARY])
            arrays[name] = self._canonical(name, series, holding[0], level, ledger)
        if preliminary:
            why = "preliminary (expver 0005): the reanalysis of these hours was in no file"
            ledger.kept("value", f"{self.name}, {min(preliminary):.13} to {max(preliminary):.13}", why, len(preliminary))
        return _together(arrays)

    def span(self, member: Member) -> tuple[np.datetime64, np.datetime64] | None:
        """First and last hour (datetime64[h]) that values of this product's variables are valid at: the moment of an
        instantaneous one, the end of a sum or mean. None where a file holds none of them.

        Raises:
            DataError: as `read`, as far as headers tell.
        """
        if _is_grib(member):
            found = span_of_grib(member, self.parameters, self.product, self.levels)
        else:
            found = span_of_netcdf(member, self.parameters)
        return (found[0].astype("datetime64[h]"), found[1].astype("datetime64[h]")) if found else None

    def _part(self, raw: Fields, label: str, variables: Sequence[str]) -> xr.Dataset:
        """Fields of a file as a part: canonical units and orientation, hours labelled by their start but for daily sums."""
        longitude = np.round((raw.longitude + 180) % 360 - 180, 4)
        latitude = np.round(raw.latitude, 4)
        southward, eastward = np.argsort(latitude)[::-1], np.argsort(longitude)
        place = {
            "latitude": ("latitude", latitude[southward], {"units": "degrees_north"}),
            "longitude": ("longitude", longitude[eastward], {"units": "degrees_east"}),
        }
        arrays: dict[str, xr.DataArray] = {}
        expver: dict[int, int] = {}
        for name, field in raw.fields.items():
            if (field.level is not None) != self.levels:
                found = "pressure levels" if field.level is not None else "no pressure level"
                raise DataError(f"{label}: {name} has {found}; {self.title} has {'some' if self.levels else 'none'}.")
            series, attrs = self._converted(name, field, label)
            values = ordered(ordered(series.values, southward, -2), eastward, -1)
            coords = {"time": series.time, **({"level": field.level} if field.level is not None else {}), **place}
            arrays[name] = xr.DataArray(values, coords, [*coords], name, attrs)
            expver.update(zip(series.time.tolist(), series.expver.tolist(), strict=True))
        part = _together(arrays)
        if arrays:
            part = part.assign_coords(expver=("time", [expver[t] for t in part["time"].values.tolist()]))
        return part.assign_attrs(file=label, asked=" ".join(variables), holds=" ".join(raw.holds))

    def _converted(self, name: str, field: Field, label: str) -> tuple[Series, dict[str, str | int]]:
        """A field in canonical units, each time once, and the attributes that go with it."""
        parameter = self.parameters[name]
        if field.units not in parameter.units:
            raise DataError(f"{label}: {name} is in {field.units!r}, expected {' or '.join(parameter.units)}.")
        series = joined(name, [field.series])
        whole = series.time.astype("datetime64[h]") == series.time
        if not whole.all():
            raise DataError(f"{label}: {name} has the time {series.time[~whole][0]:.19}, expected full hours.")
        sums = parameter.kind == "sum"
        seconds = 1 if not sums or self.since_midnight else HOUR_SECONDS
        values = series.values * np.float32(parameter.units[field.units] / seconds)
        _possible(name, values, parameter, DAY_SECONDS if sums and self.since_midnight else 1, label)
        if sums and self.since_midnight:
            return Series(series.time, values, series.expver, series.file), {
                "units": _sum_units(parameter),
                "accumulated": 1,
            }
        start = series.time if parameter.kind == "instant" else series.time - HOUR
        return Series(start, values, series.expver, series.file), {"units": parameter.variable.units}

    def _series(self, part: xr.Dataset, name: str, level: np.ndarray | None) -> Series:
        """A variable of a part, on all levels."""
        parameter, array, label = self.parameters[name], part[name], part.attrs.get("file", "a part without a name")
        sums = parameter.kind == "sum" and self.since_midnight
        units = _sum_units(parameter) if sums else parameter.variable.units
        if array.attrs.get("units") != units or array.attrs.get("accumulated", 0) != int(sums):
            raise DataError(
                f"{label}: {name} has attributes {array.attrs}, expected units {units!r}"
                f"{' and accumulated 1' if sums else ''}. Keep the attributes of a part when regridding it."
            )
        if level is not None:
            array = array.reindex(level=level, copy=False)
        array = array.transpose("time", *(["level"] if level is not None else []), ...)
        time = part["time"].to_numpy().astype("datetime64[ns]")
        expver = part["expver"].to_numpy() if "expver" in part.coords else np.ones(len(time), int)
        return Series(time, array.to_numpy().astype(np.float32, copy=False), expver, np.full(len(time), label, object))

    def _canonical(
        self, name: str, series: Series, like: xr.Dataset, level: np.ndarray | None, ledger: Ledger
    ) -> xr.DataArray:
        """One variable in canonical form, sums undone, on the horizontal dimensions of `like`."""
        parameter = self.parameters[name]
        if parameter.kind == "sum":
            if self.since_midnight:
                steps, noise = steps_since_midnight(name, series, parameter.highest * HOUR_SECONDS)
                series = Series(steps.time, steps.values / np.float32(HOUR_SECONDS), steps.expver, steps.file)
            else:
                series, noise = without_noise(name, series, packing_step(series.values, 0, parameter.highest))
            if noise:
                ledger.changed("value", name, "below zero by packing noise, set to 0", noise)
        time = {"time": series.time, **({"level": level} if level is not None else {})}
        flat = [d for d in like[name].dims if d not in ("time", "level")]
        place = {k: c for k, c in like.coords.items() if not {"time", "level"} & {*c.dims, k}}
        attrs = {
            "units": parameter.variable.units,
            "long_name": parameter.variable.long_name,
            "cell_methods": parameter.variable.cell_method,
        }
        return xr.DataArray(series.values, {**time, **place}, [*time, *flat], name, attrs)

    def _require(self, parts: Sequence[xr.Dataset]) -> None:
        """Every variable that was asked for is in some part."""
        found = {str(n) for p in parts for n in p.data_vars}
        holds = {n for p in parts for n in p.attrs.get("holds", "").split()}
        for name in dict.fromkeys(n for p in parts for n in p.attrs.get("asked", "").split()):
            if name not in found:
                files = [p.attrs.get("file") for p in parts]
                raise DataError(
                    f"{name} ({self.parameters[name].variable.long_name}) is in none of {len(files)} files, {files[0]} the first. "
                    f"{nearest(name, holds)}. Fetch it too, or leave it out of the study."
                )
        if not found:
            raise DataError(f"{self.title}: no files, so no fields. Name the files of the study.")


class ERA5Land(ERA5):
    """ERA5-Land (Muñoz-Sabater et al., 2021, doi:10.5194/essd-13-4349-2021), 0.1°, land only.

    `tp, ssr, ssrd` are sums since 00 UTC in the files, whatever step their headers say; 00:00 closes the day before.
    """

    name = "era5-land"
    title = "ERA5-Land"
    parameters = SURFACE
    variables: ClassVar[Mapping[str, Variable]] = {n: p.variable for n, p in SURFACE.items()}
    product = "l5"
    since_midnight = True


class ERA5Single(ERA5):
    """ERA5 on single levels (Hersbach et al., 2020, doi:10.1002/qj.3803), 0.25°.

    Sums and mean rates are over the hour that ends at the file's time; here they are labelled by its start.
    """

    name = "era5-single"
    title = "ERA5 on single levels"
    parameters = SINGLE
    variables: ClassVar[Mapping[str, Variable]] = {n: p.variable for n, p in SINGLE.items()}
    product = "ea"


class ERA5Pressure(ERA5):
    """ERA5 on pressure levels (Hersbach et al., 2020, doi:10.1002/qj.3803), 0.25°; all values are of the moment."""

    name = "era5-pressure"
    title = "ERA5 on pressure levels"
    parameters = PRESSURE
    variables: ClassVar[Mapping[str, Variable]] = {n: p.variable for n, p in PRESSURE.items()}
    product = "ea"
    levels = True


def _is_grib(member: Member) -> bool:
    """Whether a file is GRIB, not NetCDF, by its first bytes; DataError where it is neither."""
    magic = member.beginning(4)
    if magic == b"PK\x03\x04":
        raise DataError(f"{member.label} is a zip archive under another name. Rename it to end in .zip.")
    if magic != b"GRIB" and magic[:3] != b"CDF" and magic[1:] != b"HDF":
        raise DataError(f"{member.label} is neither GRIB nor NetCDF: it begins with {magic!r}. Fetch it again.")
    return magic == b"GRIB"


def _sum_units(parameter: Parameter) -> str:
    """The unit of a sum: the canonical one times seconds."""
    return next(u for u, factor in parameter.units.items() if factor == 1)


def _possible(name: str, values: np.ndarray, parameter: Parameter, seconds: int, label: str) -> None:
    """Values lie in the physical range; that of sums is `seconds` times as wide."""
    if np.isnan(values).all():
        return
    found = float(np.nanmin(values)), float(np.nanmax(values))
    lowest, highest = parameter.lowest * seconds, parameter.highest * seconds
    if found[0] < lowest or found[1] > highest:
        units = parameter.variable.units if seconds == 1 else _sum_units(parameter)
        raise DataError(
            f"{label}: {name} ranges from {found[0]:.5g} to {found[1]:.5g} {units}, expected {lowest:g} to {highest:g}. "
            "The file's units or its product are not what it says."
        )


def _same_place(first: xr.Dataset, other: xr.Dataset) -> None:
    """Both parts lie on one grid."""
    for dim in {d for v in first.data_vars.values() for d in v.dims} - {"time", "level"}:
        sizes = first.sizes[dim], other.sizes.get(dim, 0)
        if sizes[0] != sizes[1] or (dim in first.coords and not np.allclose(first[dim], other[dim], rtol=0, atol=2e-4)):
            raise DataError(
                f"{other.attrs.get('file')} lies on another grid than {first.attrs.get('file')}: {dim} {_span(other, dim)}, "
                f"expected {_span(first, dim)}. Fetch all files of one area and resolution."
            )


def _span(part: xr.Dataset, dim: object) -> str:
    if dim not in part.coords:
        return f"of {part.sizes.get(dim, 0)}"
    values = part[dim].values
    return f"{values[0]:g} … {values[-1]:g} ({len(values)})"


def _levels(parts: Sequence[xr.Dataset], name: str) -> np.ndarray | None:
    """All levels of a variable [hPa], the ground first; None where it has none."""
    levels = [p["level"].values for p in parts if "level" in p[name].dims]
    return np.unique(np.concatenate(levels))[::-1] if levels else None


def _together(arrays: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Variables on the union of their times and levels, NaN where one lacks an hour of another."""
    aligned = xr.align(*arrays.values(), join="outer", copy=False)
    together = xr.Dataset(dict(zip(arrays, aligned, strict=True)))
    if "level" in together.coords:
        steps = np.diff(together["level"])
        if (steps > 0).all():  # sorting copies
            together = together.isel(level=slice(None, None, -1))
        elif (steps > 0).any():
            together = together.sortby("level", ascending=False)
        together["level"].attrs["units"] = "hPa"
    return together


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "no variable of this product"
