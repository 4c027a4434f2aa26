"""Assimilation: what the day's stations say moves the field, by hand; what is withheld does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airloom.infer.assimilate import assimilate_field
from airloom.infer.fields import create_zarr, read, write_day
from airloom.progress import quiet
from airloom.stats.standing import OFFSET, told_by_maps, two_way
from tests.memory_cube import COLUMNS, ROWS, SHAPE, memory_cube

DAYS = np.arange(4)
LEVELS, SCALES = (0.0, 1000.0), np.array([1.0, 10.0])
ALL = np.ones(len(ROWS), bool)


def assimilated(tmp_path, observed, *, seen=ALL, before=(8.0, 0.8), name="after", boosted=lambda *_: None):
    """The field of `before` µg m⁻³ on its two levels everywhere, drawn to `observed` on (day, station)."""
    values = np.full((40, len(ROWS)), np.nan)
    values[DAYS] = observed
    cube, path = memory_cube(observed=values), tmp_path / "before"
    if not path.exists():
        create_zarr(path, cube.grid, cube.days[DAYS], levels=LEVELS)
        for day in DAYS:
            write_day(path, int(day), np.broadcast_to(np.array(before)[:, None, None], (2, *SHAPE)))
    settings = {"depth": 1000.0, "scales": SCALES, "levels": LEVELS, "attrs": {}, "progress": quiet}
    assimilate_field(read(path), cube, DAYS, seen, lambda: None, boosted, tmp_path / name, **settings)
    return read(tmp_path / name).no2.to_numpy()


def test_stations_that_agree_move_the_whole_field(tmp_path):
    after = assimilated(tmp_path, np.full((4, len(ROWS)), 19.0))
    # (19 + 3) / (8 + 3) = 2, everywhere: 2 · 11 − 3 = 19 at the ground; e-folded at 1000 m, with an offset of 0.3 there
    assert OFFSET == 3
    assert after[:, 0] == pytest.approx(np.full((4, *SHAPE), 19.0), rel=1e-5)
    assert after[:, 1] == pytest.approx(np.full((4, *SHAPE), 1.1 * 2 ** np.exp(-1) - 0.3), rel=1e-5)


def test_what_logarithms_take_from_the_mean_is_given_back(tmp_path):
    seen = np.zeros(len(ROWS), bool)
    seen[:2] = True
    observed = np.full((4, len(ROWS)), np.nan)
    up, down = 11 * np.exp(0.5) - 3, 11 * np.exp(-0.5) - 3  # log ratios of a half, the other way on the other days
    observed[:, 0], observed[:, 1] = [up, up, down, down], [down, down, up, up]
    after = assimilated(tmp_path, observed, seen=seen)[:, 0, ROWS[:2], COLUMNS[:2]] + 3
    # either errs by 1 where the other alone is known: exp(b) = (e + 1/e) / 2; the maps of the ratio are ±a at the two
    assert after.prod(1) == pytest.approx(np.full(4, (11 * np.cosh(1)) ** 2), rel=1e-4)


def test_a_day_without_stations_stays_as_it_was(tmp_path):
    observed = np.full((4, len(ROWS)), 19.0)
    observed[2] = np.nan
    after = assimilated(tmp_path, observed)
    assert after[2, 0] == pytest.approx(8.0)
    assert after[2, 1] == pytest.approx(0.8)


def test_the_field_is_never_negative(tmp_path):
    after = assimilated(tmp_path, np.full((4, len(ROWS)), -0.5))
    # 3 / 11 of 1.1 would be 0.3, less the offset 0 at the ground; the negative value counts as none
    assert after.min() >= 0
    assert after[:, 0].max() == pytest.approx(0, abs=1e-5)


def test_near_a_station_the_field_says_what_it_says(tmp_path):
    draw = np.random.default_rng(0)
    shared = draw.normal(0, 6, (4, 1)) + np.linspace(0, 12, len(ROWS))
    after = assimilated(tmp_path, 20 + shared)
    error = after[:, 0, ROWS, COLUMNS] - (20 + shared)
    assert np.sqrt((error**2).mean()) < 0.5 * np.sqrt(((8 - 20 - shared) ** 2).mean())


def test_withheld_stations_are_never_read(tmp_path):
    observed, seen = np.random.default_rng(1).uniform(5, 30, (4, len(ROWS))), ALL.copy()
    seen[2] = False
    blind = observed.copy()
    blind[:, 2] = 1e6
    first, second = (assimilated(tmp_path, o, seen=seen, name=n) for o, n in ((observed, "one"), (blind, "two")))
    assert (first == second).all()


def test_days_that_are_there_are_not_made_again(tmp_path):
    whole = assimilated(tmp_path, np.full((4, len(ROWS)), 19.0))
    store, mark = tmp_path / "partial", np.full((2, *SHAPE), 77.0)
    create_zarr(store, memory_cube().grid, memory_cube().days[DAYS], levels=LEVELS)
    write_day(store, 1, mark)
    resumed = assimilated(tmp_path, np.full((4, len(ROWS)), 19.0), name="partial")
    assert (resumed[1] == 77).all()
    assert (resumed[[0, 2, 3]] == whole[[0, 2, 3]]).all()


def test_what_stands_at_one_station_stays_there(tmp_path):
    observed = np.full((4, len(ROWS)), 8.0)
    observed[:, 2] = 30.0  # on all days; no map is high there, so nothing else is to be learnt from it
    after = assimilated(tmp_path, observed)[:, 0]
    around = after[:, ROWS[2] - 1 : ROWS[2] + 2, COLUMNS[2] - 1 : COLUMNS[2] + 2]
    assert around.max() < 16  # kriged as errors of the day, 30 at the station and a hill about it
    assert (after == after[0]).all()


MANY = np.divmod(
    np.random.default_rng(5).permutation(SHAPE[0] * SHAPE[1])[:40], SHAPE[1]
)  # rows and columns of forty stations


def test_what_the_maps_tell_of_standing_errors_is_carried_elsewhere():
    cube = memory_cube()
    emissions = cube.group["emissions"][0]
    own = 0.2 * emissions[MANY] + np.random.default_rng(6).normal(0, 0.05, 40)
    told = told_by_maps(own, np.full(40, 90), cube, *MANY)
    assert np.corrcoef(told.ravel(), emissions.ravel())[0, 1] > 0.95
    assert told[MANY] == pytest.approx(own, abs=0.3)


def test_standing_errors_are_not_carried_beyond_their_range():
    own = np.random.default_rng(7).normal(0, 0.2, 40)
    own[3] = np.nan
    told = told_by_maps(own, np.full(40, 90), memory_cube(), *MANY)
    assert np.isfinite(told).all()
    assert told.min() >= np.nanmin(own)
    assert told.max() <= np.nanmax(own)


def test_of_few_stations_the_maps_are_not_asked():
    own, days = np.array([-0.3, 0.1, 0.2, np.nan, 0.4, 0.0]), np.array([40, 40, 20, 0, 40, 40])
    # (−0.3 + 0.1 + 0.2 / 2 + 0.4) / 4.5
    assert told_by_maps(own, days, memory_cube(), ROWS, COLUMNS) == pytest.approx(np.full(SHAPE, 0.3 / 4.5))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
def test_own_means_are_plain_means_where_all_report(days, stations, seed):
    values = np.random.default_rng(seed).normal(0, 1, (days, stations))
    assert two_way(values) == pytest.approx(values.mean(0))


def test_a_station_that_never_reported_has_no_own_mean():
    assert np.isnan(two_way(np.array([[1.0, np.nan], [2.0, np.nan]]))).tolist() == [False, True]
