"""Plain tables of stations: clocks, words, units and ids."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from airloom.errors import DataError, StudyError
from airloom.sources.base import METADATA, OBSERVATIONS
from airloom.sources.station_table import StationTable

STATIONS = "station,name,lon,lat,altitude,type,area\n1,One,-3.7,40.4,650,background,urban\n2,Two,-3.6,40.5,,traffic,rural\n"


@pytest.fixture
def stations(tmp_path: Path) -> Path:
    path = tmp_path / "stations.csv"
    path.write_text(STATIONS, encoding="utf-8")
    return path


def observed(folder: Path, *rows: str, header: str = "station,time,value") -> Path:
    path = folder / "observed.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def starts(records) -> list[datetime]:
    return records.observations["start"].to_list()


def test_tables_have_the_columns_of_every_station_source(tmp_path, stations):
    records = StationTable().open([observed(tmp_path, "1,2023-07-01 00:00,10", "1,2023-07-01 01:00,12")], stations)
    assert dict(records.observations.schema) == OBSERVATIONS
    assert dict(records.metadata.schema) == METADATA
    assert records.observations.row(1) == ("1", datetime(2023, 7, 1, 1, tzinfo=UTC), 1.0, 12.0, True)
    assert records.metadata.row(1) == ("2", "Two", -3.6, 40.5, None, "traffic", "rural")


def test_end_of_a_summer_hour_in_madrid_is_three_hours_after_its_start_in_utc(tmp_path, stations):
    # the hour that ends at 13:00 in Madrid (UTC+2) starts at 12:00 there, 10:00 UTC; in winter (UTC+1) at 11:00 UTC
    path = observed(tmp_path, "1,2023-07-01 13:00,10", "1,2023-01-01 13:00,10")
    records = StationTable().open([path], stations, timezone="Europe/Madrid", marks="end")
    assert [t.hour for t in starts(records)] == [10, 11]


def test_hour_that_spring_skips_is_left_out_and_counted(tmp_path, stations):
    # 26 March 2023: 01:00 is 00:00 UTC, 02:00 does not exist, 03:00 (summer time) is 01:00 UTC
    path = observed(tmp_path, *(f"1,2023-03-26 0{h}:00,10" for h in (1, 2, 3)))
    records = StationTable().open([path], stations, timezone="Europe/Madrid")
    assert [t.hour for t in starts(records)] == [0, 1]
    [entry] = records.ledger.of("value", "out")
    assert (entry.what, entry.count) == ("1", 1)
    assert "does not exist" in entry.why


def test_single_row_of_the_doubled_autumn_hour_is_the_first(tmp_path, stations):
    # 29 October 2023: 02:00 occurs as 00:00 UTC (summer time) and as 01:00 UTC
    path = observed(tmp_path, *(f"1,2023-10-29 0{h}:00,10" for h in (1, 2, 3)))
    records = StationTable().open([path], stations, timezone="Europe/Madrid")
    assert starts(records) == [
        datetime(2023, 10, 28, 23, tzinfo=UTC),
        datetime(2023, 10, 29, 0, tzinfo=UTC),
        datetime(2023, 10, 29, 2, tzinfo=UTC),
    ]
    [entry] = records.ledger.of("value", "changed")
    assert (entry.what, entry.count) == ("1", 1)


def test_two_rows_of_the_doubled_autumn_hour_count_in_their_order(tmp_path, stations):
    path = observed(tmp_path, "1,2023-10-29 02:00,10", "2,2023-10-29 02:00,7", "1,2023-10-29 02:00,20")
    records = StationTable().open([path], stations, timezone="Europe/Madrid")
    assert [t.hour for t in starts(records)] == [0, 0, 1]
    assert [e.what for e in records.ledger.of("value", "changed")] == ["2"]


def test_times_with_an_offset_ignore_the_clock_of_the_study(tmp_path, stations):
    path = observed(tmp_path, "1,2023-07-01T13:00:00+02:00,10", "1,2023-07-01T13:00Z,10")
    records = StationTable().open([path], stations, timezone="America/Lima")
    assert [t.hour for t in starts(records)] == [11, 13]


def test_dates_are_daily_values(tmp_path, stations):
    records = StationTable().open([observed(tmp_path, "1,2023-07-01,10", "1,2023-07-02,12")], stations)
    assert records.observations["hours"].to_list() == [24.0, 24.0]
    assert [t.day for t in starts(records)] == [1, 2]


def test_semicolons_and_decimal_commas(tmp_path, stations):
    path = observed(tmp_path, "1;2023-07-01 01:00;10,5;false", header="station;time;value;valid")
    records = StationTable().open([path], stations)
    assert records.observations.select("value", "valid").row(0) == (10.5, False)


@pytest.mark.parametrize(("units", "value"), [("µg/m³", 2.0), ("ug m-3", 2.0), ("μg m⁻³", 2.0), ("mg/m3", 2000.0)])
def test_units(tmp_path, stations, units, value):
    records = StationTable().open([observed(tmp_path, "1,2023-07-01 01:00,2")], stations, units=units)
    assert records.observations["value"].to_list() == [value]


def test_integer_ids_of_parquet_meet_text_ids_of_csv(tmp_path, stations):
    path = tmp_path / "observed.parquet"
    times = [datetime(2023, 7, 1, 1), datetime(2023, 7, 1, 2)]
    pl.DataFrame({"station": [1, 2], "time": times, "value": [10.0, 11.0]}).write_parquet(path)
    records = StationTable().open([path], stations)
    assert records.observations["station"].to_list() == records.metadata["station"].to_list() == ["1", "2"]


def test_renamed_columns_and_words(tmp_path):
    metadata = tmp_path / "stations.csv"
    metadata.write_text("id,lon,lat,kind\n007,-3.7,40.4,Urbana fondo\n", encoding="utf-8")
    path = observed(tmp_path, "007,2023-07-01 01:00,2", header="id,time,no2")
    columns = {"station": "id", "value": "no2", "type": "kind"}
    records = StationTable().open([path], metadata, columns=columns, types={"Urbana fondo": ("background", "urban")})
    assert records.metadata.row(0) == ("007", "007", -3.7, 40.4, None, "background", "urban")


def test_word_without_meaning_names_word_station_and_nearest(tmp_path, stations):
    path = observed(tmp_path, "1,2023-07-01 01:00,2")
    types = {"background": ("background", "urban"), "trafic": ("traffic", "urban")}
    with pytest.raises(DataError, match=r"type 'traffic' of station 2 is not known; nearest: 'trafic'"):
        StationTable().open([path], stations, types=types)


def test_unknown_canonical_column(tmp_path, stations):
    with pytest.raises(StudyError, match="'vlaue' is no column of a station table; nearest: 'value'"):
        StationTable().open([observed(tmp_path)], stations, columns={"vlaue": "no2"})


def test_half_hours_are_refused(tmp_path, stations):
    with pytest.raises(DataError, match="2023-07-01 01:30:00, not on a full hour"):
        StationTable().open([observed(tmp_path, "1,2023-07-01 01:30,2")], stations)


def test_midnight_as_24_names_the_word(tmp_path, stations):
    with pytest.raises(DataError, match="'2023-07-01 24:00' in column 'time'"):
        StationTable().open([observed(tmp_path, "1,2023-07-01 23:00,2", "1,2023-07-01 24:00,2")], stations)


def test_italy_daily_table_opens(data):
    # read off with pyarrow: 182,505 rows, 256 stations, IT0839A (background, suburban) 37.76298 µg/m³ on 2019-01-01
    path = data / "italy-no2" / "daily.parquet"
    kinds, areas = {"F": "background", "I": "industrial", "T": "traffic"}, {"U": "urban", "S": "suburban", "R": "rural"}
    types = {k + a: (kind, area) for k, kind in kinds.items() for a, area in areas.items()}
    columns = {"station": "station_eu_code", "time": "date", "value": "no2_ugm3", "lon": "st_x", "lat": "st_y"}
    columns |= {"altitude": "altitudine", "type": "zona_tipo"}
    types |= {"F/IS": ("background", "suburban")}
    records = StationTable().open([path], path, columns=columns, types=types)
    assert len(records.observations) == 182_505
    assert len(records.metadata) == 256
    one = records.observations.row(
        by_predicate=(pl.col("station") == "IT0839A") & (pl.col("start").dt.date() == pl.date(2019, 1, 1))
    )
    assert one == ("IT0839A", datetime(2019, 1, 1, tzinfo=UTC), 24.0, pytest.approx(37.7629804), True)
