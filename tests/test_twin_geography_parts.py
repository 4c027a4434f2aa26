"""Parts of the twin's geography whose arithmetic a reader can check: noise, lines in cells, people moved ashore."""

import numpy as np
import pytest
import shapely

from airloom.grid import Grid
from airloom.sources.lines import line_length
from airloom.twin.coast import to_sea, wet_and_dry
from airloom.twin.noise import fractal, octave, scatter
from airloom.twin.roads import gabriel
from airloom.twin.ships import LANES, _line
from airloom.twin.towns import agglomerations, ashore, radius, towns

GRID = Grid("EPSG:3035", left=4_000_000, top=3_000_000, cell=2000, shape=(3, 4))


def line(*points: tuple[float, float]) -> np.ndarray:
    """One line through points given in cells from the grid's north-western corner, east and south."""
    return np.array([shapely.LineString([(4_000_000 + 2000 * x, 3_000_000 - 2000 * y) for x, y in points])])


def test_a_straight_road_is_shared_by_its_cells():
    # along the middle of the first row, from the middle of the first cell to the middle of the third: 1, 2 and 1 km
    assert line_length(line((0.5, 0.5), (2.5, 0.5)), GRID)[0].tolist() == pytest.approx([1000, 2000, 1000, 0])


def test_a_slanting_road_is_shared_by_its_cells():
    # two cells east and one south: half of its √5 · 2 km above the row's edge, half below, in two cells each a quarter
    found = line_length(line((0.0, 0.5), (2.0, 1.5)), GRID)
    quarter = 5**0.5 * 2000 / 4
    # it crosses the column's edge and the row's edge at the same point, (1, 1)
    assert found[0].tolist() == pytest.approx([2 * quarter, 0, 0, 0])
    assert found[1].tolist() == pytest.approx([0, 2 * quarter, 0, 0])


def test_a_road_beyond_the_grid_counts_inside_only_and_weights_multiply():
    lines = np.concatenate([line((-3, 0.5), (1, 0.5)), line((3.5, 1.5), (3.5, 9))])
    assert line_length(lines, GRID).sum() == pytest.approx(2000 + 3000)
    assert line_length(lines, GRID, weight=np.array([1.0, 10.0])).sum() == pytest.approx(2000 + 30_000)


def test_bends_are_followed_and_no_lines_are_no_length():
    assert line_length(line((0.5, 0.5), (0.75, 0.5), (0.75, 0.75)), GRID)[0, 0] == pytest.approx(1000)
    assert line_length(np.array([], object), GRID).sum() == 0


def test_noise_is_a_function_of_the_place():
    x, y = np.meshgrid(np.linspace(-1e6, 1e6, 101), np.linspace(2e6, 4e6, 101))
    whole = fractal(x, y, longest=50_000, shortest=4000, seed=5)
    assert np.array_equal(
        whole[20:40, 30:50], fractal(x[20:40, 30:50], y[20:40, 30:50], longest=50_000, shortest=4000, seed=5)
    )
    assert whole.std() == pytest.approx(1, abs=0.15)
    assert whole.mean() == pytest.approx(0, abs=0.1)
    assert not np.array_equal(whole, fractal(x, y, longest=50_000, shortest=4000, seed=6))


def test_noise_takes_the_lattice_values_at_its_nodes():
    node = octave(np.array([8000.0]), np.array([-16_000.0]), 8000, 3)
    assert node == pytest.approx(2 * scatter(3, np.array([1]), np.array([-2])) - 1)


def test_scattered_numbers_are_even():
    drawn = scatter(1, np.arange(20_000))
    assert drawn.mean() == pytest.approx(0.5, abs=0.01)
    assert np.histogram(drawn, 4, (0, 1))[0] == pytest.approx([5000] * 4, rel=0.05)


def test_people_move_to_the_nearest_dry_cell():
    dry = np.array([[False, False, True], [False, False, True]])
    assert ashore(np.array([[1.0, 2.0, 4.0], [0.0, 8.0, 0.0]]), dry).tolist() == [[0, 0, 7], [0, 0, 8]]
    assert ashore(np.ones((2, 2)), np.zeros((2, 2), bool)).sum() == 0


def test_the_way_to_the_sea():
    # Madrid is more than 300 km from the sea, Paris some 150 km, The Hague on it
    table = towns().filter(
        (towns()["population"] > 400_000) & towns()["lat"].is_between(40.3, 40.5) & towns()["lon"].is_between(-3.8, -3.6)
    )
    assert to_sea(table["x"].to_numpy(), table["y"].to_numpy()).min() > 290_000
    hague = towns().filter(towns()["lat"].is_between(52.05, 52.1) & towns()["lon"].is_between(4.27, 4.33))
    assert to_sea(hague["x"].to_numpy(), hague["y"].to_numpy()).max() < 8000


def test_a_line_is_wet_or_dry():
    # from the North Sea over Holland and the IJsselmeer to Friesland
    way = _line(((3.5, 52.6), (6.0, 53.0)))
    wet, dry = wet_and_dry(np.array([way]))
    assert wet[0].length + dry[0].length == pytest.approx(way.length, rel=1e-6)
    assert wet[0].length > 60_000
    assert dry[0].length > 40_000


def test_lanes_are_drawn_at_sea():
    drawn = np.array([_line(points) for _, points in LANES])
    _, dry = wet_and_dry(drawn)
    assert shapely.length(dry).sum() < 0.02 * shapely.length(drawn).sum()


def test_roads_join_neighbours_alone():
    nodes, pairs = gabriel(1)
    some = pairs[::97]
    for a, b in some:
        middle, reach = (nodes[a] + nodes[b]) / 2, np.hypot(*(nodes[a] - nodes[b])) / 2
        distance = np.hypot(*(nodes - middle).T)
        assert (np.delete(distance, [a, b]) >= reach * (1 - 1e-9)).all()


def test_agglomerations_lose_nobody():
    assert agglomerations(7000.0, 1)["population"].sum() == towns()["population"].sum()
    assert agglomerations(7000.0, 1).height < towns().height / 2


def test_a_village_covers_half_a_square_kilometre():
    # 1000 people at 2000 per km²: π r² = 0.5 km²
    assert radius(np.array([1000.0])) == pytest.approx(1000 * (0.5 / np.pi) ** 0.5)
