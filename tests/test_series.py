"""Hourly tables of several variables: clocks, units, gaps, doubts; nothing is ever filled."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airloom.errors import DataError
from airloom.ledger import Ledger
from airloom.series import Series, screen_series
from airloom.sources.base import Column, SeriesRecords
from airloom.sources.hourly_array import HourlyArray
from airloom.sources.hourly_table import HourlyTable

COLUMNS = {"pm2p5": Column("PM2.5", "ug m-3"), "t2m": Column("TEMP", "degC"), "wind": Column("speed", "m s-1", "from")}
PLACES = "station,lon,lat\nA,116.4,39.9\nB,116.5,40.0\n"
HEAD = "station,year,month,day,hour,PM2.5,TEMP,speed,from\n"


def opened(folder, text, *, timezone="UTC", marks="start", places=PLACES, columns=COLUMNS):
    (folder / "observed.csv").write_text(text)
    (folder / "places.csv").write_text(places)
    return HourlyTable().open([folder / "observed.csv"], folder / "places.csv", columns, timezone=timezone, marks=marks)


def test_units_wind_and_clock(tmp_path):
    found = opened(tmp_path, HEAD + "A,2020,1,1,8,35,10,3,N\nB,2020,1,1,8,NA,-5,2,W\n", timezone="Asia/Shanghai")
    first = found.hourly.row(0, named=True)
    assert str(first["start"]) == "2020-01-01 00:00:00+00:00"  # eight hours before Beijing's clock
    assert first["t2m"] == pytest.approx(283.15)
    assert (first["u10"], first["v10"]) == pytest.approx((0, -3))  # from the north is to the south
    second = found.hourly.row(1, named=True)
    assert second["pm2p5"] is None
    assert (second["u10"], second["v10"]) == pytest.approx((2, 0), abs=1e-12)


def test_an_hour_that_is_marked_by_its_end(tmp_path):
    found = opened(tmp_path, HEAD + "A,2020,1,1,8,35,10,0,N\n", marks="end")
    assert str(found.hourly["start"][0]) == "2020-01-01 07:00:00+00:00"


def test_wind_in_degrees_and_still_air(tmp_path):
    found = opened(tmp_path, HEAD + "A,2020,1,1,8,35,10,2,270\nA,2020,1,1,9,35,10,0,\n")
    assert found.hourly["u10"].to_list() == pytest.approx([2, 0])
    assert found.hourly["v10"].to_list() == pytest.approx([0, 0], abs=1e-12)


def test_clocks_that_change(tmp_path):
    """29 March 2020 has no 2 o'clock in Madrid; 25 October has it twice."""
    rows = "".join(f"A,2020,3,29,{h},1,0,1,N\n" for h in (1, 2, 3)) + "".join(f"A,2020,10,25,{h},1,0,1,N\n" for h in (2, 2))
    found = opened(tmp_path, HEAD + rows, timezone="Europe/Madrid")
    hours = [f"{t:%m-%d %H}" for t in found.hourly["start"]]
    assert hours == ["03-29 00", "03-29 01", "10-25 00", "10-25 01"]
    assert [e.why for e in found.ledger.entries] == ["the hour does not exist on the clock of Europe/Madrid"]


def test_ends_of_hours_on_a_clock_that_changes(tmp_path):
    """A label is what the clock shows when its hour ends: in March 3 o'clock follows 1, in October 2 o'clock comes twice."""
    rows = "".join(f"A,2020,3,29,{h},1,0,1,N\n" for h in (1, 3, 4)) + "".join(
        f"A,2020,10,25,{h},1,0,1,N\n" for h in (1, 2, 2, 3)
    )
    found = opened(tmp_path, HEAD + rows, timezone="Europe/Madrid", marks="end")
    hours = [f"{t:%m-%d %H}" for t in found.hourly["start"]]
    assert hours == ["03-28 23", "03-29 00", "03-29 01", "10-24 22", "10-24 23", "10-25 00", "10-25 01"]
    assert not found.ledger.entries


@pytest.mark.parametrize(
    ("text", "places", "columns", "said"),
    [
        (HEAD + "A,2020,1,1,8,much,1,1,N\n", PLACES, COLUMNS, "'much' in column 'PM2.5' is no number"),
        (HEAD + "A,2020,2,30,8,1,1,1,N\n", PLACES, COLUMNS, "2020-2-30 in columns year, month and day is no date"),
        ("station,PM2.5\nA,1\n", PLACES, {"pm2p5": COLUMNS["pm2p5"]}, "no column 'year'"),
        (HEAD + "A,2020,1,1,8,1,1,1,N\n", PLACES, {"o3": Column("O3", "ug m-3")}, "no column 'O3'"),
        (HEAD + "A,2020,1,1,8,1,1,1,N\n", PLACES, {"t2m": Column("TEMP", "hPa")}, "'hPa' is no unit of t2m"),
        (
            HEAD + "A,2020,1,1,8,1,1,1,N\n",
            PLACES + "A,117.9,39.9\n",
            COLUMNS,
            "station A stands at .* A station that moved is two",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, places, columns, said):
    with pytest.raises(DataError, match=said):
        opened(tmp_path, text, places=places, columns=columns)


@pytest.mark.parametrize(
    ("time", "timezone", "said"),
    [
        ("2020-01-01 08:30", "UTC", "station A has a value at 2020-01-01 08:30 UTC, not on a full hour"),
        ("2020-01-01 08:00", "Asia/Kolkata", "at 2020-01-01 02:30 UTC, .*the clock of Asia/Kolkata"),
        ("2020-01-01 08:00+05:30", "UTC", "at 2020-01-01 02:30 UTC"),
    ],
)
def test_a_time_between_hours_is_refused(tmp_path, time, timezone, said):
    columns = {"pm2p5": COLUMNS["pm2p5"]}
    with pytest.raises(DataError, match=said):
        opened(tmp_path, f"station,time,PM2.5\nA,{time},1\n", columns=columns, timezone=timezone)
    archive(tmp_path / "hours.npz", time=[time])
    with pytest.raises(DataError, match=said):
        HourlyArray().open([tmp_path / "hours.npz"], tmp_path / "places.csv", columns, timezone=timezone)


@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_half_an_archive_is_named(tmp_path, share):
    (tmp_path / "places.csv").write_text(PLACES)
    path = tmp_path / "hours.npz"
    archive(path, time=["2020-01-01T08"] * 100)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"hours\.npz: is no archive .* Fetch it again"):
        HourlyArray().open([path], tmp_path / "places.csv", {"pm2p5": COLUMNS["pm2p5"]})


def test_full_hours_of_utc_on_a_clock_between_them(tmp_path):
    columns = {"pm2p5": COLUMNS["pm2p5"]}
    found = opened(tmp_path, "station,time,PM2.5\nA,2020-01-01 08:30,1\n", columns=columns, timezone="Asia/Kolkata")
    assert str(found.hourly["start"][0]) == "2020-01-01 03:00:00+00:00"  # five hours and a half before


def archive(path, **others):
    """Hours of the stations of PLACES."""
    hours = np.ones((len(others["time"]), 2, 1))
    given = {"data": hours, "lon": [116.4, 116.5], "lat": [39.9, 40.0], "pollutant": np.array(["PM2.5"]), **others}
    np.savez(path, **given)


def test_an_archive_is_read_without_unpickling(tmp_path):
    data = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    data[0, 1, 0] = np.nan
    named = np.array(["A", "B"], object)  # a pickle, which must not be opened
    time = np.array(["2020-01-01T08", "2020-01-01T09", "2020-01-01T10"])
    path = tmp_path / "hours.npz"
    np.savez(
        path, data=data, time=time, station=named, lon=[116.4, 116.5], lat=[39.9, 40.0], pollutant=np.array(["PM2.5", "CO"])
    )
    (tmp_path / "places.csv").write_text(PLACES)
    columns = {"pm2p5": Column("PM2.5", "ug m-3"), "co": Column("CO", "mg m-3")}
    found = HourlyArray().open([path], tmp_path / "places.csv", columns, timezone="Asia/Shanghai").hourly
    assert found["station"].to_list() == ["A", "B"] * 3
    assert found["pm2p5"].to_list() == [0, None, 4, 6, 8, 10]
    assert found["co"].to_list() == [1000.0 * v for v in (1, 3, 5, 7, 9, 11)]
    (tmp_path / "places.csv").write_text("station,lon,lat\nB,116.5,40.0\nA,116.4,39.9\n")
    with pytest.raises(DataError, match="must list the archive's stations in their order"):
        HourlyArray().open([path], tmp_path / "places.csv", columns)


def records(values, station="A", **others):
    """A station's hours from midnight on."""
    start = pl.datetime_range(
        pl.datetime(2020, 1, 1), pl.datetime(2020, 1, 1) + pl.duration(hours=len(values) - 1), "1h", eager=True
    )
    rows = pl.DataFrame(
        {"station": station, "start": start.dt.replace_time_zone("UTC"), "part": 0, "pm2p5": values, **others}
    )
    places = pl.DataFrame(
        {"station": ["A"], "name": ["A"], "lon": [1.0], "lat": [2.0], "altitude": [None], "type": [None], "area": [None]}
    )
    return SeriesRecords(places, rows.with_columns(pl.col("pm2p5").cast(pl.Float64)))


def screened(found, days=1):
    return screen_series(found, (date(2020, 1, 1), date(2020, 1, days)), needed="pm2p5")


def why(series):
    return {(e.what, e.why): e.count for e in series.ledger.entries}


def test_negative_large_and_missing_values_become_gaps():
    found = screened(records([5.0, -1, 553_405, None, float("nan"), 7]))
    assert np.isnan(found.data["pm2p5"].values[:, 0]).tolist() == [False, True, True, True, True, False] + [True] * 18
    assert why(found) == {("A", "pm2p5: outside 0 … 1000 ug m-3"): 2, ("A", "pm2p5: no finite number"): 1}


def test_hours_that_stand_twice():
    once = records([1.0, 2, 3])
    twice = SeriesRecords(once.metadata, pl.concat([once.hourly, once.hourly.with_columns(pm2p5=pl.Series([1.0, 9, 3]))]))
    found = screened(twice)
    assert found.data["pm2p5"].values[:3, 0].tolist() == pytest.approx([1, np.nan, 3], nan_ok=True)
    assert why(found) == {
        ("A", "pm2p5: contradicts another value of the same hour"): 2,
        ("A", "pm2p5: hours that stand twice, alike; one kept"): 4,
    }


def test_a_stuck_instrument_is_left_out_and_small_values_are_not():
    found = screened(records([50.0] * 24 + [3.0] * 24), days=2)
    assert np.isnan(found.data["pm2p5"].values[:24, 0]).all()
    assert (found.data["pm2p5"].values[24:, 0] == 3).all()
    assert why(found) == {("A", "pm2p5: stuck, 24 or more equal hours in a row"): 24}


def test_a_variable_that_nobody_has_is_left_out_unless_it_is_needed():
    found = screened(records([1.0, 2], o3=pl.Series([None, None], dtype=pl.Float64)))
    assert list(found.data.data_vars) == ["pm2p5"]
    assert ("o3", "no station has a value of it") in why(found)
    with pytest.raises(DataError, match="no value of pm2p5 is left"):
        screened(records([None, None], o3=[1.0, 2.0]))


def test_what_is_kept_comes_back(tmp_path):
    found = screened(records([1.0, None, 3]))
    found.write(tmp_path, "this")
    again = Series.kept(tmp_path, "this")
    assert again is not None
    assert again.data.equals(found.data)
    assert again.table.equals(found.table)
    assert Series.kept(tmp_path, "that") is None
    assert Series.kept(tmp_path / "nowhere", "this") is None


@given(st.lists(st.one_of(st.none(), st.floats(-50, 1500)), min_size=1, max_size=48))
def test_nothing_is_filled_and_nothing_true_is_lost(values):
    """Every hour that has a value after screening had just that value before, and every plausible one is still there."""
    try:
        found = screened(records(values), days=2)
    except DataError:
        assert all(v is None or not 0 <= v <= 1000 for v in values) or len(set(values)) == 1
        return
    after = found.data["pm2p5"].values[: len(values), 0]
    for before, now in zip(values, after, strict=True):
        assert np.isnan(now) or now == np.float32(before)
        if before is not None and not 0 <= before <= 1000:
            assert np.isnan(now)
    assert isinstance(found.ledger, Ledger)
