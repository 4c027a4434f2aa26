"""Population as a GeoPackage like those of Eurostat: squares of 1 km in EPSG:3035 with `GRD_ID` and `TOT_P_2018`."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from affine import Affine
from pyproj import CRS, Transformer

from airloom.files import whole
from airloom.grid import Grid
from airloom.sources.census import PROJECTION, SQUARE
from airloom.sources.overlap import corners, spread


def write_census(population: np.ndarray, grid: Grid, path: Path, *, column: str = "TOT_P_2018") -> None:
    """Write population density [km-2] on (y, x) of a grid as whole people in squares of 1 km.

    Squares without people are left out, as Eurostat does. A square's people are rounded such that the running total over the
    squares is never off by more than half a person.
    """
    squares = _squares(grid)
    pixels = Affine(grid.cell, 0, grid.left, 0, -grid.cell, grid.top)
    exact = spread(population * (grid.cell / 1000) ** 2, pixels, *corners(squares, CRS.from_user_input(grid.crs)))
    running = np.round(np.cumsum(exact.ravel()))
    people = np.diff(running, prepend=0).reshape(exact.shape).astype("int32")
    row, column_of = np.nonzero(people)
    west = (squares.left + column_of * SQUARE).astype(int)
    south = (squares.top - (row + 1) * SQUARE).astype(int)
    table = gpd.GeoDataFrame(
        {
            "GRD_ID": [f"CRS3035RES1000mN{n}E{e}" for n, e in zip(south, west, strict=True)],
            column: people[row, column_of],
        },
        geometry=shapely.box(west, south, west + SQUARE, south + SQUARE),
        crs=PROJECTION,
    )
    with whole(path) as aside:
        pyogrio.write_dataframe(table, aside, driver="GPKG", layer=path.stem)


def _squares(grid: Grid) -> Grid:
    """The squares of 1 km that enclose a grid."""
    west, south, east, north = Transformer.from_crs(grid.crs, PROJECTION, always_xy=True).transform_bounds(
        *grid.bounds, densify_pts=51
    )
    left, bottom = np.floor([west / SQUARE, south / SQUARE]) * SQUARE
    right, top = np.ceil([east / SQUARE, north / SQUARE]) * SQUARE
    return Grid(PROJECTION, left, top, SQUARE, (round((top - bottom) / SQUARE), round((right - left) / SQUARE)))
