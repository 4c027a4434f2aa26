import geopandas as gpd
import numpy as np
import pytest
from shapely import LineString, MultiLineString, Point

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.roads import Roads, density

GRID = Grid("EPSG:3035", 4_000_000, 3_000_000, 1000, (3, 4))  # 4 km wide, 3 km high


def roads(*lines, classes=None, crs="EPSG:3035"):
    """Lines given in kilometres from the grid's north-western corner, x east and y south."""
    places = [LineString([(4_000_000 + 1000 * x, 3_000_000 - 1000 * y) for x, y in line]) for line in lines]
    return gpd.GeoDataFrame({"class": classes or [1] * len(lines)}, geometry=places, crs=crs)


def test_a_straight_road_is_cut_at_each_edge():
    # along the middle of the second row, from 0.25 km to 2.5 km: 750 m, 1000 m, 500 m
    found = density(roads([(0.25, 1.5), (2.5, 1.5)]), GRID, [1])
    assert found.shape == (1, 3, 4)
    assert found.dtype == "float32"
    assert found[0, 1].tolist() == [750, 1000, 500, 0]
    assert found[0, [0, 2]].sum() == 0


def test_a_slanted_road_has_its_true_length_in_each_cell():
    # from (0, 0) to (2, 1): the edge x = 1 halves it, √5/2 km in either cell of the first row
    found = density(roads([(0, 0), (2, 1)]), GRID, [1])
    assert found[0, 0] == pytest.approx([500 * 5**0.5, 500 * 5**0.5, 0, 0])
    assert found[0, 1:].sum() == 0


def test_what_lies_outside_does_not_count_and_what_goes_through_does():
    # west to east right through and 10 km beyond either side: four cells of 1000 m; and one road wholly outside
    found = density(roads([(-10, 0.5), (14, 0.5)], [(-5, -5), (-1, -1)]), GRID, [1])
    assert found[0].sum() == pytest.approx(4000)
    assert found[0, 0].tolist() == pytest.approx([1000] * 4)


def test_the_area_is_taken_into_account():
    # 2 km of road in a cell of 2 km, 4 km²: 500 m km⁻²
    coarse = Grid("EPSG:3035", 4_000_000, 3_000_000, 2000, (1, 2))
    assert density(roads([(0, 1), (2, 1)]), coarse, [1])[0].tolist() == [[500, 0]]


def test_classes_stand_apart_and_unknown_ones_do_not_count():
    found = density(roads([(0, 0.5), (1, 0.5)], [(1, 0.5), (2, 0.5)], [(2, 0.5), (3, 0.5)], classes=[2, 5, 0]), GRID)
    assert found.sum((1, 2)).tolist() == [0, 1000, 0, 0, 1000]


def test_random_roads_lose_no_length():
    rng = np.random.default_rng(0)
    lines = roads(*(rng.uniform((0, 0), (4, 3), (20, 2)) for _ in range(30)))
    total = density(lines, GRID, [1])[0].sum()  # cells of 1 km²
    assert total == pytest.approx(lines.length.sum(), rel=1e-6)
    small = Grid("EPSG:3035", 4_000_000, 3_000_000, 250, (12, 16))
    blocks = density(lines, small, [1])[0].reshape(3, 4, 4, 4).mean((1, 3))
    assert blocks == pytest.approx(density(lines, GRID, [1])[0], rel=1e-5)


def test_many_parts_and_a_bend_on_an_edge():
    many = MultiLineString(
        [[(4_000_000, 2_999_500), (4_001_000, 2_999_500)], [(4_001_000, 2_999_500), (4_001_500, 2_999_500)]]
    )
    found = density(gpd.GeoDataFrame({"class": [1]}, geometry=[many], crs="EPSG:3035"), GRID, [1])
    assert found[0, 0].tolist() == [1000, 500, 0, 0]


def test_another_projection_is_refused():
    with pytest.raises(DataError, match="lines are in WGS 84, the grid in EPSG:3035"):
        density(roads([(0, 0), (1, 1)]).to_crs(4326), GRID, [1])


@pytest.mark.parametrize("suffix", ["gpkg", "shp"])
def test_a_file_like_grip(tmp_path, suffix):
    lines = roads([(0.25, 1.5), (2.5, 1.5)], [(0.5, 0.5), (1.5, 0.5)], [(900, 900), (901, 901)], classes=[1, 3, 5])
    path = tmp_path / f"GRIP4_region4.{suffix}"
    lines.rename(columns={"class": "GP_RTP"}).to_crs(4326).to_file(path)
    found = Roads(path).layers(GRID)
    assert list(found) == ["road_highway", "road_primary", "road_secondary", "road_tertiary", "road_local"]
    assert found["road_highway"].attrs["units"] == "m km-2"
    assert found["road_highway"].values[1] == pytest.approx([750, 1000, 500, 0], abs=0.01)
    assert found["road_secondary"].values[0] == pytest.approx([500, 500, 0, 0], abs=0.01)
    assert found["road_local"].values.sum() == 0


def test_bad_files_are_named(tmp_path):
    lines = roads([(0, 0.5), (1, 0.5)], classes=[7])
    lines.to_file(tmp_path / "seven.gpkg")
    with pytest.raises(DataError, match=r"seven.gpkg: 1 roads have the class 7; expected 1 \(highway\)"):
        Roads(tmp_path / "seven.gpkg").layers(GRID)
    lines.rename(columns={"class": "type"}).to_file(tmp_path / "type.gpkg")
    with pytest.raises(DataError, match=r"type.gpkg has no column 'GP_RTP or class' .* its columns: type"):
        Roads(tmp_path / "type.gpkg").layers(GRID)
    with pytest.raises(DataError, match=r"type.gpkg has no column 'typ' .* nearest: 'type'"):
        Roads(tmp_path / "type.gpkg", column="typ").layers(GRID)
    lines.set_crs(None, allow_override=True).to_file(tmp_path / "lost.gpkg")
    with pytest.raises(DataError, match=r"lost.gpkg does not say in which projection"):
        Roads(tmp_path / "lost.gpkg").layers(GRID)
    (tmp_path / "empty.gpkg").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty.gpkg is no vector file"):
        Roads(tmp_path / "empty.gpkg").layers(GRID)
    points = gpd.GeoDataFrame({"class": [1]}, geometry=[Point(4_000_500, 2_999_500)], crs="EPSG:3035")
    points.to_file(tmp_path / "points.gpkg")
    with pytest.raises(DataError, match=r"points.gpkg holds Point among its roads"):
        Roads(tmp_path / "points.gpkg").layers(GRID)
    roads([(900, 900), (901, 901)]).to_file(tmp_path / "far.gpkg")
    with pytest.raises(DataError, match=r"far.gpkg holds no road within the grid"):
        Roads(tmp_path / "far.gpkg").layers(GRID)
