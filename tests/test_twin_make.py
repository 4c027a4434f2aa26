"""A whole small twin: files that the sources read, resumed to the bit, refused where it is another."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import xarray as xr

from airloom.errors import DataError, StudyError
from airloom.sources.cams import CAMSEurope
from airloom.sources.cams_glob_ant import CAMSGlobAnt
from airloom.sources.census import Census
from airloom.sources.eea import EEA
from airloom.sources.era5 import ERA5Pressure, ERA5Single
from airloom.sources.flights import Flights
from airloom.sources.roads import Roads
from airloom.sources.station_table import StationTable
from airloom.twin import make as making
from airloom.twin.emissions import true_emissions
from airloom.twin.layers import HEIGHTS, LAYERS
from airloom.twin.make import Month, make
from airloom.twin.model import Hour, Model
from airloom.twin.network import Network
from airloom.twin.reanalysis import Correction
from airloom.twin.world import FLATTER, MIDDLE, MISJUDGED, Misjudged, Plan, World
from tests.twin_world import Steady, plain

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
    months = [xr.load_dataset(path, engine="netcdf4") for path in files(twin, "truth/*.nc")]
    truth = xr.concat(months, "time", data_vars="minimal")
    assert truth["no2"].sizes == {"time": 2, "height": 8, "y": 16, "x": 16}
    np.testing.assert_array_equal(truth["height"], HEIGHTS)
    no2 = truth["no2"]
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
    for name in ("single", "pressure"):  # no hour is in two files
        hours = np.concatenate([xr.open_dataset(f, engine="netcdf4")["time"] for f in files(twin, f"era5/{name}-*")])
        np.testing.assert_array_equal(hours, np.arange("2019-01-31T00", "2019-02-02T00", dtype="datetime64[h]"))
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


def test_station_files_that_were_not_finished_are_written_again(twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    copy = tmp_path / "again"
    shutil.copytree(twin, copy)
    shutil.rmtree(copy / "eea")

    def fails(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.DataFrame, "write_csv", fails)
    with pytest.raises(KeyboardInterrupt):
        make(PLAN, copy)
    monkeypatch.undo()
    make(PLAN, copy)
    assert (copy / "eea" / "assimilated.csv").read_bytes() == (twin / "eea" / "assimilated.csv").read_bytes()


def test_a_month_without_the_state_before_it_says_what_to_do(twin: Path, tmp_path: Path):
    copy = tmp_path / "again"
    shutil.copytree(twin, copy)
    (copy / "state" / "2019-02.json").unlink()
    (copy / "state" / "cams-2019-01.npz").unlink()
    with pytest.raises(DataError, match=r"cams-2019-01.npz is not there.*Remove .*2019-01.json"):
        make(PLAN, copy)


def month(stations: list[tuple[str, bool]]) -> Month:
    """The first day of 2019, in a world whose network is given: ids, and whether the reanalysis knows them."""
    day = date(2019, 1, 1)
    world = World(replace(PLAN, start=day, end=day))
    world.__dict__["network"] = Network(
        pl.DataFrame(stations, {"station": pl.String, "assimilated": pl.Boolean}, orient="row")
    )
    return Month(world, Path(), [day])


def reports(rows: list[tuple[str, int, float, bool]]) -> pl.DataFrame:
    """Of a station's hour on the first of January."""
    table = pl.DataFrame(rows, ["station", "hour", "value", "valid"], orient="row")
    start = pl.datetime(2019, 1, 1, pl.col("hour"), time_zone="UTC")
    return table.select("station", start=start, hours=1.0, value="value", valid="valid")


def test_the_reanalysis_gets_the_valid_values_of_the_stations_it_knows_in_their_hours():
    rows = [("c", 3, 7.0, True), ("a", 5, 4.0, True), ("b", 5, 9.0, True), ("a", 0, 1.0, False), ("a", 2, 5000.0, True)]
    found = month([("a", True), ("b", False), ("c", True), ("d", True)])._known(reports(rows))
    expected = np.full((24, 3), np.nan)
    expected[5, 0], expected[3, 1] = 4, 7
    np.testing.assert_array_equal(found, expected)
    assert month([("a", False)])._known(reports(rows)).shape == (24, 0)


def test_the_truth_keeps_the_hours_about_noon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A model whose air holds as many µg m⁻³ as the hour it is; on the second day a hundred more."""

    def of(state: object, day: date, emissions: object) -> Iterator[Hour]:
        for hour in range(24):
            air = np.full((len(LAYERS), 16, 16), hour + 100 * (day.day - 1), np.float32)
            yield Hour(datetime(day.year, day.month, day.day, hour), dict.fromkeys(("no2", "no", "o3"), air))

    monkeypatch.setattr(making, "observe", lambda *_: pl.DataFrame())
    some = month([("a", True)])
    some.folder, some.days = tmp_path, [date(2019, 1, 1), date(2019, 1, 2)]
    some.world.__dict__ |= {
        "model": SimpleNamespace(day=of),
        "emissions": SimpleNamespace(day=lambda *_: None),
        "weather": SimpleNamespace(surface=SimpleNamespace(lon=np.zeros((1, 1)), lat=np.zeros((1, 1)))),
        "network": SimpleNamespace(cells=(np.array([0]), np.array([0]))),
    }
    some._truth(None, lambda _: None)
    truth = xr.load_dataset(tmp_path / "truth" / "2019-01.nc", engine="netcdf4")
    assert truth["no2_hours"].dims == ("time", "hour", "height", "y", "x")
    assert truth["hour"].values.tolist() == [11, 12, 13]
    np.testing.assert_allclose(truth["no2_hours"][..., 3, 5, 7], [[11, 12, 13], [111, 112, 113]], rtol=1e-6)
    np.testing.assert_allclose(truth["no2"][:, 3, 5, 7], [11.5, 111.5], rtol=1e-6)  # 0 … 23


class Dated(Steady):
    """With its hours."""

    def day(self, day: date) -> xr.Dataset:
        return super().day(day).assign_coords(time=np.datetime64(day, "ns") + np.arange(24) * np.timedelta64(1, "h"))


def test_another_model_misjudges_the_boundary_layer_alone():
    steady = Dated(PLAN.grid)
    wrong = Misjudged(steady, 0)
    days = [date(2019, 1, 1) + timedelta(days=i) for i in range(60)]
    ratio = np.stack([wrong.day(d)["blh"].to_numpy() / 800 for d in days])
    assert ratio.shape == (60, 24, 6, 6)
    assert np.ptp(ratio, axis=(2, 3)).max() == 0
    assert np.log(ratio).std() == pytest.approx(MISJUDGED, rel=0.3)
    assert np.log(ratio).mean() == pytest.approx(-FLATTER * np.log(800 / MIDDLE), abs=0.05)  # a deep layer is too shallow
    daily = np.log(ratio[:, 12, 0, 0])
    assert np.abs(np.diff(ratio[:, :, 0, 0].ravel())).max() < 0.1  # also over midnight
    assert np.corrcoef(daily[1:], daily[:-1])[0, 1] < 0.9
    changed = wrong.day(days[0])
    for name, values in steady.day(days[0]).items():
        assert name in ("blh", "ustar") or values.equals(changed[name])


def test_the_reanalysis_is_too_rich_aloft_in_the_anomalous_year(monkeypatch: pytest.MonkeyPatch):
    written = {}
    monkeypatch.setattr(making, "write_cams", lambda fields, *_, **__: written.update(fields))
    monkeypatch.setattr(making, "on_degrees", lambda fields, *_, **__: fields)
    ground = plain(cells=16, cell=10_000.0)
    mean = []
    for year in (2020, 2019):
        monkeypatch.setattr(making, "ANOMALOUS", year)
        some = month([("a", False)])  # of 2019
        some.world.__dict__ |= {
            "coarse_grid": ground.grid,
            "coarse_model": Model(ground, Steady(ground.grid)),
            "coarse_emissions": true_emissions(ground, 0),
            "correction": Correction.of(ground.grid.x, ground.grid.y, np.zeros(0), np.zeros(0)),
        }
        some._reanalysis(some.world.coarse_model.start(some.days[0]), reports([("a", 0, 1.0, True)]))
        mean.append(written["no2"].mean(("time", "y", "x")).to_numpy())
    np.testing.assert_allclose(mean[1] / mean[0], np.where(HEIGHTS > 1000, 1.7, 1), rtol=1e-5)


def test_a_folder_of_another_twin_is_refused(twin: Path):
    with pytest.raises(StudyError, match=r"another twin: seed 0 there, 7 asked"):
        make(Plan(PLAN.start, PLAN.end, lon=4.4, lat=50.9, size=128_000, cell=8000, seed=7), twin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": date(2019, 1, 1)}, "before it starts"),
        ({"size": 100_001}, "a whole number"),
        ({"cell": 0}, "16 cells"),
        ({"species": "no2"}, "choose nox or all"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict, message: str):
    with pytest.raises(StudyError, match=message):
        Plan(**{"start": PLAN.start, "end": PLAN.end, **change})
