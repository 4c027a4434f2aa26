"""Stations written as the EEA's service writes them, read back, and compared with real files."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pyarrow.parquet as pq
import pytest

from airloom.errors import DataError, StudyError
from airloom.sources.base import METADATA, OBSERVATIONS
from airloom.sources.eea import EEA
from airloom.sources.station_table import StationTable
from airloom.twin.writers.eea import stations_csv, write_observations, write_sampling_points

IDS = ("FR/SPO.TWIN.1.8.1", "DE/SPO.TWIN.2.8.1")
FIRST = datetime(2023, 12, 31, 23, tzinfo=UTC)


def observations(hours: float = 1, n: int = 6) -> pl.DataFrame:
    """Two stations; the third value is marked invalid, the fourth is missing."""
    parts = []
    for offset, station in enumerate(IDS):
        values = [18.85374 + offset, 0.1, 9108.0, None, 30.0000004, 5.0][:n]
        columns = {
            "station": [station] * n,
            "start": [FIRST + timedelta(hours=hours * i) for i in range(n)],
            "hours": [hours] * n,
            "value": values,
            "valid": [True, True, False, True, True, True][:n],
        }
        parts.append(pl.DataFrame(columns, schema=OBSERVATIONS))
    return pl.concat(parts)


def stations() -> pl.DataFrame:
    columns = {
        "station": IDS,
        "name": ["Un", "Zwei"],
        "lon": [2.35, 6.96],
        "lat": [48.86, 50.94],
        "altitude": [35.0, None],
        "type": ["background", "traffic"],
        "area": ["urban", "rural"],
    }
    return pl.DataFrame(columns, schema=METADATA)


def written(folder):
    files = write_observations(observations(), folder, pollutant="no2")
    points = folder / "points" / "sampling_points.parquet"
    write_sampling_points(stations(), points, pollutant="no2", year=2024)
    return files, points


def test_round_trip(tmp_path):
    files, points = written(tmp_path)
    assert [f.name for f in files] == ["SPO.TWIN.1.8.1.parquet", "SPO.TWIN.2.8.1.parquet"]
    records = EEA().open(files, points)
    given = observations()
    found = records.observations.sort("station", "start")
    given = given.sort("station", "start")
    assert found["station"].to_list() == given["station"].to_list()
    assert found["start"].to_list() == given["start"].to_list()
    assert found["hours"].unique().to_list() == [1.0]
    assert found["valid"].to_list() == [True, True, False, False, True, True] * 2
    expected = given["value"].fill_null(-9900).round(6).to_list()
    assert found["value"].to_list() == pytest.approx(expected, rel=1e-12)
    assert records.metadata.sort("station").equals(stations().sort("station"))


def test_values_are_decimals_on_the_clock_of_utc_plus_one(tmp_path):
    (path,) = write_observations(observations().head(6), tmp_path, pollutant="no2")
    rows = pq.read_table(path).to_pylist()
    assert rows[0]["Value"] == Decimal("18.853740000000000000")
    assert str(rows[0]["Start"])[:16] == "2024-01-01 00:00"
    assert str(rows[0]["End"])[:16] == "2024-01-01 01:00"
    assert [r["Validity"] for r in rows] == [1, 1, -1, -1, 1, 1]
    assert rows[2]["Value"] == 9108
    assert rows[3]["Value"] == -9900
    assert {(r["Pollutant"], r["Unit"], r["AggType"], r["Verification"]) for r in rows} == {(8, "ug.m-3", "hour", 1)}
    again = write_observations(observations().head(6), tmp_path / "again", pollutant="no2")
    assert again[0].read_bytes() == path.read_bytes()


def test_days(tmp_path):
    files = write_observations(observations(hours=24.0), tmp_path, pollutant="pm2.5", verification=3)
    table = pl.from_arrow(pq.read_table(files[0]))
    assert table["AggType"].unique().to_list() == ["day"]
    assert table["Pollutant"].unique().to_list() == [6001]
    assert (table["End"] - table["Start"]).unique().to_list() == [timedelta(days=1)]


def test_schema_is_that_of_the_real_files(data, tmp_path):
    real = pq.ParquetFile(data / "eea" / "vienna-no2-2024" / "SPO.09.STEF.815.8.1.parquet")
    ours = pq.ParquetFile(write_observations(observations(), tmp_path, pollutant="no2")[0])
    assert ours.schema_arrow.equals(real.schema_arrow)
    for i in range(len(real.schema)):
        theirs, own = real.schema.column(i), ours.schema.column(i)
        assert (own.name, own.physical_type, own.max_definition_level) == (
            *(theirs.name, theirs.physical_type, theirs.max_definition_level),
        )
        assert own.logical_type.type in (theirs.logical_type.type, "NONE")  # 32 bits are 32 bits, annotated or not
    assert ours.metadata.row_group(0).column(0).compression == real.metadata.row_group(0).column(0).compression
    first, own = (next(f.iter_batches(1)).to_pylist()[0] for f in (real, ours))
    for same in ("Pollutant", "Unit", "AggType", "Verification", "Validity", "DataCapture", "Start", "End"):
        assert own[same] == first[same]
    assert len(own["FkObservationLog"]) == len(first["FkObservationLog"])


def test_table_of_sampling_points_has_the_real_columns(data, tmp_path):
    _, points = written(tmp_path)
    real = pq.read_schema(data / "eea" / "sampling_points.parquet").remove_metadata()
    assert pq.read_schema(points).remove_metadata().equals(real)
    theirs = pl.read_parquet(data / "eea" / "sampling_points.parquet")
    for column in ("AirQualityStationArea", "AirQualityStationType", "AirPollutant", "Timezone", "ISO", "AltitudeUnit"):
        assert set(pl.read_parquet(points)[column]) <= set(theirs[column])


def test_what_is_no_station_is_refused(tmp_path):
    with pytest.raises(StudyError, match="'no' is not known; nearest: 'no2'"):
        write_observations(observations(), tmp_path, pollutant="no")
    with pytest.raises(DataError, match=r"values over \[3.0\] hours"):
        write_observations(observations(hours=3.0), tmp_path, pollutant="no2")
    with pytest.raises(DataError, match="observations have no column 'valid'"):
        write_observations(observations().drop("valid"), tmp_path, pollutant="no2")
    with pytest.raises(DataError, match="'STEF' is no id of a sampling point"):
        write_observations(observations().with_columns(station=pl.lit("STEF")), tmp_path, pollutant="no2")
    assert not list(tmp_path.iterdir())


def test_second_network_is_read_as_a_station_table(tmp_path):
    time = [FIRST + timedelta(hours=i) for i in range(3)]
    columns = {"station": ["7"] * 3, "time": time, "relative_humidity": [50.0, None, 71.25], "wind": [1.0, 2.5, 0.0]}
    table = pl.DataFrame(columns).with_columns(temperature=pl.lit(280.125))
    weather, places = stations_csv(table, stations().head(1).with_columns(station=pl.lit("7")), tmp_path)
    assert weather.read_text().splitlines()[:2] == [
        *("station,time,relative_humidity,wind,temperature", "7,2023-12-31 23:00,50.000,1.000,280.125"),
    ]
    for name in ("relative_humidity", "wind", "temperature"):
        records = StationTable().open([weather], places, columns={"value": name})
        assert records.observations["value"].to_list() == table[name].to_list()
        assert records.observations["start"].to_list() == time
        assert records.observations["hours"].unique().to_list() == [1.0]
    assert records.metadata["lon"].to_list() == [2.35]
