"""How errors go together, by what a network misses of the model that taught it: small cases by hand."""

import numpy as np
import pytest

from airloom.infer.fields import create_zarr, read, write_day
from airloom.infer.misses import SHARES, TAPERS, Likeness, Misses, Sites, likeness
from airloom.stats.kriging import Variogram, by_rows, coefficients, from_others, on_grid
from tests.memory_cube import SHAPE, memory_cube

FACTOR = 4
VALLEYS = 30  # days


def valleys(draw, days=VALLEYS):
    """Deviations on 4 × 4 coarse cells: rows err by themselves, each the same from west to east."""
    of_row = draw.normal(0, 0.2, (days, 4, 1))
    return np.repeat(of_row - of_row.mean(0), 4, axis=2) / np.sqrt(days - 1), of_row


def sites(rows, columns):
    row, column = np.asarray(rows), np.asarray(columns)
    grid = memory_cube().grid
    return Sites(grid.x[column], grid.y[row], row, column)


def test_misses_are_log_ratios_of_the_teacher_on_its_cells(tmp_path):
    cube, days = memory_cube(), np.arange(4)
    teacher = np.full((40, 1, 4, 4), 8.0)
    teacher[:2] = 19.0  # log (19 + 3) / (8 + 3) = log 2 on two days, 0 on the others
    teacher[:, 0, 0, 0] = np.nan  # beyond the chemistry model's edge
    cube.group.create_array("chemistry", data=teacher)
    create_zarr(tmp_path / "field", cube.grid, cube.days[days], levels=None)
    uneven = 8.0 + np.tile([1.0, -1.0], SHAPE[1] // 2)  # within a coarse cell the mean is 8
    for day in days:
        write_day(tmp_path / "field", int(day), np.broadcast_to(uneven, SHAPE))
    found = Misses.of(read(tmp_path / "field"), cube, days, FACTOR).deviations
    expected = np.log(2) / 2 * np.array([1, 1, -1, -1]) / np.sqrt(3)
    assert found[:, 3, 2] == pytest.approx(expected)
    assert (found[:, 0, 0] == 0).all()


def test_between_coarse_cells_misses_are_bilinear():
    deviations = np.array([[[0.0, 4.0], [0.0, 4.0]]])  # one day, 2 × 2 cells of four: centres at 1.5 and 5.5
    found = Misses(deviations, FACTOR).at(np.array([0, 3, 7]), np.array([0, 3, 7]))
    assert found[:, 0].tolist() == [0.0, 1.5, 4.0]  # (3 − 1.5) / 4 of the way; edges go on


def test_of_no_share_only_distance_counts():
    draw = np.random.default_rng(0)
    at, variogram = sites([1, 5, 9, 14], [3, 12, 6, 8]), Variogram(0.01, 0.02, 8e3)
    values, grid = draw.normal(0, 0.2, (3, 4)), memory_cube().grid
    alone, blended = Likeness(variogram), Likeness(variogram, Misses(valleys(draw)[0], FACTOR), 0.0, 1e5)
    found = coefficients(alone.among(at), values)
    plain = on_grid(variogram, at.x, at.y, found, grid.x, grid.y)
    for one in (alone, blended):
        assert by_rows(found, one.rows(at, grid)) == pytest.approx(plain)


def test_maps_and_left_out_stations_agree():
    draw = np.random.default_rng(1)
    alike = Likeness(Variogram(0.01, 0.02, 8e3), Misses(valleys(draw)[0], FACTOR), 0.75, 1e5)
    at, values = sites([1, 5, 9, 14, 2], [3, 12, 6, 8, 13]), draw.normal(0, 0.2, (1, 5))
    left_out = from_others(alike.among(at), values)[0, 4]
    others = Sites(*(v[:4] for v in (at.x, at.y, at.row, at.column)))
    maps = by_rows(coefficients(alike.among(others), values[:, :4]), alike.rows(others, memory_cube().grid))
    assert maps[0, 2, 13] == pytest.approx(left_out)


ROWS, COLUMNS = (n.ravel() for n in np.mgrid[1:16:4, 0:16:2])  # 32 stations: eight in each of four valleys


def in_valleys(draw, of_row, at):
    """Errors that follow the valleys, and a little noise."""
    return of_row[:, at.row // FACTOR, 0] + draw.normal(0, 0.02, (len(of_row), len(at.row)))


def test_a_station_speaks_for_its_valley_where_errors_follow_valleys():
    draw = np.random.default_rng(2)
    deviations, of_row = valleys(draw)
    at = sites(ROWS, COLUMNS)
    values, variogram = in_valleys(draw, of_row, at), Variogram(0.01, 0.02, 8e3)
    found = likeness(variogram, Misses(deviations, FACTOR), at, values)
    assert found.share == max(SHARES)
    assert found.taper in TAPERS
    plain, blended = (np.nanmean((values - from_others(a.among(at), values)) ** 2) for a in (Likeness(variogram), found))
    assert blended < 0.7 * plain


def test_how_large_misses_are_plays_no_part():
    draw = np.random.default_rng(2)
    deviations, of_row = valleys(draw)
    at = sites(ROWS, COLUMNS)
    values, variogram = in_valleys(draw, of_row, at), Variogram(0.01, 0.02, 8e3)
    one, other = (likeness(variogram, Misses(k * deviations, FACTOR), at, values) for k in (1, 10))
    assert (one.share, one.taper) == (other.share, other.taper)
    assert one.among(at) == pytest.approx(other.among(at))


def test_misses_that_tell_nothing_are_left_out():
    draw = np.random.default_rng(3)
    at = sites(ROWS, COLUMNS)
    of_column = draw.normal(0, 0.2, (24, 8))  # alike from north to south, where the misses are from west to east
    values = of_column[:, COLUMNS // 2]
    found = likeness(Variogram(0.001, 0.04, 20e3), Misses(valleys(draw)[0], FACTOR), at, values)
    assert found.share == 0


def test_without_a_teacher_or_many_stations_only_distance_counts():
    draw = np.random.default_rng(4)
    deviations, of_row = valleys(draw)
    at, variogram = sites(ROWS, COLUMNS), Variogram(0.01, 0.02, 8e3)
    values = in_valleys(draw, of_row, at)
    assert likeness(variogram, None, at, values).misses is None
    values[:, :3] = np.nan  # 29 are left
    assert likeness(variogram, Misses(deviations, FACTOR), at, values).misses is None
