"""Station observations of the European Environment Agency, as its download service delivers them."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import polars as pl

from airloom.errors import DataError, StudyError, nearest
from airloom.sources.base import METADATA, StationRecords, StationSource, StationType
from airloom.sources.members import Member, members
from airloom.sources.tables import micrograms, numbers, read_table, require_columns

POLLUTANTS = {"so2": 1, "pm10": 5, "o3": 7, "no2": 8, "pm2.5": 6001}  # codes of the EEA's pollutant vocabulary
# The EEA's vocabulary of observation validity: 1 valid; 2 valid, below the detection limit, as measured; 3 valid, below the
# detection limit, replaced by half of it; 4 valid, ozone on the 2019 cross-section; −1 invalid; −99 maintenance or calibration.
VALID = (1, 2, 3, 4)
AREAS = {
    "urban": "urban",
    "suburban": "suburban",
    "rural": "rural",
    "rural-nearcity": "rural",
    "rural-regional": "rural",
    "rural-remote": "rural",
}
OBSERVED = ("Samplingpoint", "Pollutant", "Start", "End", "Value", "Unit", "Validity")
DESCRIBED = {
    "SamplingPointId": "id",
    "AirQualityStationName": "name",
    "Longitude": "lon",
    "Latitude": "lat",
    "Altitude": "altitude",
    "AirQualityStationType": "type",
    "AirQualityStationArea": "area",
}


class EEA(StationSource):
    """Verified and up-to-date measurements of the EEA's air quality download service: parquet, one file a sampling point.

    A station here is a sampling point; its id is the file's `Samplingpoint`, such as "AT/SPO.09.STEF.815.8.1". Use it
    for primary observations by the hour or day (`AggType`); not for annual statistics.
    """

    name = "eea"
    title = "EEA air quality download service"

    def open(
        self, observations: Sequence[Path], metadata: Path, *, pollutant: str = "no2", timezone_hours: float = 1
    ) -> StationRecords:
        """Observations of one pollutant in µg m⁻³ and UTC, nothing screened yet.

        A sampling point is joined to the metadata by its id; where that fails, by its id without the country prefix,
        which the metadata derive from the coordinates and give as "NA/" or as a neighbour's where these lie off the
        country. A sampling point that joins nothing has observations but no metadata.

        Arguments:
            observations: parquet files, or zip archives of them.
            metadata: the table of sampling points, parquet or the portal's CSV export (zipped or not).
            pollutant: so2, pm10, o3, no2 or pm2.5.
            timezone_hours: clock of the files, ahead of UTC [h]; the service writes UTC+01 all year and does not say so
                in the files.

        Raises:
            StudyError: `pollutant` is unknown.
            DataError: a file is broken or empty, lacks a column, or holds another pollutant or an unknown unit.
        """
        if pollutant not in POLLUTANTS:
            raise StudyError(f"stations: the pollutant {pollutant!r} is not known; {nearest(pollutant, POLLUTANTS)}.")
        tables = [(m, _read(m)) for m in members(observations)]
        _one_pollutant(tables, pollutant)
        rows = pl.concat([_observations(t, m.label, timezone_hours) for m, t in tables])
        stations = _join(rows["station"].unique().sort().to_frame(), _sampling_points(metadata))
        return StationRecords(stations, rows)


def _read(member: Member) -> pl.DataFrame:
    """The columns that are used, of one file."""
    table = read_table(member)
    require_columns(table, OBSERVED, member.label, "Expected a file of the EEA download service.")
    return table.select(*OBSERVED)


def _one_pollutant(tables: Sequence[tuple[Member, pl.DataFrame]], pollutant: str) -> None:
    """Raise DataError where a file holds another pollutant than the one asked for."""
    words = {code: word.upper() for word, code in POLLUTANTS.items()}
    strange: dict[int, list[str]] = {}
    for member, table in tables:
        for code in table["Pollutant"].unique().sort():
            if code != POLLUTANTS[pollutant]:
                strange.setdefault(code, []).append(member.label)
    if strange:
        found = "; ".join(f"{words.get(code, f'pollutant {code}')} in {', '.join(f)}" for code, f in sorted(strange.items()))
        raise DataError(f"{pollutant.upper()} was asked for, but there is {found}. Name only files of one pollutant.")


def _observations(table: pl.DataFrame, where: str, timezone_hours: float) -> pl.DataFrame:
    """OBSERVATIONS of one file."""
    factors = {unit: micrograms(unit, where) for unit in table["Unit"].unique().sort()}
    start = pl.col("Start").cast(pl.Datetime("us")) - pl.duration(minutes=round(60 * timezone_hours))
    return table.select(
        station="Samplingpoint",
        start=start.dt.replace_time_zone("UTC"),
        hours=(pl.col("End") - pl.col("Start")).dt.total_minutes() / 60,
        value=pl.col("Value").cast(pl.Float64) * pl.col("Unit").replace_strict(factors, return_dtype=pl.Float64),
        valid=pl.col("Validity").is_in(VALID),
    )


def _sampling_points(path: Path) -> pl.DataFrame:
    """The metadata: id, name, lon, lat, altitude, type, area; one row a sampling point.

    The portal's export has spaces in its column names and a row for each process of a sampling point.
    """
    parts = []
    for member in members([path]):
        table = read_table(member)
        table = table.rename({c: c.replace(" ", "") for c in table.columns})
        require_columns(table, DESCRIBED, member.label, "Expected the EEA's table of sampling points.")
        table = table.select(*DESCRIBED).rename(DESCRIBED)
        table = table.with_columns(numbers(table[c], member.label) for c in ("lon", "lat", "altitude"))
        parts.append(table)
    return pl.concat(parts).unique(maintain_order=True)


def _join(found: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    """METADATA of the sampling points that were found and that the metadata know."""
    bare = pl.col("id").str.replace("^[A-Z]{2}/", "")
    exact = found.join(points, left_on="station", right_on="id")
    rest = found.join(exact, on="station", how="anti").with_columns(id="station").with_columns(bare=bare)
    # An id that is the same in two countries says nothing without its prefix.
    unique = points.with_columns(bare=bare).filter(pl.col("id").n_unique().over("bare") == 1).drop("id")
    joined = pl.concat([exact, rest.join(unique, on="bare").select(exact.columns)])
    kinds = {kind: kind for kind in get_args(StationType)}
    words = [
        pl.col("type").str.to_lowercase().replace_strict(kinds, default=None, return_dtype=pl.String),
        pl.col("area").str.to_lowercase().replace_strict(AREAS, default=None, return_dtype=pl.String),
    ]
    return joined.sort("station").with_columns(words).select(pl.col(c).cast(t) for c, t in METADATA.items())
