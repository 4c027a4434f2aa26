"""Inputs that are not what the network was trained on."""

import re

import numpy as np
import pytest
import torch

from airloom.cube.normalise import Scale
from airloom.errors import DataError
from airloom.learn.familiar import check_familiar, check_month, farthest


def scale(mean, deviation) -> Scale:
    return Scale(np.asarray(mean, float), np.asarray(deviation, float))


def test_another_year_is_familiar():
    check_familiar("weather", ["t2m", "sp"], scale([283, 99e3], [7, 1e3]), scale([276, 98.5e3], [4, 900]), period="2023")


def test_celsius_for_kelvin_is_named_with_both_figures():
    with pytest.raises(DataError, match=r"weather of 2023 .* t2m: 9\.85 ± 7 found, 283 ± 7 in training"):
        check_familiar("weather", ["t2m"], scale([283], [7]), scale([9.85], [7]), period="2023")


def test_millimetres_for_metres_show_in_the_spread():
    with pytest.raises(DataError, match=r"tp: 0\.1 ± 0\.3 found"):  # mean 0.33 deviations off would pass alone
        check_familiar("weather", ["tp"], scale([1e-4], [3e-4]), scale([0.1], [0.3]), period="2023")


def test_metres_for_millimetres_too():
    with pytest.raises(DataError, match="tp"):
        check_familiar("weather", ["tp"], scale([0.1], [0.3]), scale([1e-4], [3e-4]), period="2023")


def test_reversed_levels_are_named_by_their_pressure():
    trained, reversed_ = scale([[290, 250]], [[6, 5]]), scale([[250, 290]], [[5, 6]])
    with pytest.raises(DataError, match=r"t at 1000 hPa: 250 ± 5 found.*t at 550 hPa: 290 ± 6 found"):
        check_familiar("upper", ["t"], trained, reversed_, period="2023", levels=[1000, 550])


@pytest.mark.parametrize("found", [(0.0, 1.0), (1e-20, 1.0), (5e-6, 4e-5)], ids=["none", "packed", "a storm"])
def test_a_year_without_snow_or_with_a_storm_is_familiar(found):
    check_familiar("weather", ["avg_tsrwe"], scale([1e-6], [4e-6]), scale([found[0]], [found[1]]), period="2023")


def test_what_stands_still_where_it_varied_is_named():
    with pytest.raises(DataError, match=r"blh: 0 ± 1 found, 500 ± 4\.5e\+02 in training"):
        check_familiar("weather", ["blh"], scale([500], [450]), scale([0], [1]), period="2023")
    with pytest.raises(DataError, match=r"t2m: 283 ± 1 found"):
        check_familiar("weather", ["t2m"], scale([283], [7]), scale([283], [1]), period="2023")


def test_a_month_of_humidity_as_a_share_is_named_though_its_year_would_pass():
    trained, year, month = scale([76.6], [14.2]), scale([70.2], [25.2]), scale([0.7], [0.14])
    check_familiar("upper", ["r"], trained, year, period="2023")
    with pytest.raises(DataError, match=r"upper of 2023-05 .* r: 0\.7 ± 0\.14 found"):
        check_month("upper", ["r"], trained, month, period="2023-05")


def test_a_cold_spell_is_familiar():
    check_month(
        "weather", ["t2m", "lai"], scale([285, 2], [8, 1]), scale([263, 0], [3, 1]), period="the days from 2023-02-01 on"
    )


@pytest.mark.parametrize(
    ("strange", "told"),
    [(-7.0, "t is farthest from what is usual, by 7 "), (float("nan"), "t .* by inf "), (0.0, "doy .* by 2 ")],
)
def test_of_a_batch_the_input_that_is_farthest_is_named(strange, told):
    upper = torch.zeros(1, 24, 2, 3, 4, 4)  # (batch, time, channel, level, y, x)
    upper[0, 5, 1, 2, 3, 0] = strange
    names = {"calendar": ["dow", "doy"], "upper": ["u", "t"]}
    assert re.match(told, farthest({"calendar": torch.tensor([[1.0, -2.0]]), "upper": upper}, names.__getitem__))
