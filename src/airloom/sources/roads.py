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
import shapely
import xarray as xr
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer

from airloom.errors import DataError, nearest
from airloom.grid import Grid
from airloom.sources.base import LayerSource

CLASSES = {1: "highway", 2: "primary", 3: "secondary", 4: "tertiary", 5: "local"}
UNSPECIFIED = 0  # GRIP: roads whose type nobody knows; they belong to no layer
COLUMNS = ("GP_RTP", "class")  # how GRIP and airloom's own files name the class
BATCH = 1_000_000  # segments cut at once
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
    total = np.zeros((len(classes), *grid.shape))
    for layer, kind in zip(total, classes, strict=True):
        start, end = _segments(lines.geometry[(lines["class"] == kind).to_numpy()].to_numpy(), grid)
        for first in range(0, len(start), BATCH):
            layer += _length(start[first : first + BATCH], end[first : first + BATCH], grid.shape)
    # a length in cells × cell [m] over an area of cell² [m²], in km²
    return (total * 1e6 / grid.cell).astype("float32")


def _segments(geometry: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of every straight piece that comes near the grid, as (column, row) in cells, each on (piece, 2)."""
    parts = shapely.get_parts(geometry)
    coordinates, line = shapely.get_coordinates(parts, return_index=True)
    places = np.stack([coordinates[:, 0] - grid.left, grid.top - coordinates[:, 1]], 1) / grid.cell
    same = line[1:] == line[:-1]
    start, end = places[:-1][same], places[1:][same]
    far = (np.maximum(start, end) < 0).any(1) | (np.minimum(start, end) > np.array(grid.shape[::-1])).any(1)
    return start[~far], end[~far]


def _length(start: np.ndarray, end: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Length of straight pieces within each cell, in cells, on (y, x)."""
    rows, columns = shape
    number = len(start)
    cuts = [_crossings(start[:, 0], end[:, 0], columns), _crossings(start[:, 1], end[:, 1], rows)]
    ends = np.arange(number)
    piece = np.concatenate([ends, ends, *(which for which, _ in cuts)])
    along = np.concatenate([np.zeros(number), np.ones(number), *(part for _, part in cuts)])
    order = np.lexsort((along, piece))
    piece, along = piece[order], along[order]
    within = piece[1:] == piece[:-1]
    piece, step, middle = piece[1:][within], np.diff(along)[within], ((along[1:] + along[:-1]) / 2)[within]
    whole = end - start
    column, row = np.floor(start[piece] + whole[piece] * middle[:, None]).astype(int).T
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    length = step * np.hypot(*whole[piece].T)
    cell = row[inside] * columns + column[inside]
    return np.bincount(cell, length[inside], rows * columns).reshape(shape)


def _crossings(start: np.ndarray, end: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Where pieces cross the edges 0, 1, … `last` along one axis: the piece's number, and how far along it (0…1)."""
    low = np.clip(np.ceil(np.minimum(start, end)), 0, last + 1).astype(int)
    high = np.clip(np.floor(np.maximum(start, end)), -1, last).astype(int)
    count = np.where(start == end, 0, np.maximum(high - low + 1, 0))
    piece = np.repeat(np.arange(len(start)), count)
    edge = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + low[piece]
    return piece, (edge - start[piece]) / (end[piece] - start[piece])


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
