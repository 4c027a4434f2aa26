"""Hourly tables of stations, a column a variable, as networks and research archives publish them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from airloom.errors import DataError
from airloom.ledger import Ledger
from airloom.sources.base import SERIES, Column, SeriesRecords, SeriesSource
from airloom.sources.clock import hourly, times
from airloom.sources.members import Member, members
from airloom.sources.places_of import places_of
from airloom.sources.tables import conversion, identifiers, numbers, read_table, require_columns

MISSING = ("NA", "NaN", "nan", "NULL", "null", "None", "-")
CLOCK = ("year", "month", "day", "hour")  # columns that stand for `time` where it is spread over several
COMPASS = (
    "N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW",
)  # fmt: skip
REMEDY = "Say what it is called with stations.variables."


class HourlyTable(SeriesSource):
    """One row a station and hour in CSV (gzipped or not) or parquet: `station`, `time` (or `year`, `month`, `day`, `hour`), and a
    column a variable; and a table of stations with `station`, `lon`, `lat`, and perhaps `name`.

    Wind is given by speed and direction, in degrees or by the sixteen words of the compass. Use it for any network's hourly tables.
    """

    name = "hourly-table"
    title = "Hourly table, a column a variable (CSV or parquet)"

    def open(
        self,
        observations: Sequence[Path],
        metadata: Path,
        columns: Mapping[str, Column],
        *,
        timezone: str = "UTC",
        marks: Literal["start", "end"] = "start",
    ) -> SeriesRecords:
        """As `SeriesSource.open`."""
        ledger = Ledger()
        parts = [_rows(m, columns).with_columns(part=pl.lit(i)) for i, m in enumerate(members(observations))]
        if len({part.schema["time"] for part in parts}) > 1:
            raise DataError("some files of observations give times with an offset from UTC, some without; open them apart.")
        rows = hourly(pl.concat(parts), timezone, marks, ledger)
        values = [c for c in rows.columns if c in SERIES]
        return SeriesRecords(places_of(metadata), rows.select("station", "start", "part", *values), ledger)


def _rows(member: Member, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Rows of one file: station, time (naive, or UTC where the file gives an offset), canonical variables."""
    table, where = read_table(member), member.label
    require_columns(table, ["station"], where, "It says whose values they are.")
    for column in columns.values():
        require_columns(table, [column.name, *([column.direction] if column.direction else [])], where, REMEDY)
    found: dict[str, pl.Series] = {}
    for variable, column in columns.items():
        if variable == "wind":
            found |= _wind(table, column, where)
        else:
            found[variable] = _canonical(_numbers(table[column.name], where), column.units, variable)
    return pl.DataFrame({"station": identifiers(table["station"], where), "time": _time(table, where), **found})


def _time(table: pl.DataFrame, where: str) -> pl.Series:
    """The column time, or the four that stand for it."""
    if "time" in table.columns:
        return times(table["time"], where)
    require_columns(table, CLOCK, where, "Hours are told by a column time, or by year, month, day and hour.")
    parts = pl.DataFrame({c: numbers(table[c], where).cast(pl.Int32) for c in CLOCK})
    written = pl.format("{}-{}-{}", "year", "month", "day")
    parts = parts.with_columns(written=written, day=written.str.to_date("%Y-%m-%d", strict=False))
    odd = parts.filter(pl.col("day").is_null() & pl.col("written").is_not_null())
    if len(odd):
        raise DataError(
            f"{where}: {odd['written'][0]} in columns year, month and day is no date ({len(odd)} such rows). Correct these rows, or "
            "leave them out of the file."
        )
    return times(parts.select(time=pl.col("day").cast(pl.Datetime("us")) + pl.duration(hours="hour"))["time"], where)


def _wind(table: pl.DataFrame, column: Column, where: str) -> dict[str, pl.Series]:
    """Eastward and northward wind [m s⁻¹]; null where speed or direction is missing, nothing where the air stands still."""
    assert column.direction is not None  # the study sees to it
    speed = _canonical(_numbers(table[column.name], where), column.units, "u10")
    words = {word: 22.5 * i for i, word in enumerate(COMPASS)}
    given = table[column.direction]
    named = given.dtype == pl.String and given.is_in(COMPASS).any()
    degrees = (
        given.replace_strict(words, default=None, return_dtype=pl.Float64) if named else _numbers(given, where)
    ).radians()
    still = pl.when(speed == 0).then(0.0)
    frame = pl.select(
        u10=still.otherwise(-speed * degrees.sin()),
        v10=still.otherwise(-speed * degrees.cos()),
    )
    return {"u10": frame["u10"], "v10": frame["v10"]}


def _numbers(column: pl.Series, where: str) -> pl.Series:
    """Numbers, null where a word says that there is none."""
    return numbers(column.replace(dict.fromkeys(MISSING)) if column.dtype == pl.String else column, where)


def _canonical(values: pl.Series, units: str, variable: str) -> pl.Series:
    """Values in SERIES' unit of the variable."""
    factor, added = conversion(units, SERIES[variable], variable, f"stations.variables.{variable}.units")
    return values * factor + added
