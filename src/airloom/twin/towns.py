"""The towns of Europe on its map, joined to agglomerations, and where people live between them."""

import math
from functools import cache

import numpy as np
import polars as pl
from pyproj import Transformer
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from airloom.grid import Grid
from airloom.sources import places
from airloom.twin.coast import EUROPE, from_degrees
from airloom.twin.noise import fractal

COUNTRYSIDE = 31  # number of the countryside among the uses of a seed
RURAL = 9.0  # people per km² outside of any listed place, in good country
HIGHEST = 2200.0  # m above which nobody lives outside of towns
WET = 0.05  # share of land below which a cell holds nobody


@cache
def towns() -> pl.DataFrame:
    """The listed places from the largest down: x, y in EUROPE's projection [m], lon, lat [degrees], population."""
    table = places.table()
    x, y = from_degrees().transform(table["lon"].to_numpy(), table["lat"].to_numpy())
    return table.with_columns(x=np.asarray(x, float), y=np.asarray(y, float)).sort(
        "population", "lon", "lat", descending=[True, False, False]
    )


@cache
def agglomerations(radius: float, smallest: int) -> pl.DataFrame:
    """Towns that take in all smaller ones within `radius` [m] not yet taken, and have `smallest` people then.

    Columns as in `towns`; a radius of 0 joins none; the same for every window, since all of Europe is joined at once.
    """
    table = towns()
    if radius == 0:
        return table.filter(pl.col("population") >= smallest)
    points = table.select("x", "y").to_numpy()
    people = table["population"].to_numpy().astype(float)
    tree = cKDTree(points)
    free, total = np.ones(len(points), bool), np.zeros(len(points))
    for town in range(len(points)):
        if free[town]:
            near = np.array(tree.query_ball_point(points[town], radius))
            taken = near[free[near]]
            total[town] = people[taken].sum()
            free[taken] = False
    return table.with_columns(population=total).filter(pl.col("population") >= smallest)


def population(grid: Grid, above: np.ndarray, dry: np.ndarray, elevation: np.ndarray, seed: int) -> np.ndarray:
    """People per km² on (y, x): towns spread around their centres, and a thin countryside; nobody lives on water.

    Arguments:
        grid: the cells.
        above: share of a cell above the sea, on (y, x).
        dry: share of a cell that is land, lakes left out.
        elevation: m.
        seed: of where the countryside is empty.
    """
    table = towns()
    lon, lat, people = (table[name].to_numpy() for name in ("lon", "lat", "population"))
    x, y = grid.project(lon, lat)
    density = ashore(places.spread(grid, x, y, people.astype(float)), dry > WET)
    east, north = europe(grid)
    settled = 0.8 + 0.5 * fractal(east, north, longest=80_000, shortest=max(2 * grid.cell, 5000), seed=seed + COUNTRYSIDE)
    _, latitude = grid.lonlat()
    northern = 1 / (1 + np.exp((latitude - 60.5) / 1.2))
    countryside = RURAL * np.clip(settled, 0.1, None) * np.clip(1 - elevation / HIGHEST, 0, 1) * (0.05 + 0.95 * northern)
    return np.where(dry > WET, density + countryside * dry, 0).astype(np.float32) * (above > 0)


def ashore(amount: np.ndarray, dry: np.ndarray) -> np.ndarray:
    """Move what lies in wet cells to the nearest dry one; the sum stays, unless no cell is dry."""
    if dry.all() or not dry.any():
        return amount * dry
    row, column = distance_transform_edt(~dry, return_distances=False, return_indices=True)
    moved = np.zeros_like(amount)
    np.add.at(moved, (row, column), amount)
    return moved


def europe(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Eastings and northings of the cells' centres in EUROPE's projection [m], each on (y, x)."""
    x, y = np.meshgrid(grid.x, grid.y)
    east, north = Transformer.from_crs(grid.crs, EUROPE, always_xy=True).transform(x, y)
    return np.asarray(east), np.asarray(north)


def radius(population: np.ndarray) -> np.ndarray:
    """Radius [m] of a town's built-up disc: 2000 people per km² in a village of 1000, 8000 in a city of a million."""
    density = np.clip(2000 * (np.asarray(population) / 1000) ** 0.2, 1500, 9000)
    return 1000 * np.sqrt(population / (math.pi * density))
