"""Fine-tuning on observations: what places and kinds of stations add to the air about them."""

import numpy as np
import pytest
import torch

from airloom.errors import DataError
from airloom.methods.pointconv.adapt import adapt
from airloom.methods.pointconv.effect import PlaceEffect, about, kinds_of
from airloom.methods.pointconv.fuse import Adapted, Fuser, Observed
from airloom.methods.pointconv.network import PRESETS, PointConvFusion
from airloom.methods.pointconv.study import Adaptation
from airloom.nets.pointconv import PointConv

SHAPE, DAYS, NUMBER = (32, 32), 60, 40
DATES = np.datetime64("2019-01-01") + np.arange(DAYS)
PLANTED = 15.0  # what traffic adds


@pytest.fixture(scope="module")
def network() -> PointConvFusion:
    """Taught nothing, and nothing is added to its point convolution."""
    torch.manual_seed(0)
    found = PointConvFusion(1, 0, PRESETS["small"])
    for weight in found.blend.parameters():
        torch.nn.init.zeros_(weight)
    return found.eval()


@pytest.fixture(scope="module")
def observed() -> Observed:
    """A smooth wave of the day, to which every third station adds what its street does."""
    draw = np.random.default_rng(1)
    row, column = np.divmod(draw.choice(32 * 32, NUMBER, replace=False), 32)
    phase = draw.uniform(0, 6, (DAYS, 1))
    air = 30 + 5 * np.sin(row / 8 + phase) + 5 * np.cos(column / 8 - phase)
    kinds = ["traffic" if n % 3 == 0 else "background" for n in range(NUMBER)]
    features = kinds_of(kinds)
    values = air + PLANTED * features[:, 0] + draw.normal(0, 0.5, air.shape)
    values[draw.random(values.shape) < 0.1] = np.nan
    return Observed(values, DATES, row, column, features=features)


def test_a_planted_effect_is_found_and_told_apart_from_the_air(network, observed):
    left_out = np.arange(NUMBER) % 5 == 0
    seen, asked = observed.some(~left_out), observed.some(left_out)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    tuned, effect = adapt(network, seen, SHAPE, Adaptation(steps=150), seed=0)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    places = np.zeros((0, *SHAPE), np.float32)
    plain = Fuser(network, places, places)
    adapted = Fuser(tuned, places, places, Adapted(effect, places))
    days = np.arange(DAYS)
    errors = [np.sqrt(np.nanmean((f.at([seen], days, asked)[0] - asked.values) ** 2)) for f in (plain, adapted)]
    assert errors[0] > 6
    assert errors[1] < 3
    fields = np.concatenate([found for _, found, _ in adapted.fields([seen], days)])
    background = np.nanmean(observed.values[:, observed.features[:, 0] == 0])
    assert abs(fields[:, observed.row, observed.column].mean() - background) < 2  # a field is of background air


def test_at_first_a_place_adds_nothing():
    effect = PlaceEffect(np.random.default_rng(0).normal(size=(9, 4)))
    assert effect(torch.randn(9, 4), torch.randn(3, 6)).tolist() == [[0.0] * 9] * 3


def test_a_cell_adds_what_its_parts_do_on_average():
    torch.manual_seed(0)
    effect = PlaceEffect(np.eye(3, dtype=np.float32)).eval()
    torch.nn.init.normal_(effect.layers[-1].weight)
    fine = np.random.default_rng(0).random((1, 4, 6)).astype(np.float32)
    told = torch.randn(2, 6)
    with torch.inference_mode():
        found = Adapted(effect, fine).of_cells(told, (2, 3))
        parts = torch.tensor([[fine[0, r, c], 0, 0] for r in (2, 3) for c in (4, 5)])
        assert found[1, 1, 2] == pytest.approx(effect(parts, told)[1].mean().item(), rel=1e-5)


def test_what_is_told_of_a_day():
    told = about(
        np.array(["2022-01-01", "2022-07-02", "2022-07-03"], "datetime64[D]"), torch.full((3,), np.e), torch.ones(3)
    )
    np.testing.assert_allclose(told[:, 1], [1, -1, -1], atol=0.01)  # winter, summer
    assert told[:, 2:4].tolist() == [[1, 0], [1, 0], [0, 1]]  # 1 January and 2 July 2022 were Saturdays
    np.testing.assert_allclose(told[:, 4:], [[1, 0]] * 3, atol=1e-6)


def test_nothing_is_learnt_of_what_all_places_share():
    torch.manual_seed(0)
    effect = PlaceEffect(np.array([[0.0, 1.0], [2.0, 1.0]])).eval()
    torch.nn.init.normal_(effect.layers[-1].weight)
    told = torch.randn(1, 6)
    same, other = (effect(torch.tensor([[0.5, b]]), told).item() for b in (1.0, 9.0))
    assert same == other


def test_a_level_background_changes_no_adapted_field(network, observed):
    """An effect is told of what is observed, and not of how that departs from a background."""
    tuned, effect = adapt(network, observed, SHAPE, Adaptation(steps=20), seed=0)
    places = np.zeros((0, *SHAPE), np.float32)
    fuser, days = Fuser(tuned, places, places, Adapted(effect, places)), np.arange(4)
    plain, told = (
        np.concatenate([found for _, found, _ in fuser.fields([observed], days, background)])
        for background in (None, np.full((DAYS, *SHAPE), 7.0, np.float32))
    )
    cells = np.s_[:, observed.row, observed.column]
    assert abs(plain - told)[cells].mean() < 0.5


def test_sensors_are_known_by_their_cells_and_taken_for_the_backgrounds():
    fine = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    adapted = Adapted(PlaceEffect(np.zeros((1, 3))), fine)
    assert adapted.known_of(np.array([0, 1]), np.array([1, 0]), (2, 2)).tolist() == [[4.5, 0, 0], [10.5, 0, 0]]


def test_one_station_a_day_teaches_nothing(network, observed):
    alone = observed.some(np.arange(NUMBER) == 3)
    with pytest.raises(DataError, match="on no day do two stations have values"):
        adapt(network, alone, SHAPE, Adaptation(), seed=0)


def test_kernels_of_the_target_alone_change(network, observed):
    tuned, _ = adapt(network, observed, SHAPE, Adaptation(steps=3), seed=0)
    moved = {k for k, v in tuned.state_dict().items() if not torch.equal(v, network.state_dict()[k])}
    assert isinstance(tuned.points[0], PointConv)
    assert moved == {"points.0.spare", *(f"points.0.logs.{n}" for n in range(3))}
