"""Roads as lines (GRIP, or any vector file that GDAL opens), brought onto a grid as length per area and class.

Every line is cut where it crosses an edge between cells, so a cell gets the very length that lies in it: the sum over the
cells of length per area times area is the length of the lines within the grid.

The layout was checked against users of the Global Roads Inventory Project's data (GRIP4, Meijer et al. 2018, CC BY 4.0;
region 4 is Europe, a shapefile or file geodatabase in EPSG:4326): its road type is the column `GP_RTP`, 1 highway, 2 primary,
3 secondary, 4 tertiary, 5 local. That 0 stands for "unspecified" is as its paper has it and was seen in no file.
"""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import xarray as xr
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer

from airloom.errors import DataError, nearest
from airloom.grid import Grid
from airloom.sources.base import LayerSource
from airloom.sources.lines import line_length

CLASSES = {1: "highway", 2: "primary", 3: "secondary", 4: "tertiary", 5: "local"}
UNSPECIFIED = 0  # GRIP: roads whose type nobody knows; they belong to no layer
COLUMNS = ("GP_RTP", "class")  # how GRIP and airloom's own files name the class
MARGIN = 2  # cells around the grid that are read too: a box turned between two projections is no box


class Roads(LayerSource):
    """Density of roads [m km-2] in five classes out of one file of lines.

    Arguments:
        path: a file that GDAL reads (GeoPackage, shapefile, file geodatabase, also zipped), with one layer of lines.
        column: the column with classes 1 to 5; None: GRIP's `GP_RTP`, or `class`.
    """

    name = "roads"
    title = "Roads (GRIP)"

    def __init__(self, path: Path, *, column: str | None = None) -> None:
        self.path, self.column = path, column

    def layers(self, grid: Grid) -> xr.Dataset:
        """`road_highway`, `road_primary`, … [m km-2] on (y, x), float32; 0 where no road lies.

        Roads of GRIP's class 0 (unspecified) are left out.

        Raises:
            DataError: the file is broken, has no projection or no class column, other classes than 0 to 5, or other
                geometries than lines; or it holds no road within the grid.
        """
        lines = read(self.path, grid, self.column)
        found = density(lines, grid, tuple(CLASSES))
        if not found.any():
            raise DataError(f"{self.path.name} holds no road within the grid. Name the file of the grid's region.")
        source = {"source": self.path.name}
        return xr.Dataset(
            {
                f"road_{kind}": (("y", "x"), values, {"units": "m km-2", "long_name": f"density of {kind} roads", **source})
                for kind, values in zip(CLASSES.values(), found, strict=True)
            },
            {"y": grid.y, "x": grid.x},
        )


def read(path: Path, grid: Grid, column: str | None = None) -> gpd.GeoDataFrame:
    """The lines of a file near a grid, in the grid's projection, with a column `class` (int64).

    Raises:
        DataError: as `Roads.layers`, but for a file that holds no road near the grid: it gives no line.
    """
    try:
        about = pyogrio.read_info(path)
    except (DataSourceError, DataLayerError) as error:
        raise DataError(f"{path.name} is no vector file that GDAL reads: {error}. Fetch it again.") from error
    if about["crs"] is None:
        raise DataError(
            f"{path.name} does not say in which projection it is. If you know it, write it in: "
            f"ogr2ogr -a_srs EPSG:4326 roads.gpkg {path.name} (EPSG:4326 if it is in degrees)."
        )
    fields = [str(f) for f in about["fields"]]
    wanted = [column] if column else [name for name in COLUMNS if name in fields]
    if not wanted or wanted[0] not in fields:
        hint = nearest(column, fields) if column else f"its columns: {', '.join(fields) or 'none'}"
        raise DataError(f"{path.name} has no column {column or ' or '.join(COLUMNS)!r} with the class of a road. {hint}")
    try:
        lines = pyogrio.read_dataframe(path, columns=wanted[:1], bbox=_box(grid, about["crs"]))
    except DataSourceError as error:
        raise DataError(f"{path.name} breaks off: {error}. Fetch it again.") from error
    return _checked(lines.rename(columns={wanted[0]: "class"}), path.name).to_crs(grid.crs)


def density(lines: gpd.GeoDataFrame, grid: Grid, classes: Sequence[int] = tuple(CLASSES)) -> np.ndarray:
    """Length of lines per area on (class, y, x) [m km-2], float32, cut exactly at the cells' edges.

    Arguments:
        lines: line strings, single or multiple, in the grid's projection, with an integer column `class`. Lengths are those
            in the plane of the projection.
        grid: the cells.
        classes: the classes that count, one layer each.

    Raises:
        DataError: the lines lie in another projection than the grid.
    """
    if lines.crs is not None and CRS.from_user_input(lines.crs) != CRS.from_user_input(grid.crs):
        raise DataError(
            f"lines are in {lines.crs.name}, the grid in {grid.crs}. Bring them together: lines.to_crs(grid.crs)"
        )
    geometry, kinds = lines.geometry.to_numpy(), lines["class"].to_numpy()
    found = np.stack([line_length(geometry[kinds == kind], grid) for kind in classes])
    return (found / (grid.cell / 1000) ** 2).astype("float32")


def _checked(lines: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """Lines with whole classes; what is no line or of no known class is refused."""
    kinds = set(lines.geometry.geom_type.dropna()) - {"LineString", "MultiLineString"}
    if kinds:
        raise DataError(f"{name} holds {', '.join(sorted(kinds))} among its roads; expected lines. Take them out first.")
    found = lines["class"]
    known = found.isin([UNSPECIFIED, *CLASSES])
    if not known.all():
        strange = ", ".join(str(v) for v in sorted(set(found[~known].map(str)))[:5])
        raise DataError(
            f"{name}: {(~known).sum()} roads have the class {strange}; expected 1 (highway), 2 (primary), 3 (secondary), "
            "4 (tertiary), 5 (local) or 0 (unspecified). Name the right column, or translate the classes first."
        )
    return lines.assign(**{"class": found.astype("int64")})


def _box(grid: Grid, crs: str) -> tuple[float, float, float, float]:
    """A box in another projection that holds the grid: west, south, east, north."""
    left, bottom, right, top = grid.bounds
    edge = MARGIN * grid.cell
    there = Transformer.from_crs(grid.crs, crs, always_xy=True)
    return there.transform_bounds(left - edge, bottom - edge, right + edge, top + edge, densify_pts=51)
