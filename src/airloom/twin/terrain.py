"""Terrain: the mountains of Europe where they are, with invented hills and valleys upon them."""

from functools import cache

import numpy as np
from scipy.spatial import cKDTree

from airloom.twin.coast import from_degrees, to_sea
from airloom.twin.noise import fractal
from airloom.twin.relief import PLATEAUS, RANGES, VALLEYS, Line
from airloom.twin.towns import towns

Places = tuple[np.ndarray, np.ndarray]  # eastings and northings [m]

HILLS = 2  # number of the hills among the uses of a seed
WARP = 4  # and of the bending of ranges
INLAND = 0.9  # m of rise a km from the sea, up to LOWLAND
LOWLAND = 150.0  # m
SHORE = 2500.0  # m from the sea in which terrain rises to two thirds of its height
PLAIN = 12_000.0  # half width [m] above which a valley is a plain with winding edges
TOWN = 3500.0  # m around a town in which mountains are carved away: towns of mountains lie in valleys


def elevation(x: np.ndarray, y: np.ndarray, *, cell: float, seed: int) -> np.ndarray:
    """Mean height above the sea [m] of cells with an edge of `cell` [m] centred on places in EUROPE's projection.

    `x` and `y` are (y, x). At sea it means nothing: whoever calls knows where land is. Hills of wavelengths less than two
    cells average out and are left out, so that coarse cells are the mean of fine ones but for narrow valleys.
    """
    east, north = x.ravel(), y.ravel()
    finest = max(2 * cell, 1000.0)
    sea = to_sea(east, north)
    base = _lowland(sea, fractal(east, north, longest=60_000, shortest=finest, seed=seed + HILLS))
    bent = [fractal(east, north, longest=50_000, shortest=12_500, seed=seed + WARP + n) * 3000 for n in (0, 1)]
    rolling = 1 + 0.12 * fractal(east, north, longest=40_000, shortest=finest, seed=seed + HILLS + 20)
    plateau = _highest(PLATEAUS, east + 4 * bent[0], north + 4 * bent[1], power=3)
    base = np.maximum(base, plateau * rolling)
    crest = _highest(RANGES, east + bent[0], north + bent[1], power=2)
    mountain = np.maximum(np.hypot(crest, base) - base, 0)
    peaks = 1 - np.abs(fractal(east, north, longest=24_000, shortest=finest, seed=seed + HILLS + 10)) / 1.6
    carved = (
        np.exp(-((_to_town(east, north) / max(TOWN, cell)) ** 2)) * min(1.0, TOWN / cell) * np.clip(mountain / 1200, 0, 1)
    )
    height = base + mountain * np.clip(0.65 + 0.7 * peaks, 0.2, 1.5) * (1 - 0.55 * carved)
    height = _fill_valleys(height, (east, north), (east + 2 * bent[0], north + 2 * bent[1]), cell)
    return (height * (1 - np.exp(-sea / SHORE))).reshape(x.shape).astype(np.float32)


def _lowland(sea: np.ndarray, hills: np.ndarray) -> np.ndarray:
    """Gentle country: it rises from the shore to LOWLAND, with hills that grow with it."""
    rise = LOWLAND * (1 - np.exp(-INLAND * sea / 1000 / LOWLAND))
    return 4 + np.maximum(rise * (1 + 0.3 * hills), 0)


def _highest(lines: tuple[tuple[str, float, Line], ...], x: np.ndarray, y: np.ndarray, *, power: int) -> np.ndarray:
    """The upper hull [m] of ranges that fall off as exp(−(distance / width)^power); on (place,)."""
    result = np.zeros(len(x))
    for east, north, height, width in _projected(lines):
        near = np.flatnonzero(_near(x, y, east, north, 2.6 * width))
        if len(near):
            distance, crest = _to_line(x[near], y[near], east, north, height)
            result[near] = np.maximum(result[near], crest * np.exp(-((distance / width) ** power)))
    return result


def _fill_valleys(height: np.ndarray, straight: Places, bent: Places, cell: float) -> np.ndarray:
    """Bring the ground of plains and valleys to their floor where it is higher; a narrow one takes its share of a cell."""
    result = height.copy()
    for east, north, floor, width in _projected(VALLEYS):
        wide = max(width, 0.7 * cell)
        x, y = bent if width > PLAIN else straight
        near = np.flatnonzero(_near(x, y, east, north, 2 * wide))
        if len(near):
            distance, ground = _to_line(x[near], y[near], east, north, floor)
            share = width / wide * np.exp(-((distance / wide) ** 4))
            rough = ground * (1 + 0.1 * np.tanh((result[near] - ground) / 200))
            result[near] -= share * np.maximum(result[near] - rough, 0)
    return result


def _near(x: np.ndarray, y: np.ndarray, east: np.ndarray, north: np.ndarray, reach: float) -> np.ndarray:
    return (x > east.min() - reach) & (x < east.max() + reach) & (y > north.min() - reach) & (y < north.max() + reach)


@cache
def _projected(lines: tuple[tuple[str, float, Line], ...]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """Eastings, northings, heights and half width, all in m, of each line of a table."""
    result = []
    for _, width, line in lines:
        lon, lat, height = np.array(line, float).T
        east, north = from_degrees().transform(lon, lat)
        result.append((east, north, height, width * 1000.0))
    return result


def _to_line(
    x: np.ndarray, y: np.ndarray, east: np.ndarray, north: np.ndarray, height: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to a line [m], and the height [m] at its nearest point; both on (place,)."""
    nearest, value = np.full(len(x), np.inf), np.zeros(len(x))
    for i in range(len(east) - 1):
        dx, dy = east[i + 1] - east[i], north[i + 1] - north[i]
        along = np.clip(((x - east[i]) * dx + (y - north[i]) * dy) / (dx * dx + dy * dy), 0, 1)
        distance = np.hypot(x - east[i] - along * dx, y - north[i] - along * dy)
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        value = np.where(closer, height[i] + along * (height[i + 1] - height[i]), value)
    return nearest, value


def _to_town(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance [m] to the nearest town, no more than four times TOWN."""
    table = towns()
    tree = cKDTree(np.column_stack([table["x"], table["y"]]))
    distance, _ = tree.query(np.column_stack([x, y]), distance_upper_bound=4 * TOWN)
    return np.minimum(distance, 4 * TOWN)
