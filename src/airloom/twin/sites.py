"""Places that burn or move much: power plants, industry, airports and ports."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from pyproj import Transformer
from scipy.spatial import cKDTree

from airloom.grid import Grid
from airloom.twin.coast import EUROPE, from_degrees, on_land, shoreline, to_sea
from airloom.twin.noise import scatter
from airloom.twin.towns import agglomerations, radius

KINDS = ("power", "industry", "airport", "port")
PLACE, DRAW = 81, 91  # numbers among the uses of a seed: where a site lies, and whether and how large it is
TRIES = 12  # directions in which ground for a site is sought

# (longitude, latitude, size relative to the largest); from general knowledge, good to some kilometres
PORTS = (
    *(
        (4.05, 51.95, 1.0),
        (4.28, 51.28, 0.6),
        (9.93, 53.53, 0.5),
        (8.55, 53.58, 0.3),
        (4.80, 52.42, 0.25),
        (3.78, 51.33, 0.15),
    ),
    *(
        (3.20, 51.33, 0.2),
        (2.20, 51.03, 0.2),
        (1.85, 50.97, 0.2),
        (1.33, 51.12, 0.2),
        (0.15, 49.48, 0.3),
        (-1.62, 49.65, 0.05),
    ),
    *(
        (-2.20, 47.28, 0.12),
        (-1.22, 46.16, 0.06),
        (-0.55, 45.00, 0.06),
        (-4.48, 48.38, 0.05),
        (4.90, 43.42, 0.35),
        (1.31, 51.95, 0.25),
    ),
    *(
        (0.45, 51.47, 0.2),
        (-1.38, 50.90, 0.2),
        (-3.00, 53.44, 0.15),
        (-0.19, 53.63, 0.2),
        (-1.15, 54.60, 0.15),
        (-5.05, 51.70, 0.12),
    ),
    *(
        (-2.70, 51.50, 0.07),
        (-3.18, 56.00, 0.08),
        (-2.07, 57.14, 0.05),
        (-6.20, 53.35, 0.12),
        (-8.28, 51.83, 0.05),
        (-5.90, 54.62, 0.08),
    ),
    *(
        (-5.43, 36.13, 0.4),
        (-0.30, 39.44, 0.35),
        (2.16, 41.34, 0.3),
        (1.22, 41.10, 0.15),
        (-3.05, 43.35, 0.12),
        (-5.70, 43.56, 0.08),
    ),
    *(
        (-8.40, 43.37, 0.08),
        (-0.97, 37.58, 0.12),
        (-6.30, 36.53, 0.06),
        (2.64, 39.55, 0.06),
        (-8.87, 37.95, 0.2),
        (-8.70, 41.18, 0.1),
    ),
    *(
        (-9.12, 38.70, 0.12),
        (8.90, 44.40, 0.3),
        (10.30, 43.56, 0.2),
        (12.25, 45.44, 0.15),
        (13.75, 45.63, 0.25),
        (12.28, 44.47, 0.1),
    ),
    *(
        (14.27, 40.84, 0.15),
        (15.91, 38.45, 0.25),
        (17.18, 40.48, 0.12),
        (13.37, 38.13, 0.07),
        (9.10, 39.20, 0.12),
        (15.20, 37.20, 0.1),
    ),
    *(
        (14.53, 35.82, 0.15),
        (14.43, 45.32, 0.08),
        (16.43, 43.50, 0.05),
        (19.45, 41.31, 0.04),
        (23.60, 37.94, 0.35),
        (22.92, 40.63, 0.1),
    ),
    *(
        (27.10, 38.44, 0.1),
        (28.95, 41.02, 0.3),
        (28.65, 44.12, 0.2),
        (27.90, 43.19, 0.06),
        (30.73, 46.50, 0.15),
        (37.80, 44.70, 0.3),
    ),
    *(
        (11.93, 57.69, 0.2),
        (12.60, 55.70, 0.08),
        (18.07, 59.33, 0.07),
        (18.68, 54.38, 0.2),
        (14.25, 53.90, 0.1),
        (12.10, 54.15, 0.1),
    ),
    *(
        (21.13, 55.70, 0.1),
        (24.05, 57.02, 0.1),
        (24.77, 59.45, 0.12),
        (25.00, 60.20, 0.12),
        (30.20, 59.88, 0.2),
        (28.40, 59.68, 0.25),
    ),
    *(
        (10.75, 59.90, 0.06),
        (5.30, 60.40, 0.1),
        (10.40, 63.43, 0.03),
        (17.43, 68.43, 0.06),
        (22.20, 65.58, 0.03),
        (10.20, 56.15, 0.06),
    ),
    *(
        (3.06, 36.77, 0.1),
        (-0.65, 35.71, 0.06),
        (10.20, 36.80, 0.07),
        (33.02, 34.65, 0.05),
        (34.63, 36.78, 0.12),
        (-5.80, 35.80, 0.1),
    ),
)
POWER = (
    *(
        (6.67, 51.00, 1.0),
        (6.62, 51.04, 1.0),
        (6.32, 50.84, 0.7),
        (14.45, 51.83, 0.8),
        (14.57, 51.42, 0.7),
        (14.35, 51.53, 0.5),
    ),
    *(
        (12.37, 51.18, 0.6),
        (7.97, 51.68, 0.5),
        (8.38, 49.01, 0.4),
        (9.95, 53.48, 0.4),
        (8.85, 50.08, 0.3),
        (7.32, 51.54, 0.35),
    ),
    *(
        (19.33, 51.27, 1.0),
        (21.47, 51.67, 0.7),
        (18.52, 50.13, 0.5),
        (19.20, 50.21, 0.5),
        (14.43, 53.20, 0.4),
        (17.88, 50.75, 0.5),
    ),
    *(
        (13.33, 50.42, 0.6),
        (13.38, 50.50, 0.5),
        (4.02, 51.96, 0.6),
        (6.86, 53.44, 0.4),
        (4.85, 51.70, 0.3),
        (3.78, 51.20, 0.3),
    ),
    *(
        (-1.00, 53.74, 0.8),
        (-1.25, 52.86, 0.5),
        (-0.78, 53.30, 0.4),
        (-3.40, 51.39, 0.3),
        (0.73, 51.42, 0.3),
        (-9.42, 52.60, 0.25),
    ),
    *(
        (-1.88, 47.27, 0.3),
        (0.15, 49.47, 0.2),
        (6.70, 49.15, 0.25),
        (5.48, 43.47, 0.15),
        (2.38, 51.03, 0.25),
        (-7.86, 43.44, 0.6),
    ),
    *(
        (-6.60, 42.55, 0.35),
        (-0.38, 40.99, 0.4),
        (-1.93, 37.00, 0.3),
        (-8.80, 37.93, 0.4),
        (-8.11, 39.46, 0.25),
        (18.03, 40.56, 0.6),
    ),
    *(
        (11.76, 42.13, 0.5),
        (12.49, 44.95, 0.3),
        (9.86, 44.10, 0.3),
        (8.28, 40.84, 0.3),
        (10.20, 45.10, 0.2),
        (15.20, 37.22, 0.3),
    ),
    *(
        (21.70, 40.42, 0.8),
        (21.83, 40.39, 0.6),
        (22.13, 37.41, 0.4),
        (25.90, 42.25, 0.9),
        (23.38, 44.67, 0.7),
        (23.13, 44.03, 0.4),
    ),
    *(
        (20.00, 44.67, 0.9),
        (21.16, 44.73, 0.6),
        (18.60, 44.52, 0.5),
        (21.07, 42.70, 0.6),
        (21.48, 41.06, 0.5),
        (15.05, 46.37, 0.3),
    ),
    *(
        (27.10, 59.35, 0.8),
        (37.75, 48.40, 0.8),
        (34.10, 48.45, 0.6),
        (30.60, 50.35, 0.4),
        (29.15, 39.25, 0.6),
        (10.60, 57.05, 0.3),
    ),
)


@dataclass(frozen=True)
class Wanted:
    """Sites that a rule puts near agglomerations: from `smallest` people on, `chance` at a million, `far` [m] outside."""

    joined: float  # m
    smallest: int
    chance: float  # sites expected at a million people, before each is drawn
    far: tuple[float, float]  # m beyond the built-up radius
    power: float  # of the population in the size
    spread: float  # standard deviation of the logarithm of the size


RULES = {
    "airport": Wanted(20_000, 300_000, 2.0, (5_000, 14_000), 1.1, 0.4),
    "power": Wanted(12_000, 60_000, 1.0, (3_000, 15_000), 0.3, 0.7),
    "industry": Wanted(5_000, 15_000, 14.0, (300, 5_000), 0.35, 1.0),
}


def sites(grid: Grid, seed: int) -> pl.DataFrame:
    """Sites inside of the grid: kind, x, y in its projection [m], size > 0, relative within a kind."""
    table = _europe(seed)
    x, y = Transformer.from_crs(EUROPE, grid.crs, always_xy=True).transform(table["x"].to_numpy(), table["y"].to_numpy())
    left, bottom, right, top = grid.bounds
    return table.with_columns(x=np.asarray(x, float), y=np.asarray(y, float)).filter(
        (pl.col("x") > left) & (pl.col("x") < right) & (pl.col("y") > bottom) & (pl.col("y") < top)
    )


@cache
def _europe(seed: int) -> pl.DataFrame:
    """All sites in EUROPE's projection, so that a window has those that it has in any other window."""
    harbours = ports()
    parts = [_listed("power", POWER), harbours]
    parts += [_ruled(kind, rule, seed + 100 * number) for number, (kind, rule) in enumerate(RULES.items())]
    docks = harbours.with_columns(pl.lit("industry").alias("kind"), pl.col("size") * 6)
    table = pl.concat([*parts, docks])
    ground = on_land(table["x"].to_numpy(), table["y"].to_numpy())
    return table.filter(pl.Series(ground) | (pl.col("kind") == "port")).sort("kind", "x", "y")


@cache
def ports() -> pl.DataFrame:
    """The listed ports, and small ones at coastal towns of 30,000 people and more far from them, all on the shore."""
    listed = _listed("port", PORTS)
    towns = agglomerations(8_000.0, 30_000)
    x, y = towns["x"].to_numpy(), towns["y"].to_numpy()
    gap, _ = cKDTree(listed.select("x", "y").to_numpy()).query(np.column_stack([x, y]))
    coastal = (to_sea(x, y, at_most=6000.0) < 6000) & (gap > 25_000)
    small = np.minimum(0.015 * np.sqrt(towns["population"].to_numpy() / 1e5), 0.05)
    found = _table("port", x[coastal], y[coastal], small[coastal])
    table = pl.concat([listed, found])
    east, north = _on_shore(table["x"].to_numpy(), table["y"].to_numpy())
    return table.with_columns(x=east, y=north)


def _listed(kind: str, rows: tuple[tuple[float, float, float], ...]) -> pl.DataFrame:
    lon, lat, size = np.array(rows).T
    x, y = from_degrees().transform(lon, lat)
    return _table(kind, np.asarray(x), np.asarray(y), size)


def _table(kind: str, x: np.ndarray, y: np.ndarray, size: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"kind": [kind] * len(x), "x": x, "y": y, "size": size})


def _on_shore(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices of the shore nearest to places."""
    tree = shoreline()
    ends = np.array([piece.coords[0] for piece in tree.geometries])
    _, vertex = cKDTree(ends).query(np.column_stack([x, y]))
    return ends[vertex, 0], ends[vertex, 1]


def _ruled(kind: str, rule: Wanted, seed: int) -> pl.DataFrame:
    """Sites near agglomerations; how many and how large is drawn by a hash of the town's place."""
    towns = agglomerations(rule.joined, rule.smallest)
    people = towns["population"].to_numpy()
    expected = np.minimum(rule.chance * people / 1e6, 1.0 if kind == "airport" else 40.0)
    whole = np.rint(towns["x"].to_numpy()).astype(np.int64), np.rint(towns["y"].to_numpy()).astype(np.int64)
    count = np.floor(expected + scatter(seed + DRAW, *whole)).astype(int)
    town = np.repeat(np.arange(len(towns)), count)
    number = np.arange(len(town)) - np.repeat(np.cumsum(count) - count, count)
    x, y, found = _ground(towns, town, number, rule, seed)
    uniform = [scatter(seed + DRAW + 1 + n, whole[0][town], whole[1][town], number) for n in (0, 1)]
    normal = np.sqrt(-2 * np.log(np.maximum(uniform[0], 1e-12))) * np.cos(2 * np.pi * uniform[1])
    size = 0.1 * (people[town] / 1e6) ** rule.power * np.exp(rule.spread * normal)
    return _table(kind, x[found], y[found], size[found])


def _ground(
    towns: pl.DataFrame, town: np.ndarray, number: np.ndarray, rule: Wanted, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the sites of towns go: of several tries the one on land that is farthest from the middle of any large place.

    Returns:
        x, y [m] and whether any try was on land; on (site,).
    """
    centre_x, centre_y = towns["x"].to_numpy()[town], towns["y"].to_numpy()[town]
    built = radius(towns["population"].to_numpy())[town]
    large = agglomerations(0.0, 10_000).select("x", "y").to_numpy()
    tree = cKDTree(large)
    best, x, y = np.full(len(town), -1.0), centre_x.copy(), centre_y.copy()
    for attempt in range(TRIES if rule.far[1] > 5000 else 3):
        whole = np.rint(centre_x).astype(np.int64), np.rint(centre_y).astype(np.int64), number, attempt
        angle = 2 * np.pi * scatter(seed + PLACE, *whole)
        away = rule.far[0] + (rule.far[1] - rule.far[0]) * scatter(seed + PLACE + 1, *whole)
        distance = built * (1.0 if rule.far[0] > 1000 else scatter(seed + PLACE + 2, *whole)) + away
        east, north = centre_x + distance * np.cos(angle), centre_y + distance * np.sin(angle)
        gap, _ = tree.query(np.column_stack([east, north]))
        merit = np.where(on_land(east, north), np.minimum(gap, 8000.0), -1.0)
        better = merit > best
        best, x, y = np.where(better, merit, best), np.where(better, east, x), np.where(better, north, y)
    return x, y, best >= 0
