"""Windows, splits, baselines and learnable neighbours: nothing of the future, nothing of what is hidden."""

from datetime import datetime

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from airloom.errors import StudyError
from airloom.methods.aqnet import around
from airloom.methods.aqnet.baselines import BASELINES, Case
from airloom.methods.aqnet.figures import skill_by_lead
from airloom.methods.aqnet.hours import Hours, Scaler, clock, last_seen
from airloom.methods.aqnet.learn import blocks
from airloom.methods.aqnet.network import CLOCK, PLACE, PRESETS, Forecaster, Reanalyser, Seen, around_of
from airloom.methods.aqnet.score import Told, rows_of
from airloom.methods.aqnet.split import parts_of
from airloom.methods.aqnet.windows import Forecasts, Reanalyses, inputs_of, to_come, width
from airloom.nets.neighbours import DistanceNeighbours, NeuralNeighbours, nearest
from tests.hourly import BEGIN, HOURLY, STATIONS, all_of, hours_of, series


def test_the_scaler_sees_training_hours_and_known_stations_alone():
    found = series(gaps=0)
    train, known = np.arange(400) < 200, np.array([True, True, True, False, False])
    before = Scaler.of(found, train, known)
    found.data["pm2p5"][200:] = 1e6
    found.data["pm2p5"][:, 3:] = 1e6
    assert Scaler.of(found, train, known) == before


def with_variable(name, early, late):
    """A network's hours with one more variable, the first 200 of them one value and the other 200 another."""
    found = series(gaps=0)
    values = np.repeat([early, late], 200).astype(np.float32)[:, None].repeat(STATIONS, 1)
    found.data[name] = ("time", "station"), values
    return found


def test_a_variable_that_begins_after_training_is_left_out():
    found = with_variable("sp", np.nan, 101_000)
    scaler = Scaler.of(found, np.arange(400) < 200, np.ones(STATIONS, bool))
    hours = Hours.of(found, scaler, ["pm2p5"])
    assert hours.channels == ("pm2p5", "log pm2p5", "t2m")
    assert hours.values.abs().max() < 10  # deviations, no pressures


def test_a_variable_that_a_table_lacks_is_missing_throughout():
    scaler = Scaler.of(with_variable("so2", 10, 30), np.ones(400, bool), np.ones(STATIONS, bool))
    hours = Hours.of(series(gaps=0), scaler, ["pm2p5"])
    so2 = hours.channels.index("so2")
    assert hours.channels == ("pm2p5", "log pm2p5", "t2m", "so2", "log so2")
    assert not hours.there[..., so2:].any()
    assert not hours.values[..., so2:].any()
    assert Hours.of(with_variable("so2", 10, 30), scaler, ["pm2p5"]).values[0, 0, so2] == -1  # (10 − 20) / 10


def test_a_variable_that_was_not_learnt_of_is_left_out():
    scaler = Scaler.of(series(gaps=0), np.ones(400, bool), np.ones(STATIONS, bool))
    assert Hours.of(with_variable("so2", 10, 30), scaler, ["pm2p5"]).channels == ("pm2p5", "log pm2p5", "t2m")


def test_weather_ahead_and_targets_need_a_value_to_learn_from():
    found = with_variable("sp", np.nan, 101_000)
    scaler = Scaler.of(found, np.arange(400) < 200, np.ones(STATIONS, bool))
    with pytest.raises(StudyError, match=r"ahead: sp has no value .* Leave it out of ahead"):
        Forecasts.of(Hours.of(found, scaler, ["pm2p5"]), HOURLY, 3, 1, ["sp"])
    with pytest.raises(StudyError, match=r"target: o3 has no value .* verification\.test"):
        Hours.of(found, scaler, ["o3"])


def test_a_forecast_sees_nothing_that_comes_later():
    found = series()
    moments = np.array([100, 150])
    before = Forecasts.of(hours_of(found), HOURLY, 6, 1).lesson(moments, all_of(2)).seen
    scaler = Scaler.of(series(), np.ones(400, bool), np.ones(STATIONS, bool))
    found.data["pm2p5"][151:] = 999
    after = Forecasts.of(Hours.of(found, scaler, ["pm2p5"]), HOURLY, 6, 1).lesson(moments, all_of(2)).seen
    for a, b in zip(before[:4], after[:4], strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num())


def test_a_hidden_station_changes_nothing_that_is_seen():
    found, visible = series(), all_of(1)
    visible[:, 2] = False
    scaler = Scaler.of(found, np.ones(400, bool), np.arange(STATIONS) != 2)
    before = Reanalyses(Hours.of(found, scaler, ["pm2p5"]), 24)
    gaps = torch.zeros(1, 24, STATIONS, dtype=torch.bool)
    seen = before.lesson(np.array([50]), visible, gaps).seen
    found.data["pm2p5"][:, 2] = 777
    again = Reanalyses(Hours.of(found, scaler, ["pm2p5"]), 24).lesson(np.array([50]), visible, gaps).seen
    for a, b in zip(seen[:4], again[:4], strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num())
    network = Reanalyser(width(before.hours), 1, PRESETS["small"]).eval()
    places, offsets = before.hours.places, before.hours.offsets
    assert torch.equal(network(seen, places, offsets, 3), network(again, places, offsets, 3))


def test_a_place_that_is_never_seen_is_kriged_and_changes_nothing():
    hours = hours_of(series())
    network = Reanalyser(width(hours), 1, PRESETS["small"]).eval()
    visible = all_of(2)
    gaps = torch.zeros(2, 24, STATIONS, dtype=torch.bool)
    seen = Reanalyses(hours, 24).lesson(np.array([50, 90]), visible, gaps).seen
    everywhere = network(seen, hours.places, hours.offsets, 3)
    more = Seen(
        torch.cat([seen.inputs, torch.randn_like(seen.inputs[:, :, :2])], 2),
        torch.cat([seen.level, torch.full_like(seen.level[:, :, :2], torch.nan)], 2),
        seen.clock,
        torch.cat([visible, torch.zeros(2, 2, dtype=torch.bool)], 1),
    )
    metres = torch.cat([hours.offsets[0], 1e4 * torch.randn(2, 2)])
    offsets = metres[None] - metres[:, None]
    told = network(more, torch.randn(STATIONS + 2, PLACE), offsets, 3)
    kriged = network.kriged[0](more.level[..., 0].flatten(0, 1), offsets).view(2, 24, -1)
    assert torch.allclose(told[:, :, STATIONS:, 0], kriged[:, :, STATIONS:], atol=1e-5)
    assert not torch.allclose(told[:, :, :STATIONS, 0], kriged[:, :, :STATIONS], atol=1e-3)
    torch.testing.assert_close(
        network(more, torch.cat([hours.places, torch.randn(2, PLACE)]), offsets, 3)[:, :, :STATIONS], everywhere
    )


@pytest.mark.parametrize("shape", [((1, 24),), ((6, 8),), ((12, 1), (24, 2), (1, 24))])
def test_what_is_gathered_is_what_is_made(shape):
    forecasts = Forecasts.of(hours_of(series()), shape, 3, 1)
    at, visible = torch.tensor([90, 200, 399]), all_of(3)
    visible[:, 1] = False
    told = forecasts.lesson(at.numpy(), visible[0]).seen.inputs
    assert torch.allclose(told, forecasts.lesson(at.numpy(), visible).seen.inputs, atol=1e-6)
    forecasts.lesson(at[:1].numpy(), ~visible[:1])
    assert len(forecasts._kept) == 1  # patterns that are drawn are not kept
    assert told.shape[1] == sum(number for _, number in shape)
    last = torch.stack([forecasts.hours.values[i - shape[-1][0] + 1 : i + 1, 0, 0].mean() for i in at])
    assert torch.allclose(told[:, -1, 0, 0], last, atol=1e-6)


def test_what_comes_is_what_stands_later_and_days_need_their_hours():
    level = np.arange(60, dtype=float)[:, None, None]
    assert to_come(level, 2, 24)[0, 0, 0].tolist() == [12.5, 36.5]  # means of hours 1 … 24 and 25 … 48
    level[1:8] = np.nan  # 17 of 24 hours are left
    assert np.isnan(to_come(level, 1, 24)[0, 0, 0, 0])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 48), st.integers(3, 6), st.integers(0, 1))
def test_no_hour_is_told_in_two_parts(reach, every, first):
    hours = BEGIN + np.arange(200 * 24)
    parts = parts_of(hours, np.arange(24, len(hours)), first, reach, test=datetime(2020, 5, 1), every=every)
    told = [
        {h for m in part for h in range(m + first, m + first + reach)}
        for part in (parts.train, parts.validation, parts.test)
    ]
    assert told[0].isdisjoint(told[1])
    assert told[0].isdisjoint(told[2])
    assert told[1].isdisjoint(told[2])
    assert min(told[2]) >= int((np.datetime64("2020-05-01T00") - hours[0]) / np.timedelta64(1, "h"))


def test_a_test_without_hours_is_named():
    with pytest.raises(StudyError, match="the part test has no hour"):
        parts_of(BEGIN + np.arange(2400), np.arange(24, 2400), 1, 24, test=datetime(2021, 1, 1), every=3)


def test_the_clock_turns():
    turned = clock(np.array(["2020-01-06T00", "2020-01-06T06", "2020-01-06T18", "2020-01-09T12"], "datetime64[h]"))
    assert turned[1, [0, 3]].tolist() == pytest.approx([1, 0], abs=1e-6)  # a quarter of a day
    assert turned[2, [0, 3]].tolist() == pytest.approx([-1, 0], abs=1e-6)
    assert turned[0, [1, 4]].tolist() == pytest.approx([0, 1], abs=1e-6)  # Monday midnight
    assert turned[3, [1, 4]].tolist() == pytest.approx([0, -1], abs=1e-6)  # half a week later


def test_slopes_of_a_plane_come_back():
    found = series(gaps=0)
    hours = hours_of(found)
    plane = (2 * hours.places[:, 0] - 3 * hours.places[:, 1])[None, :].expand(400, -1)
    hours.values[..., hours.sloping[0]] = plane
    every = torch.arange(24)[None]
    told = inputs_of(hours, every, torch.ones(1, 24, STATIONS, dtype=torch.bool))
    channels, masks, slopes = len(hours.channels), len(hours.masks), 2 * len(hours.sloping)
    first = 2 * channels + masks
    east, north = told[0, 0, 0, first : first + slopes][:2].tolist()
    assert 0 < east < 2  # drawn to no slope, for stations stand close together
    assert -3 < north < 0
    assert told.shape[-1] == width(hours)


def test_neighbours_are_the_nearest_that_can_be_seen_and_never_oneself():
    offsets = torch.tensor([[[0.0, 0], [1, 0], [5, 0]], [[-1, 0], [0, 0], [4, 0]], [[-5, 0], [-4, 0], [0, 0]]])
    chosen, there = nearest(offsets, torch.tensor([[True, True, True]]), 2)
    assert chosen[0].tolist() == [[1, 2], [0, 2], [1, 0]]
    assert there.all()
    chosen, there = nearest(offsets, torch.tensor([[True, False, False]]), 2)
    assert there[0].tolist() == [[False, False], [True, False], [True, False]]


def test_neighbours_weights_add_up_and_depend_on_features():
    torch.manual_seed(0)
    layer = NeuralNeighbours(4, 3, 8)
    features, query, offsets = (
        torch.randn(2, STATIONS, 4),
        torch.randn(2, STATIONS, 3),
        1e4 * torch.randn(STATIONS, STATIONS, 2),
    )
    chosen, there = nearest(offsets, all_of(2), 3)
    _, weights = layer(query, features, offsets, chosen, there)
    assert torch.allclose(weights.sum(2), torch.ones(2, STATIONS, 4))
    _, others = layer(query, features + torch.randn(2, STATIONS, 4), offsets, chosen, there)
    assert not torch.allclose(weights, others)
    plain = DistanceNeighbours(4, 3, 8)
    _, weights = plain(query, features, offsets, chosen, there)
    _, others = plain(query + 1, torch.randn(2, STATIONS, 4), offsets, chosen, there)
    assert torch.equal(weights, others)
    nobody = torch.zeros_like(there)
    said, none = layer(query, features, offsets, chosen, nobody)
    assert not none.any()
    assert torch.isfinite(said).all()


def gathered(layer, query, features, offsets, chosen, there):
    """Neighbours as a textbook has them: k features gathered for each place."""
    batch, places, k = chosen.shape
    scaled = offsets / layer.length
    where = torch.cat([torch.tanh(scaled / 2), torch.log1p(scaled.norm(dim=-1, keepdim=True))], -1)
    where = where[torch.arange(places)[None, :, None], chosen]
    at = torch.arange(batch)[:, None, None]
    keys = (layer.key(features)[at, chosen] + layer.key_offset(where)).view(batch, places, k, layer.heads, -1)
    values = (layer.value(features)[at, chosen] + layer.value_offset(where)).view(batch, places, k, layer.heads, -1)
    asked = layer.query(query).view(batch, places, 1, layer.heads, -1)
    scores = (asked * keys).sum(-1) / keys.shape[-1] ** 0.5 - layer.nearness * where[..., 2:]
    weights = torch.nan_to_num(torch.softmax(scores.masked_fill(~there[..., None], -torch.inf), 2))
    return (weights[..., None] * values).sum(2).flatten(2), weights


@pytest.mark.parametrize("k", [1, 3, 20])
def test_neighbours_say_what_the_textbook_says(k):
    torch.manual_seed(0)
    layer, visible = NeuralNeighbours(4, 3, 8), torch.rand(6, STATIONS) < 0.7
    visible[0] = False
    features, query = (torch.randn(6, STATIONS, n, requires_grad=True) for n in (4, 3))
    offsets = 1e4 * torch.randn(STATIONS, STATIONS, 2)
    chosen, there = nearest(offsets, visible, k)
    slopes = []
    for say in (layer, lambda *a: gathered(layer, *a)):
        said, weights = say(query, features, offsets, chosen, there)
        (said.sin().sum() + weights.square().sum()).backward()
        slopes.append([said, weights, *(x.grad.clone() for x in (features, query, *layer.parameters()))])
        for x in (features, query, *layer.parameters()):
            x.grad = None
    for ours, plain in zip(*slopes, strict=True):
        assert torch.allclose(ours, plain, atol=1e-5)


def test_neighbours_without_a_value_do_not_count():
    level = torch.tensor([[[1.0], [torch.nan], [4.0]]])
    chosen, weights = torch.tensor([[[0, 1, 2]]]), torch.tensor([[[0.25, 0.5, 0.25]]])
    assert around_of(level, chosen, weights).item() == pytest.approx(2.5)
    assert around_of(level, chosen, torch.tensor([[[0.0, 1, 0]]])).item() == 0


def test_a_forecaster_gives_what_is_asked_and_k_is_free():
    network = Forecaster(9, 2, 6, PRESETS["small"], ahead=4).eval()
    seen = Seen(
        torch.randn(3, 4, STATIONS, 9),
        torch.randn(3, STATIONS, 2),
        torch.randn(3, CLOCK),
        all_of(3),
        torch.randn(3, STATIONS, 4),
    )
    places, offsets = torch.randn(STATIONS, PLACE), 1e4 * torch.randn(STATIONS, STATIONS, 2)
    for k in (1, 3, 20):
        assert network(seen, places, offsets, k).shape == (3, STATIONS, 2, 6)


def test_blocks_take_about_their_share():
    taken = blocks(5000, 3, 0.3, 24, np.random.default_rng(0))
    assert 0.25 < taken.mean() < 0.35
    assert not blocks(100, 3, 0.0, 24, np.random.default_rng(0)).any()


def test_last_seen_and_interpolation():
    assert last_seen(np.array([1.0, np.nan, np.nan]), 2).tolist() == pytest.approx([1, 1, np.nan], nan_ok=True)
    values = np.array([[1.0, 3.0, np.nan]])
    x, y = np.array([0.0, 2000.0, 4000.0]), np.zeros(3)
    known = np.array([True, True, False])
    assert around.nearest(values, known, x, y)[0].tolist() == [3, 1, 3]
    assert around.inverse_distance(values, known, x, y)[0, 2] == pytest.approx((1 / 16 + 3 / 4) / (1 / 16 + 1 / 4))


def test_baselines_tell_every_station():
    found = series(gaps=0)
    forecasts = Forecasts.of(hours_of(found), HOURLY, 3, 1)
    train, asked = np.arange(23, 300), np.arange(310, 390)
    case = Case(forecasts, train, asked, (1, 3), 1)
    for name in ("persistence", "climatology"):
        assert BASELINES[name][1](case).shape == (80, STATIONS, 2)
    assert np.array_equal(BASELINES["persistence"][1](case)[..., 0], forecasts.hours.level[asked, :, 0].numpy())


def test_scores_are_of_values_that_all_models_tell():
    hours = BEGIN + np.arange(400)
    observed = np.arange(400.0)[:, None]
    other = np.where(np.arange(400)[:, None] < 300, observed + 2, np.nan)
    rows = rows_of(Told("hours", "seen", 6, hours, observed, {"aqnet": observed + 1, "ridge": other}), draws=100, seed=0)
    ours, ridge = rows
    assert (ours["n"], ridge["n"]) == (300, 300)
    assert (ours["rmse"], ridge["rmse"]) == pytest.approx((1, 2))
    assert ridge["rmse_difference"] == pytest.approx(-1)
    assert ours["weeks"] == 2


def test_a_model_that_tells_nothing_stands_in_no_row_and_ours_must():
    hours, observed = BEGIN + np.arange(4), np.arange(4.0)[:, None]
    nothing = np.full((4, 1), np.nan)
    (row,) = rows_of(
        Told("gaps", "gaps", 0.3, hours, observed, {"aqnet": observed + 1, "inverse-distance": nothing}), draws=100, seed=0
    )
    assert (row["model"], row["n"], row["rmse"]) == ("aqnet", 4, 1)
    told = Told("gaps", "gaps", 0.3, hours, observed, {"aqnet": nothing, "linear-in-time": observed})
    with pytest.raises(
        StudyError, match=r"gaps, gaps 0\.3: no hour of the test was observed and told by all of aqnet, linear-in-time"
    ):
        rows_of(told, draws=100, seed=0)


def test_skill_of_a_single_week_is_drawn_without_intervals():
    hours, observed = BEGIN + np.arange(50), np.arange(50.0)[:, None]
    rows = [
        row
        for lead in (1, 2)
        for row in rows_of(Told("hours", "seen", lead, hours, observed, {"aqnet": observed + lead}), draws=100, seed=0)
    ]
    assert [r["rmse_ci"] for r in rows] == [None, None]
    r2, rmse = skill_by_lead(rows, "lead").axes
    assert [line.get_ydata().tolist() for line in rmse.lines] == [[1, 2]]
    assert not r2.collections


def test_weather_known_ahead_is_not_known_at_a_hidden_station():
    found, visible = series(), all_of(1)
    visible[:, 2] = False
    seen = Forecasts.of(hours_of(found), HOURLY, 6, 1, ["t2m"]).lesson(np.array([100]), visible).seen
    assert seen.ahead is not None
    assert not seen.ahead[0, 2].any()
    assert seen.ahead[0, 1].all()


def test_climatology_does_not_depend_on_how_the_clock_is_told():
    found = series(gaps=0)
    scaler = Scaler.of(found, np.ones(400, bool), np.ones(STATIONS, bool))
    told = []
    for cyclic in (True, False):
        forecasts = Forecasts.of(Hours.of(found, scaler, ["pm2p5"], cyclic=cyclic), HOURLY, 3, 1)
        told.append(BASELINES["climatology"][1](Case(forecasts, np.arange(23, 300), np.arange(310, 390), (1, 3), 1)))
    assert np.array_equal(*told)
