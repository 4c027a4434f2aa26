"""Clocks: times as files write them, and local hours as UTC."""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import available_timezones

import polars as pl

from airloom.errors import DataError, StudyError, nearest
from airloom.ledger import Ledger


def utc(time: datetime) -> datetime:
    """A time as UTC, naive; one that carries no offset is UTC.

    >>> utc(datetime.fromisoformat("2016-05-12T19:00+08:00")), utc(datetime(2016, 5, 12, 11))
    (datetime.datetime(2016, 5, 12, 11, 0), datetime.datetime(2016, 5, 12, 11, 0))
    """
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def times(column: pl.Series, where: str) -> pl.Series:
    """Times as Datetime[µs]; those that carry an offset from UTC are turned to UTC.

    Raises:
        DataError: a time is missing, or is none that can be read.
    """
    if column.null_count():
        raise DataError(f"{where}: {column.null_count()} rows have no time. Leave these rows out of the file.")
    if column.dtype == pl.String:
        column = _parse_times(column, where)
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        raise DataError(f"{where}: column {column.name!r} holds {column.dtype}, expected times such as 2023-07-01 13:00.")
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
        return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return column.cast(pl.Datetime("us"))


def _parse_times(column: pl.Series, where: str) -> pl.Series:
    """Times out of ISO text: a date; a date and a time; or these and an offset."""
    text = column.str.replace("T", " ", literal=True).str.replace("Z", "+0000", literal=True)
    offset = text.str.contains(r":\d\d ?[+-]\d\d:?\d\d$")
    if offset.all():
        text = text.str.replace(r" ?([+-]\d\d):?(\d\d)$", "$1$2")
        forms = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")
        tries = [text.str.to_datetime(f, time_unit="us", time_zone="UTC", strict=False) for f in forms]
    else:
        tries = [text.str.to_datetime(f, time_unit="us", strict=False) for f in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")]
        tries.append(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))
    found = pl.select(pl.coalesce(tries)).to_series().alias(column.name)
    strange = column.filter(found.is_null())
    if len(strange):
        raise DataError(
            f"{where}: {strange[0]!r} in column {column.name!r} is no time that can be read ({len(strange)} such rows). "
            "Write 2023-07-01 13:00, all times with or all without an offset; midnight is 00:00 of the next day."
        )
    return found


def to_utc(rows: pl.DataFrame, timezone: str, ledger: Ledger) -> pl.DataFrame:
    """Adds `start` in UTC; rows of hours that the clock skips are left out.

    `rows` have the columns `station`, `time`, naive on the clock of `timezone` or UTC, and `part`, the file that they come from: where
    the clock has an hour twice, a station's two rows of one file count in their order.

    Raises:
        StudyError: there is no such time zone.
    """
    if rows.schema["time"] == pl.Datetime("us", "UTC"):
        return rows.rename({"time": "start"})
    first, last = (_localised(rows["time"], timezone, which) for which in ("earliest", "latest"))
    rows = rows.with_columns(start=first, later=last)
    for station, count in _counts(rows.filter(pl.col("start").is_null())):
        ledger.out("value", station, f"the hour does not exist on the clock of {timezone}", count)
    rows = rows.filter(pl.col("start").is_not_null())
    twice = pl.col("start") != pl.col("later")
    order = pl.int_range(pl.len()).over("part", "station", "time")
    among = pl.len().over("part", "station", "time")
    folds = rows.with_row_index().filter(twice).with_columns(order=order, among=among)
    for station, count in _counts(folds.filter(pl.col("among") == 1)):
        ledger.changed("value", station, f"the hour occurs twice on the clock of {timezone}; taken as the first", count)
    second = folds.filter(pl.col("order") > 0).select("index", second=pl.lit(True))
    rows = rows.with_row_index().join(second, on="index", how="left", maintain_order="left")
    return rows.with_columns(start=pl.when("second").then("later").otherwise("start"))


def hourly(rows: pl.DataFrame, timezone: str, marks: Literal["start", "end"], ledger: Ledger) -> pl.DataFrame:
    """As `to_utc`, of rows that are hours; `start` is when each begins, though its time may mark its end.

    An end is what the clock shows then: where it is put forward from 2 to 3, the hour that ends at that moment is marked 3.

    Raises:
        DataError: a time is no full hour of UTC.
        StudyError: as `to_utc`.
    """
    rows = to_utc(rows, timezone, ledger)
    odd = rows.filter(pl.col("start").dt.truncate("1h") != pl.col("start"))
    if len(odd):
        raise DataError(
            f"station {odd['station'][0]} has a value at {odd['start'][0]:%Y-%m-%d %H:%M} UTC, not on a full hour ({len(odd)} such "
            f"rows; times without an offset are read by the clock of {timezone}, stations.timezone). Average values to full hours "
            "of UTC first."
        )
    return rows.with_columns(start=pl.col("start") - pl.duration(hours=1 if marks == "end" else 0))


def _localised(times: pl.Series, timezone: str, ambiguous: Literal["earliest", "latest"]) -> pl.Series:
    """Naive times as UTC; null where the clock skips them."""
    try:
        local = times.dt.replace_time_zone(timezone, ambiguous=ambiguous, non_existent="null")
    except pl.exceptions.PolarsError as error:
        raise StudyError(
            f"stations.timezone: {timezone!r} is not a time zone; {nearest(timezone, available_timezones())}."
        ) from error
    return local.dt.convert_time_zone("UTC")


def _counts(rows: pl.DataFrame) -> list[tuple[str, int]]:
    """Rows of each station, sorted by station."""
    return rows.group_by("station").len().sort("station").rows()
