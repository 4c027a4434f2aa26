"""Kriging by likelihood, in space and in space and time."""

import numpy as np
import pytest

from airloom.stats.kriging import distances
from airloom.verify.gaussian import Covariance, Stretch, fit, predict

DATES = np.datetime64("2023-01-01") + np.arange(40)
KNOWN = Covariance(share=(0.3, 0.4), reach=(20e3, 200e3), span=(1.0, 3.0, 10.0))


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    """Distances of thirty stations [m]."""
    return distances(*np.random.default_rng(0).uniform(0, 400e3, (2, 30)))


@pytest.fixture(scope="module")
def drawn(places) -> np.ndarray:
    """Forty days that have the known covariance, on (time, station), around a mean of 20."""
    stretch = Stretch.about(np.zeros((40, 30)), DATES, 20, 40)
    root = np.linalg.cholesky(KNOWN.among(stretch, places))
    return 20 + 5 * (root @ np.random.default_rng(1).normal(size=len(root))).reshape(40, 30)


def test_a_covariance_is_one_with_itself_and_fades(places):
    stretch = Stretch.about(np.zeros((40, 30)), DATES, 20, 1)
    among = KNOWN.among(stretch, places)
    np.testing.assert_allclose(np.diag(among), 1)
    np.testing.assert_allclose(among, among.T)
    near, far = KNOWN(np.array([1e3, 900e3]), np.zeros(2))
    assert near == pytest.approx(0.7, abs=0.01)  # all but the nugget
    assert far < 0.01
    same = 0.3 * np.exp(-1) + 0.4 * np.exp(-1 / 3) + 0.3 * np.exp(-1 / 10)  # a station the day after
    assert among[0, 30] == pytest.approx(same)


def test_a_stretch_knows_days_by_their_dates():
    values = np.arange(8.0).reshape(4, 2)
    values[1, 0] = np.nan
    dates = np.array(["2023-01-01", "2023-01-02", "2023-01-03", "2023-01-31"], "datetime64[D]")
    found = Stretch.about(values, dates, 2, 1)
    assert found.value.tolist() == [3, 4, 5]  # neither the gap nor the day after the month
    assert found.means.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert len(Stretch.about(values, dates, 3, 1).value) == 2


@pytest.mark.parametrize("around", [0, 1])
def test_who_speaks_is_predicted_as_if_it_did_not(places, drawn, around):
    values, asked = drawn.copy(), np.array([0, 10, 39])
    values[10, 4] = np.nan
    found = predict(KNOWN, values, DATES, asked, places, around)
    without = values.copy()
    without[:, 7] = np.nan
    np.testing.assert_allclose(found[:, 7], predict(KNOWN, without, DATES, asked, places, around)[:, 7])
    assert np.isfinite(found).all()


def test_kriging_of_a_day_is_the_textbooks(places, drawn):
    values = drawn.copy()
    values[5, 20:] = np.nan
    found = predict(KNOWN, values, DATES, np.array([5]), places, 0)[0, 25]
    matrix = np.ones((21, 21))
    matrix[:20, :20], matrix[20, 20] = KNOWN(places[:20, :20], np.zeros(1)), 0
    matrix[np.arange(20), np.arange(20)] = 1
    weights = np.linalg.solve(matrix, np.append(KNOWN(places[:20, 25], np.zeros(1)), 1))[:20]
    assert weights.sum() == pytest.approx(1)
    assert found == pytest.approx(weights @ values[5, :20])


def test_a_fitted_covariance_predicts_nearly_as_well_as_the_known_one(places, drawn):
    fitted = fit(drawn, DATES, places, 1, seed=0)
    errors = [
        np.sqrt(np.mean((predict(c, drawn, DATES, np.arange(40), places, 1) - drawn) ** 2))
        for c in (KNOWN, fitted, Covariance((0.0, 1e-3), (1e3, 1e3), (1.0, 1.0, 1.0)))
    ]
    assert errors[1] < 1.05 * errors[0]
    assert errors[1] < 0.95 * errors[2]  # the mean of the day; much of what there is is a nugget


def test_where_nobody_speaks_on_the_day_nothing_is_said(places, drawn):
    values = drawn.copy()
    values[5] = np.nan
    values[20, np.arange(30) != 7] = np.nan
    found = predict(KNOWN, values, DATES, np.array([5, 20]), places, 1)
    assert np.isnan(found[0]).all()  # though the days before and after are there
    assert np.isnan(found[1, 7])
    assert np.isfinite(np.delete(found[1], 7)).all()


def test_one_station_alone_has_no_others(places):
    values = np.full((40, 30), np.nan)
    values[3, 2] = 9.0
    found = predict(fit(values, DATES, places, 0, seed=0), values, DATES, np.array([3, 4]), places, 0)
    assert np.isnan(found[0, 2])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(np.delete(found[0], 2), 9.0)
