"""Pseudo-stations, lessons and folds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from airloom.methods.pointconv.folds import folds
from airloom.methods.pointconv.lessons import Teacher, aloft
from airloom.methods.pointconv.scatter import Scatter
from airloom.methods.pointconv.study import LeaveOut, Practice
from airloom.methods.pointconv.teach import World, scaled

LAND = np.zeros((40, 50), bool)
LAND[:, 10:] = True


@given(seed=st.integers(0, 2**32 - 1), least=st.integers(1, 50), more=st.integers(0, 100), clustered=st.floats(0, 1))
def test_pseudo_stations_stand_on_land_and_are_as_many_as_asked(seed, least, more, clustered):
    there = Scatter(least, least + more, clustered).cells(LAND, np.random.default_rng(seed))
    assert not there[~LAND].any()
    assert least <= there.sum() <= least + more


def test_clustered_stations_stand_closer_together():
    def nearest(clustered: float) -> float:
        draw, found = np.random.default_rng(0), []
        for _ in range(20):
            at = np.argwhere(Scatter(60, 60, clustered).cells(np.ones((96, 96), bool), draw)).astype(float)
            apart = np.hypot(*(at[:, None] - at).T) + 99 * np.eye(len(at))
            found.append(apart.min(0).mean())
        return float(np.mean(found))

    assert nearest(1.0) < 0.85 * nearest(0.0)


def test_stations_without_noise_tell_the_field_and_with_it_nothing_negative():
    field = np.random.default_rng(0).gamma(1, 5, LAND.shape).astype(np.float32)
    there = Scatter(100, 100).cells(LAND, np.random.default_rng(1))
    exact = Scatter(100, 100, noise=0).observe(field, there, np.random.default_rng(2))
    np.testing.assert_array_equal(exact, np.where(there, field, 0))
    noisy = Scatter(100, 100, noise=2).observe(field, there, np.random.default_rng(2))
    assert noisy.min() == 0
    assert abs(noisy - exact)[there].mean() > 1
    assert not noisy[~there].any()


def world(seed: int, days: tuple[int, ...] = (3, 2)) -> World:
    draw = np.random.default_rng(seed)
    months = [draw.gamma(2, 10, (n, 2, *LAND.shape)).astype(np.float32) for n in days]
    aloft = [month[:, :1] * np.array([0.9, 0.8, 0.6, 0.3], np.float32)[:, None, None] for month in months]
    return World(months, aloft, draw.normal(size=(1, *LAND.shape)).astype(np.float32), LAND.astype(float))


def test_days_of_a_world_run_through_its_months():
    one = world(0)
    assert len(one) == 5
    ground, profile = one.day(3), one.profile(3)
    np.testing.assert_array_equal(ground, one.months[1][0])
    np.testing.assert_array_equal(profile[0], ground[0])
    np.testing.assert_array_equal(profile[3], one.aloft[1][0, 2])
    with pytest.raises(IndexError, match="day 5 of a world of 5"):
        one.day(5)


@pytest.mark.parametrize("turn", [False, True])
def test_a_lesson_is_the_same_whenever_it_is_asked_for_and_its_stations_tell_its_field(turn):
    practice = Practice(stations=(20, 30), noise=0, batch=3, window=32)
    teacher = Teacher([world(0), world(1)], practice)
    one, again = (teacher.lesson([7, 2], turn=turn) for _ in range(2))
    assert torch.equal(one.values, again.values)
    assert one.values.shape == one.weights.shape == (3, 2, 32, 32)
    assert one.maps.shape == (1, 32, 32)
    there = one.weights[:, 0] > 0
    assert torch.equal(one.values[:, 0][there], one.field[there])
    assert not (one.weights[:, 0] == one.weights[:, 1]).all()  # each variable has cells of its own
    assert (one.scored.expand_as(there)[there] == 1).all()


def test_a_place_above_its_cell_sees_the_air_of_its_height():
    profile = np.array([10.0, 9.0, 8.0, 6.0, 3.0])[:, None, None] * np.ones((5, 2, 2))  # at 0, 50, 250, 500, 1000 m
    found = aloft(profile, np.array([[0.0, 25.0], [375.0, 4000.0]]))
    np.testing.assert_allclose(found, [[10, 9.5], [7, 3]])


def test_a_lesson_with_summits_tells_how_high_they_are():
    teacher = Teacher([world(0)], Practice(stations=(20, 30), noise=0, batch=3, window=32, above=300))
    lesson = teacher.lesson([1, 1], turn=False)
    assert lesson.maps.shape == (3, 2, 32, 32)
    above = lesson.maps[:, 1]
    assert (above >= 0).all()
    assert 0.3 < (above > 0).float().mean() < 0.7
    flat = Teacher([world(0)], Practice(stations=(20, 30), noise=0, batch=3, window=32)).lesson([1, 1], turn=False)
    assert flat.maps.shape == (1, 32, 32)


@given(
    places=st.lists(st.tuples(st.floats(0, 5e5), st.floats(0, 5e5)), min_size=2, max_size=40),
    what=st.sampled_from(["stations", "blocks", "cities"]),
    parts=st.sampled_from([None, 2, 10]),
    seed=st.integers(0, 99),
)
def test_every_station_is_left_out_once_and_a_block_as_a_whole(places, what, parts, seed):
    x, y = np.array(places).T
    names = [f"city {n % 7}, station {n}" for n in range(len(x))]
    found = list(folds(LeaveOut(what=what, folds=parts), x, y, names, seed))
    assert (np.sum(found, 0) == 1).all()
    if what == "blocks":
        block = np.floor(x / 50_000) + 1j * np.floor(y / 50_000)
        assert all(not (set(block[f]) & set(block[~f])) for f in found)
    elif what == "cities":
        city = np.arange(len(x)) % 7
        assert all(not (set(city[f]) & set(city[~f])) for f in found)
    elif parts is None:
        assert len(found) == len(x)


def test_maps_are_scaled_and_people_by_their_logarithm():
    np.testing.assert_allclose(scaled("elevation", np.array([1000.0])), [2.0])
    np.testing.assert_allclose(scaled("population", np.array([0.0, 100.0])), [0.0, np.log(2)])
