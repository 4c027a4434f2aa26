"""Maps in GeoTIFF or any other raster that GDAL opens, brought onto a grid by the area that pixels and cells share.

Cells are cut out of the pixels exactly (see `overlap`): warping with GDAL's sums takes an upright box for a cell that is
turned by the angle between the two projections, and loses 7 % of the mass at Madrid.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.base import LayerSource
from airloom.sources.members import members
from airloom.sources.overlap import corners, shared

How = Literal["mean", "mode", "density", "classes"]

# CORINE's raster numbers its 44 classes; these are the last ones of its five groups
LAND_COVER = {"artificial": 11, "agricultural": 22, "forest": 34, "wetland": 39, "water": 44}
CORINE_EMPTY = 48  # CORINE's own number for no data, besides the file's

STATISTICS = {"mean": "mean", "mode": "mode", "density": "sum", "classes": "mode"}
LEAST_COVERED = 0.5  # share of a cell below which it is NaN
BLOCK = 32  # cells along the edge of what is in memory at once
MARGIN = 2  # pixels around a block, for the bilinear kernel


class Raster(LayerSource):
    """One map out of one raster file, or out of several that are tiles of it.

    Arguments:
        paths: files with one band each; tiles lie on one lattice of pixels.
        name: name of the layer.
        how: "mean": area mean of a quantity such as elevation; where the pixels are larger than the cells, bilinear.
            "mode": the class that covers most of the cell; where the pixels are larger than the cells, the nearest one.
            "density": pixels hold amounts (people, kg); their sum per km², whose total over the map is that of the file.
            "classes": pixels hold CORINE's classes 1 to 44; five layers, 1 where the class that covers most of the cell
            belongs to the layer's group (artificial, agricultural, forest and semi-natural, wetland, water), else 0.
        units: unit of the pixels' values.
        fill: value, or class, of cells that have none, as of the sea where a model of heights ends at the coast.
    """

    name = "raster"
    title = "Raster map (GeoTIFF)"

    def __init__(
        self, paths: Sequence[Path], *, name: str, how: How = "mean", units: str = "1", fill: float | None = None
    ) -> None:
        self.paths, self.layer, self.how, self.units, self.fill = list(paths), name, how, units, fill

    def layers(self, grid: Grid) -> xr.Dataset:
        """The layer on (y, x), float32; NaN, or `fill`, in cells of which less than half holds data; their number is in `attrs["filled"]`.

        With "density" a pixel without data holds nothing. With "classes" there are five layers, `name_artificial` and so on.

        Raises:
            DataError: a file is broken, has no projection, several bands or turned pixels; tiles do not fit each other
                or differ where they overlap; no file reaches the grid; "classes" finds a number that CORINE does not have.
        """
        with ExitStack() as stack:
            tiles = [stack.enter_context(_opened(stack.enter_context(m.local()))) for m in members(self.paths)]
            pixels = _Pixels(tiles)
            if not pixels.reach(grid):
                raise DataError(
                    f"layer {self.layer!r}: {_names(tiles)} lies at {_degrees(tiles[0].crs.to_wkt(), pixels.bounds)}, the grid "
                    f"at {_degrees(grid.crs, grid.bounds)}; they do not meet. Name a file that covers the grid."
                )
            coarse = pixels.size_on(grid) > grid.cell
            values = np.full(grid.shape, np.nan, "float32")
            for block, cells in _blocks(grid):
                values[block] = self._block(pixels, cells, coarse)
        units = self.units
        if self.how == "density":
            units = "km-2" if units == "1" else f"{units} km-2"
        attrs: dict[str, Any] = {"units": units, "long_name": self.layer, "source": ", ".join(p.name for p in self.paths)}
        if self.how == "classes":
            values = np.where(values == CORINE_EMPTY, np.nan, values)
        if self.fill is not None:
            attrs["filled"] = int(np.isnan(values).sum())
            values = np.where(np.isnan(values), self.fill, values)
        if self.how == "classes":
            values = self._one_hot(values)
            return xr.Dataset(
                {
                    f"{self.layer}_{group}": (("y", "x"), layer, attrs | {"long_name": f"{self.layer}: {group}"})
                    for group, layer in zip(LAND_COVER, values, strict=True)
                },
                {"y": grid.y, "x": grid.x},
            )
        return xr.Dataset({self.layer: (("y", "x"), values, attrs)}, {"y": grid.y, "x": grid.x})

    def _one_hot(self, classes: np.ndarray) -> np.ndarray:
        """CORINE's classes on (y, x) → its groups on (group, y, x): 1 in one of them, 0 in the others; NaN without data."""
        last = np.array([*LAND_COVER.values()])
        strange = classes[~np.isnan(classes) & ~np.isin(classes, np.arange(1, last[-1] + 1))]
        if strange.size:
            raise DataError(
                f"{', '.join(p.name for p in self.paths)} holds the class {strange[0]:g}, expected CORINE's 1 to 44. Use the "
                "raster product, whose numbers these are; codes such as 112 are those of the vector product."
            )
        group = np.searchsorted(last, classes)
        return np.where(np.isnan(classes), np.nan, group == np.arange(len(last))[:, None, None]).astype("float32")

    def _block(self, pixels: "_Pixels", cells: Grid, coarse: bool) -> np.ndarray:
        """The layer on the cells of one block, on (y, x); `coarse`: the pixels are larger than the cells."""
        x, y = corners(cells, pixels.crs)
        values, transform = pixels.read(x, y)
        if np.isnan(values).all():
            return np.full(cells.shape, np.nan)
        result, covered = shared(values, transform, x, y, STATISTICS[self.how])
        if self.how == "density":
            result = result / (cells.cell / 1000) ** 2
        elif coarse:
            result = _interpolated(values, transform, pixels.crs, cells, self.how)
        return np.where(covered >= LEAST_COVERED, result, np.nan)


@dataclass(frozen=True)
class _Pixels:
    """Tiles of one map as one array of pixels, read where it is needed."""

    tiles: list[DatasetReader]

    def __post_init__(self) -> None:
        first = self.tiles[0]
        for tile in self.tiles[1:]:
            row, column = self._offset(tile)
            same = tile.crs == first.crs and np.allclose(tile.res, first.res, rtol=1e-6)
            if not same or max(abs(row - round(row)), abs(column - round(column))) > 0.01:
                raise DataError(
                    f"{_name(tile)} is no tile of the map that {_name(first)} belongs to: projection, pixel size or pixel "
                    f"corners differ ({tile.res} against {first.res}). Bring them together with gdalwarp first."
                )

    @property
    def crs(self) -> CRS:
        """Projection of the pixels."""
        return CRS.from_wkt(self.tiles[0].crs.to_wkt())

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of all tiles together."""
        left, bottom, right, top = np.array([tile.bounds for tile in self.tiles]).T
        return left.min(), bottom.min(), right.max(), top.max()

    def reach(self, grid: Grid) -> bool:
        """Whether any tile meets the grid."""
        x, y = corners(grid, self.crs)
        return bool(np.isfinite(x).all() and np.isfinite(y).all()) and any(
            t.bounds.left < x.max() and t.bounds.right > x.min() and t.bounds.bottom < y.max() and t.bounds.top > y.min()
            for t in self.tiles
        )

    def size_on(self, cells: Grid) -> float:
        """Edge of a square as large as a pixel in the middle of `cells` [m]."""
        centre = cells.x.mean(), cells.y.mean()
        there = Transformer.from_crs(cells.crs, self.crs, always_xy=True)
        width, height = self.tiles[0].res
        x, y = there.transform(*centre)
        back = Transformer.from_crs(self.crs, cells.crs, always_xy=True)
        (x0, x1, x2), (y0, y1, y2) = back.transform([x, x + width, x], [y, y, y + height])
        return abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)) ** 0.5

    def read(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, Affine]:
        """Pixels (float32, NaN without data) of the box around places in the map's projection, and where they lie.

        Raises:
            DataError: a file breaks off, or two tiles give one pixel different values.
        """
        lattice = self.tiles[0].transform
        columns, rows = (x - lattice.c) / lattice.a, (y - lattice.f) / lattice.e
        row, column = int(np.floor(rows.min())) - MARGIN, int(np.floor(columns.min())) - MARGIN
        height, width = int(np.ceil(rows.max())) + MARGIN - row, int(np.ceil(columns.max())) + MARGIN - column
        values = np.full((height, width), np.nan, "float32")
        transform = Affine(lattice.a, 0, lattice.c + column * lattice.a, 0, lattice.e, lattice.f + row * lattice.e)
        for tile in self.tiles:
            down, right = (round(offset) for offset in self._offset(tile))
            top, left = max(row, down), max(column, right)
            bottom, end = min(row + height, down + tile.height), min(column + width, right + tile.width)
            if top >= bottom or left >= end:
                continue
            new = _data(tile, Window(left - right, top - down, end - left, bottom - top))
            part = (slice(top - row, bottom - row), slice(left - column, end - column))
            old = values[part]
            differ = ~np.isnan(old) & ~np.isnan(new) & (old != new)
            if differ.any():
                at = tuple(np.argwhere(differ)[0])
                x0, y0 = lattice.c + (left + at[1] + 0.5) * lattice.a, lattice.f + (top + at[0] + 0.5) * lattice.e
                lon, lat = Transformer.from_crs(self.crs, 4326, always_xy=True).transform(x0, y0)
                other = ", ".join(_name(t) for t in self.tiles if t is not tile and _inside(t, x0, y0))
                raise DataError(
                    f"{_name(tile)} holds {new[at]:g} at {lon:.4f}°E, {lat:.4f}°N where {other} holds {old[at]:g}, and "
                    f"{differ.sum() - 1} more pixels differ nearby. Tiles of one map agree where they overlap; leave one out."
                )
            values[part] = np.where(np.isnan(new), old, new)
        return values, transform

    def _offset(self, tile: DatasetReader) -> tuple[float, float]:
        """Rows and columns from the first tile's corner to this one's."""
        lattice = self.tiles[0].transform
        return (tile.transform.f - lattice.f) / lattice.e, (tile.transform.c - lattice.c) / lattice.a


def _inside(tile: DatasetReader, x: float, y: float) -> bool:
    return tile.bounds.left < x < tile.bounds.right and tile.bounds.bottom < y < tile.bounds.top


def _opened(path: Path) -> DatasetReader:
    """A raster that says where it lies.

    Raises:
        DataError: it is unreadable, has no projection, several bands, or pixels that are not north-up.
    """
    try:
        tile = rasterio.open(path)
    except (RasterioError, OSError) as error:
        raise DataError(f"{path.name} is no raster that GDAL reads: {error}. Fetch it again.") from error
    if tile.crs is None:
        raise DataError(
            f"{path.name} does not say in which projection it is. If you know it, write it in: "
            f"gdal_edit.py -a_srs EPSG:4326 {path.name} (EPSG:4326 if it is in degrees)."
        )
    if tile.count != 1:
        bands = ", ".join(f"{i} ({text or 'no name'})" for i, text in zip(tile.indexes, tile.descriptions, strict=True))
        raise DataError(
            f"{path.name} has {tile.count} bands: {bands}; a layer is one. Cut it out: gdal_translate -b 1 {path.name} one.tif"
        )
    if tile.transform.b or tile.transform.d or tile.transform.e >= 0:
        raise DataError(
            f"{path.name}: its rows do not run north to south and west to east. Turn it: gdalwarp {path.name} up.tif"
        )
    return tile


def _data(tile: DatasetReader, window: Window) -> np.ndarray:
    """Pixels of a window in the file's unit, NaN where the file marks no data.

    Raises:
        DataError: the file breaks off.
    """
    try:
        stored = tile.read(1, window=window, masked=True)
    except (RasterioError, OSError) as error:
        raise DataError(f"{_name(tile)} breaks off: {error}. Fetch it again.") from error
    physical = stored.astype("float64").filled(np.nan) * tile.scales[0] + tile.offsets[0]
    return physical.astype("float32")


def _blocks(grid: Grid) -> Iterator[tuple[tuple[slice, slice], Grid]]:
    """The grid in pieces: the slices (y, x) of each, and its cells as a grid."""
    rows, columns = grid.shape
    for row in range(0, rows, BLOCK):
        for column in range(0, columns, BLOCK):
            shape = min(BLOCK, rows - row), min(BLOCK, columns - column)
            left, top = grid.left + column * grid.cell, grid.top - row * grid.cell
            yield (
                (slice(row, row + shape[0]), slice(column, column + shape[1])),
                Grid(grid.crs, left, top, grid.cell, shape),
            )


def _interpolated(values: np.ndarray, transform: Affine, crs: CRS, cells: Grid, how: How) -> np.ndarray:
    """Pixels read at the centres of smaller cells, on (y, x): bilinear for a mean, the nearest for a mode."""
    result = np.full(cells.shape, np.nan, "float32")
    reproject(
        values,
        result,
        src_transform=transform,
        src_crs=crs.to_wkt(),
        src_nodata=np.nan,
        dst_transform=cells.transform,
        dst_crs=cells.crs,
        dst_nodata=np.nan,
        resampling=Resampling.bilinear if how == "mean" else Resampling.nearest,
    )
    return result


def _name(tile: DatasetReader) -> str:
    return Path(tile.name).name


def _names(tiles: Sequence[DatasetReader]) -> str:
    return ", ".join(_name(t) for t in tiles)


def _degrees(crs: str, bounds: tuple[float, float, float, float]) -> str:
    """Bounds as a reader knows them."""
    west, south, east, north = Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*bounds)
    return f"{west:.2f}…{east:.2f}°E, {south:.2f}…{north:.2f}°N"
