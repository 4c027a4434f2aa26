import math

import numpy as np
import polars as pl
import pytest
import rasterio
from affine import Affine

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources import places
from airloom.sources.calendar import calendar, season
from airloom.sources.places import Places, spread, without_districts
from airloom.sources.raster import Raster
from airloom.sources.registry import GRIDDED, LAYERS, STATIONS

GRID = Grid("EPSG:3035", left=4_000_000, top=3_000_000, cell=2000, shape=(2, 2))


def write(path, values, *, left=4_000_000, top=3_000_000, pixel=1000, crs="EPSG:3035", nodata=-9999, dtype="float32"):
    """A GeoTIFF of `values` on (row, column) or (band, row, column)."""
    values = np.atleast_3d(np.asarray(values).T).T
    profile = {
        "driver": "GTiff", "count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": dtype,
        "crs": crs, "transform": Affine(pixel, 0, left, 0, -pixel, top), "nodata": nodata,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(values.astype(dtype))
    return path


def layer(paths, grid=GRID, **arguments):
    arguments = {"name": "map", "units": "m"} | arguments
    return Raster(paths if isinstance(paths, list) else [paths], **arguments).layers(grid)["map"]


SIXTEEN = np.arange(16).reshape(4, 4)  # two pixels along a cell


def test_mean_by_hand(tmp_path):
    # the north-western cell holds the pixels 0, 1, 4, 5, whose mean is 2.5; one cell right adds 2, one down adds 8
    found = layer(write(tmp_path / "a.tif", SIXTEEN))
    assert found.values.tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert found.dtype == "float32"
    assert (found.attrs["units"], found.dims) == ("m", ("y", "x"))
    assert found["y"].values.tolist() == [2_999_000, 2_997_000]


def test_a_pixel_counts_by_the_part_that_lies_in_the_cell(tmp_path):
    # a cell of 3 km on pixels of 2 km: two thirds of it lie in the western column, a third in the eastern one
    grid = Grid("EPSG:3035", left=4_000_000, top=3_000_000, cell=3000, shape=(1, 1))
    found = layer(write(tmp_path / "a.tif", [[0, 6], [0, 6]], pixel=2000), grid)
    assert found.values == pytest.approx(np.array([[0 * 2 / 3 + 6 * 1 / 3]]))


def test_mode_by_hand(tmp_path):
    classes = [[1, 1, 2, 2], [1, 3, 3, 2], [4, 4, 5, 5], [4, 5, 4, 5]]
    found = layer(write(tmp_path / "a.tif", classes, dtype="uint8", nodata=255), how="mode")
    assert found.values.tolist() == [[1, 2], [4, 5]]


def test_density_by_hand(tmp_path):
    # 0 + 1 + 4 + 5 = 10 people in a cell of 4 km²
    found = layer(write(tmp_path / "a.tif", SIXTEEN), how="density", units="1")
    assert found.values.tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert found.attrs["units"] == "km-2"


def test_density_keeps_the_total_across_projections(tmp_path):
    # point-like amounts in degrees, on a grid that is turned by 11 degrees against them
    amounts = np.pad(np.random.default_rng(1).lognormal(0, 3, (34, 34)), 3)  # no mass in cells cut by the raster's edge
    path = write(tmp_path / "a.tif", amounts, left=-3.9, top=40.6, pixel=0.01, crs="EPSG:4326")
    found = layer(path, Grid.around(-3.7, 40.4, cell=2000, shape=(40, 40)), how="density", units="kg")
    assert found.attrs["units"] == "kg km-2"
    assert found.sum() * 4 == pytest.approx(amounts.sum(), rel=1e-6)
    within = layer(path, Grid.around(-3.7, 40.4, cell=2000, shape=(4, 4)), how="density", units="kg")
    wider = found.sel(x=within["x"], y=within["y"])
    assert within.values == pytest.approx(wider.values, rel=1e-4)


def test_larger_pixels_are_interpolated_for_a_mean_and_not_for_a_mode(tmp_path):
    # 4 km pixels with centres at 2, 6, 10 km east hold 0, 40, 80: 10 a km; cell centres at 5 and 7 km read 30 and 50
    path = write(tmp_path / "a.tif", np.tile([0, 40, 80], (3, 1)), pixel=4000)
    grid = Grid("EPSG:3035", left=4_004_000, top=2_996_000, cell=2000, shape=(2, 2))
    assert layer(path, grid).values == pytest.approx(np.array([[30, 50], [30, 50]]), abs=0.01)
    assert layer(path, grid, how="mode").values.tolist() == [[40, 40], [40, 40]]
    # 40 kg on 16 km² are 2.5 kg a km²
    assert layer(path, grid, how="density").values == pytest.approx(np.full((2, 2), 2.5))


@pytest.mark.parametrize("how", ["mean", "mode", "density"])
@pytest.mark.parametrize("cell", [300, 2000], ids=["smaller cells", "larger cells"])
def test_a_map_made_in_pieces_is_the_map_made_at_once(tmp_path, monkeypatch, how, cell):
    classes = np.random.default_rng(2).integers(0, 5, (20, 20))
    path = write(tmp_path / "a.tif", classes, left=-3.8, top=40.5, pixel=0.01, crs="EPSG:4326")
    grid = Grid.around(-3.7, 40.4, cell=cell, shape=(7, 5))
    at_once = layer(path, grid, how=how)
    monkeypatch.setattr("airloom.sources.raster.BLOCK", 2)
    assert layer(path, grid, how=how).values == pytest.approx(at_once.values, rel=1e-3, nan_ok=True)


def test_half_a_cell_of_data_is_enough(tmp_path):
    # north-west: two of four pixels, their mean (0 + 4) / 2; north-east: one of four, too little; the south is whole
    gaps = SIXTEEN.astype(float)
    gaps[[0, 1, 0, 0, 1], [1, 1, 2, 3, 2]] = -9999
    found = layer(write(tmp_path / "a.tif", gaps))
    assert found.values.tolist()[1] == [10.5, 12.5]
    assert found.values[0, 0] == 2
    assert np.isnan(found.values[0, 1])


def test_beyond_the_raster_is_nan(tmp_path):
    found = layer(write(tmp_path / "a.tif", SIXTEEN[:, :2]))
    assert np.isnan(found.values).tolist() == [[False, True], [False, True]]


def test_packed_values_are_unpacked(tmp_path):
    path = write(tmp_path / "a.tif", SIXTEEN, dtype="int16")
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [0.1], [5]
    # pixels 0, 1, 4, 5: mean 2.5, times 0.1, plus 5
    assert layer(path).values[0, 0] == pytest.approx(5.25)


def test_tiles_make_one_map(tmp_path):
    west, east = write(tmp_path / "w.tif", SIXTEEN[:, :3]), write(tmp_path / "e.tif", SIXTEEN[:, 2:], left=4_002_000)
    assert layer([east, west]).values.tolist() == [[2.5, 4.5], [10.5, 12.5]]
    # the column that both hold counts once
    assert layer([east, west], how="density").values.tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_tiles_that_disagree_are_refused(tmp_path):
    west, east = write(tmp_path / "w.tif", SIXTEEN[:, :3]), write(tmp_path / "e.tif", SIXTEEN[:, 2:] + 1, left=4_002_000)
    with pytest.raises(DataError, match=r"e.tif holds 3 at .*°E, .*°N where w.tif holds 2, and 3 more pixels differ"):
        layer([west, east])


@pytest.mark.parametrize("change", [{"pixel": 500}, {"left": 4_002_300}, {"crs": "EPSG:32632"}])
def test_tiles_of_other_maps_are_refused(tmp_path, change):
    one, other = write(tmp_path / "one.tif", SIXTEEN), write(tmp_path / "other.tif", SIXTEEN, **change)
    with pytest.raises(DataError, match=r"other.tif is no tile of the map that one.tif belongs to"):
        layer([one, other])


def test_a_raster_elsewhere_tells_both_extents(tmp_path):
    path = write(tmp_path / "a.tif", SIXTEEN, left=100, top=10, pixel=1, crs="EPSG:4326")
    with pytest.raises(DataError, match=r"100.00…104.00°E, 6.00…10.00°N, the grid at 5.\d\d…5.\d\d°E, 49.\d\d…50.\d\d°N"):
        layer(path)


def test_a_raster_without_projection_tells_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"gdal_edit.py -a_srs"):
        layer(write(tmp_path / "a.tif", SIXTEEN, crs=None))


def test_several_bands_are_named(tmp_path):
    path = write(tmp_path / "a.tif", np.stack([SIXTEEN, SIXTEEN]))
    with rasterio.open(path, "r+") as file:
        file.set_band_description(1, "roads")
    with pytest.raises(DataError, match=r"a.tif has 2 bands: 1 \(roads\), 2 \(no name\)"):
        layer(path)


def test_a_raster_upside_down_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    transform = Affine(1000, 0, 4_000_000, 0, 1000, 2_996_000)
    profile = {"driver": "GTiff", "count": 1, "height": 4, "width": 4, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:3035", transform=transform, **profile) as file:
        file.write(SIXTEEN[None].astype("float32"))
    with pytest.raises(DataError, match="do not run north to south"):
        layer(path)


@pytest.mark.parametrize("share", [0.5, 0.0001])
def test_a_truncated_file_is_named(tmp_path, share):
    path = write(tmp_path / "a.tif", np.random.default_rng(0).normal(size=(400, 400)), pixel=10)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"a.tif (breaks off|is no raster).*Fetch it again"):
        layer(path)


def test_absent_and_empty_files(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        layer(tmp_path / "absent.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(DataError, match="is empty"):
        layer(tmp_path / "empty.tif")


ITALY = {
    "i_surface": "mosaic_impervious_0_100_median_utm32.tif",
    "d_a1": "d_a1.tif",
    "d_a2": "distanze_a2.tif",
}


@pytest.mark.parametrize(("column", "file"), ITALY.items())
def test_italy_at_its_stations(data, column, file):
    """On the rasters' own lattice the layer at a station is what the data's authors read there."""
    stations = pl.read_parquet(data / "italy-no2" / "daily.parquet").unique("station_eu_code")
    grid = Grid("EPSG:32632", left=313_281.3, top=5_220_683.0, cell=1000, shape=(1287, 999))
    lon, lat = stations["st_x"].to_numpy(), stations["st_y"].to_numpy()
    row, column_of = grid.locate(lon, lat)
    north = (row >= 100) & (row < 164) & (column_of >= 150) & (column_of < 278)  # a part of the Po valley, to be quick
    part = Grid("EPSG:32632", grid.left + 150_000, grid.top - 100_000, 1000, (64, 128))
    found = layer(data / "italy-no2" / file, part).values
    assert north.sum() == 20
    expected = stations[column].to_numpy()[north]
    assert found[row[north] - 100, column_of[north] - 150] == pytest.approx(expected, rel=1e-5, abs=1e-3)


def test_a_town_is_spread_without_loss():
    # 100,000 people: sigma = sqrt(100000 / (2 pi 10000)) = 1.26 km, wider than half a cell of 1 km
    grid = Grid("EPSG:3035", left=-20_000, top=20_000, cell=1000, shape=(40, 40))
    density = spread(grid, np.array([0.0]), np.array([0.0]), np.array([100_000.0]))
    assert density.sum() * 1.0 == pytest.approx(100_000, rel=1e-6)
    assert density == pytest.approx(density.T)
    # the share of the cell that spans 0 to 1 km east and north, by the error function
    share = math.erf(1 / math.sqrt(100_000 / (2 * math.pi * 10_000)) / math.sqrt(2)) / 2
    assert density[19, 20] == pytest.approx(100_000 * share**2)


def test_a_village_is_at_least_half_a_cell_wide():
    # in the middle of a cell: one sigma to either edge, erf(1/√2)² = 0.466 of its people
    grid = Grid("EPSG:3035", left=0, top=6000, cell=2000, shape=(3, 3))
    density = spread(grid, np.array([3000.0]), np.array([3000.0]), np.array([600.0]))
    assert density[1, 1] * 4 == pytest.approx(600 * math.erf(1 / math.sqrt(2)) ** 2)


def test_a_town_beyond_the_edge_counts():
    grid = Grid("EPSG:3035", left=0, top=4000, cell=2000, shape=(2, 2))
    density = spread(grid, np.array([-1000.0]), np.array([2000.0]), np.array([50_000.0]))
    assert (density[:, 0] > density[:, 1]).all()
    assert density.min() > 0


def test_districts_are_not_counted_twice():
    # a city of a million: radius sqrt(1e6 / (pi 1e4)) = 5.6 km. Inside: two districts of 300,000, one of which has a quarter
    # of 50,000; 20 km away a town of 80,000
    lon, lat = np.zeros(5), np.array([40.0, 40.02, 39.98, 40.0205, 40.2])
    population = np.array([1_000_000, 300_000, 300_000, 50_000, 80_000])
    kept = without_districts(lon, lat, population)
    assert kept.tolist() == [400_000, 250_000, 300_000, 50_000, 80_000]
    assert kept.sum() == 1_080_000


def test_districts_that_make_more_than_the_city_leave_nothing():
    kept = without_districts(np.zeros(3), np.array([40.0, 40.01, 39.99]), np.array([100_000, 60_000, 60_000]))
    assert kept.tolist() == [0, 60_000, 60_000]


def test_madrid_has_its_people_once():
    # the city holds 3.3 million and its surroundings to 30 km about 6 million; with districts twice it would be 10
    population = Places().layers(Grid.around(-3.70, 40.43, cell=2000, shape=(32, 32)))["population"]
    assert population.attrs["units"] == "km-2"
    assert population.dtype == "float32"
    assert 5.0e6 < population.sum() * 4 < 6.8e6
    row, column = np.unravel_index(population.values.argmax(), population.shape)
    assert abs(row - 16) <= 3
    assert abs(column - 16) <= 3


def test_a_grid_beyond_the_table_is_refused():
    with pytest.raises(DataError, match="airloom's places cover"):
        Places().layers(Grid("EPSG:3035", left=4_000_000, top=-500_000, cell=2000, shape=(4, 4)))


def test_the_table_is_what_it_says():
    table = places.table()
    assert table.schema == {"lon": pl.Float32, "lat": pl.Float32, "population": pl.Int32}
    assert table["population"].min() > 0
    assert table["lon"].is_between(places.WEST, places.EAST).all()
    assert table["lat"].is_between(places.SOUTH, places.NORTH).all()


def test_weekdays_go_round():
    days = np.arange("2023-01-02", "2023-01-10", dtype="datetime64[D]")  # Monday to Monday
    found = calendar(days)
    assert found.dims == ("time", "channel")
    assert found.dtype == "float32"
    assert found["channel"].values.tolist() == ["weekday_sin", "weekday_cos"]
    assert found.values[0].tolist() == found.values[7].tolist() == [0, 1]
    # Tuesday is a seventh of a turn on
    assert found.values[1] == pytest.approx([math.sin(2 * math.pi / 7), math.cos(2 * math.pi / 7)])
    assert calendar(np.array(["1969-12-29"], "datetime64[D]")).values.tolist() == [[0, 1]]  # a Monday before 1970


def test_seasons_go_round():
    found = season(np.array(["2023-01-01", "2024-01-01", "2024-07-02"], "datetime64[D]"))
    assert found["channel"].values.tolist() == ["season_sin", "season_cos"]
    assert found.values[:2].tolist() == [[0, 1], [0, 1]]
    # 2 July 2024 is 183 days after 1 January, of 366: half a turn
    assert found.values[2] == pytest.approx([0, -1], abs=1e-6)


@pytest.mark.parametrize("registry", [GRIDDED, LAYERS, STATIONS], ids=["gridded", "layers", "stations"])
def test_sources_are_registered_under_their_own_names(registry):
    assert {name: source.name for name, source in registry.items()} == {name: name for name in registry}
    assert all(source.title for source in registry.values())
