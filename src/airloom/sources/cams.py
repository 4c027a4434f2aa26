"""CAMS European air quality reanalyses of the Atmosphere Data Store: hourly concentrations on up to ten heights.

One file holds one pollutant on one height over one month, named like `cams.eaq.vra.ENSa.no2.l0.2019-01.nc`: `vra` is the
validated and `ira` the interim reanalysis, `ENSa` the median of the ensemble, `l250` 250 m above ground. Files come bare or
several in a zip archive.

The layout was checked against what users print of such files: variable `no2`, `pm2p5`, … on (time, lat, lon), float32, unit
µg/m3, latitudes ascending, a global `Title` that names the validated or the interim reanalysis. 421 × 701 cells centred on
whole tenths of a degree until 2019, 420 × 700 centred between them from 2020. Our reading where we saw no print: the height
stands in the file's name alone, and time counts hours from the first of the month; a dimension for the height, and times
without a reference, are understood too. Values are taken to mark the full hour that they are given for.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import xarray as xr

from airloom.errors import DataError, nearest
from airloom.ledger import Ledger
from airloom.sources.base import GriddedSource, Variable
from airloom.sources.era5_hours import FINAL, PRELIMINARY, Series, joined
from airloom.sources.members import Member, members
from airloom.sources.netcdf import opened
from airloom.sources.ordered import ordered

Box = tuple[float, float, float, float]  # west, south, east, north [degrees]
Hours = tuple[np.datetime64, np.datetime64]  # first and last, both included

FILE = re.compile(
    r"cams\.eaq\.(?P<stream>[vi]ra)\.\w+\.(?P<variable>\w+)\.l(?P<height>\d+)\.(?P<month>\d{4}-\d{2})", re.IGNORECASE
)
STREAMS = {"vra": FINAL, "ira": PRELIMINARY}
TITLES = {"validated": FINAL, "interim": PRELIMINARY}
UNITS = ("µg/m3", "μg/m3", "ug/m3", "µg m-3", "μg m-3", "ug m-3", "µg/m³", "μg/m³")  # with either of Unicode's two mus
HEIGHTS = ("height", "level", "altitude")  # what the height may be called where it is a dimension
NAMES = {"latitude": "lat", "longitude": "lon"}  # the files say lat, lon
LOWEST = -1.0  # µg m⁻³; below it a value is a fill value that the file does not declare
GASES = {
    "no2": "nitrogen dioxide",
    "no": "nitrogen monoxide",
    "o3": "ozone",
    "so2": "sulphur dioxide",
    "nh3": "ammonia",
    "co": "carbon monoxide",
    "nmvoc": "non-methane volatile organic compounds",
    "pm2p5": "particles up to 2.5 µm",
    "pm10": "particles up to 10 µm",
}


class CAMSEurope(GriddedSource):
    """CAMS European air quality reanalyses, ensemble median [µg m-3].

    Canonical form as in `GriddedSource`, on (time, height, latitude, longitude): `height` is in metres above ground,
    ascending. A part also has a coordinate `stream` along time (1: validated, 5: interim) and attributes `file`, `asked` and
    `holds`; a caller that regrids parts keeps them.
    """

    name = "cams-europe"
    title = "CAMS European air quality reanalyses"
    variables: ClassVar = {name: Variable("ug m-3", f"concentration of {text}") for name, text in GASES.items()}

    def read(
        self, member: Member, variables: Sequence[str], *, box: Box | None = None, hours: Hours | None = None
    ) -> xr.Dataset:
        """Those of `variables` that a file holds (one, as a rule, or none); only the cells of `box` and the hours of `hours`.

        Nothing but what is asked for is read into memory.

        Raises:
            DataError: a variable is not one of this product; the file cannot be read, has another unit, other dimensions,
                times between full hours, fill values that it does not declare, or does not say its height or stream; or
                no cell of it lies in the box.
        """
        for name in variables:
            if name not in self.variables:
                raise DataError(f"{name!r} is not a variable of {self.title}. {nearest(name, self.variables)}")
        with opened(member) as file:
            holds = [str(n) for n in file.data_vars if n in self.variables]
            wanted = [n for n in variables if n in holds]
            part = xr.Dataset()
            if wanted:
                time = _times(file, member.label)
                part = xr.Dataset({n: self._array(file[n], time, member.label, box, hours) for n in wanted})
                stream = np.full(part.sizes["time"], _stream(file, member.label))
                part = part.assign_coords(stream=("time", stream))
        return part.assign_attrs(file=member.label, asked=" ".join(variables), holds=" ".join(holds))

    def speaks_of(self, member: Member, heights: Sequence[float]) -> bool:
        """Whether a file may hold one of `heights` [m], by its name; one whose name tells no height may."""
        named = FILE.search(member.label)
        return named is None or float(named["height"]) in heights

    def span(self, member: Member) -> tuple[np.datetime64, np.datetime64] | None:
        """First and last hour (datetime64[h]) of a file; None where it holds no pollutant of this product, or no hour.

        Raises:
            DataError: as `read`, as far as headers tell.
        """
        with opened(member) as file:
            if not any(n in self.variables for n in file.data_vars):
                return None
            hours = _times(file, member.label).astype("datetime64[h]")
        return (hours.min(), hours.max()) if hours.size else None

    def open(
        self,
        paths: Sequence[Path],
        variables: Sequence[str],
        ledger: Ledger | None = None,
        *,
        box: Box | None = None,
        hours: Hours | None = None,
    ) -> xr.Dataset:
        """Canonical fields out of files or zip archives of files; `box` and `hours` as in `read`."""
        parts = [self.read(m, variables, box=box, hours=hours) for m in members(paths)]
        return self.combine(parts, ledger if ledger is not None else Ledger())

    def combine(self, parts: Sequence[xr.Dataset], ledger: Ledger) -> xr.Dataset:
        """Canonical fields out of parts: all heights of any part, NaN where an hour or a variable lacks one.

        Where both streams tell of an hour, the validated one counts; the ledger notes the hours that are interim, and those
        where the interim gave way.

        Raises:
            DataError: a variable that was asked for is in no part; parts lie on different cells; two parts of one stream
                differ about the same hour.
        """
        self._require(parts)
        filled = [p for p in parts if p.data_vars]
        for part in filled[1:]:
            _same_place(filled[0], part)
        height = np.unique(np.concatenate([p["height"].to_numpy() for p in filled]))
        time = np.unique(np.concatenate([p["time"].to_numpy() for p in filled]))
        names = list(dict.fromkeys(str(n) for p in filled for n in p.data_vars))
        place = {k: c for k, c in filled[0].coords.items() if not {"time", "height"} & {*c.dims, k}}
        flat = [str(d) for d in filled[0][names[0]].dims if d not in ("time", "height")]
        shape = len(time), len(height), *(filled[0].sizes[d] for d in flat)
        arrays = {}
        for name in names:
            values = np.full(shape, np.nan, np.float32)
            for level, metres in enumerate(height):
                series = [_series(p, name, metres) for p in filled if name in p and metres in p["height"].values]
                if series:
                    one = joined(f"{name} at {metres:g} m", series)
                    values[np.searchsorted(time, one.time), level] = one.values
            variable = self.variables[name]
            attrs = {"units": variable.units, "long_name": variable.long_name, "cell_methods": variable.cell_method}
            arrays[name] = (["time", "height", *flat], values, attrs)
        self._note(filled, ledger)
        metres = {"units": "m", "positive": "up", "long_name": "height above ground"}
        return xr.Dataset(arrays, {"time": time, "height": ("height", height, metres), **place})

    def _array(
        self, array: xr.DataArray, time: np.ndarray, label: str, box: Box | None, hours: Hours | None
    ) -> xr.DataArray:
        """One variable on (time, height, latitude, longitude), north-up, cut to box and hours."""
        array = array.rename({short: name for name, short in NAMES.items() if short in array.dims})
        vertical = next((h for h in HEIGHTS if h in array.dims), None)
        expected = {"time", *NAMES, *([vertical] if vertical else [])}
        if set(array.dims) != expected:
            raise DataError(f"{label}: {array.name} has dimensions {array.dims}, expected time, lat, lon.")
        if array.attrs.get("units") not in UNITS:
            raise DataError(f"{label}: {array.name} is in {array.attrs.get('units')!r}, expected 'µg/m3'. Convert it first.")
        metres = array[vertical].to_numpy().astype(float) if vertical else np.array([_height(label)])
        array = array.rename({vertical: "height"}) if vertical else array.expand_dims("height", axis=1)
        latitude, longitude = (np.round(array[d].to_numpy().astype(float), 4) for d in NAMES)
        longitude = np.round((longitude + 180) % 360 - 180, 4)
        west, south, east, north = box or (-180, -90, 180, 90)
        rows = np.flatnonzero((latitude >= south) & (latitude <= north))
        columns = np.flatnonzero((longitude >= west) & (longitude <= east))
        if not (rows.size and columns.size):
            raise DataError(
                f"{label} covers {longitude.min():g}…{longitude.max():g}°E {latitude.min():g}…{latitude.max():g}°N; no cell lies in "
                f"{west:g}…{east:g}°E {south:g}…{north:g}°N. Fetch the region that the study asks for."
            )
        first, last = hours or (time.min(), time.max())
        steps = np.flatnonzero((time >= first) & (time <= last))
        chosen = array.isel(time=_slice(steps), latitude=_slice(rows), longitude=_slice(columns))
        values = _loaded(chosen.transpose("time", "height", *NAMES), label)
        if (values < LOWEST).any():
            raise DataError(f"{label}: {array.name} holds {np.nanmin(values):g} µg/m3, which cannot be. Fetch it again.")
        up, southward, eastward = np.argsort(metres), np.argsort(-latitude[rows]), np.argsort(longitude[columns])
        coords = {
            "time": time[steps],
            "height": metres[up],
            "latitude": ("latitude", latitude[rows][southward], {"units": "degrees_north"}),
            "longitude": ("longitude", longitude[columns][eastward], {"units": "degrees_east"}),
        }
        values = ordered(ordered(ordered(values, up, 1), southward, -2), eastward, -1)
        return xr.DataArray(values, coords, [*coords], array.name, {"units": self.variables[str(array.name)].units})

    def _require(self, parts: Sequence[xr.Dataset]) -> None:
        """Every variable that was asked for is in some part."""
        found = {str(n) for p in parts for n in p.data_vars}
        holds = sorted({n for p in parts for n in p.attrs.get("holds", "").split()})
        for name in dict.fromkeys(n for p in parts for n in p.attrs.get("asked", "").split()):
            if name not in found:
                raise DataError(
                    f"{name} ({self.variables[name].long_name}) is in none of {len(parts)} files; they hold "
                    f"{', '.join(holds) or 'nothing of this product'}. Fetch it too, or leave it out of the study."
                )
        if not found:
            raise DataError(f"{self.title}: no files, so no fields. Name the files of the study.")

    def _note(self, parts: Sequence[xr.Dataset], ledger: Ledger) -> None:
        """Tell the ledger which hours are interim, and where the interim gave way."""
        hours: dict[int, set[np.datetime64]] = {FINAL: set(), PRELIMINARY: set()}
        for part in parts:
            for stream, told in hours.items():
                told.update(part["time"].to_numpy()[part["stream"].to_numpy() == stream])
        interim, both = hours[PRELIMINARY] - hours[FINAL], hours[PRELIMINARY] & hours[FINAL]
        if interim:
            why = "interim reanalysis: the validated one of this time was in no file"
            ledger.kept("value", f"{self.name}, {min(interim):.13} to {max(interim):.13}", why, len(interim))
        if both:
            why = "interim reanalysis where the validated one was there too"
            ledger.out("value", f"{self.name}, {min(both):.13} to {max(both):.13}", why, len(both))


def _series(part: xr.Dataset, name: str, metres: float) -> Series:
    """A variable of a part at one height."""
    array = part[name].sel(height=metres).transpose("time", ...)
    label = np.full(part.sizes["time"], part.attrs.get("file", "a part without a name"), object)
    return Series(part["time"].to_numpy(), array.to_numpy(), part["stream"].to_numpy(), label)


def _same_place(first: xr.Dataset, other: xr.Dataset) -> None:
    """Refuse parts that lie on different cells."""
    places = [d for d in first.dims if d not in ("time", "height")]
    if any(d not in other.dims or not np.array_equal(first[d], other[d]) for d in places):
        raise DataError(
            f"{first.attrs.get('file')} and {other.attrs.get('file')} lie on different cells. CAMS moved its cells by 0.05° "
            "from 2020 on, and a box cuts both: bring each onto the study's grid first, or read one lattice at a time."
        )


def _stream(file: xr.Dataset, label: str) -> int:
    """Which reanalysis a file belongs to, by its name or else by its title."""
    named = FILE.search(label)
    title = str(file.attrs.get("Title", file.attrs.get("title", ""))).lower()
    told = [stream for word, stream in TITLES.items() if word in title]
    if named:
        return STREAMS[named["stream"].lower()]
    if len(told) == 1:
        return told[0]
    raise DataError(
        f"{label} does not say whether it is the validated or the interim reanalysis. Give it its own name back, such as "
        "cams.eaq.vra.ENSa.no2.l0.2019-01.nc."
    )


def _height(label: str) -> float:
    """Metres above ground, by the file's name."""
    named = FILE.search(label)
    if not named:
        raise DataError(
            f"{label} does not say its height. Give it its own name back, such as cams.eaq.vra.ENSa.no2.l250.2019-01.nc "
            "for 250 m."
        )
    return float(named["height"])


def _times(file: xr.Dataset, label: str) -> np.ndarray:
    """The file's hours, datetime64[ns]."""
    if "time" not in file.dims or "time" not in file.coords:
        raise DataError(f"{label} has dimensions {', '.join(map(str, file.dims))}; expected time, lat, lon.")
    time = file["time"].to_numpy()
    if time.dtype.kind != "M":
        named = FILE.search(label)
        if not named:
            raise DataError(f"{label}: time has no units such as 'hours since 2019-01-01', and the name gives no month.")
        time = np.datetime64(named["month"], "ns") + np.round(time.astype(float) * 3600).astype("timedelta64[s]")
    whole = time.astype("datetime64[h]") == time
    if not whole.all():
        raise DataError(f"{label} has the time {time[~whole][0]:.19}, expected full hours.")
    return time.astype("datetime64[ns]")


def _slice(indices: np.ndarray) -> slice | np.ndarray:
    """Neighbouring indices as a slice, which reads faster; others as they are (a box across 180° has a gap)."""
    if indices.size and indices[-1] - indices[0] + 1 == indices.size:
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


def _loaded(array: xr.DataArray, label: str) -> np.ndarray:
    try:
        return array.to_numpy().astype(np.float32, copy=False)
    except (OSError, RuntimeError) as error:  # HDF5 finds damage only when it reads a chunk
        raise DataError(f"{label}: {array.name} cannot be read: {error}. Fetch the file again.") from error
