"""The twin's geography: all that stands still, on any window of Europe."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import polars as pl
import shapely

from airloom.errors import StudyError
from airloom.grid import Grid
from airloom.sources.places import EAST, NORTH, SOUTH, WEST
from airloom.sources.roads import density
from airloom.twin.coast import shares
from airloom.twin.landcover import landcover
from airloom.twin.lights import lights
from airloom.twin.roads import roads
from airloom.twin.ships import ship_lanes
from airloom.twin.sites import sites
from airloom.twin.terrain import elevation
from airloom.twin.towns import europe, population

MARGIN = 24_000.0  # m around the grid that is made and cut off: what lies there shines and spreads into it


@dataclass(frozen=True)
class Geography:
    """Maps on (y, x), float32 unless said otherwise, lines and sites, all on one grid and consistent with one another."""

    grid: Grid
    land: np.ndarray  # share of land, 0…1; lakes are not land
    elevation: np.ndarray  # m, the mean of the cell; 0 at sea
    population: np.ndarray  # km⁻²
    landcover: np.ndarray  # CORINE's classes 1…44, int8
    roads: gpd.GeoDataFrame  # lines with `class` 1 highway, 2 primary, 3 secondary, 4 tertiary, 5 local, as GRIP
    road_density: np.ndarray  # m km⁻² on (class, y, x)
    sites: pl.DataFrame  # kind ("power", "industry", "airport", "port"), x, y [m], size > 0, relative within a kind
    ship_lanes: gpd.GeoDataFrame  # lines with `traffic`, 1 in the Dover Strait
    lights: np.ndarray  # nW cm⁻² sr⁻¹


def geography(grid: Grid, seed: int) -> Geography:
    """The geography of a window of Europe; the same seed gives the same country whatever window is cut from it.

    Coast, towns, large ports and plants, ranges and plains are real; hills, the course of roads, most sites and the patches
    of land cover are invented.

    Raises:
        StudyError: the grid reaches beyond the towns and coasts that airloom knows.
    """
    _check(grid)
    wide, margin = _widened(grid)
    inner = (slice(margin, -margin), slice(margin, -margin))
    above, lake = shares(wide)
    land = above - lake
    x, y = europe(wide)
    height = elevation(x, y, cell=grid.cell, seed=seed) * above
    people = population(wide, above, land, height, seed)
    lines = roads(wide, seed)
    length = density(lines, wide)
    places = sites(wide, seed)
    cover = landcover(
        wide, above=above, lake=lake, elevation=height, population=people, highways=length[0], sites=places, seed=seed
    )
    shine = lights(wide, land=land, population=people, road_density=length, sites=places)
    left, bottom, right, top = grid.bounds
    return Geography(
        grid=grid,
        land=land[inner],
        elevation=height[inner],
        population=people[inner],
        landcover=cover[inner],
        roads=_within(lines, grid),
        road_density=length[:, inner[0], inner[1]],
        sites=places.filter((pl.col("x") > left) & (pl.col("x") < right) & (pl.col("y") > bottom) & (pl.col("y") < top)),
        ship_lanes=ship_lanes(grid),
        lights=shine[inner],
    )


def _check(grid: Grid) -> None:
    lon, lat = grid.lonlat()
    if not (lon.min() >= WEST and lon.max() <= EAST and lat.min() >= SOUTH and lat.max() <= NORTH):
        raise StudyError(
            f"the twin's grid lies at {lon.min():.1f}…{lon.max():.1f}°E, {lat.min():.1f}…{lat.max():.1f}°N; its "
            f"towns and coasts cover {WEST:g}…{EAST:g}°E, {SOUTH:g}…{NORTH:g}°N. Move or shrink the grid."
        )


def _widened(grid: Grid) -> tuple[Grid, int]:
    """The grid with a margin all round, and how many cells that is."""
    cells = int(np.ceil(MARGIN / grid.cell))
    rows, columns = grid.shape
    reach = cells * grid.cell
    return Grid(grid.crs, grid.left - reach, grid.top + reach, grid.cell, (rows + 2 * cells, columns + 2 * cells)), cells


def _within(lines: gpd.GeoDataFrame, grid: Grid) -> gpd.GeoDataFrame:
    """Lines cut at the grid's edges."""
    parts, source = shapely.get_parts(shapely.clip_by_rect(lines.geometry.to_numpy(), *grid.bounds), return_index=True)
    some = (shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING) & ~shapely.is_empty(parts)
    return gpd.GeoDataFrame({"class": lines["class"].to_numpy()[source[some]]}, geometry=parts[some], crs=grid.crs)
