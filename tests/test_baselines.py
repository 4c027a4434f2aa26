"""Baselines: values by hand, nothing read that must not be."""

from dataclasses import replace

import numpy as np
import pytest

from airloom.errors import DataError
from airloom.verify.baselines import (
    BASELINES,
    Network,
    climatology,
    inverse_distance,
    kriging,
    network_mean,
    regression_kriging,
)


def network(observed, x, *, withheld, y=None, days=None, features=None, train_years=(2022,), adapt_years=()):
    """A network on a line; without `days`, all are test days of 2023."""
    observed = np.asarray(observed, float)
    time, station = observed.shape
    days = np.datetime64("2023-01-01") + np.arange(time) if days is None else days
    features = np.zeros((time, station, 1)) if features is None else features
    return Network(
        days,
        observed,
        np.asarray(x, float),
        np.zeros(station) if y is None else np.asarray(y, float),
        np.asarray(withheld, bool),
        features,
        tuple(f"f{i}" for i in range(features.shape[2])),
        train_years,
        adapt_years,
        days >= np.datetime64("2023-01-01"),
    )


@pytest.fixture(scope="module")
def two_years() -> Network:
    """Ten stations, two of them withheld, the first 55 days of 2022 and of 2023: a common signal, a gradient, noise and gaps."""
    rng = np.random.default_rng(0)
    days = np.concatenate([np.datetime64(f"{year}-01-01") + np.arange(55) for year in (2022, 2023)])
    x, y = rng.uniform(0, 20e3, (2, 10))
    signal = rng.normal(0, 8, len(days))
    observed = 30 + signal[:, None] + 0.6e-3 * x + rng.normal(0, 1.5, (len(days), 10))
    observed[rng.random(observed.shape) < 0.03] = np.nan
    weather = np.broadcast_to(signal[:, None, None], (len(days), 10, 1)) + rng.normal(0, 2, (len(days), 1, 1))
    return network(observed, x, y=y, withheld=[False] * 8 + [True] * 2, days=days, features=weather, adapt_years=(2023,))


def test_network_mean_leaves_a_station_out_of_its_own():
    out = network_mean(network([[10, 20, 60, 99], [10, np.nan, 60, 99]], [0, 1, 2, 3], withheld=[0, 0, 0, 1]))
    # day 0: (20+60)/2, (10+60)/2, (10+20)/2, and all three for the withheld one; day 1 lacks the second
    assert out.tolist() == [[40, 35, 15, 30], [60, 35, 10, 35]]


def test_regression_kriging_knows_a_summit_by_its_height_and_kriging_does_not():
    draw = np.random.default_rng(0)
    days = np.concatenate([np.datetime64(f"{year}-01-01") + np.arange(30) for year in (2022, 2023)])
    height = np.array([0.0, 500, 100, 900, 300, 700, 200, 1000])  # m; the last is withheld
    level = draw.uniform(10, 40, (60, 1))
    observed = level * (1 - 0.4 * height / 1000)
    features = np.broadcast_to(height[None, :, None], (60, 8, 1))
    net = network(observed, np.arange(8) * 1e5, withheld=[False] * 7 + [True], days=days, features=features)
    error = [abs(baseline(net)[30:, 7] - observed[30:, 7]).mean() for baseline in (regression_kriging, kriging)]
    assert error[0] < 0.2 * error[1]


def test_inverse_distance_by_hand():
    out = inverse_distance(network([[10, 40, 99]], [0, 3000, 1000], withheld=[0, 0, 1]))
    # the withheld one is 1 km from 10 and 2 km from 40: weights 1 and 1/4
    assert out[0] == pytest.approx([40, 10, (10 + 40 / 4) / 1.25])


def test_nothing_is_said_where_no_other_station_is_there():
    out = inverse_distance(network([[10, np.nan, 99]], [0, 3000, 1000], withheld=[0, 0, 1]))
    assert np.isnan(out[0, 0])
    assert out[0, 1:].tolist() == [10, 10]


def test_stations_of_one_place_do_not_divide_by_zero():
    out = inverse_distance(network([[10, 40, 99]], [0, 3000, 0], withheld=[0, 0, 1]))
    assert out[0, 2] == pytest.approx(10, abs=1e-5)


def test_climatology_by_hand():
    # 2022-06-06 is a Monday, the 11th a Saturday, the 20th out of reach of 2023-06-08, a Thursday
    days = np.array(["2022-06-06", "2022-06-07", "2022-06-11", "2022-06-20", "2023-06-08"], "datetime64[D]")
    observed = [[10, 20, 99], [30, np.nan, 99], [500, 500, 99], [900, 900, 99], [1, 1, 99]]
    out = climatology(network(observed, [0, 1, 2], withheld=[0, 0, 1], days=days))
    assert np.isnan(out[:4]).all()
    assert out[4].tolist() == [20, 20, 20]  # (20), (10 + 30)/2, (10 + 20 + 30)/3


def test_climatology_reaches_over_new_year():
    days = np.array(["2022-01-04", "2022-12-28", "2023-01-02"], "datetime64[D]")  # Tuesday, Wednesday, Monday
    out = climatology(network([[10, 0], [20, 0], [0, 0]], [0, 1], withheld=[0, 1], days=days))
    assert out[2, 1] == 15


def test_kriging_without_a_history_is_the_network_mean():
    few = network([[10, 20, 60, 99], [10, np.nan, 60, 99]], [0, 1e3, 2e3, 3e3], withheld=[0, 0, 0, 1])
    assert kriging(few) == pytest.approx(network_mean(few))


@pytest.mark.parametrize("name", BASELINES)
def test_withheld_stations_are_never_read(name, two_years):
    blind = two_years.observed.copy()
    blind[:, two_years.withheld] = 1e6
    out = BASELINES[name].predict(replace(two_years, observed=blind))
    assert np.array_equal(out, BASELINES[name].predict(two_years), equal_nan=True)
    assert np.isnan(out[~two_years.test_days]).all()
    spoken_of = two_years.withheld | (name != "gradient-boosting-neighbours")  # which says nothing of training stations
    assert np.isfinite(out[two_years.test_days][:, spoken_of]).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_stations_own_test_days_do_not_reach_its_prediction(name, two_years):
    other = two_years.observed.copy()
    other[two_years.test_days, 3] += 50
    out, expected = BASELINES[name].predict(replace(two_years, observed=other)), BASELINES[name].predict(two_years)
    assert out[:, 3] == pytest.approx(expected[:, 3], nan_ok=True)


def test_adapted_boosting_learns_that_the_level_changed(two_years):
    lower = two_years.observed - 15 * two_years.test_days[:, None]
    changed = replace(two_years, observed=lower)
    error = {
        name: np.nanmean((BASELINES[name].predict(changed) - lower)[:, two_years.withheld])
        for name in ("gradient-boosting", "gradient-boosting-adapted")
    }
    assert error["gradient-boosting"] > 10
    assert abs(error["gradient-boosting-adapted"]) < abs(error["gradient-boosting"]) - 5


def test_boosting_with_neighbours_knows_the_signal_of_the_day(two_years):
    blind = replace(two_years, features=np.zeros_like(two_years.features))
    error = {
        name: np.nanstd((BASELINES[name].predict(blind) - two_years.observed)[:, two_years.withheld])
        for name in ("gradient-boosting-adapted", "gradient-boosting-neighbours")
    }
    assert error["gradient-boosting-neighbours"] < 0.6 * error["gradient-boosting-adapted"]


def test_an_array_of_another_shape_is_named(two_years):
    with pytest.raises(DataError, match=r"network\.x has shape \(9,\)"):
        replace(two_years, x=two_years.x[:9])
    with pytest.raises(DataError, match="all 10 stations are withheld"):
        replace(two_years, withheld=np.ones(10, bool))
