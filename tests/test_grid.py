from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airloom.errors import StudyError
from airloom.grid import Grid, Mosaic, Tile, hann, starts, strips, tiles

GRID = Grid("EPSG:3035", left=3_000_000, top=2_000_000, cell=2000, shape=(3, 4))

few = st.integers(1, 12)
grids = st.builds(
    Grid,
    crs=st.sampled_from(["EPSG:3035", "EPSG:32632"]),
    left=st.integers(300, 700).map(lambda n: n * 1000.0),
    top=st.integers(4500, 5200).map(lambda n: n * 1000.0),
    cell=st.sampled_from([500.0, 2000.0, 1234.5]),
    shape=st.tuples(few, few),
)


def test_centres_and_bounds_by_hand():
    # four columns of 2 km from 3,000 km: centres 3001, 3003, 3005, 3007; three rows down from 2,000 km: 1999, 1997, 1995
    assert GRID.x.tolist() == [3_001_000, 3_003_000, 3_005_000, 3_007_000]
    assert GRID.y.tolist() == [1_999_000, 1_997_000, 1_995_000]
    assert GRID.bounds == (3_000_000, 1_994_000, 3_008_000, 2_000_000)


def test_transform_takes_a_corner_to_the_corner():
    t = GRID.transform
    assert (t.a, t.b, t.c, t.d, t.e, t.f) == (2000, 0, 3_000_000, 0, -2000, 2_000_000)
    assert GRID.geobox.shape == (3, 4)


def test_the_origin_of_etrs_laea_lies_at_52_north_10_east():
    # EPSG:3035 is defined with 10°E, 52°N at 4,321,000 m east and 3,210,000 m north
    x, y = GRID.project(np.array([10.0]), np.array([52.0]))
    assert (x[0], y[0]) == pytest.approx((4_321_000, 3_210_000), abs=0.01)
    around = Grid.around(10.0, 52.0, cell=1000, shape=(2, 2))
    assert around.bounds == (4_320_000, 3_209_000, 4_322_000, 3_211_000)


def test_places_outside_the_window_have_no_cell():
    row, column = GRID.locate(np.array([10.0, np.nan]), np.array([52.0, 40.0]))
    assert row.tolist() == column.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": "EPSG:999999"}, "not a coordinate system that PROJ knows"),
        ({"crs": "EPSG:4326"}, "not projected in metres"),
        ({"crs": "EPSG:2263"}, "not projected in metres"),  # New York, in feet
        ({"cell": 0}, "must be positive"),
        ({"shape": (0, 4)}, "must be positive"),
    ],
)
def test_a_grid_that_cannot_be_says_why(change, message):
    with pytest.raises(StudyError, match=message):
        Grid(**{"crs": "EPSG:3035", "left": 0, "top": 0, "cell": 2000, "shape": (3, 4)} | change)


def test_a_centre_that_does_not_exist_is_refused():
    with pytest.raises(StudyError, match=r"95\.0°N does not exist"):
        Grid.around(10.0, 95.0, cell=2000, shape=(4, 4))


def test_blocks_must_fit():
    with pytest.raises(StudyError, match="3 × 4 cells do not divide into blocks of 2 × 2"):
        GRID.coarsen(2)


@settings(deadline=None)
@given(grids)
def test_locate_inverts_cell_centres(grid):
    row, column = grid.locate(*grid.lonlat())
    expected = np.indices(grid.shape)
    assert (row == expected[0]).all()
    assert (column == expected[1]).all()


@settings(deadline=None)
@given(grids, few)
def test_coarsening_keeps_the_window(grid, factor):
    fine = Grid(grid.crs, grid.left, grid.top, grid.cell, (grid.shape[0] * factor, grid.shape[1] * factor))
    coarse = fine.coarsen(factor)
    assert coarse.refine(factor).shape == fine.shape
    assert coarse.refine(factor).x == pytest.approx(fine.x, abs=1e-6)
    assert coarse.bounds == pytest.approx(fine.bounds, abs=1e-6)
    assert coarse.shape == grid.shape
    # a block's centre is the mean of its cells' centres
    assert coarse.x == pytest.approx(fine.x.reshape(-1, factor).mean(1), abs=1e-6)


sizes = st.integers(1, 40)


@given(sizes, sizes, sizes)
def test_starts_cover_and_are_at_most_a_stride_apart(length, size, stride):
    stride = min(stride, size)
    found = starts(length, size, stride)
    assert found[0] <= 0
    assert found[-1] + size >= length
    assert all(0 < b - a <= stride for a, b in pairwise(found))
    if size < length:
        assert len(found) == 1 + -(-(length - size) // stride)  # the fewest


@given(st.tuples(sizes, sizes), st.integers(1, 10), st.integers(1, 10), st.sampled_from([1, 2, 4]))
def test_tiles_cover_every_cell(shape, size, stride, multiple):
    size, stride = size * multiple, min(stride, size) * multiple
    covered = np.zeros(shape, int)
    for tile in tiles(shape, size, stride, multiple):
        assert tile.row % multiple == tile.column % multiple == 0
        (gy, gx), (ty, tx) = tile.inside(shape)
        covered[gy, gx] += 1
        assert covered[gy, gx].shape == np.empty((size, size))[ty, tx].shape
    assert (covered > 0).all()


def test_a_tile_may_hang_over_the_edge():
    # rows -1, 0, 1, 2 of a grid with 3 rows: grid rows 0…2 are the tile's rows 1…3
    (gy, gx), (ty, tx) = Tile(-1, 1, 4).inside((3, 4))
    assert (gy, ty) == (slice(0, 3), slice(1, 4))
    assert (gx, tx) == (slice(1, 4), slice(0, 3))


@pytest.mark.parametrize(("size", "stride", "multiple"), [(4, 5, 1), (4, 0, 1), (6, 4, 4), (8, 6, 4)])
def test_tiles_that_leave_gaps_are_refused(size, stride, multiple):
    with pytest.raises(StudyError, match="stride"):
        tiles((20, 20), size, stride, multiple)


def test_hann_by_hand():
    # two cells: centres at 1/4 and 3/4 of the window, sin²(45°) = sin²(135°) = 1/2; products 1/4
    assert hann(2) == pytest.approx(np.full((2, 2), 0.25))


def test_two_tiles_blend_by_their_weights():
    # one row of 3 cells, tiles of 2: the middle one is the mean of both, since hann(2) weighs its cells equally
    mosaic = Mosaic((2, 3))
    mosaic.add(Tile(0, 0, 2), np.full((2, 2), 10.0))
    mosaic.add(Tile(0, 1, 2), np.full((2, 2), 30.0))
    assert mosaic.field() == pytest.approx(np.array([[10, 20, 30], [10, 20, 30]]))


@given(st.tuples(sizes, sizes), st.integers(1, 20), st.integers(1, 20), st.floats(-1e3, 1e3))
def test_a_constant_stays_constant_everywhere(shape, size, stride, value):
    mosaic = Mosaic(shape, leading=(2,))
    for tile in tiles(shape, size, min(stride, size)):
        mosaic.add(tile, np.full((2, size, size), value))
    assert mosaic.field() == pytest.approx(np.full((2, *shape), value), rel=1e-12)


@given(st.tuples(sizes, sizes), st.integers(1, 20), st.integers(1, 20))
def test_tiling_the_identity_gives_the_field_back(shape, size, stride):
    field = np.random.default_rng(0).normal(size=shape)
    mosaic = Mosaic(shape)
    for tile in tiles(shape, size, min(stride, size)):
        (gy, gx), (ty, tx) = tile.inside(shape)
        values = np.full((size, size), np.inf)  # what hangs over is never looked at
        values[ty, tx] = field[gy, gx]
        mosaic.add(tile, values)
    assert mosaic.field() == pytest.approx(field, rel=1e-12)


@given(st.tuples(sizes, sizes), st.integers(1, 20), st.integers(1, 20), st.integers(1, 4))
def test_strips_are_the_mosaic(shape, size, stride, multiple):
    windows = tiles(shape, size * multiple, min(stride, size) * multiple, multiple)
    values = np.random.default_rng(0).normal(size=(len(windows), 2, size * multiple, size * multiple))
    mosaic = Mosaic(shape, leading=(2,))
    for tile, told in zip(windows, values, strict=True):
        mosaic.add(tile, told)
    found = list(strips(zip(windows, values, strict=True), shape))
    assert [top for top, _ in found] == np.cumsum([0, *(s.shape[-2] for _, s in found[:-1])]).tolist()
    assert max(s.shape[-2] for _, s in found) <= size * multiple
    np.testing.assert_array_equal(np.concatenate([s for _, s in found], axis=-2), mosaic.field())


def test_what_no_tile_covers_is_nan():
    mosaic = Mosaic((1, 3))
    mosaic.add(Tile(0, 0, 1), np.ones((1, 1)))
    assert np.isnan(mosaic.field()).tolist() == [[False, True, True]]
