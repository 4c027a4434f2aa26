"""What trees know of places and days, and how they speak beside a network when its field is drawn."""

import numpy as np
import pytest

from airloom.cube.features import Features
from airloom.infer import boosted
from airloom.infer.assimilate import assimilate_field
from airloom.infer.boosted import Boosted, grow
from airloom.infer.fields import create_zarr, read, write_day
from airloom.progress import quiet
from airloom.stats.standing import OFFSET
from tests.memory_cube import COLUMNS, DAYS, FACTOR, ROWS, SHAPE, memory_cube

EVERY = np.arange(DAYS)


@pytest.fixture
def features() -> Features:
    return Features(memory_cube(), FACTOR)


def test_features_are_the_cubes_own_numbers(features):
    group, days = features.cube.group, np.array([3, 35])
    told = features.at(days, ROWS, COLUMNS)
    assert told.shape == (2, len(ROWS), len(features.names))
    assert features.names[:3] == ("calendar-0", "calendar-1", "emissions-0")
    wanted = {
        "calendar-1": np.broadcast_to(group["calendar"][:][days, 1, None], (2, len(ROWS))),
        "geography-1": np.broadcast_to(group["geography"][1][ROWS, COLUMNS], (2, len(ROWS))),
        "weather-0 mean": group["weather"][:][days, :, 0].mean(1)[:, ROWS // FACTOR, COLUMNS // FACTOR],
        "weather-1 max": group["weather"][:][days, :, 1].max(1)[:, ROWS // FACTOR, COLUMNS // FACTOR],
    }
    for name, values in wanted.items():
        assert told[..., features.names.index(name)] == pytest.approx(values, abs=1e-6), name


def test_strips_of_a_map_are_the_cells_one_by_one(features, monkeypatch):
    monkeypatch.setattr("airloom.cube.features.STRIP", 5)  # 16 rows: three strips and a rest
    whole = np.concatenate(list(features.strips(7)))
    assert whole.shape == (*SHAPE, len(features.names))
    assert np.array_equal(whole[ROWS, COLUMNS], features.at(np.array([7]), ROWS, COLUMNS)[0])


class Level:
    """Trees that say the same everywhere."""

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.full(len(inputs), np.log(44.0))


def drawn(tmp_path, trees: Boosted | None) -> np.ndarray:
    """A field of 8 µg m⁻³ drawn to stations that have 19, at the ground and, e-folded, above."""
    values = np.full((DAYS, len(ROWS)), np.nan)
    values[0] = 19.0
    cube, path = memory_cube(observed=values), tmp_path / "before"
    create_zarr(path, cube.grid, cube.days[:2], levels=(0.0, 1000.0))
    for day in range(2):
        write_day(path, day, np.full((2, *SHAPE), 8.0))
    settings = {"depth": 1000.0, "scales": np.ones(2), "levels": (0.0, 1000.0), "attrs": {}, "progress": quiet}
    seen, days = np.ones(len(ROWS), bool), np.arange(2)
    assimilate_field(read(path), cube, days, seen, lambda: None, lambda *_: trees, tmp_path / "after", **settings)
    return read(tmp_path / "after").no2.to_numpy()


def test_trees_have_their_share_of_the_logarithm(tmp_path, features):
    # stations have (19 + 3) / (8 + 3) = 2, trees 44 / 11 = 4 times the field: with half a share √4 = 2, and nothing is left to draw
    trees = Boosted(features, [Level()], np.full((2, len(ROWS)), np.log(44.0)), 0.5)
    assert OFFSET == 3
    after = drawn(tmp_path, trees)
    assert after[0, 0] == pytest.approx(np.full(SHAPE, 19.0), rel=1e-5)
    assert after[0, 1] == pytest.approx(np.full(SHAPE, 11 * 2 ** np.exp(-1) - 3), rel=1e-5)
    assert after[1] == pytest.approx(after[0], rel=1e-5)  # a day without stations has its trees


def test_what_trees_say_of_stations_is_made_good_where_others_know_better(tmp_path, features):
    # trees of others think 11 everywhere, so the stations' ratio is that of the field alone, 2; what trees add on the map is √4 on top
    trees = Boosted(features, [Level()], np.full((2, len(ROWS)), np.log(11.0)), 0.5)
    assert drawn(tmp_path, trees)[0, 0] == pytest.approx(np.full(SHAPE, 41.0), rel=1e-5)


def test_a_station_is_told_by_trees_of_others(features, monkeypatch):
    monkeypatch.setattr(boosted, "VALUES", 200)
    monkeypatch.setattr(boosted, "STATIONS", 6)
    observed = features.cube.group["observed"][:]
    told = grow(features, EVERY, ROWS, COLUMNS, observed, share=0.5, seed=0)
    observed[:, 2] = 1e4
    again = grow(features, EVERY, ROWS, COLUMNS, observed, share=0.5, seed=0)
    assert told is not None
    assert again is not None
    assert told.left_out.shape == observed.shape
    fold = [s for s in range(len(ROWS)) if np.array_equal(told.left_out[:, s], again.left_out[:, s])]
    assert 2 in fold  # its own values say nothing of itself, but of most others
    assert len(fold) <= 2
    assert told.at_stations(np.full(observed.shape, 8.0)) == pytest.approx(0.5 * (told.left_out - np.log(11.0)))
    assert told.everywhere(3, np.full(SHAPE, 8.0)).shape == SHAPE


@pytest.mark.parametrize(("share", "values", "stations"), [(0.0, 1, 1), (0.5, 1000, 1), (0.5, 1, 30)])
def test_without_a_share_or_with_little_to_learn_from_no_trees_are_grown(features, monkeypatch, share, values, stations):
    monkeypatch.setattr(boosted, "VALUES", values)
    monkeypatch.setattr(boosted, "STATIONS", stations)
    observed = features.cube.group["observed"][:]
    assert grow(features, EVERY, ROWS, COLUMNS, observed, share=share, seed=0) is None
