"""Land, lakes and sea: the coastline of Europe, the share of a cell that is land, and the way to the sea.

`coast.parquet` holds Natural Earth's land (1:10 million) and large lakes (1:50 million), both in the public domain;
`scripts/make_coast.py` made it. Everything that lies on the map of Europe whatever window is cut from it, such as roads,
is made in EUROPE's projection and then brought to the grid's.
"""

from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl
import shapely
from pyproj import Transformer
from rasterio.features import rasterize

from airloom.grid import Grid

EUROPE = "EPSG:3035"
FINER = 8  # pixels along the edge of a cell, whose mean is the cell's share
FAR = 300_000.0  # m: beyond this the way to the sea is no longer told


@cache
def from_degrees() -> Transformer:
    """Longitude and latitude to EUROPE's projection."""
    return Transformer.from_crs(4326, EUROPE, always_xy=True)


@cache
def polygons(kind: str, crs: str = EUROPE) -> np.ndarray:
    """Polygons of `kind` "land" (lakes are not cut out) or "lake" [m]."""
    rows = pl.read_parquet(files("airloom.twin") / "coast.parquet").filter(pl.col("kind") == kind)  # type: ignore[arg-type]
    shapes = shapely.segmentize(shapely.from_wkb(rows["shape"].to_list()), 0.1)  # straight in degrees is bent on the map
    transformer = Transformer.from_crs(4326, crs, always_xy=True)
    projected = shapely.transform(shapes, lambda xy: np.column_stack(transformer.transform(*xy.T)))
    return np.where(shapely.is_valid(projected), projected, shapely.buffer(projected, 0))


def shares(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the cells' area above the sea (lakes counted), and covered by lakes, 0…1 on (y, x)."""
    above, lake = (_share(polygons(kind, grid.crs), grid) for kind in ("land", "lake"))
    return above, np.minimum(lake, above)


def _share(shapes: np.ndarray, grid: Grid) -> np.ndarray:
    rows, columns = grid.shape
    fine = Grid(grid.crs, grid.left, grid.top, grid.cell / FINER, (rows * FINER, columns * FINER))
    near = shapely.clip_by_rect(shapes, *_wider(grid, 2 * grid.cell))
    near = near[~shapely.is_empty(near)]
    if not len(near):
        return np.zeros(grid.shape, np.float32)
    pixels = rasterize(near, out_shape=fine.shape, transform=fine.transform, dtype="uint8")
    return pixels.reshape(rows, FINER, columns, FINER).mean(axis=(1, 3), dtype=np.float32)


def _wider(grid: Grid, margin: float) -> tuple[float, float, float, float]:
    left, bottom, right, top = grid.bounds
    return left - margin, bottom - margin, right + margin, top + margin


@cache
def shoreline() -> shapely.STRtree:
    """The straight pieces between the vertices of the sea's shore, in EUROPE's projection."""
    rings = shapely.get_rings(polygons("land"))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    return shapely.STRtree(shapely.linestrings(np.stack([points[:-1][same], points[1:][same]], axis=1)))


@cache
def pieces(kind: str) -> shapely.STRtree:
    """The polygons in EUROPE's projection, cut into squares of 200 km: small ones are quick to ask and to cut."""
    shapes, step = polygons(kind), 200_000.0
    left, bottom, right, top = shapely.total_bounds(shapes)
    corners = [(x, y) for x in np.arange(left, right, step) for y in np.arange(bottom, top, step)]
    parts = np.concatenate([shapely.clip_by_rect(shapes, x, y, x + step, y + step) for x, y in corners])
    return shapely.STRtree(parts[~shapely.is_empty(parts)])


def on_land(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether places in EUROPE's projection [m] lie on land, lakes not counted."""
    points, dry = shapely.points(x, y), np.zeros(np.shape(x), bool)
    dry[pieces("land").query(points, predicate="intersects")[0]] = True
    dry[pieces("lake").query(points, predicate="intersects")[0]] = False
    return dry


def to_sea(x: np.ndarray, y: np.ndarray, *, at_most: float = FAR) -> np.ndarray:
    """Distance to the shore of the sea [m] of places in EUROPE's projection, no more than `at_most`; on (place,).

    Places at sea get theirs too, so whoever asks must know where land is.
    """
    found = np.full(len(x), at_most)
    (place, _), distance = shoreline().query_nearest(
        shapely.points(x, y), max_distance=at_most, return_distance=True, all_matches=False
    )
    found[place] = distance
    return found


def wet_and_dry(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts of lines in EUROPE's projection on water and on land; either may be empty."""
    tree, lakes = pieces("land"), pieces("lake")
    wet, dry = lines.copy(), np.full(len(lines), shapely.LineString(), object)
    inside, _ = tree.query(lines, predicate="within")
    wet[inside], dry[inside] = shapely.LineString(), lines[inside]
    rest = np.setdiff1d(np.arange(len(lines)), inside)
    line, piece = tree.query(lines[rest], predicate="intersects")
    parts = shapely.intersection(lines[rest][line], tree.geometries[piece])
    for number in np.unique(line):
        dry[rest[number]] = shapely.line_merge(shapely.union_all(parts[line == number]))
    for number, land in zip(rest[line], tree.geometries[piece], strict=True):
        wet[number] = shapely.difference(wet[number], land)
    for number, lake in zip(*lakes.query(dry, predicate="intersects"), strict=True):
        water = shapely.intersection(dry[number], lakes.geometries[lake])
        wet[number] = shapely.union(wet[number], water)
        dry[number] = shapely.difference(dry[number], lakes.geometries[lake])
    return wet, dry
