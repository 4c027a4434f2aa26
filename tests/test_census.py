import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.census import Census
from airloom.twin.writers.census import write_census

GRID = Grid("EPSG:3035", 4_337_000, 2_691_000, 2000, (2, 3))  # 6 km wide, 4 km high, from N 2687 to 2691


def squares(people, column="TOT_P_2018", crs="EPSG:3035", code="CRS3035RES1000mN{n}000E{e}000"):
    """Squares by their south-western corner (north, east) [km]."""
    table = {"GRD_ID": [code.format(n=n, e=e) for n, e in people], column: list(people.values())}
    boxes = [shapely.box(e * 1000, n * 1000, e * 1000 + 1000, n * 1000 + 1000) for n, e in people]
    return gpd.GeoDataFrame(table, geometry=boxes, crs=crs)


@pytest.mark.parametrize("code", ["CRS3035RES1000mN{n}000E{e}000", "1kmN{n}E{e}"])
def test_squares_fill_the_cells_that_hold_them(tmp_path, code):
    # 100 + 300 people in the south-western cell of 4 km²; 40 in the north-eastern; 7 outside
    path = tmp_path / "grid.gpkg"
    squares({(2687, 4337): 100, (2688, 4338): 300, (2690, 4342): 40, (2690, 4343): 7}, code=code).to_file(path)
    found = Census(path).layers(GRID)["population"]
    assert found.values.tolist() == [[0, 0, 10], [100, 0, 0]]
    assert found.attrs["units"] == "km-2"


@pytest.mark.parametrize("column", ["OBS_VALUE_T", "T", "TOT_P"])
def test_the_column_is_found_by_eurostats_names(tmp_path, column):
    squares({(2687, 4337): 100}, column).to_file(tmp_path / "grid.gpkg")
    assert Census(tmp_path / "grid.gpkg").layers(GRID)["population"].values.sum() * 4 == 100


def test_withheld_numbers_are_nobody_and_counted(tmp_path):
    squares({(2687, 4337): -9999, (2688, 4338): 8}).to_file(tmp_path / "grid.gpkg")
    found = Census(tmp_path / "grid.gpkg").layers(GRID)["population"]
    assert found.values.sum() * 4 == 8
    assert found.attrs["withheld"] == "1"


def test_rows_without_geometry_will_do(tmp_path):
    table = pd.DataFrame({"GRD_ID": ["CRS3035RES1000mN2687000E4337000", "CRS3035RES1000mN1000000E1000000"], "T": [12, 5]})
    pyogrio.write_dataframe(table, tmp_path / "grid.gpkg", driver="GPKG")
    assert Census(tmp_path / "grid.gpkg").layers(GRID)["population"].values.sum() * 4 == 12


def test_a_turned_grid_loses_nobody(tmp_path):
    squares({(2689, 4339): 1000}).to_file(tmp_path / "grid.gpkg")
    turned = Grid.around(10.22, 47.31, cell=700, shape=(60, 60), crs="EPSG:32632")  # where the square lies
    lon, lat = turned.lonlat()
    x, y = GRID.project(lon, lat)
    assert x.min() < 4_339_000 < 4_340_000 < x.max()
    assert y.min() < 2_689_000 < 2_690_000 < y.max()
    found = Census(tmp_path / "grid.gpkg").layers(turned)["population"]
    assert found.values.sum() * 0.49 == pytest.approx(1000, rel=1e-5)


def test_what_was_written_is_read(tmp_path):
    density = np.array([[0, 250.0, 3.25], [10, 0, 0.5]])  # 2 people in the last cell
    write_census(density, GRID, tmp_path / "census.gpkg")
    found = Census(tmp_path / "census.gpkg").layers(GRID)["population"].values
    assert found == pytest.approx(density, abs=0.26)  # whole people: one in four square kilometres
    assert found.sum() * 4 == 1000 + 13 + 40 + 2
    table = gpd.read_file(tmp_path / "census.gpkg")
    assert table["GRD_ID"].str.match(r"^CRS3035RES1000mN\d{7}E\d{7}$").all()
    assert (table["TOT_P_2018"] > 0).all()
    assert table.crs.to_epsg() == 3035


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "grid.gpkg"

    def layers(table, **settings):
        path.unlink(missing_ok=True)
        table.to_file(path)
        return Census(path, **settings).layers(GRID)

    one = squares({(2687, 4337): 100})
    with pytest.raises(DataError, match=r"grid.gpkg has no column 'GRD_ID'"):
        layers(one.rename(columns={"GRD_ID": "cell"}))
    with pytest.raises(DataError, match=r"has 0 columns of people \(among GRD_ID, men\)"):
        layers(one.rename(columns={"TOT_P_2018": "men"}))
    with pytest.raises(DataError, match=r"has 2 columns of people \(TOT_P_2018, TOT_P_2021\)"):
        layers(one.assign(TOT_P_2021=3))
    with pytest.raises(DataError, match=r"has no column 'TOT_P'. nearest: 'TOT_P_2018'"):
        layers(one, column="TOT_P")
    with pytest.raises(DataError, match=r"1 squares are called like 'CRS3035RES100mN2687100E4337000'"):
        layers(one.assign(GRD_ID="CRS3035RES100mN2687100E4337000"))
    with pytest.raises(DataError, match=r"holds the square 1kmN2687E4337 2 times"):
        layers(pd.concat([one, one]))
    with pytest.raises(DataError, match=r"does not say in which projection"):
        layers(one.set_crs(None, allow_override=True))
    with pytest.raises(DataError, match=r"holds no square within the grid"):
        layers(squares({(3687, 4337): 100}))
    with pytest.raises(DataError, match=r"TOT_P_2018: .*expected numbers of people"):
        layers(one.assign(TOT_P_2018="many"))
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"grid.gpkg is no vector file"):
        Census(path).layers(GRID)
