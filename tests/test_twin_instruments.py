"""The twin's stations and its reanalysis."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from airloom.errors import StudyError
from airloom.sources.base import OBSERVATIONS
from airloom.twin import network as instruments
from airloom.twin.network import KINDS, network, observe
from airloom.twin.reanalysis import Correction
from airloom.twin.weather_stations import measure, weather_network
from tests.twin_world import Steady, plain


def test_stations_stand_where_their_kind_belongs():
    world = plain(cells=200)
    table = network(world, 0).table
    people = world.population[table["row"].to_numpy(), table["column"].to_numpy()]
    area = table["area"].to_numpy()
    assert (people[area == "urban"] >= 800).all()
    assert (people[area == "rural"] < 150).all()
    assert not table.select("row", "column").is_duplicated().any()
    assert set(table.filter("assimilated")["type"]) == {"background"}
    assert network(world, 0).table.equals(table)
    assert not network(world, 1).table.equals(table)
    assert sum(share for share, *_ in KINDS.values()) == pytest.approx(1)


def test_instruments_report_the_truth_with_their_faults():
    stations = network(plain(cells=80), 0)
    hours = np.arange(np.datetime64("2019-03-01T00"), np.datetime64("2019-04-01T00"))
    shape = len(hours), len(stations.table)
    truth = {"no2": np.full(shape, 20.0), "no": np.full(shape, 10.0), "o3": np.full(shape, 50.0)}
    found = observe(stations, hours, truth, np.zeros((len(hours), 1)), 0)
    assert found.columns == list(OBSERVATIONS)
    assert found.height == shape[0] * shape[1]
    valid = found.filter("valid").join(stations.table.select("station", "factor", "type"), on="station")
    background = valid.filter(valid["type"] == "background")
    ratio = (background["value"] / 20 / background["factor"]).median()
    assert ratio == pytest.approx(1, abs=0.01)
    assert 0.9 < found["valid"].mean() < 1
    traffic = valid.filter(valid["type"] == "traffic")
    assert ((traffic["value"] - 3) / 20 / traffic["factor"]).median() == pytest.approx(1, abs=0.02)  # 0.3 of 10 of NO
    sunny = observe(stations, hours, truth, np.ones((len(hours), 1)), 0).filter("valid")
    assert sunny["value"].median() - found.filter("valid")["value"].median() == pytest.approx(0.02 * 50, abs=0.2)


def test_the_second_network_measures_the_weather_elsewhere():
    world = plain(cells=80)
    taken = network(world, 0).cells
    stations = weather_network(world, taken, 0)
    assert not set(zip(*taken, strict=True)) & set(stations.select("row", "column").iter_rows())
    grid = Steady(world.grid).grid
    time = np.arange(np.datetime64("2019-07-01T00", "ns"), np.datetime64("2019-07-02T00", "ns"), np.timedelta64(1, "h"))
    shape = (24, *grid.shape)
    values = {"t2m": 293.15, "d2m": 283.15, "u10": 3.0, "v10": 4.0}
    weather = xr.Dataset({n: (("time", "y", "x"), np.full(shape, v)) for n, v in values.items()}, {"time": time})
    found = measure(stations, weather, grid, world.grid, 0)
    assert found.height == 24 * stations.height
    # vapour pressure at 10 °C over that of saturation at 20 °C: 12.26 hPa / 23.33 hPa
    assert found["relative_humidity"].mean() == pytest.approx(52.6, abs=0.5)
    assert found["wind"].mean() == pytest.approx(5, abs=0.05)
    assert found["temperature"].mean() == pytest.approx(293.15, abs=0.05)
    assert 0 < found["wind"].null_count() < 0.03 * found.height


def test_an_instrument_does_not_get_stuck_while_it_is_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(instruments, "OUTAGES", 300.0)
    monkeypatch.setattr(instruments, "STUCK", 300.0)
    stations = network(plain(cells=80), 0)
    hours = np.arange(np.datetime64("2019-03-01T00"), np.datetime64("2019-04-01T00"))
    shape = len(hours), len(stations.table)
    truth = {n: np.full(shape, 20.0) for n in ("no2", "no", "o3")}
    found = observe(stations, hours, truth, np.zeros((len(hours), 1)), 0).filter("valid")
    assert found.height > 100
    assert found["value"].min() > 0  # −9900 and 0 are what an instrument says that is out


def test_a_window_without_a_place_for_a_station_is_refused():
    world = plain()
    with pytest.raises(StudyError, match="no station"):
        network(replace(world, land=np.zeros_like(world.land)), 0)


def one_station() -> tuple[Correction, np.ndarray]:
    x = np.arange(20) * 10_000.0
    return Correction.of(x, x[::-1], np.array([100_000.0]), np.array([90_000.0])), np.full((3, 20, 20), 10, np.float32)


def test_one_station_pulls_by_the_ratio_of_errors():
    # model error 3.5, station error 0.5 × 20 = 10: weight 3.5² / (3.5² + 10²) = 0.109 of the difference of 10
    correction, field = one_station()
    found = correction.analyse(field, np.array([20.0]), np.array([0.0, 500.0, 5000.0]))
    assert found[0, 10, 10] == pytest.approx(10 + 10 * 3.5**2 / (3.5**2 + 10**2), rel=1e-4)
    assert found[1, 10, 10] - 10 == pytest.approx((found[0, 10, 10] - 10) / np.e, rel=1e-4)
    assert found[2, 10, 10] == pytest.approx(10, abs=1e-3)
    assert 10 < found[0, 10, 13] < found[0, 10, 11] < found[0, 10, 10]
    assert found[0, 0, 0] == pytest.approx(10, abs=0.1)


def test_without_observations_the_model_stays():
    correction, field = one_station()
    np.testing.assert_array_equal(correction.analyse(field, np.array([np.nan]), np.zeros(3)), field)


def test_a_correction_never_makes_a_concentration_negative():
    correction, field = one_station()
    found = correction.analyse(np.full_like(field, 100), np.array([0.0]), np.zeros(3))
    assert found.min() >= 10
