"""Files of the EEA download service."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from airloom.errors import DataError, StudyError
from airloom.grid import Grid
from airloom.screening import screen
from airloom.sources.base import METADATA, OBSERVATIONS
from airloom.sources.eea import EEA
from airloom.stations import Rules


def rows(n: int = 2, *, point: str = "AT/SPO.1", pollutant: int = 8, unit: str = "ug.m-3", hours: int = 1) -> pl.DataFrame:
    """As the service writes them: n hours from 1 January 2024, all 10 and valid."""
    start = [datetime(2024, 1, 1) + timedelta(hours=hours * i) for i in range(n)]
    columns = {
        "Samplingpoint": [point] * n,
        "Pollutant": pl.Series([pollutant] * n, dtype=pl.Int32),
        "Start": pl.Series(start, dtype=pl.Datetime("ns")),
        "End": pl.Series([s + timedelta(hours=hours) for s in start], dtype=pl.Datetime("ns")),
        "Value": pl.Series([Decimal("10.5")] * n, dtype=pl.Decimal(38, 18)),
        "Unit": [unit] * n,
        "AggType": ["hour"] * n,
        "Validity": pl.Series([1] * n, dtype=pl.Int32),
        "Verification": pl.Series([1] * n, dtype=pl.Int32),
    }
    return pl.DataFrame(columns)


def points(folder: Path, *ids: str) -> Path:
    path = folder / "points.parquet"
    n = len(ids)
    columns = {
        "SamplingPointId": ids,
        "AirQualityStationName": [f"name of {i}" for i in ids],
        "Longitude": [16.3] * n,
        "Latitude": [48.2] * n,
        "Altitude": ["170.000000"] * n,
        "AirQualityStationType": ["background"] * n,
        "AirQualityStationArea": ["rural-nearcity"] * n,
    }
    pl.DataFrame(columns).write_parquet(path)
    return path


def written(folder: Path, table: pl.DataFrame, name: str = "a.parquet") -> Path:
    table.write_parquet(folder / name)
    return folder / name


def test_files_say_utc_plus_one(tmp_path):
    records = EEA().open([written(tmp_path, rows())], points(tmp_path, "AT/SPO.1"))
    assert dict(records.observations.schema) == OBSERVATIONS
    assert dict(records.metadata.schema) == METADATA
    assert records.observations.row(0) == ("AT/SPO.1", datetime(2023, 12, 31, 23, tzinfo=UTC), 1.0, 10.5, True)
    assert records.metadata.row(0) == ("AT/SPO.1", "name of AT/SPO.1", 16.3, 48.2, 170.0, "background", "rural")


def test_validity_follows_the_vocabulary(tmp_path):
    flags = [1, 2, 3, 4, -1, -99, 0]
    table = rows(len(flags)).with_columns(Validity=pl.Series(flags, dtype=pl.Int32))
    records = EEA().open([written(tmp_path, table)], points(tmp_path, "AT/SPO.1"))
    assert records.observations["valid"].to_list() == [True, True, True, True, False, False, False]


def test_ids_join_exactly_or_without_the_prefix(tmp_path):
    files = [
        written(tmp_path, rows(point=p), f"{i}.parquet")
        for i, p in enumerate(["AT/SPO.1", "TR/SPO.2", "SE/SPO.3", "AT/SPO.4"])
    ]
    known = points(tmp_path, "AT/SPO.1", "NA/SPO.2", "FI/SPO.3", "AT/SPO.9")
    records = EEA().open(files, known)
    assert records.metadata["station"].to_list() == ["AT/SPO.1", "SE/SPO.3", "TR/SPO.2"]
    assert records.metadata["name"].to_list() == ["name of AT/SPO.1", "name of FI/SPO.3", "name of NA/SPO.2"]


def test_id_of_two_countries_joins_neither_without_its_own_prefix(tmp_path):
    records = EEA().open([written(tmp_path, rows(point="SE/SPO.3"))], points(tmp_path, "FI/SPO.3", "NA/SPO.3"))
    assert records.metadata.is_empty()


def test_point_without_metadata_is_in_the_ledger(tmp_path):
    files = [written(tmp_path, rows(24)), written(tmp_path, rows(24, point="AT/SPO.4"), "b.parquet")]
    records = EEA().open(files, points(tmp_path, "AT/SPO.1"))
    grid = Grid.around(16.3, 48.2, cell=2000, shape=(4, 4))
    stations = screen(records, grid, Rules(min_hours=1, stuck_hours=99), (date(2024, 1, 1), date(2024, 1, 1)))
    assert [(e.what, e.why) for e in stations.ledger.of("station", "out")] == [("AT/SPO.4", "no metadata")]
    assert stations.table["station"].to_list() == ["AT/SPO.1"]


def test_milligrams_become_micrograms(tmp_path):
    records = EEA().open([written(tmp_path, rows(1, unit="mg.m-3"))], points(tmp_path, "AT/SPO.1"))
    assert records.observations["value"].to_list() == [10500.0]


def test_several_pollutants_are_named_with_their_files(tmp_path):
    files = [written(tmp_path, rows()), written(tmp_path, rows(pollutant=1), "so2.parquet")]
    with pytest.raises(DataError, match=r"NO2 was asked for, but there is SO2 in so2\.parquet"):
        EEA().open(files, points(tmp_path, "AT/SPO.1"))


def test_unknown_pollutant(tmp_path):
    with pytest.raises(StudyError, match="nearest: 'no2'"):
        EEA().open([written(tmp_path, rows())], points(tmp_path, "AT/SPO.1"), pollutant="n02")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "is no whole parquet file"),
        (lambda p: rows(0).write_parquet(p), "no rows"),
        (lambda p: rows().rename({"Validity": "Valid"}).write_parquet(p), "no column 'Validity'; nearest: 'Valid'"),
        (lambda p: rows(unit="ppb").write_parquet(p), "temperature and pressure"),
    ],
)
def test_broken_files_are_named(tmp_path, damage, message):
    path = written(tmp_path, rows())
    damage(path)
    with pytest.raises(DataError, match=rf"a\.parquet.*{message}"):
        EEA().open([path], points(tmp_path, "AT/SPO.1"))


def test_vienna(data):
    # read off with pyarrow: Stephansplatz has 355 UTC days of at least 18 hours with Validity > 0; 15 January 2024 has 23
    # of them, mean 15.236690 µg/m³; 3 of the 16 sampling points are traffic ones
    files = sorted((data / "eea" / "vienna-no2-2024").glob("*.parquet"))
    records = EEA().open(files, data / "eea" / "sampling_points.parquet")
    assert len(records.metadata) == 16
    grid = Grid.around(16.37, 48.2, cell=2000, shape=(32, 32))
    stations = screen(records, grid, Rules(), (date(2024, 1, 1), date(2024, 12, 31)))
    assert len(stations.table) == 13
    daily = stations.daily.sel(station="AT/SPO.09.STEF.815.8.1")
    assert int(daily.count()) == 355
    assert float(daily.sel(time="2024-01-15")) == pytest.approx(15.236690, abs=1e-6)


def test_luxembourg_and_norway(data):
    # read off with pyarrow: SPO-LU0100A_00005_100 has 96 rows of 24 h and 4 of 48 h; SPO_NO0042R_1_1556 stands in the
    # metadata only as NA/SPO_NO0042R_1_1556, at 78.90669°N
    metadata = data / "eea" / "sampling_points.parquet"
    folder = data / "eea" / "lu-no-mixed"
    pm10 = EEA().open(sorted((folder / "PM10").glob("*/*.parquet")), metadata, pollutant="pm10")
    hours = pm10.observations.filter(pl.col("station") == "LU/SPO-LU0100A_00005_100")["hours"]
    assert sorted(hours.value_counts().rows()) == [(24.0, 96), (48.0, 4)]
    so2 = EEA().open(sorted((folder / "SO2").glob("*/*.parquet")), metadata, pollutant="so2")
    assert so2.metadata.filter(pl.col("station") == "NO/SPO_NO0042R_1_1556")["lat"].to_list() == [78.90669]
    grid = Grid.around(6.126, 49.611, cell=2000, shape=(4, 4))
    rules = Rules(types=("traffic",), min_year_fraction=0)
    stations = screen(pm10, grid, rules, (date(2013, 1, 1), date(2013, 4, 30)))
    assert int(stations.daily.count()) == 96
    # the first row: 1 January 2013 on the file's clock, 4.7 µg/m³
    assert float(stations.daily.sel(time="2013-01-01").squeeze()) == 4.7
    assert ("spans neither an hour nor a day", 4) in [(e.why, e.count) for e in stations.ledger.of("value")]
