"""Maps as GeoTIFF, each in its provider's usual projection, resolution and type.

Elevation as whole metres (int16) and night lights (float32, nW cm-2 sr-1) in EPSG:4326 at 15 arcseconds, like the MERIT DEM
coarsened and the annual VIIRS composites; land cover as CORINE's numbers 1 to 44 (int8, no data −128) in EPSG:3035, like
`U2018_CLC2018_V2020_20u1.tif` but for the pixel, which is the grid's cell instead of 100 m.
"""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from airloom.errors import DataError
from airloom.files import whole
from airloom.grid import Grid

STEP = 15 / 3600  # degrees
NO_ELEVATION, NO_LIGHT, NO_LAND_COVER = -32768, -999.0, -128
CORINE = "EPSG:3035"
CLASSES = 44


def write_elevation(elevation: np.ndarray, grid: Grid, path: Path) -> None:
    """Write elevation [m] on (y, x), rounded to whole metres."""
    values, transform = _on_degrees(elevation, grid)
    stored = np.where(np.isnan(values), NO_ELEVATION, np.round(values)).astype("int16")
    _write(stored, path, transform, "EPSG:4326", NO_ELEVATION)


def write_lights(lights: np.ndarray, grid: Grid, path: Path) -> None:
    """Write night lights [nW cm-2 sr-1] on (y, x)."""
    values, transform = _on_degrees(lights, grid)
    _write(np.where(np.isnan(values), NO_LIGHT, values).astype("float32"), path, transform, "EPSG:4326", NO_LIGHT)


def write_land_cover(classes: np.ndarray, grid: Grid, path: Path) -> None:
    """Write CORINE's classes 1 to 44 on (y, x), on the grid's own cells.

    Raises:
        DataError: a class is none of CORINE's, or the grid is in another projection than CORINE.
    """
    if grid.crs != CORINE:
        raise DataError(f"{path.name}: the grid is in {grid.crs}; CORINE's raster is in {CORINE}. Use a grid in {CORINE}.")
    if classes.min() < 1 or classes.max() > CLASSES:
        raise DataError(f"{path.name}: classes run from {classes.min()} to {classes.max()}, expected 1 to {CLASSES}.")
    _write(classes.astype("int8"), path, grid.transform, CORINE, NO_LAND_COVER)


def _on_degrees(values: np.ndarray, grid: Grid) -> tuple[np.ndarray, Affine]:
    """A map at 15 arcseconds over the whole grid, bilinear; NaN outside the grid. And where its pixels lie.

    GDAL's warp interpolates places too and is off by up to an eighth of a cell.
    """
    there = Transformer.from_crs(grid.crs, 4326, always_xy=True)
    west, south, east, north = there.transform_bounds(*grid.bounds, densify_pts=51)
    first, last = np.floor([west / STEP, south / STEP]).astype(int), np.ceil([east / STEP, north / STEP]).astype(int)
    transform = Affine(STEP, 0, first[0] * STEP, 0, -STEP, last[1] * STEP)
    lon, lat = (np.arange(first[0], last[0]) + 0.5) * STEP, (np.arange(last[1], first[1], -1) - 0.5) * STEP
    x, y = grid.project(*np.meshgrid(lon, lat))
    row, column = (grid.top - y) / grid.cell - 0.5, (x - grid.left) / grid.cell - 0.5
    result = map_coordinates(values.astype("float32"), [row, column], order=1, mode="nearest")
    rows, columns = grid.shape
    outside = (row < -0.5) | (row > rows - 0.5) | (column < -0.5) | (column > columns - 0.5)
    result[outside] = np.nan
    return result, transform


def _write(values: np.ndarray, path: Path, transform: Affine, crs: str, nodata: float) -> None:
    height, width = values.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": values.dtype.name}
    layout = {"compress": "deflate", "tiled": True, "blockxsize": 256, "blockysize": 256}
    with (
        whole(path) as aside,
        rasterio.open(aside, "w", crs=crs, transform=transform, nodata=nodata, **profile, **layout) as file,
    ):
        file.write(values, 1)
