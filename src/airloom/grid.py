"""Grids of square cells in a projected coordinate system, and the tiles that cut them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from airloom.errors import StudyError


@dataclass(frozen=True)
class Grid:
    """A window of square cells, north-up: row 0 is the northernmost.

    Arguments:
        crs: any name that pyproj knows of a projected system in metres, such as "EPSG:3035".
        left, top: outer corner of the north-western cell [m].
        cell: edge of a cell [m].
        shape: rows (y) and columns (x).

    Raises:
        StudyError: `crs` is unknown or not projected in metres, `cell` or `shape` not positive.
    """

    crs: str
    left: float
    top: float
    cell: float
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        _check(self.crs)
        if self.cell <= 0 or min(self.shape) <= 0:
            raise StudyError(f"grid: cell {self.cell} m and shape {self.shape} must be positive.")

    @classmethod
    def around(cls, lon: float, lat: float, *, cell: float, shape: tuple[int, int], crs: str = "EPSG:3035") -> "Grid":
        """The window of `shape` cells whose centre is nearest to a place, its edges on whole multiples of `cell`."""
        _check(crs)
        x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
        if not (np.isfinite(x) and np.isfinite(y)):
            raise StudyError(
                f"grid.centre: {lon}°E, {lat}°N does not exist in {crs}. Give longitude, then latitude, in degrees."
            )
        left = round(x / cell - shape[1] / 2) * cell
        top = round(y / cell + shape[0] / 2) * cell
        return cls(crs, left, top, cell, shape)

    @cached_property
    def x(self) -> np.ndarray:
        """Eastings of the cell centres, ascending [m], on (x,)."""
        return self.left + (np.arange(self.shape[1]) + 0.5) * self.cell

    @cached_property
    def y(self) -> np.ndarray:
        """Northings of the cell centres, descending [m], on (y,)."""
        return self.top - (np.arange(self.shape[0]) + 0.5) * self.cell

    @cached_property
    def _from_degrees(self) -> Transformer:
        """Longitude and latitude to easting and northing; costly to make."""
        return Transformer.from_crs(4326, self.crs, always_xy=True)

    @property
    def transform(self) -> Affine:
        """Affine transform from (column, row) to (easting, northing)."""
        return Affine(self.cell, 0, self.left, 0, -self.cell, self.top)

    @property
    def geobox(self) -> GeoBox:
        """The same grid for odc-geo and rasterio."""
        return GeoBox(self.shape, self.transform, self.crs)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top [m]."""
        rows, columns = self.shape
        return self.left, self.top - rows * self.cell, self.left + columns * self.cell, self.top

    def lonlat(self) -> tuple[np.ndarray, np.ndarray]:
        """Longitudes and latitudes of the cell centres [degrees], each on (y, x)."""
        x, y = np.meshgrid(self.x, self.y)
        return self._from_degrees.transform(x, y, direction="INVERSE")

    def project(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eastings and northings [m] of places given in degrees."""
        x, y = self._from_degrees.transform(np.asarray(lon, float), np.asarray(lat, float))
        return np.asarray(x), np.asarray(y)

    def locate(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the cells that hold some places; −1 for both where a place is outside the grid."""
        return self.cells(*self.project(lon, lat))

    def cells(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for places at eastings `x` and northings `y` [m]."""
        row, column = np.floor((self.top - y) / self.cell), np.floor((x - self.left) / self.cell)
        inside = (row >= 0) & (row < self.shape[0]) & (column >= 0) & (column < self.shape[1])
        return np.where(inside, row, -1).astype(int), np.where(inside, column, -1).astype(int)

    def coarsen(self, factor: int) -> "Grid":
        """The grid of `factor` × `factor` blocks over the same window.

        Raises:
            StudyError: the window does not hold a whole number of blocks.
        """
        rows, columns = self.shape
        if rows % factor or columns % factor:
            raise StudyError(f"grid: {rows} × {columns} cells do not divide into blocks of {factor} × {factor}.")
        return Grid(self.crs, self.left, self.top, self.cell * factor, (rows // factor, columns // factor))

    def refine(self, parts: int) -> "Grid":
        """The grid over the same window whose cells are `parts` × `parts` of each of these."""
        rows, columns = self.shape
        return Grid(self.crs, self.left, self.top, self.cell / parts, (rows * parts, columns * parts))


def _check(crs: str) -> None:
    """Refuse a coordinate system that is unknown or not projected in metres."""
    try:
        known = CRS.from_user_input(crs)
    except CRSError as error:
        raise StudyError(f"grid.crs: {crs!r} is not a coordinate system that PROJ knows. Use e.g. EPSG:3035.") from error
    if not known.is_projected or known.axis_info[0].unit_name not in ("metre", "meter"):
        raise StudyError(f"grid.crs: {crs!r} is not projected in metres; cells of equal area need one, e.g. EPSG:3035.")


@dataclass(frozen=True)
class Tile:
    """A square window of a grid; `row` and `column` of its north-western cell may be negative: it may hang over."""

    row: int
    column: int
    size: int

    def inside(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Slices (y, x) of the part that lies in a grid of `shape`: in the grid, and in the tile."""
        spans = []
        for start, length in zip((self.row, self.column), shape, strict=True):
            first, last = max(start, 0), min(start + self.size, length)
            spans.append((slice(first, last), slice(first - start, last - start)))
        (grid_y, tile_y), (grid_x, tile_x) = spans
        return (grid_y, grid_x), (tile_y, tile_x)


def starts(length: int, size: int, stride: int) -> list[int]:
    """First cells of the fewest windows of `size`, at most `stride` apart, that cover `length` cells evenly.

    A window longer than the grid is centred on it and hangs over both ends.

    >>> starts(10, 4, 3)
    [0, 3, 6]
    >>> starts(6, 8, 4)
    [-1]
    """
    if size >= length:
        return [-((size - length) // 2)]
    count = -(-(length - size) // stride) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def tiles(shape: tuple[int, int], size: int, stride: int, multiple: int = 1) -> list[Tile]:
    """Tiles of `size` cells that cover a grid of `shape`, row by row; corners on multiples of `multiple` cells.

    Raises:
        StudyError: `stride` exceeds `size` and would leave gaps, or `size` or `stride` is no multiple of `multiple`.
    """
    if not 0 < stride <= size:
        raise StudyError(f"tiles: stride {stride} must be between 1 and the size {size}, else cells are left uncovered.")
    if size % multiple or stride % multiple:
        raise StudyError(
            f"tiles: size {size} and stride {stride} must be multiples of {multiple} (the coarsest input's cell)."
        )
    rows, columns = (
        [s * multiple for s in starts(-(-length // multiple), size // multiple, stride // multiple)] for length in shape
    )
    return [Tile(r, c, size) for r in rows for c in columns]


def hann(size: int) -> np.ndarray:
    """2-D Hann window on (y, x), sampled at cell centres so that no weight is zero (paper 000, §2.2.3)."""
    one = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    return np.outer(one, one)


class Mosaic:
    """Tiles blended into one field: Σ weight·value / Σ weight, so the weights sum to 1 in every covered cell.

    Arguments:
        shape: rows and columns of the field.
        leading: sizes of the dimensions before y and x, such as (level,).
    """

    def __init__(self, shape: tuple[int, int], leading: tuple[int, ...] = ()) -> None:
        self.total = np.zeros((*leading, *shape))
        self.weight = np.zeros(shape)

    def add(self, tile: Tile, values: np.ndarray) -> None:
        """Add a tile's values, on (..., y, x) with the tile's full size."""
        (gy, gx), (ty, tx) = tile.inside(self.weight.shape)
        window = hann(tile.size)[ty, tx]
        self.total[..., gy, gx] += values[..., ty, tx] * window
        self.weight[gy, gx] += window

    def field(self, rows: int | None = None) -> np.ndarray:
        """The blended field, or its uppermost `rows`, on (..., y, x); NaN where no tile lies."""
        with np.errstate(invalid="ignore"):
            return self.total[..., :rows, :] / np.where(self.weight > 0, self.weight, np.nan)[:rows]

    def shift(self, rows: int) -> None:
        """Let go of so many rows at the top; as many empty ones come in below."""
        for array in (self.total, self.weight):
            array[..., : array.shape[-2] - rows, :] = array[..., rows:, :].copy()
            array[..., array.shape[-2] - rows :, :] = 0


def strips(fields: Iterable[tuple[Tile, np.ndarray]], shape: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    """The mosaic of tiles that come row by row, handed out from above as soon as no tile can change it: only as many rows as a tile
    has are held.

    Arguments:
        fields: tiles, none north of the one before, and their values on (..., y, x) with the tile's full size.
        shape: rows and columns of the whole field.

    Yields:
        The first row of a strip, and its values on (..., y, x); strips follow each other without gaps.
    """
    mosaic, top = None, 0
    for tile, values in fields:
        if mosaic is None:
            mosaic = Mosaic((min(tile.size, shape[0]), shape[1]), values.shape[:-2])
        if (done := max(tile.row, 0) - top) > 0:
            yield top, mosaic.field(done)
            mosaic.shift(done)
            top += done
        mosaic.add(replace(tile, row=tile.row - top), values)
    if mosaic is not None:
        yield top, mosaic.field(shape[0] - top)
