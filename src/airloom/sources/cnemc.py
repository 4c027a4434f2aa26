"""China's national network (CNEMC) as its hourly bulletins are collected: one file a day, a column a station."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from airloom.errors import DataError, StudyError, nearest
from airloom.ledger import Ledger
from airloom.sources.base import METADATA, OBSERVATIONS, StationRecords, StationSource
from airloom.sources.members import Member, members
from airloom.sources.tables import identifiers, numbers, read_table, require_columns

POLLUTANTS = {"no2": "NO2", "o3": "O3", "so2": "SO2", "pm2p5": "PM2.5", "pm10": "PM10"}  # all in µg m⁻³
CLOCK = "Asia/Shanghai"
HEAD = ("date", "hour", "type")


class CNEMC(StationSource):
    """Hourly values of `china_sites_YYYYMMDD.csv`, gzipped or not, and a table of stations with ID, lon and lat.

    The network stands in towns, so a station counts as urban background. Use it for hourly values; the files' running means over 24
    hours are not read.
    """

    name = "cnemc"
    title = "China National Environmental Monitoring Centre, hourly"

    def open(
        self, observations: Sequence[Path], metadata: Path, *, pollutant: str = "pm2p5", timezone: str = CLOCK
    ) -> StationRecords:
        """Observations of one pollutant in µg m⁻³ and UTC, nothing screened yet; an hour is labelled with its start.

        Arguments:
            observations: files of days, or zip archives of them.
            metadata: CSV with columns ID, lon, lat, and perhaps area_en_name (the city) and stations_en_name.
            pollutant: one of POLLUTANTS.
            timezone: clock of the files; "UTC" keeps China's days as days.

        Raises:
            StudyError: the pollutant is unknown.
            DataError: a file is broken, lacks a column, or has no such pollutant.
        """
        if pollutant not in POLLUTANTS:
            raise StudyError(f"stations: the network has no {pollutant!r}; {nearest(pollutant, POLLUTANTS)}.")
        rows = pl.concat([_day(m, POLLUTANTS[pollutant]) for m in members(observations)])
        local = pl.col("start").dt.replace_time_zone(timezone).dt.convert_time_zone("UTC")
        rows = rows.with_columns(local, hours=pl.lit(1.0), valid=pl.lit(True))
        return StationRecords(_stations(metadata), rows.select(*OBSERVATIONS), Ledger())


def _day(member: Member, word: str) -> pl.DataFrame:
    """Rows of one file: station, start on the file's clock, value; hours without a value are left out."""
    table = read_table(member)
    require_columns(table, HEAD, member.label, "It is no bulletin of the network.")
    table = table.filter(pl.col("type") == word)
    if table.is_empty():
        raise DataError(f"{member.label}: has no rows of {word}. Leave the file out, or fetch it again.")
    days = table["date"].cast(pl.String).str.to_date("%Y%m%d", strict=False)
    if days.null_count():
        raise DataError(f"{member.label}: {table['date'][0]!r} in column date is no day such as 20230120.")
    since = pl.duration(hours=pl.lit(numbers(table["hour"], member.label).cast(pl.Int64)))
    table = table.with_columns(start=pl.lit(days.cast(pl.Datetime("us"))) + since).drop(*HEAD)
    long = table.unpivot(index="start", variable_name="station", value_name="value").filter(pl.col("value").is_not_null())
    return long.with_columns(numbers(long["value"], member.label))


def _stations(metadata: Path) -> pl.DataFrame:
    """METADATA's columns; a name is the city's, a comma and the station's."""
    (member,) = members([metadata])
    table = read_table(member)
    require_columns(table, ["ID", "lon", "lat"], member.label, "It lists the network's stations.")
    known = [c for c in ("area_en_name", "stations_en_name") if c in table.columns]
    names = table.select(name=pl.concat_str(known or ["ID"], separator=", ", ignore_nulls=True))["name"]
    found = {c: numbers(table[c], member.label) for c in ("lon", "lat")}
    stations = pl.DataFrame({"station": identifiers(table["ID"], member.label), "name": names, **found})
    given = {"altitude": None, "type": "background", "area": "urban"}
    return stations.with_columns(pl.lit(v).alias(k) for k, v in given.items()).select(
        pl.col(c).cast(t) for c, t in METADATA.items()
    )
