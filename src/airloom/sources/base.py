"""What a source is: provider files in; canonical names, units, UTC times and cell centres out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import xarray as xr

from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.sources.members import Member, members

OBSERVATIONS = {
    "station": pl.String,
    "start": pl.Datetime("us", "UTC"),  # start of the interval that the value describes
    "hours": pl.Float64,  # its length
    "value": pl.Float64,  # µg m⁻³
    "valid": pl.Boolean,  # what the provider says of it
}
METADATA = {
    "station": pl.String,
    "name": pl.String,
    "lon": pl.Float64,  # degrees east, null where unknown
    "lat": pl.Float64,  # degrees north, null where unknown
    "altitude": pl.Float64,  # m, null where unknown
    "type": pl.String,  # background, industrial, traffic; null where unknown
    "area": pl.String,  # urban, suburban, rural; null where unknown
}
SERIES = {  # what a station may measure hour by hour: canonical unit
    **dict.fromkeys(("pm2p5", "pm10", "no2", "o3", "so2", "co"), "ug m-3"),
    "t2m": "K",
    "d2m": "K",
    "sp": "Pa",
    "tp": "mm",
    "u10": "m s-1",
    "v10": "m s-1",
}
StationType = Literal["background", "industrial", "traffic"]
StationArea = Literal["urban", "suburban", "rural"]


@dataclass(frozen=True)
class Variable:
    """A variable as airloom names it: `units` as CF writes them, and how a value stands in time."""

    units: str
    long_name: str
    cell_method: str = "time: point"  # or "time: mean": the mean over the hour that starts at its time


class GriddedSource(ABC):
    """Hourly fields on a regular latitude–longitude grid.

    Canonical form: one array a variable on (time, y, x) or (time, level, y, x), float32; `time` is UTC, each a full
    hour, ascending, without repeats; it marks the start of the hour that a mean describes and the moment of an
    instantaneous value. `level` is in hPa, descending (the ground first); a chemistry model has `height` in m above ground
    instead, ascending. `latitude` (y) descends, `longitude` (x) ascends within −180…180; both are cell centres in degrees.
    What a file lacks is NaN, or absent from `time`.

    `read` takes one file (or one member of an archive) and may leave sums since midnight as they are, marked by the
    attribute `accumulated = 1` and labelled with the END of the sum; `combine` joins such parts in any order and undoes
    the sums. Both are linear in the values, so a caller may regrid between the two.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    variables: ClassVar[Mapping[str, Variable]]

    @abstractmethod
    def read(self, member: Member, variables: Sequence[str]) -> xr.Dataset:
        """One file's fields. Raises DataError that names the file, and what is missing or broken in it."""

    @abstractmethod
    def combine(self, parts: Sequence[xr.Dataset], ledger: Ledger) -> xr.Dataset:
        """Canonical fields out of parts; raises DataError where two parts differ about the same hour."""

    @abstractmethod
    def span(self, member: Member) -> tuple[np.datetime64, np.datetime64] | None:
        """First and last hour (datetime64[h]) that a file speaks of, from its headers alone; None where it is of no use."""

    def open(self, paths: Sequence[Path], variables: Sequence[str], ledger: Ledger | None = None) -> xr.Dataset:
        """Canonical fields of `variables` out of files or zip archives of files."""
        return self.combine([self.read(m, variables) for m in members(paths)], ledger if ledger is not None else Ledger())


@dataclass(frozen=True)
class StationRecords:
    """Stations as a source found them: `metadata` with METADATA's columns, one row a station; `observations` with
    OBSERVATIONS' columns, one row a value, nothing screened yet.
    """

    metadata: pl.DataFrame
    observations: pl.DataFrame
    ledger: Ledger = field(default_factory=Ledger)


class StationSource(ABC):
    """Observations of stations, as `StationRecords`; each source documents its own arguments of `open`."""

    name: ClassVar[str]
    title: ClassVar[str]


@dataclass(frozen=True)
class Column:
    """A variable in a file: its name there and its unit; of the wind, whose names are of speed and direction, both."""

    name: str
    units: str
    direction: str | None = None


@dataclass(frozen=True)
class SeriesRecords:
    """Stations with several variables as a source found them: `metadata` with METADATA's columns; `hourly` with `station`, `start` in
    UTC, `part`, the file, and a column for each variable in SERIES' units, null where there is no value; nothing screened yet.
    """

    metadata: pl.DataFrame
    hourly: pl.DataFrame
    ledger: Ledger = field(default_factory=Ledger)


class SeriesSource(ABC):
    """Hourly observations of several variables at stations."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def open(
        self,
        observations: Sequence[Path],
        metadata: Path,
        columns: Mapping[str, "Column"],
        *,
        timezone: str,
        marks: Literal["start", "end"],
    ) -> SeriesRecords:
        """The variables of `columns`, by canonical name.

        Arguments:
            observations: files, or zip archives of files.
            metadata: table of the stations with `station`, `lon`, `lat`.
            columns: what each variable is called there, and its unit.
            timezone: clock of times that carry no offset.
            marks: whether a time is what the clock shows when its hour starts, or ends.

        Raises:
            StudyError: the time zone is unknown.
            DataError: a file is broken or lacks a column, or a value is no number; a unit is unknown.
        """


class LayerSource(ABC):
    """Static maps brought onto a grid, as a dataset on (y, x) with `units` and `long_name` for each layer."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def layers(self, grid: Grid) -> xr.Dataset:
        """The layers on `grid`, float32; raises DataError where a file cannot say where it lies."""


class DailySource(ABC):
    """Numbers of which there is one a day for the whole region, such as flights."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def daily(self, days: np.ndarray) -> xr.DataArray:
        """Values of `days` (datetime64[D], UTC) on (time, channel), float32; raises DataError that names days it lacks."""
