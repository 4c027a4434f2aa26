"""Stations as the EEA's download service delivers them, and a second network as plain tables.

The layout was read off the service's files of 2024 and its table of sampling points of 2025.
"""

import uuid
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from airloom.errors import DataError, StudyError, nearest
from airloom.files import whole
from airloom.sources.base import METADATA, OBSERVATIONS
from airloom.sources.eea import POLLUTANTS

CLOCK = pl.duration(hours=1)  # the service's clock is UTC+01 all year, which its files do not say
NO_VALUE = -9900  # what a file holds, marked as invalid, where nothing was measured
AGGREGATES = {1.0: "hour", 24.0: "day"}
MICROS = 6  # decimal places that measurements have
_DECIMAL = pa.decimal128(38, 18)
SCHEMA = pa.schema(
    [
        pa.field("Samplingpoint", pa.string()),
        pa.field("Pollutant", pa.int32()),
        pa.field("Start", pa.timestamp("ns"), nullable=False),
        pa.field("End", pa.timestamp("ns"), nullable=False),
        pa.field("Value", _DECIMAL),
        pa.field("Unit", pa.string()),
        pa.field("AggType", pa.string()),
        pa.field("Validity", pa.int32(), nullable=False),
        pa.field("Verification", pa.int32(), nullable=False),
        pa.field("ResultTime", pa.timestamp("ns"), nullable=False),
        pa.field("DataCapture", _DECIMAL),
        pa.field("FkObservationLog", pa.string()),
    ]
)
# the table of sampling points: text but for the coordinates
COLUMNS = [
    "Country",
    "B-GNamespace",
    "Year",
    "AirQualityNetwork",
    "AirQualityNetworkName",
    "Timezone",
    "AirQualityStationEoICode",
    "AirQualityStationNatCode",
    "AirQualityStationName",
    "SamplingPointId",
    "AirPollutant",
    "Longitude",
    "Latitude",
    "Altitude",
    "AltitudeUnit",
    "AirQualityStationArea",
    "AirQualityStationType",
    "OperationalActivityBegin",
    "OperationalActivityEnd",
    "SampleId",
    "InletHeight",
    "InletHeightUnit",
    "BuildingDistance",
    "BuildingDistanceUnit",
    "KerbDistance",
    "KerbDistanceUnit",
    "DistanceSource",
    "DistanceSourceUnit",
    "MainEmissionSources",
    "HeatingEmissions",
    "HeatingEmissionsUnit",
    "Mobile",
    "TrafficEmissions",
    "TrafficEmissionsUnit",
    "IndustrialEmissions",
    "IndustrialEmissionsUnit",
    "Municipality",
    "DispersionLocal",
    "DispersionRegional",
    "DistanceJunction",
    "DistanceJunctionUnit",
    "HeavyDutyFraction",
    "HeightFacades",
    "StreetWidth",
    "TrafficSpeed",
    "TrafficVolume",
    "ProcessId",
    "ProcessActivityBegin",
    "ProcessActivityEnd",
    "MeasurementType",
    "MeasurementMethod",
    "OtherMeasurementMethod",
    "MeasurementEquipment",
    "OtherMeasurementEquipment",
    "SamplingMethod",
    "OtherSamplingMethod",
    "AnalyticalTechnique",
    "OtherAnalyticalTechnique",
    "EquivalenceDemonstrated",
    "DemonstrationReport",
    "DetectionLimit",
    "DetectionLimitUnit",
    "Documentation",
    "QAReport",
    "Duration",
    "DurationUnit",
    "Cadence",
    "CadenceUnit",
    "SourceDataURL",
    "Imported",
    "ISO",
    "LAU_ID",
    "LAU_NAME",
    "NUTS3_ID",
    "NUTS0_ID",
    "NUTS0",
    "NUTS1_ID",
    "NUTS1",
    "NUTS2_ID",
    "NUTS2",
    "NUTS3",
    "CITY_NAME",
    "CITY_ID",
]
WEATHER = ("relative_humidity", "wind", "temperature")


def write_observations(observations: pl.DataFrame, folder: Path, *, pollutant: str, verification: int = 1) -> list[Path]:
    """Write one parquet file a sampling point, named by its id without the country: folder/SPO.09.STEF.815.8.1.parquet.

    Arguments:
        observations: OBSERVATIONS' columns, hourly or daily means; `station` is an id such as "AT/SPO.09.STEF.815.8.1". What
            is not valid is written with its value and Validity −1, what is null or NaN as −9900 and −1.
        folder: where the files go; files of the same names are replaced.
        pollutant: so2, pm10, o3, no2 or pm2.5.
        verification: 1 verified, 2 verified in part, 3 not verified (the up-to-date stream).

    Raises:
        StudyError: `pollutant` is unknown.
        DataError: a column is missing, a value is over something else than an hour or a day, or an id has no country.
    """
    _known(pollutant)
    _require(observations, OBSERVATIONS, "observations")
    paths = []
    for (station,), rows in observations.sort("start").group_by("station", maintain_order=True):
        path = folder / f"{_bare(str(station))}.parquet"
        table = _file(rows, str(station), pollutant, verification)
        with whole(path) as aside:
            # as the service writes them: 96-bit times, groups of 5000 rows
            pq.write_table(
                table, aside, version="1.0", row_group_size=5000, use_deprecated_int96_timestamps=True, store_schema=False
            )
        paths.append(path)
    return sorted(paths)


def _file(rows: pl.DataFrame, station: str, pollutant: str, verification: int) -> pa.Table:
    """The rows of one sampling point in the service's columns."""
    if strange := set(rows["hours"].unique()) - set(AGGREGATES):
        raise DataError(f"{station}: values over {sorted(strange)} hours, expected 1 (hour) or 24 (day).")
    measured = pl.col("value").fill_nan(None)
    start = pl.col("start").dt.replace_time_zone(None) + CLOCK
    latest = rows.select((start + pl.duration(hours=pl.col("hours"))).max()).item()
    columns = rows.select(
        Samplingpoint=pl.lit(station),
        Pollutant=pl.lit(POLLUTANTS[pollutant], pl.Int32),
        Start=start,
        End=start + pl.duration(minutes=(pl.col("hours") * 60).cast(pl.Int64)),
        Value=measured.fill_null(NO_VALUE).round(MICROS).cast(pl.Decimal(38, MICROS)).cast(pl.Decimal(38, 18)),
        Unit=pl.lit("ug.m-3"),
        AggType=pl.col("hours").replace_strict(AGGREGATES, return_dtype=pl.String),
        Validity=pl.when(pl.col("valid") & measured.is_not_null()).then(1).otherwise(-1).cast(pl.Int32),
        Verification=pl.lit(verification, pl.Int32),
        ResultTime=pl.lit(latest),
        DataCapture=pl.lit(None, pl.Decimal(38, 18)),
        FkObservationLog=pl.lit(str(uuid.uuid5(uuid.NAMESPACE_URL, f"airloom twin {station} {pollutant}"))),
    )
    return columns.to_arrow().cast(SCHEMA)


def write_sampling_points(stations: pl.DataFrame, path: Path, *, pollutant: str, year: int) -> None:
    """Write the table of sampling points, parquet with the portal's 83 columns; what a twin does not know is null.

    Arguments:
        stations: METADATA's columns, `station` being the id of the sampling point.
        path: the file, ending in .parquet.
        pollutant: what they measure: so2, pm10, o3, no2 or pm2.5.
        year: of the reporting.

    Raises:
        StudyError: `pollutant` is unknown.
        DataError: a column is missing, or an id has no country.
    """
    _known(pollutant)
    _require(stations, METADATA, "stations")
    bare = [_bare(station) for station in stations["station"]]
    country = pl.col("station").str.slice(0, 2)
    known = stations.select(
        Year=pl.lit(str(year)),
        AirQualityNetworkName=pl.lit("airloom twin"),
        Timezone=pl.lit("UTC+01"),
        AirQualityStationNatCode=pl.Series(bare, dtype=pl.String),
        AirQualityStationName="name",
        SamplingPointId="station",
        AirPollutant=pl.lit(pollutant.upper()),
        Longitude="lon",
        Latitude="lat",
        Altitude=pl.col("altitude").map_elements(lambda metres: f"{metres:.6f}", return_dtype=pl.String),
        AltitudeUnit=pl.lit("m"),
        AirQualityStationArea="area",
        AirQualityStationType="type",
        Mobile=pl.lit("0"),
        MeasurementType=pl.lit("automatic"),
        Duration=pl.lit("1"),
        DurationUnit=pl.lit("hour"),
        Cadence=pl.lit("1"),
        CadenceUnit=pl.lit("hour"),
        ISO=country,
        NUTS0_ID=country,
    )
    unknown = [pl.lit(None, pl.String).alias(c) for c in COLUMNS if c not in known.columns]
    table = known.with_columns(unknown).select(COLUMNS).to_arrow(compat_level=pl.CompatLevel.oldest())
    with whole(path) as aside:
        pq.write_table(table, aside)


def stations_csv(observations: pl.DataFrame, stations: pl.DataFrame, folder: Path) -> tuple[Path, Path]:
    """Write a network that measures weather, not pollutants, as two tables: folder/weather.csv and folder/stations.csv.

    `StationTable` reads one quantity at a time, with `columns={"value": "wind"}`, and gives it in the unit of the file.

    Arguments:
        observations: columns station, time (UTC, the start of the hour), relative_humidity [%], wind [m s⁻¹] and
            temperature [K]; null where nothing was measured.
        stations: METADATA's columns.
        folder: where the files go.

    Raises:
        DataError: a column is missing.
    """
    _require(observations, ("station", "time", *WEATHER), "observations")
    _require(stations, METADATA, "stations")
    weather, places = folder / "weather.csv", folder / "stations.csv"
    time = pl.col("time").dt.strftime("%Y-%m-%d %H:%M")
    with whole(weather) as aside:
        observations.select("station", time, *WEATHER).write_csv(aside, float_precision=3)
    with whole(places) as aside:
        stations.select(*METADATA).write_csv(aside)
    return weather, places


def _known(pollutant: str) -> None:
    if pollutant not in POLLUTANTS:
        raise StudyError(f"the pollutant {pollutant!r} is not known; {nearest(pollutant, POLLUTANTS)}.")


def _require(table: pl.DataFrame, names: Iterable[str], what: str) -> None:
    for name in names:
        if name not in table.columns:
            raise DataError(f"{what} have no column {name!r}; {nearest(name, table.columns)}.")


def _bare(station: str) -> str:
    """The id without its country."""
    country, slash, bare = station.partition("/")
    if len(country) != 2 or not slash or not bare or "/" in bare:
        raise DataError(f"{station!r} is no id of a sampling point; expected one such as 'AT/SPO.09.STEF.815.8.1'.")
    return bare
