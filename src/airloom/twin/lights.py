"""Night lights as a satellite sees them: from people, motorways and industry, with glow around and a ceiling."""

import numpy as np
import polars as pl
from scipy.ndimage import gaussian_filter

from airloom.grid import Grid

DARK = 0.15  # nW cm⁻² sr⁻¹ of unlit land
CITY = 45.0  # nW cm⁻² sr⁻¹ at 10,000 people per km²
BRIGHTEST = 180.0  # nW cm⁻² sr⁻¹ that no cell exceeds
ROAD = 1.5  # nW cm⁻² sr⁻¹ for 1000 m km⁻² of motorway or primary road
SITE = 250.0  # nW cm⁻² sr⁻¹ km² for a site of size 1
GLOW = ((0.78, 0.0), (0.16, 2500.0), (0.06, 9000.0))  # shares of the light, and the width [m] over which they scatter


def lights(
    grid: Grid, *, land: np.ndarray, population: np.ndarray, road_density: np.ndarray, sites: pl.DataFrame
) -> np.ndarray:
    """Radiance [nW cm⁻² sr⁻¹] on (y, x), float32.

    Arguments:
        grid: the cells.
        land: share of a cell that is land.
        population: people per km².
        road_density: m km⁻² on (class, y, x).
        sites: as `sites` gives them.
    """
    source = DARK * land + CITY * (population / 10_000) ** 0.8 + ROAD * (road_density[:2].sum(axis=0) / 1000)
    source = source + _sites(grid, sites)
    glowing = sum(share * gaussian_filter(source, width / grid.cell, mode="nearest") for share, width in GLOW)
    return (BRIGHTEST * (1 - np.exp(-glowing / BRIGHTEST))).astype(np.float32)


def _sites(grid: Grid, sites: pl.DataFrame) -> np.ndarray:
    """Light of the sites over the area of their cells."""
    row = np.floor((grid.top - sites["y"].to_numpy()) / grid.cell).astype(int)
    column = np.floor((sites["x"].to_numpy() - grid.left) / grid.cell).astype(int)
    result = np.zeros(grid.shape)
    np.add.at(result, (row, column), SITE * sites["size"].to_numpy() / (grid.cell / 1000) ** 2)
    return result
