"""The twin's geography as a whole: what stands where, and that its layers agree."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import shapely
from scipy.ndimage import binary_erosion

from airloom.errors import StudyError
from airloom.grid import Grid
from airloom.sources.lines import line_length
from airloom.twin.coast import on_land, shares
from airloom.twin.corine import CLASSES, GROUPS, NUMBER, group
from airloom.twin.geography import Geography, geography
from airloom.twin.towns import europe

RIVIERA = Grid.around(7.2, 44.6, cell=4000, shape=(70, 60))  # sea, the Maritime Alps, Turin and Genoa


@pytest.fixture(scope="module")
def riviera() -> Geography:
    return geography(RIVIERA, 1)


@pytest.fixture(scope="module")
def lowlands() -> Geography:
    return geography(Grid.around(4.6, 51.8, cell=4000, shape=(50, 50)), 1)


@pytest.mark.parametrize(
    ("lon", "lat", "land"),
    [
        (2.35, 48.86, 1),  # Paris
        (-4.0, 45.5, 0),  # Bay of Biscay
        (3.0, 53.5, 0),  # North Sea
        (10.6, 67.1, 0),  # Norwegian Sea
        (35.0, 71.0, 0),  # Barents Sea
        (-3.7, 40.42, 1),  # Madrid
        (9.1, 42.2, 1),  # Corsica
        (5.35, 52.65, 0),  # IJsselmeer, a lake
        (6.5, 46.43, 0),  # Lake Geneva
    ],
)
def test_land_is_where_it_is(lon, lat, land):
    above, lake = shares(Grid.around(lon, lat, cell=2000, shape=(2, 2)))
    assert (above - lake).tolist() == [[land] * 2] * 2


def test_the_share_of_a_coastal_cell_is_the_mean_of_its_quarters():
    coarse = Grid.around(-1.6, 43.45, cell=8000, shape=(4, 4))
    fine, _ = shares(Grid(coarse.crs, coarse.left, coarse.top, 4000, (8, 8)))
    whole, _ = shares(coarse)
    assert 0 < whole.mean() < 1
    # 64 pixels a cell: a share may be off by those that the coast cuts
    assert whole == pytest.approx(fine.reshape(4, 2, 4, 2).mean(axis=(1, 3)), abs=0.06)


def test_mountains_and_lowlands_are_where_they_are(riviera, lowlands):
    row, column = RIVIERA.locate(7.68, 45.07)  # Turin, 240 m
    assert riviera.elevation[row, column] < 500
    row, column = RIVIERA.locate(7.09, 44.67)  # Monte Viso, 3841 m
    assert riviera.elevation[row - 2 : row + 3, column - 2 : column + 3].max() > 1900
    row, column = lowlands.grid.locate(4.6, 52.0)
    assert lowlands.elevation[row - 5 : row + 5, column - 5 : column + 5].max() < 15
    mont_blanc = geography(Grid.around(7.0, 45.9, cell=4000, shape=(6, 6)), 1)
    assert mont_blanc.elevation.max() > 2200


def test_layers_have_their_shapes_and_kinds(riviera):
    maps = (riviera.land, riviera.elevation, riviera.population, riviera.lights)
    assert {(a.shape, a.dtype.name) for a in maps} == {((70, 60), "float32")}
    assert riviera.road_density.shape == (5, 70, 60)
    assert riviera.landcover.dtype == np.int8
    assert riviera.sites.columns == ["kind", "x", "y", "size"]
    assert set(riviera.sites["kind"]) == {"power", "industry", "airport", "port"}
    assert riviera.sites["size"].min() > 0
    assert set(riviera.roads["class"]) == {1, 2, 3, 4, 5}
    assert riviera.roads.crs == riviera.ship_lanes.crs == "EPSG:3035"
    assert (riviera.ship_lanes["traffic"] > 0).all()


def test_the_sea_is_empty(riviera):
    sea = riviera.land == 0
    assert sea.mean() > 0.1
    assert riviera.elevation[sea].max() == 0
    assert riviera.population[sea].max() == 0
    assert (group(riviera.landcover[sea]) >= 4).all()
    # a strip of land too thin for the pixels of a cell's share may bear a road; beyond the cells next to land there is none
    assert riviera.road_density[:, binary_erosion(sea, np.ones((3, 3)))].max() == 0


def test_roads_and_sites_stand_on_land_and_ships_swim(riviera):
    middle = shapely.line_interpolate_point(riviera.roads.geometry.to_numpy(), 0.5, normalized=True)
    assert on_land(shapely.get_x(middle), shapely.get_y(middle)).mean() > 0.999
    inland = riviera.sites.filter(pl.col("kind") != "port")
    assert on_land(inland["x"].to_numpy(), inland["y"].to_numpy()).all()
    afloat = shapely.line_interpolate_point(riviera.ship_lanes.geometry.to_numpy(), 0.5, normalized=True)
    assert not on_land(shapely.get_x(afloat), shapely.get_y(afloat)).any()


def test_the_map_of_density_holds_every_road(riviera):
    for kind in range(1, 6):
        length = riviera.roads.geometry[riviera.roads["class"] == kind].length.sum()
        assert riviera.road_density[kind - 1].sum(dtype=float) * 16 == pytest.approx(length, rel=1e-5)


def test_land_cover_agrees_with_the_other_layers(riviera, lowlands):
    for made in (riviera, lowlands):
        kind = group(made.landcover)
        assert (kind[made.population > 1500] != 2).all()
        assert (kind[made.land < 0.5] >= 4).all()
        assert (kind[made.land > 0.5] != 5).all()
    high = (riviera.elevation > 2300) & (riviera.population < 50)
    assert set(group(riviera.landcover[high])) == {3}
    cities = riviera.population > 8000
    assert set(riviera.landcover[cities]) <= {NUMBER[code] for code in (111, 112, 121, 123, 124, 133, 141, 523)}
    assert (group(lowlands.landcover[lowlands.land > 0.5]) == 2).mean() > 0.4


def test_lights_follow_people_and_saturate(riviera):
    assert riviera.lights.max() < 180
    land = riviera.land > 0.5
    ranks = np.corrcoef(np.argsort(np.argsort(riviera.lights[land])), np.argsort(np.argsort(riviera.population[land])))
    assert ranks[0, 1] > 0.7


def test_the_same_seed_makes_the_same_country(riviera):
    again, other = geography(RIVIERA, 1), geography(RIVIERA, 2)
    for name in ("land", "elevation", "population", "landcover", "road_density", "lights"):
        assert np.array_equal(getattr(riviera, name), getattr(again, name)), name
    assert riviera.sites.equals(again.sites)
    assert riviera.roads.equals(again.roads)
    assert not np.array_equal(riviera.elevation, other.elevation)
    assert np.array_equal(riviera.land, other.land)


def test_another_window_shows_the_same_country(riviera):
    moved = geography(replace(RIVIERA, left=RIVIERA.left + 10 * 4000, top=RIVIERA.top - 20 * 4000), 1)
    here, there = (slice(20, 70), slice(10, 60)), (slice(0, 50), slice(0, 50))
    assert np.array_equal(riviera.land[here], moved.land[there])
    assert riviera.elevation[here] == pytest.approx(moved.elevation[there], abs=0.01)
    assert np.array_equal(riviera.landcover[here], moved.landcover[there])
    assert riviera.road_density[:, *here] == pytest.approx(moved.road_density[:, *there], rel=1e-4, abs=0.01)
    assert riviera.population[here] == pytest.approx(moved.population[there], rel=1e-4, abs=0.01)
    assert riviera.lights[here] == pytest.approx(moved.lights[there], rel=0.02, abs=0.05)


def test_coarse_terrain_is_about_the_mean_of_fine():
    coarse = geography(Grid.around(7.4, 45.9, cell=8000, shape=(8, 8)), 1)
    grid = coarse.grid
    fine = geography(Grid(grid.crs, grid.left, grid.top, 2000, (32, 32)), 1)
    blocks = fine.elevation.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert coarse.elevation.mean() == pytest.approx(blocks.mean(), rel=0.1)
    assert np.corrcoef(coarse.elevation.ravel(), blocks.ravel())[0, 1] > 0.85


def test_another_projection_shows_the_same_country():
    made = geography(Grid.around(9.2, 45.5, cell=4000, shape=(20, 20), crs="EPSG:32632"), 1)
    assert made.roads.crs == "EPSG:32632"
    row, column = np.unravel_index(made.population.argmax(), made.population.shape)
    assert abs(row - 10) <= 2  # Milan in the middle
    assert abs(column - 10) <= 2
    length = line_length(made.roads.geometry.to_numpy(), made.grid)
    assert length.sum() == pytest.approx(made.road_density.sum(dtype=float) * 16, rel=1e-5)


def test_a_grid_beyond_europe_is_refused():
    with pytest.raises(StudyError, match=r"cover -25…45°E, 34…72°N\. Move or shrink the grid"):
        geography(Grid("EPSG:3035", left=4_000_000, top=-500_000, cell=2000, shape=(4, 4)), 1)


def test_classes_are_corines():
    assert len(CLASSES) == 44
    assert [code for code, _ in CLASSES] == sorted(code for code, _ in CLASSES)
    assert len(GROUPS) == 5
    # 1 urban, 12 arable, 23 broad-leaved, 35 inland marshes, 40 water courses open the five groups
    first = [1, 12, 23, 35, 40]
    assert group(np.array(first)).tolist() == [1, 2, 3, 4, 5]
    assert group(np.array(first[1:]) - 1).tolist() == [1, 2, 3, 4]
    assert group(np.array([44])).tolist() == [5]


def test_cells_in_europe_are_themselves():
    x, y = europe(RIVIERA)
    assert x[0] == pytest.approx(RIVIERA.x)
    assert y[:, 0] == pytest.approx(RIVIERA.y)
