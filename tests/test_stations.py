"""Screening and splits: what is kept, what is averaged, who is withheld."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airloom.errors import DataError, StudyError
from airloom.grid import Grid
from airloom.screening import screen
from airloom.sources.base import METADATA, OBSERVATIONS, StationRecords
from airloom.sources.station_table import StationTable
from airloom.stations import Rules, Stations, split
from airloom.study import load

GRID = Grid.around(-3.7, 40.4, cell=2000, shape=(8, 8))
DAYS = (date(2023, 1, 1), date(2023, 1, 4))
LENIENT = Rules(min_hours=2, min_year_fraction=0)
LON, LAT = GRID.lonlat()


def station(one: str, row: int = 4, column: int = 4, *, kind: str | None = "background", area: str = "urban") -> dict:
    place = {"lon": float(LON[row, column]), "lat": float(LAT[row, column]), "altitude": 600.0}
    return {"station": one, "name": f"name {one}", **place, "type": kind, "area": area}


def hour(one: str, day: int, at: int, value: float | None, *, hours: float = 1, valid: bool = True) -> tuple:
    return one, datetime(2023, 1, day, tzinfo=UTC) + timedelta(hours=at), hours, value, valid


def records(metadata: list[dict], observations: list[tuple]) -> StationRecords:
    return StationRecords(pl.DataFrame(metadata, METADATA), pl.DataFrame(observations, OBSERVATIONS, orient="row"))


def why(stations: Stations) -> list[tuple[str, int]]:
    return [(e.why, e.count) for e in stations.ledger.of("value", "out")]


def test_daily_mean_of_the_hours_of_a_utc_day():
    # 23:00 of 1 January belongs to the 1st, 00:00 of the 2nd to the 2nd: means (10 + 20) / 2 and (30 + 50) / 2
    found = screen(
        records([station("a")], [hour("a", 1, 0, 10), hour("a", 1, 23, 20), hour("a", 2, 0, 30), hour("a", 2, 1, 50)]),
        GRID,
        LENIENT,
        DAYS,
    )
    assert found.daily.dims == ("time", "station")
    np.testing.assert_array_equal(found.daily.sel(station="a"), [15, 40, np.nan, np.nan])
    assert found.daily.attrs["units"] == "ug m-3"
    assert found.table.select("station", "row", "column").rows() == [("a", 4, 4)]


def test_day_of_too_few_hours_is_left_out():
    found = screen(
        records([station("a")], [hour("a", 1, h, 10) for h in (0, 1)] + [hour("a", 2, 0, 10)]), GRID, LENIENT, DAYS
    )
    assert int(found.daily.count()) == 1
    assert why(found) == [("day of fewer than 2 valid hours", 1)]


def test_year_of_too_few_days_is_left_out():
    # a has 3 of 4 days, b has 1 of 4; at least half are needed
    hours = [hour("a", d, h, 10) for d in (1, 2, 3) for h in (0, 1)] + [hour("b", 1, h, 10) for h in (0, 1)]
    rules = Rules(min_hours=2, min_year_fraction=0.5)
    found = screen(records([station("a"), station("b", 2, 2)], hours), GRID, rules, DAYS)
    assert found.table["station"].to_list() == ["a"]
    assert why(found) == [("2023: 1 of 4 days, less than 50%", 1)]
    assert [(e.what, e.why) for e in found.ledger.of("station", "out")] == [("b", "no day is left")]


def test_daily_values_are_used_as_they_are():
    # a day that begins at 22:00 UTC of the day before (a clock ahead by two hours) has its middle at 10:00 UTC
    found = screen(records([station("a")], [hour("a", 2, -2, 33, hours=24)]), GRID, LENIENT, DAYS)
    np.testing.assert_array_equal(found.daily.sel(station="a"), [np.nan, 33, np.nan, np.nan])


def test_mean_of_some_hours_of_each_day():
    # 1 January, 11:00 and 12:00: (20 + 30) / 2; what is before and after them is not asked for; the 2nd has one hour
    observed = [hour("a", 1, h, v) for h, v in ((10, 100), (11, 20), (12, 30), (13, 100))] + [hour("a", 2, 12, 40)]
    found = screen(records([station("a")], observed), GRID, LENIENT, DAYS, (11, 13))
    np.testing.assert_array_equal(found.daily.sel(station="a"), [25, np.nan, np.nan, np.nan])
    assert why(found) == [("day of fewer than 2 valid hours", 1)]
    # an hour belongs to the hour that holds its middle: 10:40 to 11:40 is of 11:00
    found = screen(
        records([station("a")], [hour("a", 1, 10 + 2 / 3, 7), hour("a", 1, 12, 9)]), GRID, LENIENT, DAYS, (11, 13)
    )
    assert float(found.daily[0, 0]) == 8


def test_stuck_hours_are_found_over_the_whole_day():
    rules = Rules(min_hours=1, min_year_fraction=0, stuck_hours=4)
    observed = [hour("a", 1, h, 7) for h in range(9, 13)] + [
        hour("a", 2, 11, 5)
    ]  # 9:00 to 12:00 are equal, also two of ours
    found = screen(records([station("a")], observed), GRID, rules, DAYS, (11, 13))
    np.testing.assert_array_equal(found.daily.sel(station="a"), [np.nan, 5, np.nan, np.nan])


def test_daily_values_say_nothing_of_some_hours():
    metadata, daily = [station("a"), station("b", 2, 2)], [hour("b", 1, 0, 33, hours=24)]
    observed = [hour("a", 1, h, 10) for h in (11, 12)]
    found = screen(records(metadata, observed + daily), GRID, LENIENT, DAYS, (11, 13))
    assert found.table["station"].to_list() == ["a"]
    assert why(found) == [("daily value, and the 11:00 to 13:00 UTC mean is asked for", 1)]
    with pytest.raises(DataError, match=r"all 1 values are daily ones; the 11:00 to 13:00 UTC mean needs hourly values"):
        screen(records(metadata, daily), GRID, LENIENT, DAYS, (11, 13))


def test_stations_of_one_cell_are_averaged_day_by_day_and_background_names_the_type():
    # 1 January: (10 + 30) / 2; 2 January: only the industrial station, 50
    metadata = [station("b", kind="industrial", area="rural"), station("c", area="suburban")]
    hours = [hour("c", 1, h, 10) for h in (0, 1)] + [hour("b", d, h, v) for d, v in ((1, 30), (2, 50)) for h in (0, 1)]
    found = screen(records(metadata, hours), GRID, LENIENT, DAYS)
    np.testing.assert_array_equal(found.daily.sel(station="b+c"), [20, 50, np.nan, np.nan])
    assert found.table.select("station", "name", "type", "area").rows() == [
        ("b+c", "name b+name c", "background", "suburban")
    ]


def test_stuck_hours_are_left_out_but_not_zeros_nor_runs_with_a_gap():
    rules = Rules(min_hours=1, min_year_fraction=0, stuck_hours=3)
    stuck = [hour("a", 1, h, 7) for h in (0, 1, 2)] + [hour("a", 1, 3, 8)]  # left: 8
    zeros = [hour("b", 1, h, 0) for h in range(5)]  # left: all
    gap = [hour("c", 1, h, 7) for h in (0, 1, 3, 4)]  # left: all
    found = screen(
        records([station("a", 0, 0), station("b", 1, 1), station("c", 2, 2)], stuck + zeros + gap), GRID, rules, DAYS
    )
    assert found.daily.isel(time=0).values.tolist() == [8, 0, 7]
    assert why(found) == [("stuck: 3 or more equal hours in a row", 3)]


def test_madrid(data):
    # counted with pyarrow and zoneinfo: 28079024 has 343 UTC days of at least 18 valid hours in 2023, their mean is
    # 16.030937 µg/m³; 1 July 2023 is 6.166667, 29 October 9.478261 (23 of its hours are in the file)
    study = load(Path(__file__).parents[1] / "studies" / "madrid.yaml")
    part = study.stations
    found = StationTable().open(
        [data / f for f in part.observations],
        data / part.metadata,
        columns=part.columns,
        units=part.units,
        timezone=part.timezone,
        marks=part.marks,
        types=part.types,
    )
    stations = screen(found, study.target_grid, part.rules(), (study.period.start, study.period.end))
    assert len(stations.table) == 14
    withheld = split(stations, withheld=part.split.withheld, fraction=0.25, seed=0)
    year = stations.daily.sel(time="2023")
    assert int(year[:, withheld.values].count()) == 1716
    assert int(year[:, withheld.values][(year.time.dt.day != 31).values].count()) == 1682
    one = year.sel(station="28079024")
    assert int(one.count()) == 343
    assert float(one.mean()) == pytest.approx(16.030937, abs=1e-6)
    assert float(one.sel(time="2023-07-01")) == pytest.approx(6.166667, abs=1e-6)
    assert float(one.sel(time="2023-10-29")) == pytest.approx(9.478261, abs=1e-6)
    assert ("28079027", "type unknown") in [(e.what, e.why) for e in stations.ledger.of("station", "out")]


HOURS = st.lists(
    st.builds(
        hour,
        st.sampled_from("abc"),
        st.integers(1, 4),
        st.integers(0, 5),
        st.sampled_from([0.0, 1.5, 7.0, 7.0, 11.25, -50.0, float("nan"), None]),
        hours=st.sampled_from([1.0, 1.0, 1.0, 24.0, 48.0]),
        valid=st.booleans(),
    ),
    max_size=60,
)
THREE = [station("a"), station("b"), station("c", 1, 1, kind="industrial")]
SURE = [hour(one, 4, h, v) for one in "abc" for h, v in ((20, 10), (21, 12))]  # so that every station keeps a day


@settings(max_examples=20, deadline=None)
@given(HOURS, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(hours, random):
    first = screen(records(THREE, SURE + hours), GRID, LENIENT, DAYS)
    shuffled, metadata = SURE + hours, list(THREE)
    random.shuffle(shuffled)
    random.shuffle(metadata)
    second = screen(records(metadata, shuffled), GRID, LENIENT, DAYS)
    assert first.daily.identical(second.daily)
    assert first.table.equals(second.table)
    assert first.ledger == second.ledger


@settings(max_examples=20, deadline=None)
@given(HOURS, st.sampled_from("abc"), st.integers(1, 4), st.integers(0, 23), st.sampled_from([5.0, 1e9, float("inf"), None]))
def test_invalid_value_changes_nothing(hours, one, day, at, value):
    before = screen(records(THREE, SURE + hours), GRID, LENIENT, DAYS)
    after = screen(records(THREE, [*SURE, *hours, hour(one, day, at, value, valid=False)]), GRID, LENIENT, DAYS)
    assert before.daily.identical(after.daily)


@settings(max_examples=20, deadline=None)
@given(HOURS)
def test_every_day_is_explained_by_values_in_range(hours):
    found = screen(records(THREE, SURE + hours), GRID, LENIENT, DAYS)
    values = found.daily.values[np.isfinite(found.daily.values)]
    assert ((values >= LENIENT.lowest) & (values <= LENIENT.highest)).all()


def network(kinds: list[tuple[str, str]]) -> Stations:
    metadata = [station(f"s{i:02}", i // 8, i % 8, kind=k, area=a) for i, (k, a) in enumerate(kinds)]
    return screen(
        records(metadata, [hour(m["station"], 1, h, 10 + h) for m in metadata for h in (0, 1)]), GRID, LENIENT, DAYS
    )


def test_split_takes_a_share_of_every_type_and_area():
    # 8 urban, 4 rural, 4 industrial; a quarter: 2, 1, 1
    stations = network([("background", "urban")] * 8 + [("background", "rural")] * 4 + [("industrial", "urban")] * 4)
    withheld = split(stations, fraction=0.25, seed=3).values
    assert [int(withheld[a:b].sum()) for a, b in ((0, 8), (8, 12), (12, 16))] == [2, 1, 1]
    assert (withheld == split(stations, fraction=0.25, seed=3).values).all()


KINDS = st.tuples(st.sampled_from(["background", "industrial"]), st.sampled_from(["urban", "suburban", "rural"]))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(KINDS, min_size=2, max_size=30), st.floats(0.01, 0.99), st.integers(0, 99), st.randoms(use_true_random=False)
)
def test_split_partitions_and_does_not_depend_on_order(kinds, fraction, seed, random):
    stations = network(kinds)
    withheld = split(stations, fraction=fraction, seed=seed)
    assert 1 <= int(withheld.sum()) <= len(kinds) - 1
    assert abs(int(withheld.sum()) - fraction * len(kinds)) <= 1
    order = list(range(len(kinds)))
    random.shuffle(order)
    shuffled = Stations(stations.table[order], stations.daily[:, order], stations.ledger)
    again = split(shuffled, fraction=fraction, seed=seed)
    assert again.sel(station=withheld.station.values).identical(withheld)


def test_cell_is_withheld_with_any_of_its_stations():
    hours = [hour(one, 1, h, 10 + h) for one in "abc" for h in (0, 1)]
    stations = screen(records(THREE, hours), GRID, LENIENT, DAYS)
    withheld = split(stations, withheld=["b"], fraction=0.25, seed=0)
    assert withheld.to_series().to_dict() == {"a+b": True, "c": False}
    assert [e.why for e in stations.ledger.of("station", "changed")][-1].endswith("a shares the cell of one named")


def test_background_that_the_reanalysis_does_not_know_is_withheld():
    # a+b is known by b, c is not; a quarter of the four industrial cells is one; "z" was never here
    metadata = [station("a"), station("b"), station("c", 1, 1)]
    metadata += [station(f"i{i}", 6, i, kind="industrial") for i in range(4)]
    hours = [hour(m["station"], 1, h, 10 + h) for m in metadata for h in (0, 1)]
    stations = screen(records(metadata, hours), GRID, LENIENT, DAYS)
    for seed in range(3):
        found = split(stations, assimilated=["b", "i0", "z"], fraction=0.25, seed=seed).to_series()
        assert found[["a+b", "c"]].tolist() == [False, True]
        assert found[["i0", "i1", "i2", "i3"]].sum() == 1


def test_one_industrial_station_is_kept_to_train_on():
    stations = network([("background", "urban")] * 2 + [("industrial", "urban")])
    assert split(stations, assimilated=["s00"], fraction=0.9, seed=0).values.tolist() == [False, True, False]


@pytest.mark.parametrize(("known", "which"), [(["z"], "none"), (["s00", "s01", "s02"], "all")])
def test_a_list_of_another_region_or_of_every_station_is_refused(known, which):
    stations = network([("background", "urban")] * 3)
    with pytest.raises(StudyError, match=f"its {len(known)} stations name {which} of the study's 3 background stations"):
        split(stations, assimilated=known, fraction=0.25, seed=0)
