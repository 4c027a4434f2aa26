"""Station observations in plain tables, as city and national portals publish them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl
from pyproj import Transformer
from pyproj.exceptions import CRSError

from airloom.errors import DataError, StudyError, nearest
from airloom.ledger import Ledger
from airloom.sources.base import METADATA, OBSERVATIONS, StationArea, StationRecords, StationSource, StationType
from airloom.sources.clock import times, to_utc
from airloom.sources.members import Member, members
from airloom.sources.tables import conversion, identifiers, numbers, read_table, require_columns

Meaning = tuple[StationType | None, StationArea | None]

UNITS = {"relative_humidity": "%", "wind": "m s-1"}  # of what is no concentration
REMEDY = "Say what it is called with stations.columns: {canonical name: name in the file}."
TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


class StationTable(StationSource):
    """One row an observation in CSV (commas or semicolons) or parquet, and one row a station in a second table.

    Observations need the columns station, time, value and may have valid; stations need station, lon, lat, type and may
    have name, altitude, area. Both may stand in the same file. `time` is hourly on full hours, or daily: dates, or
    nothing but midnights. Use it for a network that publishes tables of its own; for the EEA's files there is `EEA`.
    """

    name = "station-table"
    title = "Station table (CSV or parquet)"

    def open(
        self,
        observations: Sequence[Path],
        metadata: Path,
        *,
        variable: str = "no2",
        columns: Mapping[str, str] | None = None,
        units: str = "ug m-3",
        timezone: str = "UTC",
        marks: Literal["start", "end"] = "start",
        types: Mapping[str, Meaning] | None = None,
        crs: str | None = None,
    ) -> StationRecords:
        """Observations in µg m⁻³ (humidity in %, wind in m s⁻¹) and UTC, nothing screened yet.

        Arguments:
            observations: files, or zip archives of files.
            metadata: the table of stations; may be one of `observations`.
            variable: what is measured; all concentrations are read alike.
            columns: {canonical: name in the files} where the two differ.
            units: unit of the values, such as "ug m-3", "mg m-3", "%" or "m s-1".
            timezone: clock of times that carry no offset. Where daylight saving skips an hour, its rows are left out;
                where an hour occurs twice, two rows count in their order and a single row counts as the first (summer time).
            marks: whether a time marks the start or the end of its hour or day; an end becomes a start on the same clock.
            types: what the words in column type mean, {word: (type, area)}; without it the words are taken as they are.
            crs: system of `lon` and `lat` where they are x and y in metres.

        Raises:
            StudyError: `columns` names no canonical column, or `timezone` or `crs` is unknown.
            DataError: a file is broken or empty, lacks a column, or holds a word that is no number, time, flag or type; or the unit is
                none of the variable.
        """
        names = _names(columns or {})
        factor, added = conversion(units, UNITS.get(variable, "ug m-3"), variable, "stations.units")
        ledger = Ledger()
        parts = [_observations(m, names).with_columns(part=pl.lit(i)) for i, m in enumerate(members(observations))]
        if len({part.schema["time"] for part in parts}) > 1:
            raise DataError("some files of observations give times with an offset from UTC, some without; open them apart.")
        rows = _starts(pl.concat(parts), marks)
        rows = to_utc(rows, timezone, ledger).with_columns(value=pl.col("value") * factor + added)
        stations = _metadata(metadata, names, types or {}, shared=metadata in observations)
        stations = _in_degrees(stations, crs) if crs else stations
        return StationRecords(stations, rows.select(*OBSERVATIONS), ledger)


def _names(columns: Mapping[str, str]) -> dict[str, str]:
    """Name in the files of every canonical column."""
    canonical = ("station", "time", "value", "valid", "name", "lon", "lat", "altitude", "type", "area")
    for name in columns:
        if name not in canonical:
            raise StudyError(f"stations.columns: {name!r} is no column of a station table; {nearest(name, canonical)}.")
    return {name: columns.get(name, name) for name in canonical}


def _pick(table: pl.DataFrame, names: Mapping[str, str], needed: set[str], optional: set[str], where: str) -> pl.DataFrame:
    """The canonical columns of a table; an optional one that the study has renamed must be there."""
    needed = needed | {n for n in optional if names[n] != n}
    require_columns(table, [names[n] for n in sorted(needed)], where, REMEDY)
    return table.select(pl.col(names[n]).alias(n) for n in names if n in needed | optional and names[n] in table.columns)


def _observations(member: Member, names: Mapping[str, str]) -> pl.DataFrame:
    """Rows of one file: station, time (naive, or UTC where the file gives an offset), value, valid."""
    where = member.label
    table = _pick(read_table(member), names, {"station", "time", "value"}, {"valid"}, where)
    valid = _flags(table["valid"], where) if "valid" in table.columns else pl.repeat(True, len(table), eager=True)
    return table.select(
        identifiers(table["station"], where),
        times(table["time"], where),
        numbers(table["value"], where),
        valid.alias("valid"),
    )


def _flags(column: pl.Series, where: str) -> pl.Series:
    """A column of true and false, or 1 and 0; a missing flag is false."""
    if column.dtype == pl.Boolean:
        return column.fill_null(False)
    text = column.cast(pl.String).str.to_lowercase()
    strange = text.filter(text.is_not_null() & ~text.is_in(list(TRUTH)))
    if len(strange):
        raise DataError(f"{where}: {strange[0]!r} in column {column.name!r} is no flag; write true or false, or 1 or 0.")
    return text.replace_strict(TRUTH, default=False, return_dtype=pl.Boolean)


def _starts(rows: pl.DataFrame, marks: Literal["start", "end"]) -> pl.DataFrame:
    """Adds `hours`, the length of the intervals, and makes `time` their start on the clock of the file."""
    daily = (rows["time"].dt.truncate("1d") == rows["time"]).all()
    odd = rows.filter(pl.col("time").dt.truncate("1h") != pl.col("time"))
    if len(odd):
        raise DataError(
            f"station {odd['station'][0]} has a value at {odd['time'][0]}, not on a full hour ({len(odd)} such rows). "
            "Hourly or daily means are expected; average what is finer first."
        )
    hours = 24 if daily else 1
    shift = pl.duration(hours=hours if marks == "end" else 0)
    return rows.with_columns(time=pl.col("time") - shift, hours=pl.lit(float(hours)))


def _metadata(path: Path, names: Mapping[str, str], types: Mapping[str, Meaning], *, shared: bool) -> pl.DataFrame:
    """One row a station; repeated rows are dropped only where the table is one of the observations."""
    tables = [(m.label, read_table(m)) for m in members([path])]
    if len(tables) != 1:
        raise DataError(f"{path.name} holds {len(tables)} files; the table of stations must be one.")
    where, table = tables[0]
    table = _pick(table, names, {"station", "lon", "lat", "type"}, {"name", "altitude", "area"}, where)
    table = table.unique(maintain_order=True) if shared else table
    found = {c: numbers(table[c], where) for c in ("lon", "lat", "altitude") if c in table.columns}
    table = table.with_columns(**found, station=identifiers(table["station"], where))
    table = table.with_columns(pl.lit(None).alias(c) for c in ("altitude", "area") if c not in table.columns)
    if "name" not in table.columns:
        table = table.with_columns(name="station")
    return _translate(table, types, where).select(pl.col(c).cast(t) for c, t in METADATA.items())


def _in_degrees(stations: pl.DataFrame, crs: str) -> pl.DataFrame:
    """Stations whose lon and lat are x and y [m] of a projected system."""
    try:
        transformer = Transformer.from_crs(crs, 4326, always_xy=True)
    except CRSError as error:
        raise StudyError(
            f"stations.crs: {crs!r} is not a coordinate system that PROJ knows. Use e.g. EPSG:32632."
        ) from error
    x, y = (stations[c].fill_null(float("nan")).to_numpy() for c in ("lon", "lat"))
    lon, lat = (np.where(np.isfinite(d), d, np.nan) for d in transformer.transform(x, y))
    return stations.with_columns(lon=pl.Series(lon).fill_nan(None), lat=pl.Series(lat).fill_nan(None))


def _translate(table: pl.DataFrame, types: Mapping[str, Meaning], where: str) -> pl.DataFrame:
    """Type and area in airloom's words."""
    if types:
        _known(table, "type", list(types), where, "Add it to stations.types.")
        kinds, areas = ({word: meaning[i] for word, meaning in types.items()} for i in (0, 1))
        return table.with_columns(
            pl.col("type").replace_strict(kinds, return_dtype=pl.String),
            pl.col("type").replace_strict(areas, return_dtype=pl.String).alias("area"),
        )
    table = table.with_columns(pl.col("type", "area").cast(pl.String))
    remedy = "Say what the words mean with stations.types."
    _known(table, "type", list(get_args(StationType)), where, remedy)
    _known(table, "area", list(get_args(StationArea)), where, remedy)
    return table


def _known(table: pl.DataFrame, column: str, words: list[str], where: str, remedy: str) -> None:
    """Raise DataError where a column holds a word that has no meaning."""
    strange = table.filter(pl.col(column).is_not_null() & ~pl.col(column).is_in(words))
    if len(strange):
        word, station = strange[column][0], strange["station"][0]
        raise DataError(f"{where}: {column} {word!r} of station {station} is not known; {nearest(word, words)}. {remedy}")
