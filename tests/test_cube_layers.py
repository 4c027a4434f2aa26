"""Maps by their names, and how many inputs a study has."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely import LineString

from airloom.cube.layers import group_channels, map_names, maps
from airloom.errors import DataError
from airloom.parts import LayerPart
from airloom.study import changed
from tests.small import STUDY
from tests.twin_study import twin_study


def part(source: str, name: str, **changes) -> LayerPart:
    return LayerPart(source=source, name=name, files=() if source == "places" else ("*",), **changes)


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (part("places", "population"), ["population"]),
        (part("census", "people"), ["people"]),
        (part("raster", "lights"), ["lights"]),
        (part("raster", "cover", how="mode"), ["cover"]),
        (part("raster", "land", how="classes"), [f"land_{n}" for n in ("artificial", "agricultural", "forest", "wetland", "water")]),
        (part("roads", "roads"), [f"roads_{n}" for n in (1, 2, 3, 4, 5)]),
        (
            part("cams-glob-ant", "nox"),
            [f"nox_{n}" for n in ("road", "other_transport", "energy", "industry", "residential_and_rest", "shipping")],
        ),
    ],
    ids=lambda value: value.name if isinstance(value, LayerPart) else "",
)  # fmt: skip
def test_a_part_names_its_maps(layer, names):
    assert map_names(layer) == names


def test_channels_are_counted_without_files(small, twin_files):
    # day of the week 2 + flights 1; 6 sectors + 5 classes of roads + lights + people; elevation + 5 classes of land
    assert group_channels(twin_study(twin_files)) == {
        "calendar": 3, "weather": 14, "upper": 7, "emissions": 13, "geography": 6,
    }  # fmt: skip
    assert group_channels(changed(small.study, {"season": True})) == {
        "calendar": 4, "weather": len(STUDY["weather"]["variables"]), "upper": 0, "emissions": 1, "geography": 0,
    }  # fmt: skip


def raster(path, values, grid) -> None:
    """A GeoTIFF on the cells of a grid, from its north-western corner on."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": grid.crs, "transform": grid.transform}
    with rasterio.open(path, "w", height=values.shape[0], width=values.shape[1], **profile) as file:
        file.write(values.astype("float32"), 1)


def test_log_and_plain(small, tmp_path):
    grid = small.study.target_grid
    raster(tmp_path / "a.tif", np.full(grid.shape, 9.0), grid)
    parts = (
        LayerPart(source="raster", name="lights", files=("a.tif",), log=True),
        LayerPart(source="raster", name="land", files=("a.tif",), how="classes"),
    )
    found = maps(parts, small.study, tmp_path)
    assert found.names == ["lights", *map_names(parts[1])]
    assert found.values[:, 0, 0] == pytest.approx([np.log(2), 1, 0, 0, 0, 0])  # 1 + 9 / 9; 9 is an artificial surface
    assert found.logarithms == {"lights": 9.0}
    assert found.plain == map_names(parts[1])
    assert found.values.dtype == np.float32


def test_cells_beyond_a_raster_are_refused(small, tmp_path):
    grid = small.study.target_grid  # 32 × 32
    raster(tmp_path / "a.tif", np.ones((32, 24)), grid)
    with pytest.raises(DataError, match=r"layer elevation: 25% of the window's cells have no value\. Add the files"):
        maps((LayerPart(source="raster", name="elevation", files=("a.tif",)),), small.study, tmp_path)


def test_a_logarithm_of_what_has_none_is_refused(small, tmp_path):
    grid = small.study.target_grid
    raster(tmp_path / "a.tif", np.full(grid.shape, -4.0), grid)
    with pytest.raises(DataError, match=r"layer elevation: holds -4, and log\(1 \+ value / mean\) is of amounts"):
        maps((LayerPart(source="raster", name="elevation", files=("a.tif",), log=True),), small.study, tmp_path)


def test_where_no_road_runs_there_are_none(small, tmp_path):
    # 10 km of road in one class, from the window's middle eastward; the rest has 0, as the sea has
    grid = small.study.target_grid
    x, y = grid.left + 32_000, grid.top - 31_000
    roads = gpd.GeoDataFrame({"GP_RTP": [2]}, geometry=[LineString([(x, y), (x + 10_000, y)])], crs=grid.crs)
    roads.to_file(tmp_path / "roads.gpkg")
    found = maps((LayerPart(source="roads", name="roads", files=("*.gpkg",)),), small.study, tmp_path)
    assert found.values.shape == (5, 32, 32)
    assert found.values.sum((1, 2)) * 4 == pytest.approx([0, 10_000, 0, 0, 0])  # m km⁻² on cells of 4 km²


def test_several_files_where_a_source_reads_one(small, tmp_path):
    for name in ("a.gpkg", "b.gpkg"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"layer roads: 2 files match, a\.gpkg and b\.gpkg among them; roads reads one"):
        maps((LayerPart(source="roads", name="roads", files=("*.gpkg",)),), small.study, tmp_path)


def test_cells_without_a_value_take_what_the_study_says(small, tmp_path):
    grid = small.study.target_grid  # 32 × 32; the eastern quarter is the sea
    for name, value in (("height", 100.0), ("land", 2.0)):
        raster(tmp_path / f"{name}.tif", np.full((32, 24), value), grid)
    classes = np.full(grid.shape, 48.0)  # CORINE's own number for no data
    classes[:, :24] = 2
    raster(tmp_path / "empty.tif", classes, grid)
    parts = (
        LayerPart(source="raster", name="elevation", files=("height.tif",), fill=0),
        LayerPart(source="raster", name="land", files=("land.tif",), how="classes", fill=44),
        LayerPart(source="raster", name="cover", files=("empty.tif",), how="classes", fill=44),
    )
    found = maps(parts, small.study, tmp_path)
    assert found.values[0].mean() == pytest.approx(75)  # 100 on three quarters, 0 at sea
    artificial, water = (found.names.index(f"land_{n}") for n in ("artificial", "water"))
    assert found.values[artificial, :, :24].all()
    assert found.values[water, :, 24:].all()
    assert np.array_equal(found.values[1:6], found.values[6:])
    assert found.filled == dict.fromkeys(found.names, 256)


def test_what_has_a_value_everywhere_is_not_filled():
    with pytest.raises(ValueError, match="fill: the census layer 'people' has a value in every cell"):
        part("census", "people", fill=0)
