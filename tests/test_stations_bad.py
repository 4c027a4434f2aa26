"""Bad station inputs: each ends in a clear error or in the ledger."""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from airloom.errors import AirloomError, DataError, StudyError
from airloom.grid import Grid
from airloom.screening import screen
from airloom.sources.station_table import StationTable
from airloom.stations import Rules, Stations, split

GRID = Grid.around(-3.7, 40.4, cell=2000, shape=(32, 32))
DAYS = (date(2023, 7, 1), date(2023, 7, 2))
RULES = Rules(min_hours=18, min_year_fraction=0, stuck_hours=24)
PLACES = ["1,-3.70,40.40,background,urban", "2,-3.75,40.45,background,suburban"]
CLEAN = [f"{one},2023-07-{1 + h // 24:02} {h % 24:02}:00,{10 + h % 7},true" for one in (1, 2) for h in range(48)]


def prepared(
    folder: Path,
    observed: list[str] | None = None,
    places: list[str] | None = None,
    *,
    observed_header: str = "station,time,value,valid",
    places_header: str = "station,lon,lat,type,area",
    **settings,
) -> Stations:
    """The whole way from two CSV files to screened stations."""
    observations, metadata = folder / "observed.csv", folder / "stations.csv"
    observations.write_text(
        "\n".join([observed_header, *(CLEAN if observed is None else observed)]) + "\n", encoding="utf-8"
    )
    metadata.write_text("\n".join([places_header, *(PLACES if places is None else places)]) + "\n", encoding="utf-8")
    return screen(StationTable().open([observations], metadata, **settings), GRID, RULES, DAYS)


def replaced(values: dict[int, str], valid: str = "true") -> list[str]:
    """CLEAN with other values at some hours (counted from 1 July 00:00) of station 1."""
    rows = list(CLEAN)
    for h, value in values.items():
        rows[h] = f"1,2023-07-{1 + h // 24:02} {h % 24:02}:00,{value},{valid}"
    return rows


def entries(stations: Stations) -> list[tuple[str, str, int]]:
    return [(e.what, e.why, e.count) for e in stations.ledger.entries]


def test_clean_files_leave_an_empty_ledger(tmp_path):
    stations = prepared(tmp_path)
    assert entries(stations) == []
    assert int(stations.daily.count()) == 4


# Metadata ---------------------------------------------------------------------------------------------------------------


def test_outside_the_grid(tmp_path):
    stations = prepared(tmp_path, places=[PLACES[0], "2,2.17,41.38,background,urban"])
    assert entries(stations) == [("2", "outside the grid (2.1700°E, 41.3800°N)", 1)]


def test_swapped_coordinates(tmp_path):
    with pytest.raises(DataError, match="station 2: longitude and latitude look swapped"):
        prepared(tmp_path, places=[PLACES[0], "2,40.45,-3.75,background,urban"])


def test_impossible_latitude(tmp_path):
    stations = prepared(tmp_path, places=[PLACES[0], "2,-3.7,400.45,background,urban"])
    assert stations.table["station"].to_list() == ["1"]


def test_missing_coordinates(tmp_path):
    assert entries(prepared(tmp_path, places=[PLACES[0], "2,,,background,urban"])) == [("2", "no coordinates", 1)]


def test_unknown_type_word(tmp_path):
    with pytest.raises(DataError, match="'backgrund' of station 2 is not known; nearest: 'background'"):
        prepared(tmp_path, places=[PLACES[0], "2,-3.75,40.45,backgrund,urban"])


def test_missing_type(tmp_path):
    assert entries(prepared(tmp_path, places=[PLACES[0], "2,-3.75,40.45,,urban"])) == [("2", "type unknown", 1)]


def test_type_that_is_not_used(tmp_path):
    stations = prepared(tmp_path, places=[PLACES[0], "2,-3.75,40.45,traffic,urban"])
    assert entries(stations) == [("2", "type traffic is not used, only background, industrial", 1)]


def test_station_twice_in_the_metadata(tmp_path):
    assert entries(prepared(tmp_path, places=[*PLACES, PLACES[0]])) == [("1", "repeated in the metadata, one row kept", 1)]
    with pytest.raises(DataError, match=r"station 1 stands 2 times .* differs in lat \(40\.4, 40\.41\)"):
        prepared(tmp_path, places=[*PLACES, "1,-3.70,40.41,background,urban"])


def test_station_without_metadata_and_station_without_observations(tmp_path):
    stations = prepared(tmp_path, places=[PLACES[0], "3,-3.75,40.45,background,urban"])
    assert entries(stations) == [("2", "no metadata", 1), ("3", "no observations", 1)]


# Files, columns, units, clocks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"observed_header": "station,time,no2,valid"}, "no column 'value'.*stations.columns"),
        ({"places_header": "station,long,lat,type,area"}, "no column 'lon'; nearest: 'long'"),
        ({"columns": {"altitude": "height"}}, "no column 'height'"),
        ({"units": "ppb"}, "temperature and pressure"),
        ({"units": "mg/l"}, "the unit 'mg/l' is not known"),
        ({"timezone": "Europe/Madird"}, "'Europe/Madird' is not a time zone; nearest: 'Europe/Madrid'"),
        ({"observed": []}, "no rows"),
        ({"observed": ["1,2023-07-01 00:00,n/a,true"]}, "'n/a' in column 'value' is no number"),
        ({"observed": ["1,01.07.2023 0 h,7,true"]}, "is no time that can be read"),
        ({"observed": ["1,2023-07-01 00:00,7,V"]}, "is no flag"),
        ({"observed": [",2023-07-01 00:00,7,true"]}, "1 rows have no station id"),
        ({"observed": ["28079004.0,2023-07-01 00:00,7,true"]}, "28079004.0 is a decimal number"),
        ({"observed": ["9,2023-07-01 00:00,7,true"]}, "no station is left.*no observations"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path, settings, message):
    with pytest.raises(AirloomError, match=message):
        prepared(tmp_path, **settings)


def test_ids_as_floats_in_parquet(tmp_path):
    path = tmp_path / "observed.parquet"
    pl.DataFrame({"station": [28079004.0], "time": [datetime(2023, 7, 1)], "value": [1.0]}).write_parquet(path)
    with pytest.raises(DataError, match=r"observed\.parquet: the station id 28079004\.0 is a decimal number"):
        StationTable().open([path], path)


def test_empty_truncated_and_missing_files(tmp_path):
    path = tmp_path / "observed.parquet"
    times = [datetime(2023, 7, 1) + timedelta(hours=h) for h in range(48)]
    pl.DataFrame({"station": ["1"] * 48, "time": times, "value": [1.0] * 48}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"observed\.parquet is no whole parquet file"):
        StationTable().open([path], path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"observed\.parquet is empty"):
        StationTable().open([path], path)
    with pytest.raises(DataError, match="does not exist"):
        StationTable().open([tmp_path / "none.csv"], path)


# Values -----------------------------------------------------------------------------------------------------------------


def test_unsorted_times_change_nothing(tmp_path):
    assert prepared(tmp_path, observed=CLEAN[::-1]).daily.identical(prepared(tmp_path).daily)


def test_repeated_hour_is_kept_once(tmp_path):
    stations = prepared(tmp_path, observed=[*CLEAN, CLEAN[0]])
    assert entries(stations) == [("1", "repeated", 1)]
    assert stations.daily.identical(prepared(tmp_path).daily)


def test_contradicting_hours_are_left_out(tmp_path):
    # hour 0 of CLEAN is 10; without it 1 July is (11 + … over 23 hours): (Σ of 24 hours − 10) / 23
    stations = prepared(tmp_path, observed=[*CLEAN, "1,2023-07-01 00:00,99,true"])
    assert entries(stations) == [("1", "contradicts another value of the same time", 2)]
    assert float(stations.daily[0, 0]) == pytest.approx((sum(10 + h % 7 for h in range(24)) - 10) / 23)


def test_stuck_day(tmp_path):
    stations = prepared(tmp_path, observed=replaced({h: "33" for h in range(24)}))
    assert entries(stations) == [("1", "stuck: 24 or more equal hours in a row", 24)]
    assert bool(stations.daily[0, 0].isnull())


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("-9900", "outside -1 … 1000 µg m⁻³"),
        ("9108", "outside -1 … 1000 µg m⁻³"),
        ("NaN", "no finite number"),
        ("inf", "no finite number"),
        ("", "no finite number"),
    ],
)
def test_block_of_bad_values_takes_its_day(tmp_path, value, why):
    stations = prepared(tmp_path, observed=replaced({h: value for h in range(7)}))
    assert entries(stations) == [("1", why, 7), ("1", "day of fewer than 18 valid hours", 1)]
    assert stations.daily.isnull().values.tolist() == [[True, False], [False, False]]


def test_small_negatives_are_noise_about_zero(tmp_path):
    assert entries(prepared(tmp_path, observed=replaced({0: "-0.4"}))) == []


def test_values_called_invalid(tmp_path):
    stations = prepared(tmp_path, observed=replaced({3: "12", 4: "9999"}, valid="false"))
    assert entries(stations) == [("1", "the provider calls it invalid", 2)]


# Splits -----------------------------------------------------------------------------------------------------------------


def test_withheld_station_that_does_not_exist(tmp_path):
    with pytest.raises(StudyError, match=r"no station is called '22'; nearest: '2'"):
        split(prepared(tmp_path), withheld=["22"], fraction=0.25, seed=0)


def test_withheld_station_that_was_screened_out(tmp_path):
    stations = prepared(tmp_path, places=[PLACES[0], "2,-3.75,40.45,traffic,urban"])
    with pytest.raises(StudyError, match="station '2' is not used: type traffic is not used"):
        split(stations, withheld=["2"], fraction=0.25, seed=0)


def test_all_stations_withheld(tmp_path):
    with pytest.raises(StudyError, match="all 2 stations are withheld"):
        split(prepared(tmp_path), withheld=["1", "2"], fraction=0.25, seed=0)


def test_one_station_cannot_be_split(tmp_path):
    with pytest.raises(StudyError, match="at least two"):
        split(prepared(tmp_path, places=PLACES[:1]), fraction=0.25, seed=0)
