"""A geography and a weather that a reader can check by hand."""

from datetime import date

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr
from shapely import LineString

from airloom.grid import Grid
from airloom.twin.geography import Geography
from airloom.twin.layers import LAYERS


def plain(cells: int = 20, cell: float = 2000.0) -> Geography:
    """Farmland with one town of 5 × 5 cells, sea in the four western columns, a road through the town, a ship lane."""
    grid = Grid.around(2.0, 49.0, cell=cell, shape=(cells, cells))
    shape = grid.shape
    land = np.ones(shape, np.float32)
    land[:, :4] = 0
    middle = cells // 2
    population = np.full(shape, 30, np.float32) * land
    population[middle - 2 : middle + 3, middle - 2 : middle + 3] = 3000
    landcover = np.full(shape, 12, np.int8)
    landcover[population > 1000] = 1
    landcover[land == 0] = 44
    density = np.zeros((5, *shape), np.float32)
    density[0, middle] = 500 * land[middle]
    density[4] = population
    west, east = grid.left + 4 * cell, grid.left + cells * cell
    lane = LineString([(grid.left + 2 * cell, grid.top), (grid.left + 2 * cell, grid.top - cells * cell)])
    return Geography(
        grid=grid,
        land=land,
        elevation=np.zeros(shape, np.float32),
        population=population,
        landcover=landcover,
        roads=gpd.GeoDataFrame(
            {"class": [1]}, geometry=[LineString([(west, grid.y[middle]), (east, grid.y[middle])])], crs=grid.crs
        ),
        road_density=density,
        sites=pl.DataFrame(
            {
                "kind": ["power", "industry", "airport", "port"],
                "x": [grid.x[14], grid.x[12], grid.x[8], grid.x[4]],
                "y": [grid.y[3], grid.y[6], grid.y[15], grid.y[10]],
                "size": [1.0, 1.0, 1.0, 1.0],
            }
        ),
        ship_lanes=gpd.GeoDataFrame({"traffic": [0.02]}, geometry=[lane], crs=grid.crs),
        lights=np.sqrt(population),
    )


class Steady:
    """The same wind, sun and air on every hour of every day."""

    def __init__(self, window: Grid, *, u: float = 3.0, v: float = 0.0, blh: float = 800.0, cossza: float = 0.5) -> None:
        left, bottom, right, top = window.bounds
        span = max(right - left, top - bottom) / 4
        self.grid = Grid(window.crs, left - span, top + span, span, (6, 6))
        self.u, self.v, self.blh, self.cossza = u, v, blh, cossza

    def day(self, day: date) -> xr.Dataset:
        """Uniform fields."""
        flat = ("time", "y", "x"), np.ones((24, 6, 6), np.float32)
        deep = ("time", "layer", "y", "x"), np.ones((24, len(LAYERS), 6, 6), np.float32)
        values = {"ustar": 0.4, "inverse_obukhov": 0.0, "blh": self.blh, "tcc": 0.3, "cossza": self.cossza}
        fields = {n: (flat[0], v * flat[1]) for n, v in values.items()}
        fields |= {
            n: (deep[0], v * deep[1])
            for n, v in {"layer_u": self.u, "layer_v": self.v, "layer_t": 285.0, "layer_r": 60.0}.items()
        }
        return xr.Dataset(fields)
