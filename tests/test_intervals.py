"""Conformal intervals."""

from itertools import pairwise

import numpy as np
import pytest

from airloom.verify.intervals import LEVELS, Calibration, coverage


def world(seed: int, days: int = 60, stations: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted, known and observed on (time, station); errors lean upwards, and grow with what is predicted and with distance."""
    draw = np.random.default_rng(seed)
    predicted, known = draw.gamma(3, 8, (days, stations)) + 2, draw.uniform(0.05, 0.6, (days, stations))
    error = (draw.gamma(2, 1, predicted.shape) - 2) * 0.1 * predicted * (0.3 / known)
    return predicted, known, np.maximum(predicted + error, 0)


def test_intervals_hold_as_often_as_they_say_at_stations_never_seen():
    for row in coverage(*world(0), draws=100, seed=0):
        assert row["coverage"] == pytest.approx(row["nominal"], abs=0.03)


def test_they_hold_where_little_and_where_much_is_predicted():
    predicted, known, observed = world(1, days=300)
    calibration = Calibration.of(predicted.ravel(), known.ravel(), observed.ravel())
    low, high = calibration.between(0.8, predicted, known)
    inside = (observed >= low) & (observed <= high)
    much = predicted > np.median(predicted)
    near = known > np.median(known)
    for part in (much, ~much, near, ~near):
        assert inside[part].mean() == pytest.approx(0.8, abs=0.05)
    assert (high - low)[much].mean() > 1.5 * (high - low)[~much].mean()


def test_one_level_lies_within_the_next_and_none_is_negative():
    predicted, known, observed = world(2)
    calibration = Calibration.of(predicted.ravel(), known.ravel(), observed.ravel())
    ends = [calibration.between(level, predicted, known) for level in LEVELS]
    for (low, high), (lower, higher) in pairwise(ends):
        assert (lower <= low).all()
        assert (higher >= high).all()
    assert ends[-1][0].min() >= 0


def test_gaps_count_for_nothing():
    predicted, known, observed = world(3)
    observed[:, 5] = np.nan
    observed[7] = np.nan
    found = coverage(predicted, known, observed, draws=100, seed=0)
    assert [r["coverage"] for r in found] == pytest.approx(LEVELS, abs=0.03)


def test_written_and_read_again_it_is_itself():
    predicted, known, observed = world(4)
    calibration = Calibration.of(predicted.ravel(), known.ravel(), observed.ravel())
    assert Calibration.from_json(calibration.to_json()) == calibration


def test_beyond_the_stations_reach_an_interval_is_that_of_the_least_known_place():
    draw = np.random.default_rng(0)
    known = draw.uniform(0.5, 0.9, 4000)
    predicted = np.full(4000, 20.0)
    found = Calibration.of(predicted, known, predicted + draw.normal(size=4000) * known**-3)
    assert found.least == pytest.approx(0.504, abs=0.002)  # a hundredth of what lies between
    low, high = found.between(0.8, np.full(3, 20.0), np.array([0.001, 0.3, found.least]))
    assert (high - low).tolist() == [pytest.approx(high[2] - low[2])] * 3
