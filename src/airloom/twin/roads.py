"""Roads in five classes: the Gabriel graph of ever smaller towns, and the streets inside of them.

Two towns are joined where no other lies in the circle that has them as its diameter. Big cities joined by motorways, smaller
towns by lesser roads, give about the lengths per area of the Global Roads Inventory (GRIP) in western Europe.
"""

from functools import cache

import geopandas as gpd
import numpy as np
import shapely
from pyproj import Transformer
from scipy.spatial import Delaunay, cKDTree

from airloom.grid import Grid
from airloom.twin.coast import EUROPE, wet_and_dry
from airloom.twin.noise import octave, scatter
from airloom.twin.towns import agglomerations, radius

NETWORK = {  # class: (radius in which towns are one node [m], people that make a node, longest road [m])
    1: (18_000, 90_000, 300_000),
    2: (7_000, 12_000, 120_000),
    3: (3_500, 2_500, 60_000),
    4: (0, 500, 40_000),
}
LOCAL = 5  # class of the streets inside towns
STREETS = 350.0  # m between parallel streets
WIND = 61  # number of the bends of roads among the uses of a seed
BENDS = {1: 2500.0, 2: 1500.0, 3: 900.0, 4: 500.0}  # m that a road strays from the straight line
STEP = 2000.0  # m between the vertices of a road
FORD = 3000.0  # m of water at most that a road leaps


def roads(grid: Grid, seed: int) -> gpd.GeoDataFrame:
    """Lines in the grid's projection with an integer column `class`, 1 highway … 5 local; cut at the grid's edges.

    A road that crosses more than FORD of water is left out; the others are drawn on land alone, their bridges missing.
    """
    left, bottom, right, top = _in_europe(grid)
    lines, classes = [], []
    for kind in (*NETWORK, LOCAL):
        drawn = _streets(left, bottom, right, top, seed) if kind == LOCAL else _between(kind, left, bottom, right, top, seed)
        wet, dry = wet_and_dry(drawn)
        kept = dry[(shapely.length(wet) < FORD) & ~shapely.is_empty(dry)]
        lines.append(kept)
        classes.append(np.full(len(kept), kind))
    return cut(np.concatenate(lines), grid, {"class": np.concatenate(classes)})


def cut(lines: np.ndarray, grid: Grid, columns: dict[str, np.ndarray]) -> gpd.GeoDataFrame:
    """Lines in EUROPE's projection, brought to the grid's and cut at its edges; those outside go."""
    transformer = Transformer.from_crs(EUROPE, grid.crs, always_xy=True)
    brought = shapely.transform(lines, lambda xy: np.column_stack(transformer.transform(*xy.T)))
    inside = shapely.clip_by_rect(brought, *grid.bounds)
    parts, source = shapely.get_parts(inside, return_index=True)
    some = (shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING) & ~shapely.is_empty(parts)
    values = {name: column[source[some]] for name, column in columns.items()}
    return gpd.GeoDataFrame(values, geometry=parts[some], crs=grid.crs)


@cache
def gabriel(kind: int) -> tuple[np.ndarray, np.ndarray]:
    """The nodes of a class in EUROPE's projection on (node, 2) [m], and the pairs of nodes that it joins on (road, 2)."""
    joined, smallest, longest = NETWORK[kind]
    nodes = agglomerations(float(joined), smallest).select("x", "y").to_numpy()
    corners = Delaunay(nodes).simplices
    pairs = np.unique(np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]]), axis=1), axis=0)
    start, end = nodes[pairs[:, 0]], nodes[pairs[:, 1]]
    length = np.hypot(*(end - start).T)
    nearest, _ = cKDTree(nodes).query((start + end) / 2)
    return nodes, pairs[(nearest >= length / 2 * (1 - 1e-9)) & (length < longest)]


def _between(kind: int, left: float, bottom: float, right: float, top: float, seed: int) -> np.ndarray:
    """The roads of a class between towns that may touch a window: winding lines in EUROPE's projection."""
    nodes, pairs = gabriel(kind)
    start, end = nodes[pairs[:, 0]], nodes[pairs[:, 1]]
    low, high, bend = np.minimum(start, end), np.maximum(start, end), BENDS[kind]
    near = (high[:, 0] > left - bend) & (low[:, 0] < right + bend) & (high[:, 1] > bottom - bend) & (low[:, 1] < top + bend)
    start, end = start[near], end[near]
    length = np.hypot(*(end - start).T)
    count = np.maximum(np.ceil(length / STEP).astype(int), 1) + 1  # vertices
    road = np.repeat(np.arange(len(start)), count)
    along = (np.arange(len(road)) - np.repeat(np.cumsum(count) - count, count)) / (count[road] - 1)
    points = start[road] + along[:, None] * (end - start)[road]
    stray = np.minimum(bend, 0.12 * length)[road] * np.sin(np.pi * along)
    wavelength = 8 * bend
    offset = [octave(points[:, 0], points[:, 1], wavelength, seed + WIND + 10 * kind + n) for n in (0, 1)]
    return shapely.linestrings(points + stray[:, None] * np.column_stack(offset), indices=road)


def _streets(left: float, bottom: float, right: float, top: float, seed: int) -> np.ndarray:
    """The streets of towns that may touch a window: two bundles of parallel chords of each town's disc."""
    table = agglomerations(0.0, 500)
    x, y, reach = table["x"].to_numpy(), table["y"].to_numpy(), radius(table["population"].to_numpy())
    near = (x > left - reach) & (x < right + reach) & (y > bottom - reach) & (y < top + reach)
    x, y, reach = x[near], y[near], reach[near]
    turn = scatter(seed + WIND, np.rint(x).astype(int), np.rint(y).astype(int)) * np.pi / 2
    count = np.maximum(np.rint(2 * reach / STREETS).astype(int), 1)
    town = np.repeat(np.arange(len(x)), count)
    number = np.arange(len(town)) - np.repeat(np.cumsum(count) - count, count)
    across = reach[town] * ((2 * number + 1) / count[town] - 1)
    half = np.sqrt(reach[town] ** 2 - across**2)
    chords = []
    for angle in (turn[town], turn[town] + np.pi / 2):
        middle = np.column_stack([x[town] - across * np.sin(angle), y[town] + across * np.cos(angle)])
        ahead = half[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        chords.append(shapely.linestrings(np.stack([middle - ahead, middle + ahead], axis=1)))
    return np.concatenate(chords)


def _in_europe(grid: Grid) -> tuple[float, float, float, float]:
    """Bounds in EUROPE's projection that hold the whole grid."""
    return Transformer.from_crs(grid.crs, EUROPE, always_xy=True).transform_bounds(*grid.bounds)
