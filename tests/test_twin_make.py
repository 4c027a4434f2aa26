"""A whole small twin: files that the sources read, resumed to the bit, refused where it is another."""

import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr

from airloom.errors import StudyError
from airloom.sources.cams import CAMSEurope
from airloom.sources.cams_glob_ant import CAMSGlobAnt
from airloom.sources.census import Census
from airloom.sources.eea import EEA
from airloom.sources.era5 import ERA5Pressure, ERA5Single
from airloom.sources.flights import Flights
from airloom.sources.roads import Roads
from airloom.sources.station_table import StationTable
from airloom.twin.layers import HEIGHTS
from airloom.twin.make import make
from airloom.twin.world import Plan

PLAN = Plan(date(2019, 1, 31), date(2019, 2, 1), lon=4.4, lat=50.9, size=128_000, cell=8000)  # Brussels, two months


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin") / "brussels"
    return make(PLAN, folder)


def files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    assert found, pattern
    return found


def test_the_truth_is_daily_positive_and_highest_where_people_are(twin: Path):
    with xr.open_mfdataset(files(twin, "truth/*.nc"), engine="netcdf4") as truth:
        assert truth.sizes == {"time": 2, "height": 8, "y": 16, "x": 16}
        np.testing.assert_array_equal(truth["height"], HEIGHTS)
        no2 = truth["no2"].load()
        assert float(no2.min()) > 0
        assert float(no2[0, 0].max()) > 2 * float(no2[0, 0].median())
        assert (no2.mean(("time", "y", "x")).diff("height") < 0).all()


def test_every_source_reads_its_file(twin: Path):
    gases = CAMSEurope().open(files(twin, "cams/*no2*"), ["no2"])
    assert gases.sizes["time"] == 48
    assert gases.sizes["height"] == 8
    single = ERA5Single().open(files(twin, "era5/single-*"), ["t2m", "blh", "u10", "avg_tprate"])
    assert 250 < float(single["t2m"].mean()) < 300
    pressure = ERA5Pressure().open(files(twin, "era5/pressure-*"), ["z", "t", "w"])
    assert pressure.sizes["level"] == 8
    grid = PLAN.grid
    emitted = CAMSGlobAnt(files(twin, "static/CAMS-GLOB-ANT*"), years=(2018,)).layers(grid)
    assert float(emitted["nox_road"].sum()) > 0
    people = Census(twin / "static" / "population.gpkg").layers(grid)["population"]
    assert 3e6 < float(people.sum()) * 64 < 20e6  # Belgium's middle: Brussels, Antwerp, Ghent, Liège
    assert float(Roads(twin / "static" / "roads.gpkg").layers(grid).to_array().sum()) > 0
    flown = Flights([twin / "static" / "flights.csv"]).daily(np.array(["2019-01-31", "2019-02-01"], "datetime64[D]"))
    assert float(flown.to_array().min() if isinstance(flown, xr.Dataset) else flown.min()) > 1000


def test_stations_come_as_the_eea_sends_them(twin: Path):
    table = pl.read_parquet(twin / "eea" / "sampling_points.parquet")
    assert table.height >= 5
    records = EEA().open(
        files(twin, "eea/observations/*.parquet"), twin / "eea" / "sampling_points.parquet", pollutant="no2"
    )
    assert records.observations["station"].n_unique() == table.height
    assert records.observations.height == 48 * table.height


def test_the_second_network_is_a_table_that_a_source_reads(twin: Path):
    table = StationTable()
    records = table.open([twin / "weather" / "weather.csv"], twin / "weather" / "stations.csv", columns={"value": "wind"})
    assert records.observations["station"].n_unique() >= 5
    assert 0 < records.observations["value"].mean() < 20


def test_the_budget_is_kept_with_the_month(twin: Path):
    facts = json.loads((twin / "state" / "2019-01.json").read_text())
    assert facts["days"] == 1
    assert set(facts["gained"]) == {"no", "no2", "o3"}


def test_a_stopped_twin_goes_on_to_the_bit(twin: Path, tmp_path: Path):
    copy = tmp_path / "again"
    shutil.copytree(twin, copy)
    for path in [*copy.glob("*/*2019-02*"), *copy.glob("eea/*.parquet")]:
        path.unlink()
    make(PLAN, copy, threads=2)
    for name in ("truth/2019-02.nc", "cams/cams.eaq.vra.ENSa.no2.l0.2019-02.nc"):
        with xr.open_dataset(twin / name, engine="netcdf4") as a, xr.open_dataset(copy / name, engine="netcdf4") as b:
            xr.testing.assert_identical(a.load(), b.load())
    for name in ("state/observed-2019-02.parquet", "eea/sampling_points.parquet"):
        assert pl.read_parquet(twin / name).equals(pl.read_parquet(copy / name))


def test_a_folder_of_another_twin_is_refused(twin: Path):
    with pytest.raises(StudyError, match=r"another twin: seed 0 there, 7 asked"):
        make(Plan(PLAN.start, PLAN.end, lon=4.4, lat=50.9, size=128_000, cell=8000, seed=7), twin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": date(2019, 1, 1)}, "before it starts"),
        ({"size": 100_001}, "a whole number"),
        ({"species": "no2"}, "choose nox or all"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict, message: str):
    with pytest.raises(StudyError, match=message):
        Plan(**{"start": PLAN.start, "end": PLAN.end, **change})
