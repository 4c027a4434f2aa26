"""Gridded files to parts on the cells of a study: decoded once each, file by file, by several processes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from airloom.cube.regrid import Bilinear
from airloom.cube.workers import Crew
from airloom.errors import DataError
from airloom.files import fingerprint, whole
from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, Hours
from airloom.sources.cams import CAMSEurope
from airloom.sources.members import Member, members
from airloom.sources.registry import GRIDDED
from airloom.study import Study

VERTICAL = {"level": "hPa", "height": "m"}  # what a source may call its vertical dimension, and the unit there
# chemistry models: on all levels on their cells, at the ground on the study's; teachers
TAUGHT = "chemistry", "ground", "models"
ENOUGH = 0.75  # of the hours that are averaged: 18 of a day's, as a station's mean needs them
MARGIN = 0.2  # degrees round the grid that bilinear weights need of CAMS' 0.1°


@dataclass(frozen=True)
class Asked:
    """What a study asks of one product of hourly fields.

    `group`: the cube's array that it becomes; `vertical`: pressures [hPa] or heights [m], the ground first, none for fields of
    one level; `grid`: the cells that it is brought to; `start`, `end`: first and last day; `hours`: those of each day that a
    chemistry model is averaged over.
    """

    group: str
    source: str
    files: tuple[str, ...]
    variables: tuple[str, ...]
    vertical: tuple[float, ...]
    grid: Grid
    start: date
    end: date
    fill_hours: int = 0
    hours: Hours = WHOLE_DAY

    @property
    def daily(self) -> bool:
        """Whether means over days are asked for, and not hours."""
        return self.group.partition(".")[0] in TAUGHT

    @property
    def columns(self) -> list[str]:
        """What each variable on each level is called in a message, levels fastest."""
        unit = "m" if self.daily else "hPa"
        return [f"{n} at {v:g} {unit}" for n in self.variables for v in self.vertical] or list(self.variables)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one hour: (channel, [level,] y, x)."""
        levels = (len(self.vertical),) if self.vertical else ()
        return len(self.variables), *levels, *self.grid.shape

    def read(self, member: Member) -> xr.Dataset:
        """What a file holds of it, on the file's own cells; a chemistry model's covers a continent and is cut to the window.

        Raises:
            DataError: as the source's `read`.
        """
        source = GRIDDED[self.source]()
        if not isinstance(source, CAMSEurope):
            part = source.read(member, self.variables)
        elif not source.speaks_of(member, self.vertical):
            return xr.Dataset()
        else:
            lon, lat = self.grid.lonlat()
            box = lon.min() - MARGIN, lat.min() - MARGIN, lon.max() + MARGIN, lat.max() + MARGIN
            hours = np.datetime64(self.start, "ns"), np.datetime64(self.end, "ns") + np.timedelta64(23, "h")
            part = source.read(member, self.variables, box=box, hours=hours)
            part = _means(part, self.hours) if part.data_vars else part
        dim = next((d for d in VERTICAL if d in part.dims), None)
        return part.sel({dim: np.isin(part[dim], self.vertical)}) if dim else part


def least_hours(hours: Hours) -> int:
    """How many of the hours a chemistry model's mean needs."""
    return math.ceil(ENOUGH * (hours[1] - hours[0]))


def _means(part: xr.Dataset, hours: Hours) -> xr.Dataset:
    """Means over the `hours` of a file's days, labelled by the start of the UTC day; NaN where `least_hours` are not there."""
    if hours != WHOLE_DAY:
        part = part.isel(time=part["time"].dt.hour.isin(range(*hours)).to_numpy())
    if not part.sizes["time"]:
        return part
    if not part.indexes["time"].is_monotonic_increasing:
        part = part.sortby("time")
    days, first = np.unique(part["time"].to_numpy().astype("datetime64[D]"), return_index=True)

    def mean(array: xr.DataArray) -> xr.DataArray:
        values = array.transpose("time", ...).to_numpy()
        there = np.isfinite(values)
        count = np.add.reduceat(there, first, axis=0, dtype=np.int16)
        total = np.add.reduceat(np.where(there, values, np.float32(0)), first, axis=0)
        means = np.where(count >= least_hours(hours), total / count.clip(1), np.nan).astype(np.float32)
        coords = {n: c for n, c in array.coords.items() if "time" not in c.dims}
        return xr.DataArray(means, coords, ["time", *(d for d in array.dims if d != "time")], attrs=array.attrs)

    stream = np.maximum.reduceat(part["stream"].to_numpy(), first)
    found = xr.Dataset({n: mean(a) for n, a in part.data_vars.items()}, attrs=part.attrs)
    return found.assign_coords(time=days.astype("datetime64[ns]"), stream=("time", stream))


def products(study: Study) -> list[Asked]:
    """All that a study asks for: weather, upper, chemistry, ground, as far as it has them."""
    period = study.period.start, study.period.end
    found = []
    if study.weather:
        coarse = study.target_grid.coarsen(study.weather_factor)
        part = study.weather
        found.append(Asked("weather", part.source, part.files, part.variables, (), coarse, *period, part.fill_hours))
        if above := study.upper:
            found.append(
                Asked("upper", above.source, above.files, above.variables, above.levels, coarse, *period, above.fill_hours)
            )
    if study.chemistry:
        cells = study.target_grid.coarsen(study.chemistry_factor)
        model = study.chemistry
        what = model.source, model.files, (study.pollutant,)
        found.append(Asked("chemistry", *what, study.levels, cells, *period, hours=study.hours))
        found.append(Asked("ground", *what, study.levels[:1], study.target_grid, *period, hours=study.hours))
    return found


@dataclass(frozen=True)
class Decode:
    """One file to decode, and where its part is kept; two asks with the same `key` give the same part."""

    member: Member
    asked: Asked
    path: Path

    @classmethod
    def plan(cls, asked: Asked, paths: Sequence[Path], folder: Path) -> list["Decode"]:
        """All files of a product; by absolute names, for a worker may have another working folder."""
        grid, folder = asked.grid, folder.absolute()
        what = [asked.source, asked.variables, asked.vertical, str(asked.start), str(asked.end), asked.hours]
        place = [grid.crs, grid.bounds, grid.cell]
        plan = []
        for member in members([p.absolute() for p in paths]):
            stat = member.path.stat()
            key = fingerprint([what, place, str(member.path), member.inner, stat.st_size, stat.st_mtime_ns])
            plan.append(cls(member, asked, folder / f"{key}.nc"))
        return plan

    def run(self) -> None:
        """Decode, bring to the study's cells, write the part whole; each variable keeps `at`, the levels where it has values."""
        part = self.asked.read(self.member)
        outside = 0
        if part.data_vars:
            latitude, longitude = part.latitude.to_numpy(), part.longitude.to_numpy()
            bilinear = Bilinear.between(latitude, longitude, self.asked.grid, what=self.asked.group)
            part, outside = bilinear.apply(part), bilinear.outside
            for array in part.data_vars.values():
                if dim := next((d for d in VERTICAL if d in array.dims), None):
                    there = np.isfinite(array.transpose(dim, ...).to_numpy()).any((1, 2, 3))
                    array.attrs["at"] = " ".join(f"{v:g}" for v in array[dim].to_numpy()[there])
        with whole(self.path) as aside:
            part.assign_attrs(outside=outside).to_netcdf(aside, engine="netcdf4")


def decode(plan: Sequence[Decode], crew: Crew) -> Iterator[int]:
    """Decode what is not yet there; yields how many files are done, each time one more is.

    Raises:
        DataError: as the source's `read` and `Bilinear.between`, or a worker was killed.
    """
    todo = [d for d in plan if not d.path.is_file()]
    done = len(plan) - len(todo)
    yield done
    for _ in crew.each([one.run for one in todo], "files"):
        done += 1
        yield done


def read_parts(plan: Sequence[Decode], asked: Asked) -> list[xr.Dataset]:
    """The decoded parts that hold something, lazily.

    Raises:
        DataError: no file holds any of the variables, or one of the levels of a variable.
    """
    every = [xr.open_dataset(one.path, engine="netcdf4", decode_times=True) for one in plan]
    parts = [p for p in every if p.data_vars and p.sizes["time"]]
    if not parts:
        within = f" from {asked.start} to {asked.end}" if any(p.data_vars for p in every) else ""
        raise DataError(
            f"{asked.group}.files: none of {len(plan)} files, {plan[0].member.label} the first, holds any of "
            f"{', '.join(asked.variables)}{within}."
        )
    if asked.vertical:
        _check_levels(parts, asked)
    return parts


def _check_levels(parts: Sequence[xr.Dataset], asked: Asked) -> None:
    """Refuse files that lack a variable on one of the study's levels altogether."""
    for variable in asked.variables:
        held = {float(v) for p in parts if variable in p for v in p[variable].attrs["at"].split()}
        absent = [v for v in asked.vertical if v not in held]
        if held and absent:
            unit, key = ("m", "levels") if asked.daily else ("hPa", f"{asked.group}.levels")
            key = "what stations stand in (practice.above: 0)" if asked.group.startswith("models") else key
            raise DataError(
                f"{asked.group}.files: {variable} at {absent[0]:g} {unit} is in none of {len(parts)} files; they hold "
                f"{', '.join(f'{v:g}' for v in sorted(held))} {unit}. Fetch that level too, or leave it out of {key}."
            )
