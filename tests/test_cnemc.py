"""China's hourly bulletins."""

import gzip
from datetime import UTC, datetime

import polars as pl
import pytest

from airloom.errors import DataError, StudyError
from airloom.sources.cnemc import CNEMC

DAY = """date,hour,type,1001A,1002A
20230120,0,PM2.5,6,5
20230120,0,PM2.5_24h,28,30
20230120,0,NO2,4,
20230120,1,PM2.5,7,
"""
STATIONS = "ID,stations_name,stations_en_name,area,area_en_name,lon,lat\n1001A,x,Wan,y,Beijing,116.366,39.8673\n1002A,x,Ding,y,Beijing,116.17,\n"


@pytest.fixture
def files(tmp_path):
    """A day, gzipped, and its stations."""
    (tmp_path / "china_sites_20230120.csv.gz").write_bytes(gzip.compress(DAY.encode()))
    (tmp_path / "stations.csv").write_text(STATIONS, encoding="utf-8")
    return tmp_path / "china_sites_20230120.csv.gz", tmp_path / "stations.csv"


def test_a_column_a_station_becomes_a_row_a_value(files):
    found = CNEMC().open([files[0]], files[1])
    rows = found.observations.sort("station", "start")
    assert rows.select("station", "value").rows() == [("1001A", 6.0), ("1001A", 7.0), ("1002A", 5.0)]
    assert rows["start"][0] == datetime(2023, 1, 19, 16, tzinfo=UTC)  # midnight in China
    assert found.metadata.select("station", "name", "lon", "type", "area").row(0) == (
        "1001A",
        "Beijing, Wan",
        116.366,
        "background",
        "urban",
    )
    assert found.metadata["lat"][1] is None


def test_days_may_be_kept_as_china_has_them(files):
    rows = CNEMC().open([files[0]], files[1], timezone="UTC").observations
    assert rows["start"].min() == datetime(2023, 1, 20, tzinfo=UTC)


def test_what_is_not_there_is_named(files, tmp_path):
    with pytest.raises(DataError, match="has no rows of SO2"):
        CNEMC().open([files[0]], files[1], pollutant="so2")
    with pytest.raises(StudyError, match="has no 'pm25'; nearest: 'pm2p5'"):
        CNEMC().open([files[0]], files[1], pollutant="pm25")
    (tmp_path / "cut.csv.gz").write_bytes(files[0].read_bytes()[:60])
    with pytest.raises(DataError, match=r"cut\.csv\.gz is no whole"):
        CNEMC().open([tmp_path / "cut.csv.gz"], files[1])
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'date'"):
        CNEMC().open([tmp_path / "other.csv"], files[1])


def test_the_real_files(data):
    folder = data / "cnemc-2023"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    found = CNEMC().open(sorted(folder.glob("china_sites_*.csv.gz")), folder / "stations.csv", timezone="UTC")
    rows = found.observations
    one = rows.filter((pl.col("station") == "1001A") & (pl.col("start") == datetime(2023, 1, 20, tzinfo=UTC)))
    assert one["value"].to_list() == [6.0]
    assert rows["start"].dt.date().n_unique() == 4
    assert rows["value"].max() == 1650
    assert len(set(rows["station"]) & set(found.metadata["station"])) == 1184  # of 1,691 that report it
