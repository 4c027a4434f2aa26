import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely import LineString

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.raster import Raster
from airloom.sources.roads import Roads
from airloom.twin.writers.rasters import write_elevation, write_land_cover, write_lights
from airloom.twin.writers.roads import write_roads

GRID = Grid.around(4.9, 52.4, cell=4000, shape=(12, 16))


def slope():
    """A map that rises by 25 a cell eastward and by 50 a cell northward."""
    return 25.0 * np.arange(16)[None, :] + 50.0 * np.arange(12)[::-1, None]


def test_elevation_comes_back(tmp_path):
    write_elevation(slope(), GRID, tmp_path / "dem.tif")
    with rasterio.open(tmp_path / "dem.tif") as file:
        assert file.dtypes == ("int16",)
        assert file.crs.to_epsg() == 4326
        assert file.res == pytest.approx((15 / 3600, 15 / 3600))
    found = Raster([tmp_path / "dem.tif"], name="elevation", units="m").layers(GRID)["elevation"].values
    # a plane stays a plane but at the rim, where half a cell has no neighbour and is as high as its centre
    assert found[1:-1, 1:-1] == pytest.approx(slope()[1:-1, 1:-1], abs=0.6)
    assert found == pytest.approx(slope(), abs=25)


def test_lights_come_back(tmp_path):
    write_lights(slope() / 10, GRID, tmp_path / "lights.tif")
    with rasterio.open(tmp_path / "lights.tif") as file:
        assert file.dtypes == ("float32",)
    found = Raster([tmp_path / "lights.tif"], name="lights").layers(GRID)["lights"].values
    assert found[1:-1, 1:-1] == pytest.approx(slope()[1:-1, 1:-1] / 10, abs=0.05)


def test_land_cover_comes_back_as_classes(tmp_path):
    classes = np.arange(12 * 16).reshape(12, 16) % 44 + 1
    write_land_cover(classes, GRID, tmp_path / "corine.tif")
    with rasterio.open(tmp_path / "corine.tif") as file:
        assert file.dtypes == ("int8",)
        assert file.crs.to_epsg() == 3035
        assert file.nodata == -128
    assert (Raster([tmp_path / "corine.tif"], name="c", how="mode").layers(GRID)["c"].values == classes).all()
    found = Raster([tmp_path / "corine.tif"], name="cover", how="classes").layers(GRID)
    assert list(found) == [f"cover_{g}" for g in ("artificial", "agricultural", "forest", "wetland", "water")]
    # CORINE's numbers: 1–11 artificial, 12–22 agricultural, 23–34 forest and semi-natural, 35–39 wetlands, 40–44 water
    for group, (first, last) in zip(found, [(1, 11), (12, 22), (23, 34), (35, 39), (40, 44)], strict=True):
        assert (found[group].values == ((classes >= first) & (classes <= last))).all()
    assert (sum(found[g].values for g in found) == 1).all()


def test_the_class_that_covers_most_decides(tmp_path):
    fine = Grid(GRID.crs, GRID.left, GRID.top, 2000, (2, 2))
    # one cell of 4 km: class 12 twice, 23 once, 2 once → agricultural
    write_land_cover(np.array([[12, 12], [23, 2]]), fine, tmp_path / "corine.tif")
    one = Grid(GRID.crs, GRID.left, GRID.top, 4000, (1, 1))
    found = Raster([tmp_path / "corine.tif"], name="c", how="classes").layers(one)
    assert [found[g].item() for g in found] == [0, 1, 0, 0, 0]


def test_what_is_no_class_of_corine_is_refused_and_no_data_is_nan(tmp_path):
    one = Grid(GRID.crs, GRID.left, GRID.top, 4000, (1, 2))
    for value in (48, 112):
        with rasterio.open(
            tmp_path / f"{value}.tif",
            "w",
            driver="GTiff",
            height=1,
            width=2,
            count=1,
            dtype="int16",
            crs=one.crs,
            transform=one.transform,
        ) as file:
            file.write(np.array([[1, value]], "int16"), 1)
    found = Raster([tmp_path / "48.tif"], name="c", how="classes").layers(one)
    assert np.isnan(found["c_artificial"].values).tolist() == [[False, True]]
    with pytest.raises(DataError, match=r"112.tif holds the class 112, expected CORINE's 1 to 44"):
        Raster([tmp_path / "112.tif"], name="c", how="classes").layers(one)
    with pytest.raises(DataError, match="classes run from 0 to 45"):
        write_land_cover(np.array([[0, 45]]), one, tmp_path / "x.tif")
    with pytest.raises(DataError, match="CORINE's raster is in EPSG:3035"):
        write_land_cover(np.array([[1, 2]]), Grid("EPSG:32632", 0, 0, 1000, (1, 2)), tmp_path / "x.tif")


def test_roads_come_back(tmp_path):
    x, y = GRID.x[2], GRID.y[3]
    lines = gpd.GeoDataFrame({"class": [1, 4]}, geometry=[LineString([(x, y), (x + 4000, y)])] * 2, crs=GRID.crs)
    write_roads(lines, tmp_path / "GRIP4_region4.gpkg")
    found = Roads(tmp_path / "GRIP4_region4.gpkg").layers(GRID)
    # 2 km in each of two cells of 16 km²
    assert found["road_highway"].values[3, 2:4] == pytest.approx([125, 125], abs=0.01)
    assert found["road_tertiary"].values.sum() == pytest.approx(250, abs=0.01)
    assert found["road_primary"].values.sum() == 0
    with pytest.raises(DataError, match="roads of class 6, expected 1, 2, 3, 4, 5"):
        write_roads(lines.assign(**{"class": 6}), tmp_path / "x.gpkg")
    with pytest.raises(DataError, match="the lines have no projection"):
        write_roads(lines.set_crs(None, allow_override=True), tmp_path / "x.gpkg")
