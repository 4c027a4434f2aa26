"""Kriging: PyKrige as an independent witness, and its dual form against its own."""

import numpy as np
import pytest

from airloom.stats.kriging import Variogram, at_stations, coefficients, distances, fit, from_others, on_grid


def test_kriging_agrees_with_pykrige():
    from pykrige.ok import OrdinaryKriging

    rng = np.random.default_rng(3)
    x, y, z = rng.uniform(0, 30, (3, 9))
    gamma = Variogram(nugget=2.0, sill=9.0, reach=4.0).among(distances(x, y))
    there = np.arange(9) < 7
    out = at_stations(gamma, there, z[None, there])[0]

    def witness(known, asked):
        parameters = {"psill": 9.0, "range": 12.0, "nugget": 2.0}  # PyKrige's range is the practical one, 3 × reach
        model = OrdinaryKriging(x[known], y[known], z[known], "exponential", parameters)
        return model.execute("points", x[asked], y[asked])[0].data

    assert out[~there] == pytest.approx(witness(there, ~there))
    for i in range(7):  # each of the seven from the six others
        others = there & (np.arange(9) != i)
        assert out[i] == pytest.approx(witness(others, [i])[0])


def test_what_is_there_comes_from_the_others_of_its_time_and_what_is_not_from_all():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 30, (2, 5))
    gamma = Variogram(nugget=2.0, sill=9.0, reach=4.0).among(distances(x, y))
    values = rng.normal(size=(3, 5))
    values[1, 2] = np.nan
    values[2, 1:] = np.nan  # one alone
    found = from_others(gamma, values)
    assert np.isfinite(found).tolist() == [[True] * 5, [True] * 5, [False, True, True, True, True]]
    three = np.array([False, True, False, True, True])
    assert found[1, 0] == pytest.approx(at_stations(gamma, three, values[1:2, three])[0, 0])


def test_variogram_finds_what_made_the_field():
    # exponential covariance with nugget 2, sill 10, reach 5 km at 40 places, 3000 independent days
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 40e3, (2, 40))
    distance = distances(x, y)
    covariance = 10 * np.exp(-distance / 5e3) + 2 * np.eye(40)
    observed = 20 + rng.multivariate_normal(np.zeros(40), covariance, 3000)
    found = fit(observed, distance)
    assert found.nugget == pytest.approx(2, rel=0.25)
    assert found.sill == pytest.approx(10, rel=0.1)
    assert found.reach == pytest.approx(5e3, rel=0.2)


def test_maps_say_at_stations_left_out_what_kriging_says():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 30e3, (2, 8))
    variogram, values = Variogram(nugget=1.0, sill=5.0, reach=8e3), rng.normal(0, 2, (3, 8))
    values[:, 6:] = np.nan
    gamma, there = variogram.among(distances(x, y)), np.arange(8) < 6
    expected = at_stations(gamma, there, values[:, there])[:, 6:]
    maps = on_grid(variogram, x, y, coefficients(gamma, values), x[6:], y[6:])
    assert maps[:, [0, 1], [0, 1]] == pytest.approx(expected)


def test_a_lone_station_speaks_for_the_whole_map():
    variogram = Variogram(nugget=1.0, sill=0.0, reach=1.0)
    gamma = variogram.among(np.zeros((2, 2)))
    found = coefficients(gamma, np.array([[3.0, np.nan], [np.nan, np.nan]]))
    maps = on_grid(variogram, np.zeros(2), np.zeros(2), found, np.arange(3.0), np.arange(2.0))
    assert maps[0] == pytest.approx(np.full((2, 3), 3.0))
    assert np.isnan(maps[1]).all()  # a day without stations has no map


def test_maps_have_no_spike_where_a_station_stands():
    # two stations 10 km apart, mostly nugget: the first one's own cell says nearly what its neighbour 1 m away says
    variogram, x, y = Variogram(nugget=4.0, sill=1.0, reach=20e3), np.array([0.0, 10e3]), np.zeros(2)
    found = coefficients(variogram.among(distances(x, y)), np.array([[1.0, -1.0]]))
    at, beside = on_grid(variogram, x, y, found, np.array([0.0, 1.0]), np.zeros(1))[0, 0]
    assert at == pytest.approx(beside, abs=1e-3)
    assert 0 < at < 0.5


@pytest.mark.parametrize("size", [np.finfo(float).tiny, 1e-12, 1e12])
def test_how_large_a_variogram_is_plays_no_part(size):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 30e3, (2, 5))
    values = rng.normal(0, 2, (2, 5))
    both = []
    for scale in (1.0, size):
        variogram = Variogram(nugget=scale, sill=3 * scale, reach=8e3)
        gamma = variogram.among(distances(x, y))
        found = coefficients(gamma, values)
        with np.errstate(over="ignore"):
            both.append((on_grid(variogram, x, y, found, x, y), at_stations(gamma, np.arange(5) < 4, values[:, :4])))
    for one, other in zip(*both, strict=True):
        assert other == pytest.approx(one)


def test_a_least_reach_makes_nugget_of_what_varies_within_less():
    draw = np.random.default_rng(8)
    apart = distances(*draw.uniform(0, 100_000, (2, 40)))
    noise = draw.normal(0, 1, (20, 40))  # no two places alike
    assert fit(noise, apart, least=4000).reach >= 4000
    assert fit(noise, apart, least=4000).nugget > 0.8
