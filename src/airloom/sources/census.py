"""Population grids of Eurostat and the JRC (GEOSTAT 2011, 2018; census 2021): people in each square kilometre of Europe.

The layout was checked against programs that read the files: a GeoPackage (or shapefile) with one row a square, a column
`GRD_ID` that names the square's south-western corner in EPSG:3035, `CRS3035RES1000mN2689000E4337000` or, shorter,
`1kmN2689E4337`, and a column of people: `TOT_P_2018` and the like, `OBS_VALUE_T` (2021, version 1), `T` (2021, later
versions). Rows may lack geometry. Our reading where we found no word: numbers below zero say that a number is withheld.
GEOSTAT 2018 also comes as a GeoTIFF of amounts: read it as `Raster` with "density".
"""

import re
from pathlib import Path

import numpy as np
import pyogrio
import xarray as xr
from affine import Affine
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer

from airloom.errors import DataError, nearest
from airloom.grid import Grid
from airloom.sources.base import LayerSource
from airloom.sources.overlap import corners, spread

PROJECTION = "EPSG:3035"
SQUARE = 1000.0  # m
IDENTIFIER = "GRD_ID"
LONG = r"^CRS3035RES1000mN(?P<n>\d+)E(?P<e>\d+)$"  # metres
SHORT = r"^1kmN(?P<n>\d+)E(?P<e>\d+)$"  # kilometres
COLUMNS = re.compile(r"T|OBS_VALUE_T|TOT_P(_\d{4})?")
MARGIN = 2000.0  # m around the grid


class Census(LayerSource):
    """Population density [km-2] out of one file of squares.

    Arguments:
        path: a file that GDAL reads, with one layer of squares of 1 km.
        column: the column of people; None: the one that is called as Eurostat calls it.
    """

    name = "census"
    title = "Population grid (GEOSTAT)"

    def __init__(self, path: Path, *, column: str | None = None) -> None:
        self.path, self.column = path, column

    def layers(self, grid: Grid) -> xr.Dataset:
        """`population` [km-2] on (y, x), float32: the people of a square are shared out by area, and nobody is lost.

        A square that is in no row, or whose number is withheld, has nobody; the attribute `withheld` counts the latter.

        Raises:
            DataError: the file is broken, has no column of people or of identifiers, identifiers of other squares, or a square
                twice; or no square lies within the grid.
        """
        north, east, people = self._read(_box(grid))
        if not len(people):
            raise DataError(f"{self.path.name} holds no square within the grid. Name the file of the grid's region.")
        row, column = (north.max() - north).astype(int), (east - east.min()).astype(int)
        amounts = np.zeros((row.max() + 1, column.max() + 1))
        rows = np.zeros(amounts.shape, int)
        np.add.at(rows, (row, column), 1)
        if (rows > 1).any():
            y, x = np.argwhere(rows > 1)[0]
            raise DataError(
                f"{self.path.name} holds the square 1kmN{north.max() - y:.0f}E{east.min() + x:.0f} {rows[y, x]} times, expected once."
            )
        amounts[row, column] = np.where(people < 0, 0, people)
        corner = Affine(SQUARE, 0, east.min() * SQUARE, 0, -SQUARE, (north.max() + 1) * SQUARE)
        density = spread(amounts, corner, *corners(grid, CRS.from_user_input(PROJECTION))) / (grid.cell / 1000) ** 2
        attrs = {"units": "km-2", "long_name": "population density", "source": self.path.name}
        attrs["withheld"] = str(int((people < 0).sum()))
        return xr.Dataset({"population": (("y", "x"), density.astype("float32"), attrs)}, {"y": grid.y, "x": grid.x})

    def _read(self, box: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Northings and eastings of the squares' south-western corners [km] within a box of EPSG:3035, and their people."""
        try:
            about = pyogrio.read_info(self.path)
            fields = [str(f) for f in about["fields"]]
            if IDENTIFIER not in fields:
                raise DataError(f"{self.path.name} has no column {IDENTIFIER!r}. {nearest(IDENTIFIER, fields)}")
            bounds = self._bounds(box, about)
            column = self._column(fields)
            table = pyogrio.read_dataframe(self.path, columns=[IDENTIFIER, column], bbox=bounds, read_geometry=False)
        except (DataSourceError, DataLayerError) as error:
            raise DataError(f"{self.path.name} is no vector file that GDAL reads: {error}. Fetch it again.") from error
        codes = table[IDENTIFIER].astype("string")
        metres, kilometres = codes.str.extract(LONG).astype(float) / SQUARE, codes.str.extract(SHORT).astype(float)
        places = metres.fillna(kilometres)
        unknown = places.isna().any(axis=1)
        if unknown.any():
            raise DataError(
                f"{self.path.name}: {unknown.sum()} squares are called like {codes[unknown].iloc[0]!r}, expected "
                "CRS3035RES1000mN2689000E4337000 or 1kmN2689E4337 (squares of 1 km)."
            )
        try:
            people = table[column].fillna(0).to_numpy().astype(float)
        except ValueError as error:
            raise DataError(f"{self.path.name}, {column}: {error}; expected numbers of people.") from error
        north, east = places["n"].to_numpy(), places["e"].to_numpy()
        west, south, right, top = (edge / SQUARE for edge in box)
        inside = (east + 1 > west) & (east < right) & (north + 1 > south) & (north < top)
        return north[inside], east[inside], people[inside]

    def _bounds(self, box: tuple[float, float, float, float], about: dict) -> tuple[float, float, float, float] | None:
        """The box in the file's projection; None where its rows have no geometry."""
        if about["geometry_type"] is None:
            return None
        if about["crs"] is None:
            raise DataError(
                f"{self.path.name} does not say in which projection it is. If you know it, write it in: "
                f"ogr2ogr -a_srs {PROJECTION} census.gpkg {self.path.name}"
            )
        return Transformer.from_crs(PROJECTION, about["crs"], always_xy=True).transform_bounds(*box, densify_pts=51)

    def _column(self, fields: list[str]) -> str:
        """The column of people."""
        if self.column:
            if self.column not in fields:
                raise DataError(f"{self.path.name} has no column {self.column!r}. {nearest(self.column, fields)}")
            return self.column
        found = [f for f in fields if COLUMNS.fullmatch(f)]
        if len(found) != 1:
            raise DataError(
                f"{self.path.name} has {len(found)} columns of people ({', '.join(found) or 'among ' + ', '.join(fields)}), expected "
                "one such as TOT_P_2018, OBS_VALUE_T or T. Name the column."
            )
        return found[0]


def _box(grid: Grid) -> tuple[float, float, float, float]:
    """West, south, east, north of the grid in EPSG:3035, with a margin [m]."""
    there = Transformer.from_crs(grid.crs, PROJECTION, always_xy=True)
    west, south, east, north = there.transform_bounds(*grid.bounds, densify_pts=51)
    return west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN
